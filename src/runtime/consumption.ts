/**
 * Between the core and the task log: the barriers of a join, delivery with ids and hashes, positions, commits.
 *
 *   out      not in the group; entered at the start and when a `leave` ended; leaves by `join`
 *   in       a consumer runs; barriers come and go; leaves by `leave`
 *   leaving  the consumer stops (its last barrier runs); then "group-left"
 *
 * Guarantees: a batch reaches the core only with the ownership of the assignment under which it was fetched (R14, E24); each
 * barrier is answered exactly once; a commit has one attempt and exactly one result.
 */
import assert from "node:assert/strict";
import type { CoreEffect } from "../core/effects.ts";
import type { CoreEvent } from "../core/events.ts";
import { partitionOf, topicIndexOf, type PartitionId } from "../core/identity.ts";
import { describeError, toError } from "../errors.ts";
import type {
  Assignment,
  CommitOutcome,
  ConsumerHandlers,
  PartitionPosition,
  PartitionProblem,
  RecordBatch,
  TaskConsumer,
  TaskRecord,
} from "../task-log/task-log.ts";
import type { BatchHasher } from "./batch-hasher.ts";
import { DeliveredRecords } from "./delivered-records.ts";
import type { RuntimeLog } from "./options.ts";
import { replacedText, type TopicIdentity } from "./topic-identity.ts";
import type { PartitionNames } from "./partition-names.ts";

export interface ConsumptionOptions {
  /** A new member of the group. */
  readonly consumer: () => TaskConsumer;
  readonly names: PartitionNames;
  readonly hasher: BatchHasher;
  readonly post: (event: CoreEvent) => void;
  /** The consumer is dead for good; "group-left" was posted. */
  readonly onFatal: (error: Error) => void;
  /** Default: nothing is known of the topics. */
  readonly identity?: TopicIdentity;
  readonly groupId?: string;
  readonly log: RuntimeLog;
}

type Effect<T extends CoreEffect["type"]> = Extract<CoreEffect, { type: T }>;

/** One event of the core carries at most so many records: a fetch of tiny records can hold more than a partition's span. */
const RECORDS_PER_EVENT_MAX = 4_096;

export class Consumption {
  readonly #options: ConsumptionOptions;
  /** By partition, of the present assignment. */
  readonly #partitions = new Map<PartitionId, DeliveredRecords>();
  #consumer: TaskConsumer | null = null;
  #leaving: Promise<void> | null = null;
  /** Group generation of the present assignment; -1 between a barrier before a join and the one after it. */
  #generation = -1;
  #revoked: PromiseWithResolvers<void> | null = null;
  #assigned: PromiseWithResolvers<readonly PartitionPosition[]> | null = null;
  /** The core runs no more: barriers pass unanswered. */
  #over = false;
  staleBatches = 0;
  /** What the task log last complained about while this node has no assignment; "" for nothing. */
  trouble = "";

  constructor(options: ConsumptionOptions) {
    this.#options = options;
  }

  /** In the group with an assignment, which may be empty. */
  get joined(): boolean {
    return this.#generation >= 0;
  }

  /** The delivered record; null when it is not kept (any more). */
  record(pid: PartitionId, offset: number): TaskRecord | null {
    return this.#partitions.get(pid)?.get(offset) ?? null;
  }

  // What the core asks for.

  join(): void {
    assert(this.#consumer === null, "joined twice");
    const consumer = this.#options.consumer();
    this.#consumer = consumer;
    consumer.start(this.#handlers(consumer)).catch((error: unknown) => this.#died(consumer, toError(error)));
  }

  leave(): void {
    void this.#leave();
  }

  revokeDone(): void {
    this.#partitions.clear();
    this.#generation = -1;
    this.#revoked?.resolve();
    this.#revoked = null;
  }

  positions(effect: Effect<"positions">): void {
    this.#partitions.clear();
    const positions = effect.partitions.map(({ pid, ownership, position, paused, leaderEpoch, keptTo }) => {
      this.#partitions.set(pid, new DeliveredRecords(ownership, position));
      return { ...this.#where(pid), position, paused, leaderEpoch, keptTo };
    });
    this.#assigned?.resolve(positions);
    this.#assigned = null;
  }

  pause(effect: Effect<"pause">): void {
    const { topic, partition } = this.#where(effect.pid);
    this.#consumer?.pause(topic, partition);
  }

  resume(effect: Effect<"resume">): void {
    const { topic, partition } = this.#where(effect.pid);
    this.#consumer?.resume(topic, partition);
  }

  seek(effect: Effect<"seek">): void {
    const { topic, partition } = this.#where(effect.pid);
    this.#partitions.get(effect.pid)?.seek(effect.position);
    this.#consumer?.seek(topic, partition, effect.position);
  }

  commit(effect: Effect<"commit">): void {
    void this.#commit(effect);
  }

  release(effect: Effect<"release-records">): void {
    this.#partitions.get(effect.pid)?.release(effect.below);
  }

  /** The core runs no more: leaves the group, without asking anybody. */
  async close(): Promise<void> {
    this.#over = true;
    this.#revoked?.resolve();
    this.#assigned?.resolve([]);
    await this.#leave();
    this.#partitions.clear();
  }

  // What the task log reports.

  #handlers(consumer: TaskConsumer): ConsumerHandlers {
    const { log } = this.#options;
    return {
      onRevoke: () => this.#onRevoke(),
      onAssign: (assignment) => this.#onAssign(assignment),
      onBatch: (batch) => this.#onBatch(batch),
      onProblem: (topic, partition, problem, detail = "") => {
        if (problem === "replaced") return this.#onReplaced(topic, partition, detail);
        // With a detail it becomes the partition's alarm, which says it once.
        if (detail === "" || partition < 0) log("warn", problemText(topic, partition, problem), {});
        this.#stop(topic, partition, problem, detail);
      },
      onWarning: (message) => {
        this.trouble = message;
        log("warn", message, {});
      },
      onFatal: (error) => this.#died(consumer, error),
    };
  }

  #onRevoke(): Promise<void> {
    if (this.#over) return Promise.resolve();
    this.#revoked ??= Promise.withResolvers();
    this.#options.post({ type: "revoked" });
    return this.#revoked.promise;
  }

  #onAssign(assignment: Assignment): Promise<readonly PartitionPosition[]> {
    if (this.#over) return Promise.resolve([]);
    this.#generation = assignment.generation;
    this.trouble = "";
    const checking = this.#options.identity?.check(assignment) ?? null;
    if (checking === null) return this.#take(assignment, new Map());
    return checking.then((replaced) => {
      // Revoked meanwhile: the core has heard that it owns nothing, and must not hear of this behind it.
      const isOver = this.#over || this.#revoked !== null || this.#generation !== assignment.generation;
      return isOver ? [] : this.#take(assignment, replaced);
    });
  }

  /** Hands an assignment to the core; partitions of topics that were replaced stop before anything of them is delivered. */
  #take(assignment: Assignment, replaced: ReadonlyMap<string, string>): Promise<readonly PartitionPosition[]> {
    this.#assigned = Promise.withResolvers();
    const partitions = assignment.partitions.flatMap(({ topic, partition, ...rest }) => {
      const pid = this.#options.names.pid(topic, partition);
      assert(pid !== null, `assigned a partition of ${topic}, which was not asked for`);
      const { committed, metadata, logStart, logEnd } = rest;
      const added = this.#options.identity?.addedSince(topic, partition) === true ? { added: true } : {};
      const what = replaced.get(topic);
      const stopped = what === undefined ? {} : { replaced: this.#replacedText(topic, what) };
      return [{ pid, committed, metadata, logStart, logEnd, ...added, ...stopped }];
    });
    this.#options.post({ type: "assigned", generation: assignment.generation, partitions });
    return this.#assigned.promise;
  }

  #onReplaced(topic: string, partition: number, what: string): void {
    this.#stop(topic, partition, "replaced", this.#replacedText(topic, what));
  }

  #replacedText(topic: string, what: string): string {
    return replacedText(topic, this.#options.groupId ?? "", what);
  }

  #stop(topic: string, partition: number, problem: PartitionProblem, detail: string): void {
    const pid = this.#options.names.pid(topic, partition);
    if (pid === null) return;
    this.#options.post({ type: "partition-problem", pid, problem, ...(detail === "" ? {} : { detail }) });
  }

  #onBatch(batch: RecordBatch): void {
    const pid = this.#options.names.pid(batch.topic, batch.partition);
    const records = pid === null ? undefined : this.#partitions.get(pid);
    if (pid === null || records === undefined || batch.generation !== this.#generation || this.#over) {
      this.staleBatches++;
      return;
    }
    const { nextPosition, leaderEpoch, logEnd } = batch;
    let fetchedFrom = batch.fetchedFrom;
    for (let begin = 0; ; begin += RECORDS_PER_EVENT_MAX) {
      const end = begin + RECORDS_PER_EVENT_MAX;
      const last = end >= batch.records.length;
      const part = begin === 0 && last ? batch.records : batch.records.slice(begin, end);
      const next = last ? nextPosition : batch.records[end]!.offset;
      records.add(fetchedFrom, next, part);
      const hashed = this.#options.hasher.hash(topicIndexOf(pid), batch.partition, part);
      const { ownership } = records;
      this.#options.post({
        type: "delivered",
        batch: { pid, ownership, fetchedFrom, nextPosition: next, ...hashed, leaderEpoch, logEnd },
      });
      if (last) return;
      fetchedFrom = next;
    }
  }

  async #leave(): Promise<void> {
    const consumer = this.#consumer;
    if (consumer === null || this.#leaving !== null) return this.#leaving ?? undefined;
    this.#leaving = (async () => {
      try {
        await consumer.stop();
      } catch (error) {
        this.#options.log("warn", `the consumer group could not be left in order: ${describeError(error)}`, {});
      }
      this.#left(consumer);
    })();
    return this.#leaving;
  }

  #left(consumer: TaskConsumer): void {
    if (this.#consumer !== consumer) return;
    this.#consumer = null;
    this.#leaving = null;
    this.#generation = -1;
    this.#partitions.clear();
    this.#options.post({ type: "group-left" });
  }

  #died(consumer: TaskConsumer, error: Error): void {
    if (this.#consumer !== consumer) return;
    this.#left(consumer);
    this.#options.onFatal(error);
  }

  async #commit(effect: Effect<"commit">): Promise<void> {
    const { number, generation, commits } = effect;
    const entries = commits.map(({ pid, position, metadata }) => ({ ...this.#where(pid), position, metadata }));
    let result: CommitOutcome = { outcome: "refused", reason: "this node is not in the consumer group" };
    try {
      if (this.#consumer !== null) result = await this.#consumer.commit(generation, entries);
    } catch (error) {
      result = { outcome: "unknown", reason: describeError(error) };
    }
    const reason = result.outcome === "committed" ? "" : result.reason;
    this.#options.post({ type: "commit-result", number, outcome: result.outcome, reason });
  }

  #where(pid: PartitionId): { topic: string; partition: number } {
    return { topic: this.#options.names.topicOf(pid), partition: partitionOf(pid) };
  }
}

function problemText(topic: string, partition: number, problem: PartitionProblem): string {
  if (problem === "missing-topic") return `topic ${topic} does not exist; work on it begins when somebody creates it`;
  return `the task log has a problem with ${topic}/${partition}: ${problem}`;
}
