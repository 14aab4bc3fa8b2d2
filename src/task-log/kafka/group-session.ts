/**
 * One life of a kafkajs consumer in a group: from its connection to its crash or stop. It puts the barriers around each
 * join and decides what may be handed on:
 *
 * - closed gate: from the beginning of a join until `onAssign` has ended and its positions are in place, and after
 *   `suspend`. Nothing is fetched, and what a fetch in flight brings is dropped (its positions are no longer current).
 * - open gate: batches are handed on, stamped with the generation of the membership in force.
 *
 * A join that fails after the group was joined (its positions could not be asked for) leaves the gate closed; the next
 * fetch then asks kafkajs to join again.
 */

import type { Consumer } from "kafkajs";
import type Cluster from "kafkajs/src/cluster";
import type ConsumerGroup from "kafkajs/src/consumer/consumerGroup";
import { describeError } from "../../errors.ts";
import type { CommitOutcome, ConsumerOptions, PartitionCommit } from "../task-log.ts";
import { describeAssignment, ownershipOf } from "./assignment.ts";
import { CLIENT_RETRY, createClient, endsWithin, type KafkaClient, type KafkaConnection } from "./client.ts";
import { commitInGeneration } from "./commit.ts";
import { isHopeless, isUnknownTopic } from "./kafka-errors.ts";
import {
  attachGroupHooks,
  captureMembership,
  endRequest,
  type GroupHooks,
  leaveGroup,
  type Membership,
  rejoinRequest,
} from "./kafkajs-hooks.ts";
import { LogWatch } from "./log-watch.ts";
import { type FetchSink, PartitionFetcher } from "./partition-fetcher.ts";
import { PartitionPositions } from "./partition-positions.ts";
import { HandlerFailure, MissingTopics, type Past, type SessionHandlers, TopicAppeared } from "./session-types.ts";
import { type Ownership, stickyAssigner } from "./sticky-assigner.ts";
import { topicsAppeared } from "./topic-watch.ts";
import { WakeUp } from "./wake-up.ts";

const CLOSE_MS = 5_000;
const LEAVE_MS = 2_000;
const METADATA_MAX_AGE_MS = 60_000;
const RETRIES = 6;
const FETCH_FAILURES_MAX = 3;
const FETCH_RETRY_MS = 50;

export class GroupSession implements GroupHooks {
  /** Resolves with the error that ended the session; never when it is closed. */
  readonly ended: Promise<Error>;
  readonly #options: ConsumerOptions;
  readonly #handlers: SessionHandlers;
  readonly #client: KafkaClient;
  readonly #consumer: Consumer;
  readonly #positions = new PartitionPositions();
  readonly #fetcher: PartitionFetcher;
  readonly #watch: LogWatch;
  readonly #end: (error: Error) => void;
  readonly #wakeUp = new WakeUp(); // there may be something to fetch
  readonly #stopWakeUp = new WakeUp();
  readonly #pastMemberId: string | null;
  #group: ConsumerGroup | null = null;
  #ownership: Ownership;
  #membership: Membership | null = null;
  #joining: Promise<void> | null = null;
  #gateOpen = false;
  #suspended = false;
  #lateChanges: (() => void)[] | null = null; // those made while `onAssign` runs
  #assignments = 0;
  #fetchFailures = 0;

  constructor(connection: KafkaConnection, options: ConsumerOptions, handlers: SessionHandlers, past: Past) {
    this.#options = options;
    this.#handlers = handlers;
    this.#ownership = past.ownership;
    this.#pastMemberId = past.memberId;
    const sink: FetchSink = {
      onBatch: (batch) => this.#callNow(() => handlers.onBatch(batch)),
      onProblem: (topic, partition, problem, detail) =>
        this.#callNow(() => handlers.onProblem(topic, partition, problem, detail)),
      onWarning: (message) => handlers.onWarning(message),
    };
    this.#fetcher = new PartitionFetcher(options, this.#positions, sink, () => this.#watch.soon());
    this.#watch = new LogWatch(options.topics, this.#positions, sink);
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.ended = promise;
    this.#end = resolve;
    this.#client = createClient(connection, (message) => handlers.onWarning(message));
    this.#consumer = this.#client.kafka.consumer({
      groupId: options.groupId,
      partitionAssigners: [
        stickyAssigner(
          () => this.#ownership,
          (cluster: Cluster) => attachGroupHooks(cluster, this),
          options.clusterUuid,
        ),
      ],
      sessionTimeout: options.sessionTimeoutMs,
      rebalanceTimeout: options.rebalanceTimeoutMs,
      heartbeatInterval: options.heartbeatIntervalMs,
      maxWaitTimeInMs: options.maxWaitMs,
      maxBytesPerPartition: options.maxBytesPerPartition,
      metadataMaxAge: METADATA_MAX_AGE_MS,
      allowAutoTopicCreation: false,
      retry: { ...CLIENT_RETRY, retries: RETRIES, restartOnFailure: async () => false },
    });
    this.#consumer.on(this.#consumer.events.CRASH, ({ payload }) => this.#end(payload.error));
  }

  /** How many assignments this session has had: more than none means that it worked for a while. */
  get assignments(): number {
    return this.#assignments;
  }

  get past(): Past {
    return { memberId: this.#group?.memberId ?? null, ownership: this.#ownership };
  }

  /** Connects, subscribes, and begins to join. @throws MissingTopics when all are, or kafkajs's error when no broker serves. */
  async open(): Promise<void> {
    await this.#consumer.connect();
    const missing: string[] = [];
    let cause: unknown = null;
    for (const topic of this.#options.topics) {
      try {
        await this.#consumer.subscribe({ topics: [topic], fromBeginning: true });
      } catch (error) {
        if (!isUnknownTopic(error)) throw error;
        missing.push(topic);
        cause = error;
      }
    }
    if (missing.length === this.#options.topics.length) throw new MissingTopics(missing, cause);
    this.#handlers.onMissing(missing);
    if (missing.length > 0) void this.#watchFor(missing);
    // Resolves after the first join; a failure comes as a crash.
    this.#consumer
      .run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        eachBatch: async () => this.#end(new Error("a batch came past the hook")),
      })
      .catch((error: unknown) => this.#end(error instanceof Error ? error : new Error(String(error))));
  }

  // ---- called by kafkajs, through the hooks

  join(group: ConsumerGroup, original: () => Promise<void>): Promise<void> {
    this.#joining ??= this.#joinWithBarriers(group, original).finally(() => {
      this.#joining = null;
    });
    return this.#joining;
  }

  async fetch(group: ConsumerGroup, nodeId: string): Promise<void> {
    if (this.#suspended) throw endRequest();
    if (this.#joining !== null) {
      await Promise.allSettled([this.#joining]); // its failure is thrown where it was begun
      return;
    }
    const membership = this.#membership;
    if (!this.#gateOpen || membership === null) throw rejoinRequest();
    try {
      await group.cluster.refreshMetadataIfNecessary();
      await this.#watch.look(group, nodeId);
      group.checkForStaleAssignment();
      const asked = await this.#fetcher.fetch(group, nodeId, membership.generation);
      this.#fetchFailures = 0;
      if (!asked) await this.#wakeUp.rest(this.#options.maxWaitMs);
    } catch (error) {
      await this.#recover(group, error);
    }
  }

  /** kafkajs counts the failures of its whole life, and leaves the group at the last one: here only a series counts. */
  async #recover(group: ConsumerGroup, error: unknown): Promise<void> {
    if (this.#suspended) throw endRequest();
    if (isUnknownTopic(error)) return this.#failWith(new MissingTopics([], error));
    this.#watch.soon();
    try {
      await group.recoverFromFetch(error);
    } catch (unrecovered) {
      if (isHopeless(unrecovered) || this.#fetchFailures >= FETCH_FAILURES_MAX) throw unrecovered;
      await this.#stopWakeUp.rest(FETCH_RETRY_MS * 2 ** this.#fetchFailures++);
    }
  }

  async #joinWithBarriers(group: ConsumerGroup, original: () => Promise<void>): Promise<void> {
    if (this.#group === null) {
      this.#group = group;
      group.memberId = this.#pastMemberId; // else the group would wait a session for the member that was
    }
    this.#gateOpen = false;
    this.#positions.clear();
    this.#throwIfSuspended();
    await this.#call(() => this.#handlers.onRevoke());
    this.#throwIfSuspended();
    await original();
    this.#throwIfSuspended();

    const membership = captureMembership(group);
    // No heartbeat is sent meanwhile: no longer than the group has patience with a silent member.
    const patienceMs = this.#options.sessionTimeoutMs / 3;
    const assignment = await describeAssignment(group, membership, patienceMs, this.#stopWakeUp);
    this.#throwIfSuspended();
    this.#membership = membership;
    this.#ownership = ownershipOf(assignment);
    this.#watch.assigned(assignment);
    this.#lateChanges = [];
    try {
      const positions = await this.#call(() => this.#handlers.onAssign(assignment));
      this.#throwIfSuspended();
      await this.#call(async () => this.#positions.replace(assignment, positions));
      for (const change of this.#lateChanges) change();
    } finally {
      this.#lateChanges = null;
    }
    this.#assignments++;
    this.#gateOpen = true;
  }

  // ---- called by the consumer

  commit(generation: number, commits: readonly PartitionCommit[]): Promise<CommitOutcome> {
    return commitInGeneration(this.#membership, generation, commits);
  }

  pause(topic: string, partition: number): void {
    this.#change(() => this.#positions.setPaused(topic, partition, true));
  }

  resume(topic: string, partition: number): void {
    this.#change(() => {
      this.#positions.setPaused(topic, partition, false);
      this.#wakeUp.wake();
    });
  }

  seek(topic: string, partition: number, position: number): void {
    this.#change(() => this.#positions.seek(topic, partition, position));
  }

  /** From now on nothing is handed on and no join begins; commits of the membership in force still count. */
  suspend(): void {
    this.#suspended = true;
    this.#gateOpen = false;
    this.#positions.clear();
    this.#wakeUp.wake();
    this.#stopWakeUp.wake();
  }

  /**
   * Ends every connection. Commits are refused from now on. With `leave` the group is left for sure (if a broker answers);
   * without, kafkajs may have left it or not, and `past` tells.
   */
  async close({ leave }: { leave: boolean }): Promise<void> {
    this.suspend();
    this.#membership = null;
    await endsWithin(this.#consumer.disconnect(), CLOSE_MS);
    const { memberId } = this.past;
    if (leave && memberId !== null && memberId !== "") {
      await endsWithin(leaveGroup(this.#client.kafka, this.#options.groupId, memberId), LEAVE_MS);
    }
    this.#client.closeSockets();
  }

  // ---- helpers

  #change(change: () => void): void {
    if (this.#lateChanges === null) change();
    else this.#lateChanges.push(change);
  }

  #throwIfSuspended(): void {
    if (this.#suspended) throw endRequest();
  }

  #failWith(error: Error): never {
    this.#end(error);
    this.suspend();
    throw endRequest();
  }

  async #call<T>(handler: () => Promise<T>): Promise<T> {
    try {
      return await handler();
    } catch (error) {
      return this.#failWith(new HandlerFailure(`a handler failed: ${describeError(error)}`, { cause: error }));
    }
  }

  #callNow(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.#failWith(new HandlerFailure(`a handler failed: ${describeError(error)}`, { cause: error }));
    }
  }

  async #watchFor(topics: readonly string[]): Promise<void> {
    const appeared = await topicsAppeared(
      this.#client.kafka,
      topics,
      this.#stopWakeUp,
      () => this.#suspended,
      (message) => this.#handlers.onWarning(message),
    );
    if (appeared.length > 0) this.#end(new TopicAppeared(`topic ${appeared.join(", ")} exists now`));
  }
}
