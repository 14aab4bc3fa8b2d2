/**
 * A member of a consumer group that lives until it is stopped or has no hope: it opens one session after another, each
 * with new connections, backs off between them, and says in words what does not work. Across sessions it keeps what must
 * not be forgotten: whether the caller has been told that it owns nothing, and what it owned (for the sticky assigner).
 */

import { describeError, VouchError } from "../../errors.ts";
import type {
  Assignment,
  CommitOutcome,
  ConsumerHandlers,
  ConsumerOptions,
  PartitionCommit,
  PartitionPosition,
  TaskConsumer,
} from "../task-log.ts";
import { endsWithin, type KafkaConnection } from "./client.ts";
import { GroupSession } from "./group-session.ts";
import { isBusy, isHopeless, isOthersGroup } from "./kafka-errors.ts";
import { HandlerFailure, MissingTopics, type Past, type SessionHandlers, TopicAppeared } from "./session-types.ts";
import { NO_OWNERSHIP } from "./sticky-assigner.ts";

const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 2_000;
const BUSY_TRIES_UNSAID = 3;

export class KafkaConsumer implements TaskConsumer {
  readonly #connection: KafkaConnection;
  readonly #options: ConsumerOptions;
  readonly #onEnded: () => void;
  readonly #stopRequested = Promise.withResolvers<void>();
  #handlers: ConsumerHandlers | null = null;
  #session: GroupSession | null = null;
  #running: Promise<void> | null = null;
  #stopping: Promise<void> | null = null;
  #revoked = false;
  #revoking: Promise<void> | null = null;
  #assigning: Promise<unknown> | null = null;
  #missing: ReadonlySet<string> = new Set();

  constructor(connection: KafkaConnection, options: ConsumerOptions, onEnded: () => void) {
    this.#connection = connection;
    this.#options = options;
    this.#onEnded = onEnded;
  }

  async start(handlers: ConsumerHandlers): Promise<void> {
    if (this.#running !== null || this.#stopping !== null)
      throw new VouchError("closed", "a consumer starts only once");
    this.#handlers = handlers;
    const underWay = Promise.withResolvers<void>();
    this.#running = this.#run(handlers, () => underWay.resolve());
    await Promise.race([underWay.promise, this.#running]);
  }

  async commit(generation: number, commits: readonly PartitionCommit[]): Promise<CommitOutcome> {
    const session = this.#session;
    if (session === null) return { outcome: "refused", reason: "this consumer is in no group" };
    return session.commit(generation, commits);
  }

  pause(topic: string, partition: number): void {
    this.#session?.pause(topic, partition);
  }

  resume(topic: string, partition: number): void {
    this.#session?.resume(topic, partition);
  }

  seek(topic: string, partition: number, position: number): void {
    this.#session?.seek(topic, partition, position);
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const session = this.#session;
    session?.suspend();
    this.#stopRequested.resolve();
    if (this.#handlers !== null) {
      // An assignment that is being taken over is taken over first: its `onRevoke` comes after its `onAssign`.
      await Promise.allSettled([this.#assigning]);
      await Promise.allSettled([this.#revoke(this.#handlers)]); // the member leaves, whatever its handler does
    }
    await session?.close({ leave: true });
    await this.#running;
    this.#onEnded();
  }

  async #run(handlers: ConsumerHandlers, underWay: () => void): Promise<void> {
    let past: Past = { memberId: null, ownership: NO_OWNERSHIP };
    for (let failures = 0; this.#stopping === null; failures++) {
      const session = this.#newSession(handlers, past);
      const error = await this.#live(session, underWay);
      if (error === null) break; // stopped: `stop` closes the session
      if (session.assignments > 0) failures = 0;
      // Before the new connection, so that the caller does not go on owning what the group may give to others.
      session.suspend();
      const [revoked] = await Promise.allSettled([this.#revoke(handlers)]);
      const failed = revoked.status === "rejected" ? new HandlerFailure(describeError(revoked.reason)) : error;
      const hopeless = failed instanceof HandlerFailure || isHopeless(failed);
      await session.close({ leave: hopeless });
      past = session.past;
      this.#session = null;
      if (this.#stopping !== null) break;
      if (hopeless) {
        this.#fail(handlers, failed);
        break;
      }
      this.#report(handlers, failed, failures);
      const backoffMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** failures) * (0.8 + Math.random() * 0.4);
      await endsWithin(this.#stopRequested.promise, backoffMs);
    }
    underWay();
  }

  #newSession(handlers: ConsumerHandlers, past: Past): GroupSession {
    const sessionHandlers: SessionHandlers = {
      onRevoke: () => this.#revoke(handlers),
      onAssign: (assignment) => this.#assign(handlers, assignment),
      onMissing: (topics) => this.#reportMissing(handlers, topics),
      onBatch: (batch) => handlers.onBatch(batch),
      onProblem: (topic, partition, problem, detail) => handlers.onProblem(topic, partition, problem, detail),
      onWarning: (message) => {
        if (this.#stopping === null) handlers.onWarning(message);
      },
    };
    this.#session = new GroupSession(this.#connection, this.#options, sessionHandlers, past);
    return this.#session;
  }

  /** Opens the session and waits for its end: the error that ended it, or null when this consumer is to stop. */
  async #live(session: GroupSession, underWay: () => void): Promise<Error | null> {
    const stopped = this.#stopRequested.promise.then(() => null);
    const opened = session.open().then(
      () => null,
      (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
    );
    const failedToOpen = await Promise.race([opened, stopped]);
    if (this.#stopping !== null) return null;
    // A broker answered: what is still to come (a missing topic, the join) is reported to the handlers.
    if (failedToOpen === null || failedToOpen instanceof MissingTopics) underWay();
    if (failedToOpen !== null) return failedToOpen;
    return Promise.race([session.ended, stopped]);
  }

  /** Once for each assignment, and once before the first. */
  #revoke(handlers: ConsumerHandlers): Promise<void> {
    if (this.#revoked) return Promise.resolve();
    this.#revoking ??= handlers
      .onRevoke()
      .then(() => {
        this.#revoked = true;
      })
      .finally(() => {
        this.#revoking = null;
      });
    return this.#revoking;
  }

  async #assign(handlers: ConsumerHandlers, assignment: Assignment): Promise<readonly PartitionPosition[]> {
    this.#revoked = false;
    const assigning = handlers.onAssign(assignment);
    this.#assigning = assigning;
    try {
      return await assigning;
    } finally {
      this.#assigning = null;
    }
  }

  #report(handlers: ConsumerHandlers, error: Error, failures: number): void {
    if (error instanceof TopicAppeared) return;
    if (error instanceof MissingTopics && error.topics.length > 0) this.#reportMissing(handlers, error.topics);
    if (isBusy(error) && failures < BUSY_TRIES_UNSAID) return; // a broker that has just started reads its groups first
    if (isOthersGroup(error)) return handlers.onWarning(this.#othersGroupText());
    handlers.onWarning(
      `Kafka ${this.#connection.brokers.join(",")}: group ${this.#options.groupId} cannot be read: ` +
        `${describeError(error)} (try ${failures + 1}; trying again)`,
    );
  }

  /** Members of another cell, or of another program, are in the group now: they name another assigner than we do. */
  #othersGroupText(): string {
    const { groupId } = this.#options;
    return (
      `Kafka ${this.#connection.brokers.join(",")}: group ${groupId} is in use by another cell or another program, and ` +
      `two cells in one group would take each other's tasks: give this cell a group of its own (--kafka-group-id), or ` +
      `stop the other (kafka-consumer-groups.sh --describe --group ${groupId} --members shows who it is)`
    );
  }

  /** Each missing topic once, until it was there. */
  #reportMissing(handlers: ConsumerHandlers, topics: readonly string[]): void {
    const known = this.#missing;
    this.#missing = new Set(topics);
    for (const topic of topics) {
      if (known.has(topic)) continue;
      handlers.onProblem(topic, -1, "missing-topic");
      handlers.onWarning(`Kafka ${this.#connection.brokers.join(",")}: topic ${topic} does not exist`);
    }
  }

  #fail(handlers: ConsumerHandlers, error: Error): void {
    const cause = error instanceof HandlerFailure && error.cause !== undefined ? error.cause : error;
    handlers.onFatal(
      new VouchError("task-log", `the consumer of group ${this.#options.groupId} ended: ${describeError(error)}`, {
        cause,
      }),
    );
  }
}
