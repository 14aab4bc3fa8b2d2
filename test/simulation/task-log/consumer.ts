/**
 * One member of a group, as the client library behaves (src/task-log/kafka/consumer.ts and group-session.ts, whose positions,
 * assigner and classification of commits it uses): barriers around each join, nothing handed on between them, commits in the
 * generation of the membership in force.
 *
 *   revoking    `onRevoke` runs; then joining
 *   joining     waits until it knows what it was given, and where that begins (group-join.ts)
 *   assigning   `onAssign` runs
 *   reading     fetches and sends heartbeats; left by revoking
 *   ended       stopped, or dead of a handler's failure
 */
import { describeError, toError, VouchError } from "../../../src/errors.ts";
import { commitOutcomeOf } from "../../../src/task-log/kafka/commit-outcome.ts";
import { PartitionPositions, type ReadPosition } from "../../../src/task-log/kafka/partition-positions.ts";
import type {
  Assignment,
  CommitOutcome,
  ConsumerHandlers,
  ConsumerOptions,
  PartitionCommit,
  PartitionPosition,
  PartitionProblem,
  TaskConsumer,
} from "../../../src/task-log/task-log.ts";
import type { Random } from "../random.ts";
import type { SimulatedProcess } from "../virtual-time.ts";
import type { Brokers } from "./brokers.ts";
import type { GroupClient } from "./coordinator.ts";
import { FetchLoop } from "./fetch-loop.ts";
import type { GroupError } from "./group.ts";
import { GroupJoin, type Membership } from "./group-join.ts";
import { HandOver } from "./hand-over.ts";
import { Channel } from "./link.ts";

type Phase = "new" | "revoking" | "joining" | "assigning" | "reading" | "ended";

export class SimulatedConsumer implements TaskConsumer, GroupClient {
  readonly process: SimulatedProcess;
  readonly groupId: string;
  readonly heartbeatIntervalMs: number;
  readonly #brokers: Brokers;
  readonly #random: Random;
  readonly #onEnded: () => void;
  readonly #positions = new PartitionPositions();
  readonly #loops: readonly FetchLoop[];
  readonly #handOver: HandOver;
  readonly #commits = new Channel();
  readonly #group: GroupJoin;
  readonly #underWay = Promise.withResolvers<void>();
  #phase: Phase = "new";
  #handlers: ConsumerHandlers | null = null;
  /** What commits are stamped with; null: in no generation. */
  #membership: Membership | null = null;
  /** The group has gone on with this member, and its caller was not told (`lostRevocation`). */
  #hidden: Membership | null = null;
  #revoked = false;
  #revoking: Promise<void> | null = null;
  #assigning: Promise<unknown> | null = null;
  #stopping: Promise<void> | null = null;
  #lateChanges: (() => void)[] | null = null; // those made while `onAssign` runs
  #missing: readonly string[] = [];
  #detach: () => void = () => undefined;

  constructor(process: SimulatedProcess, brokers: Brokers, options: ConsumerOptions, onEnded: () => void) {
    this.process = process;
    this.groupId = options.groupId;
    this.heartbeatIntervalMs = options.heartbeatIntervalMs;
    this.#brokers = brokers;
    this.#random = brokers.random.split(`consumer ${process.name} ${process.pid} ${brokers.consumers++}`);
    this.#onEnded = onEnded;
    this.#handOver = new HandOver(process, brokers, this.#random, {
      onBatch: (batch) => this.#callNow(() => this.#handlers?.onBatch(batch)),
      onDrained: () => this.#kick(),
    });
    this.#group = new GroupJoin(this, brokers, options, {
      onArrived: (missing) => this.#onArrived(missing),
      onAssigned: (assignment) => void this.#assign(assignment),
      onHidden: (membership) => {
        if (this.#phase === "reading") this.#hidden = membership;
      },
    });
    const { link, topics } = brokers;
    const { maxWaitMs, maxBytesPerPartition } = options;
    this.#loops = Array.from({ length: link.settings.brokers }, (_, broker) => {
      return new FetchLoop({
        process,
        link,
        random: this.#random,
        topics,
        broker,
        positions: this.#positions,
        maxWaitMs,
        maxBytesPerPartition,
        isOpen: () => this.#phase === "reading" && !this.#handOver.isFull,
        generation: () => this.#membership?.generation ?? -1,
        onBatch: (batch) => this.#handOver.add(batch),
        onProblem: (read, problem, message) => this.#onProblem(read, problem, message),
      });
    });
  }

  start(handlers: ConsumerHandlers): Promise<void> {
    if (this.#handlers !== null || this.#stopping !== null)
      return Promise.reject(new VouchError("closed", "a consumer starts only once"));
    this.#handlers = handlers;
    this.#detach = this.#brokers.coordinator.attach(this);
    void this.#join();
    return this.#underWay.promise;
  }

  // ---- what its group sees

  get beatsAs(): Membership | null {
    if (this.#phase !== "reading") return null;
    return this.#isDeaf ? (this.#hidden ?? this.#membership) : this.#membership;
  }

  get hasLost(): boolean {
    if (this.#group.hasLost || this.#missing.some((topic) => this.#brokers.topics.has(topic))) return true;
    return this.#phase === "reading" && this.#loops.some(({ state }) => state === "lost");
  }

  get #isDeaf(): boolean {
    return this.#brokers.spurious.lostRevocation.has(this.process.name);
  }

  onHeartbeat(memberId: string, error: GroupError): void {
    const beat = this.beatsAs;
    if (beat === null || beat.memberId !== memberId) return;
    if (this.#isDeaf) {
      this.#brokers.counters.lostRevocations++;
      // Its client joins and tells nobody, or does not even notice.
      if (error !== "REBALANCE_IN_PROGRESS" || this.#random.chance(0.5)) this.#group.sendHidden(memberId);
      return;
    }
    if (error === "UNKNOWN_MEMBER_ID") this.#group.memberId = null;
    void this.#join();
  }

  onReachable(): void {
    if (this.#phase === "reading") for (const loop of this.#loops) loop.retry();
    const appeared = this.#missing.some((topic) => this.#brokers.topics.has(topic));
    if (appeared) this.#missing = this.#missing.filter((topic) => !this.#brokers.topics.has(topic));
    if (!this.#group.hasLost && !appeared) return;
    if (this.#phase === "joining") this.#group.send();
    else void this.#join();
  }

  onUnreachable(): void {
    if (this.#phase === "ended") return;
    this.#warn("no broker answers");
    if (this.#phase === "reading") void this.#join();
  }

  // ---- joining

  async #join(): Promise<void> {
    if (this.#phase === "revoking" || this.#phase === "joining" || this.#phase === "ended") return;
    if (this.#phase === "assigning") return; // it hears again when it reads
    this.#closeGate("revoking");
    if (!(await this.#call(() => this.#revoke()))) return;
    if (!this.#is("revoking")) return; // stopped meanwhile
    this.#phase = "joining";
    this.#group.send();
  }

  #is(phase: Phase): boolean {
    return this.#phase === phase;
  }

  #closeGate(phase: Phase): void {
    this.#phase = phase;
    this.#group.cancel();
    this.#hidden = null;
    this.#positions.clear();
    this.#handOver.close();
    for (const loop of this.#loops) loop.reset();
  }

  #onArrived(missing: readonly string[]): void {
    this.#underWay.resolve();
    for (const topic of missing) {
      if (this.#missing.includes(topic)) continue;
      this.#callNow(() => this.#handlers?.onProblem(topic, -1, "missing-topic"));
      this.#warn(`topic ${topic} does not exist`);
    }
    this.#missing = missing;
  }

  async #assign(assignment: Assignment): Promise<void> {
    const handlers = this.#handlers;
    if (this.#phase !== "joining" || handlers === null) return;
    this.#phase = "assigning";
    this.#membership = assignment;
    this.#revoked = false;
    this.#lateChanges = [];
    const done = await this.#call(async () => {
      const assigning = handlers.onAssign(assignment);
      this.#assigning = assigning;
      const positions = await assigning.finally(() => (this.#assigning = null));
      if (this.#is("assigning")) this.#open(assignment, positions);
    });
    this.#lateChanges = null;
    if (done && this.#is("reading")) this.#kick();
  }

  #open(assignment: Assignment, positions: readonly PartitionPosition[]): void {
    this.#positions.replace(assignment, positions);
    for (const change of this.#lateChanges ?? []) change();
    this.#lateChanges = null;
    this.#phase = "reading";
    this.#handOver.open();
  }

  // ---- reading

  pause(topic: string, partition: number): void {
    this.#change(() => this.#positions.setPaused(topic, partition, true));
  }

  resume(topic: string, partition: number): void {
    this.#change(() => {
      this.#positions.setPaused(topic, partition, false);
      this.#kick();
    });
  }

  seek(topic: string, partition: number, position: number): void {
    this.#change(() => {
      this.#positions.seek(topic, partition, position);
      this.#kick();
    });
  }

  #change(change: () => void): void {
    if (this.#lateChanges === null) change();
    else this.#lateChanges.push(change);
  }

  #kick(): void {
    for (const loop of this.#loops) loop.kick();
  }

  #onProblem(read: ReadPosition, problem: PartitionProblem, message: string): void {
    this.#handOver.flush();
    if (message !== "") this.#warn(message);
    this.#callNow(() => this.#handlers?.onProblem(read.topic, read.partition, problem));
  }

  // ---- commits

  commit(generation: number, commits: readonly PartitionCommit[]): Promise<CommitOutcome> {
    const membership = this.#membership;
    const refused = (reason: string): Promise<CommitOutcome> => Promise.resolve({ outcome: "refused", reason });
    if (membership === null) return refused("this consumer is in no group generation");
    if (membership.generation !== generation && !this.#brokers.acceptsStaleCommits())
      return refused(`group generation ${generation} is over, now is ${membership.generation}`);
    if (commits.length === 0) return Promise.resolve({ outcome: "committed" });
    const invalid = commits.find(({ position }) => !Number.isSafeInteger(position) || position < 0);
    if (invalid !== undefined)
      return Promise.resolve({ outcome: "fatal", reason: `${invalid.position} is no position to commit` });

    const { link } = this.#brokers;
    const { promise, resolve } = Promise.withResolvers<CommitOutcome>();
    const { commitTimeoutMs } = link.settings;
    const reason = `no answer within ${commitTimeoutMs} ms`;
    const timer = link.time.after(commitTimeoutMs, () => resolve({ outcome: "unknown", reason }), this.process);
    const settle = (error: string | null): void => {
      link.time.cancel(timer);
      const outcome: CommitOutcome =
        error === null ? { outcome: "committed" } : commitOutcomeOf(Object.assign(new Error(error), { type: error }));
      resolve(outcome);
      // The heartbeats of such a member would be refused, too: now its client knows.
      if (outcome.outcome !== "refused" || !this.#isDeaf) return;
      if (error === "UNKNOWN_MEMBER_ID") this.#group.memberId = null;
      void this.#join();
    };
    const arrive = (): void => {
      const answer = this.#brokers.commit(this, membership.memberId, generation, commits);
      if (answer.isAnswered) link.answer(this.process, () => settle(answer.error), undefined, answer.lateMs);
    };
    link.send(this.process, arrive, undefined, this.#commits);
    return promise;
  }

  // ---- the end

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const wasRunning = this.#phase !== "new" && this.#phase !== "ended";
    this.#closeGate("ended");
    if (wasRunning) {
      // An assignment that is being taken over is taken over first: its `onRevoke` comes after its `onAssign`.
      await Promise.allSettled([this.#assigning]);
      await Promise.allSettled([this.#revoke()]); // the member leaves, whatever its handler does
      await this.#leave();
    }
    this.#underWay.resolve();
    this.#onEnded();
  }

  async #leave(): Promise<void> {
    this.#membership = null;
    await this.#group.leave();
    this.#detach();
  }

  /** Once for each assignment, and once before the first. */
  #revoke(): Promise<void> {
    if (this.#revoked || this.#handlers === null) return Promise.resolve();
    this.#revoking ??= this.#handlers
      .onRevoke()
      .then(() => {
        this.#revoked = true;
      })
      .finally(() => {
        this.#revoking = null;
      });
    return this.#revoking;
  }

  /** An error of a handler ends this consumer; false: it did. */
  async #call(handler: () => Promise<void>): Promise<boolean> {
    try {
      await handler();
      return true;
    } catch (error) {
      await this.#fail(error);
      return false;
    }
  }

  #callNow(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      void this.#fail(error);
    }
  }

  async #fail(thrown: unknown): Promise<void> {
    if (this.#phase === "ended") return;
    this.#closeGate("ended");
    await Promise.allSettled([this.#revoke()]);
    await this.#leave();
    this.#underWay.resolve();
    this.#onEnded();
    const message = `the consumer of group ${this.groupId} ended: a handler failed: ${describeError(thrown)}`;
    this.#handlers?.onFatal(new VouchError("task-log", message, { cause: toError(thrown) }));
  }

  #warn(message: string): void {
    if (this.#stopping === null) this.#callNow(() => this.#handlers?.onWarning(`simulated Kafka: ${message}`));
  }
}
