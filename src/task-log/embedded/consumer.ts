/**
 * One member of a consumer group. Its run is a loop over group generations:
 *
 * - revoking: entered at the start, when the group prepares a rebalance, when the group has lost this member, and at the
 *   stop; `onRevoke` runs, and nothing is delivered. Commits of the old generation still count.
 * - joining: entered when `onRevoke` ended; waits until the group begins a generation with this member.
 * - assigning: entered with the generation; older generations can commit nothing any more; `onAssign` runs.
 * - reading: entered when `onAssign` ended; batches are handed over until the next revoking.
 *
 * Heartbeats go on beside it from the first join to the end, so that a slow barrier does not cost the membership before
 * `rebalanceTimeoutMs`. An error of a handler is fatal; an error of the files is reported as a warning and tried again.
 */

import { describeError, toError, VouchError } from "../../errors.ts";
import type { CommitOutcome, ConsumerHandlers, ConsumerOptions, PartitionCommit, TaskConsumer } from "../task-log.ts";
import type { GroupStore, Membership, MemberView } from "./group-store.ts";
import { limits } from "./limits.ts";
import { PartitionReader } from "./partition-reader.ts";
import type { RecordStore } from "./record-store.ts";
import { WakeUp } from "./wake-up.ts";

export interface Stores {
  readonly records: RecordStore;
  readonly groups: GroupStore;
}

type AssignedView = Extract<MemberView, { state: "member" }>;

export class EmbeddedConsumer implements TaskConsumer {
  readonly #open: () => Promise<Stores>;
  readonly #options: ConsumerOptions;
  readonly #member: Membership;
  readonly #wakeUp = new WakeUp();
  readonly #heartbeatWakeUp = new WakeUp();
  readonly #onEnded: () => void;
  #handlers: ConsumerHandlers | null = null;
  #reader: PartitionReader | null = null;
  #running: Promise<void> | null = null;
  #stopping = false;
  #left = false;
  #revoked = false;
  #generation = 0; // 0 before the first assignment
  #fatal: Error | null = null;
  #warnedAtMs = Number.NEGATIVE_INFINITY;

  constructor(open: () => Promise<Stores>, options: ConsumerOptions, onEnded: () => void) {
    this.#open = open;
    this.#options = options;
    this.#onEnded = onEnded;
    this.#member = {
      groupId: options.groupId,
      memberId: `embedded-${crypto.randomUUID()}`,
      topics: [...new Set(options.topics)].sort(),
      sessionTimeoutMs: options.sessionTimeoutMs,
      rebalanceTimeoutMs: options.rebalanceTimeoutMs,
    };
  }

  async start(handlers: ConsumerHandlers): Promise<void> {
    if (this.#running !== null || this.#stopping) throw new VouchError("closed", "a consumer starts only once");
    this.#handlers = handlers;
    this.#reader = new PartitionReader(this.#options, handlers);
    this.#running = this.#run(handlers, this.#reader);
  }

  async commit(generation: number, commits: readonly PartitionCommit[]): Promise<CommitOutcome> {
    const invalid = commits.map(invalidityOf).find((reason) => reason !== null);
    if (invalid !== undefined && invalid !== null) return { outcome: "fatal", reason: invalid };
    if (this.#left) return { outcome: "refused", reason: "this consumer has left the group" };
    if (generation !== this.#generation) {
      return { outcome: "refused", reason: `group generation ${generation} is over, now is ${this.#generation}` };
    }
    try {
      const { records } = await this.#open();
      if (await records.commit(this.#options.groupId, generation, commits)) return { outcome: "committed" };
      return { outcome: "refused", reason: `group generation ${generation} is over` };
    } catch (thrown) {
      const fatal = thrown instanceof VouchError && thrown.code === "task-log";
      return { outcome: fatal ? "fatal" : "unknown", reason: describeError(thrown) };
    }
  }

  pause(topic: string, partition: number): void {
    this.#reader?.change(topic, partition, { paused: true });
  }

  resume(topic: string, partition: number): void {
    this.#reader?.change(topic, partition, { paused: false });
    this.wake();
  }

  seek(topic: string, partition: number, position: number): void {
    this.#reader?.change(topic, partition, { position });
    this.wake();
  }

  /** Something of this process may have changed the log: look at once instead of at the next poll. */
  wake(): void {
    this.#wakeUp.wake();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.wake();
    await this.#running;
    if (this.#running === null) this.#onEnded();
  }

  async #run(handlers: ConsumerHandlers, reader: PartitionReader): Promise<void> {
    const heartbeats = this.#sendHeartbeats();
    while (!this.#stopping && this.#fatal === null) {
      try {
        await this.#liveOneGeneration(handlers, reader);
      } catch (thrown) {
        await this.#failed(thrown);
      }
    }
    try {
      await this.#revoke(handlers, reader);
    } catch (thrown) {
      await this.#failed(thrown);
    }
    await this.#leave();
    this.#heartbeatWakeUp.wake();
    await heartbeats;
    this.#onEnded();
    if (this.#fatal !== null) handlers.onFatal(this.#fatal);
  }

  async #liveOneGeneration(handlers: ConsumerHandlers, reader: PartitionReader): Promise<void> {
    await this.#revoke(handlers, reader);
    const stores = await this.#open();
    const view = await this.#join(stores);
    if (view === null) return;
    await this.#assign(stores, view, handlers, reader);
    await this.#read(stores, view.generation, reader);
  }

  /** The barrier before each join and before the end; once until the next assignment. */
  async #revoke(handlers: ConsumerHandlers, reader: PartitionReader): Promise<void> {
    reader.end();
    if (this.#revoked) return;
    this.#revoked = true;
    const late = setTimeout(() => {
      handlers.onWarning(
        `onRevoke takes longer than ${this.#options.rebalanceTimeoutMs} ms: the group goes on without it`,
      );
    }, this.#options.rebalanceTimeoutMs);
    try {
      await this.#call(() => handlers.onRevoke());
    } finally {
      clearTimeout(late);
    }
  }

  /** Null when it is to stop, or when the generation was over before this member saw it. */
  async #join({ groups, records }: Stores): Promise<AssignedView | null> {
    const { groupId, memberId } = this.#member;
    let idleMs: number = limits.pollMinMs;
    let seenVersion = -1;
    let view: MemberView = { state: "unknown" };
    while (!this.#stopping) {
      if (view.state === "unknown") await groups.join(this.#member, await records.groupFacts(groupId));
      const version = await groups.version();
      if (version !== seenVersion) view = await groups.view(groupId, memberId);
      seenVersion = version;
      if (view.state === "member") return view;
      if (view.state === "rejoin") return null;
      if (view.state === "unknown") continue;
      idleMs = (await this.#wakeUp.wait(idleMs)) ? limits.pollMinMs : this.#longer(idleMs);
    }
    return null;
  }

  async #assign(
    { records }: Stores,
    { generation, owned }: AssignedView,
    handlers: ConsumerHandlers,
    reader: PartitionReader,
  ): Promise<void> {
    const partitions = await records.beginGeneration(this.#options.groupId, generation, owned);
    this.#generation = generation;
    const { partitionCounts } = await records.groupFacts(this.#options.groupId);
    for (const topic of this.#member.topics) {
      if (partitionCounts.has(topic)) continue;
      handlers.onProblem(topic, -1, "missing-topic");
      handlers.onWarning(`topic ${topic} does not exist: waiting for it`);
    }
    const assignment = { generation, memberId: this.#member.memberId, partitions };
    this.#revoked = false;
    reader.expect();
    const positions = await this.#call(() => handlers.onAssign(assignment));
    await this.#call(async () => reader.begin(assignment, positions));
  }

  /** Until the group begins to rebalance, has lost this member, or it is to stop. */
  async #read({ groups, records }: Stores, generation: number, reader: PartitionReader): Promise<void> {
    let idleMs: number = limits.pollMinMs;
    let seenVersion = -1;
    while (!this.#stopping) {
      const version = await groups.version();
      if (version !== seenVersion) {
        const view = await groups.view(this.#options.groupId, this.#member.memberId);
        if (view.state !== "member" || view.generation !== generation) return;
      }
      seenVersion = version;
      const delivered = await this.#call(() => reader.round(records, () => this.#stopping));
      if (delivered) idleMs = limits.pollMinMs;
      else idleMs = (await this.#wakeUp.wait(idleMs)) ? limits.pollMinMs : this.#longer(idleMs);
    }
  }

  #longer(idleMs: number): number {
    return Math.max(limits.pollMinMs, Math.min(idleMs * 2, limits.pollMaxMs, this.#options.maxWaitMs));
  }

  async #sendHeartbeats(): Promise<void> {
    while (!this.#left) {
      try {
        const { groups, records } = await this.#open();
        await groups.heartbeat(this.#member, await records.groupFacts(this.#options.groupId));
      } catch (thrown) {
        this.#warn(`no heartbeat could be written: ${describeError(thrown)}`);
      }
      if (!this.#left) await this.#heartbeatWakeUp.wait(this.#options.heartbeatIntervalMs);
    }
  }

  async #leave(): Promise<void> {
    try {
      const { groups, records } = await this.#open();
      await groups.leave(this.#options.groupId, this.#member.memberId, await records.groupFacts(this.#options.groupId));
    } catch (thrown) {
      this.#warn(`the group could not be left, the session will expire: ${describeError(thrown)}`);
    }
    this.#left = true;
  }

  /** An error of the caller's own code ends this consumer; trying again would hide it. */
  async #call<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (thrown) {
      if (!(thrown instanceof VouchError && thrown.retriable)) this.#fatal ??= toError(thrown);
      throw thrown;
    }
  }

  /** What cannot be mended ends the consumer; the rest is tried again after a pause. */
  async #failed(thrown: unknown): Promise<void> {
    if (this.#fatal !== null) return;
    if (!(thrown instanceof VouchError && thrown.retriable)) {
      this.#fatal = toError(thrown);
      return;
    }
    this.#warn(describeError(thrown));
    await this.#wakeUp.wait(this.#options.heartbeatIntervalMs);
  }

  #warn(message: string): void {
    if (performance.now() - this.#warnedAtMs < limits.warningIntervalMs) return;
    this.#warnedAtMs = performance.now();
    this.#handlers?.onWarning(message);
  }
}

function invalidityOf(commit: PartitionCommit): string | null {
  const metadataBytes = Buffer.byteLength(commit.metadata);
  if (metadataBytes > limits.commitMetadataBytesMax) {
    return `commit metadata of ${metadataBytes} bytes is larger than the limit of ${limits.commitMetadataBytesMax}`;
  }
  if (!Number.isSafeInteger(commit.position) || commit.position < 0) {
    return `${commit.position} is no position to commit for ${commit.topic} partition ${commit.partition}`;
  }
  return null;
}
