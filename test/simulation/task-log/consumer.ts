/**
 * One member of a group, as the client library behaves (src/task-log/kafka/consumer.ts and group-session.ts, whose positions,
 * assigner and classification of commits it uses): barriers around each join, nothing handed on between them, commits in the
 * generation of the membership in force.
 *
 *   revoking    `onRevoke` runs; then joining
 *   joining     waits for the coordinator's answer
 *   describing  waits for offsets and log bounds of what it was given
 *   assigning   `onAssign` runs
 *   reading     fetches and sends heartbeats; left by revoking
 *   ended       stopped, or dead of a handler's failure
 */
import { describeError, toError, VouchError } from "../../../src/errors.ts";
import { commitOutcomeOf } from "../../../src/task-log/kafka/commit-outcome.ts";
import { PartitionPositions, type ReadPosition } from "../../../src/task-log/kafka/partition-positions.ts";
import { assignSticky, NO_OWNERSHIP, type Ownership } from "../../../src/task-log/kafka/sticky-assigner.ts";
import type {
  AssignedPartition,
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
import type { GroupError, JoinAnswer, JoinRequest, TopicPartitions } from "./group.ts";
import { HandOver } from "./hand-over.ts";
import { Channel } from "./link.ts";

type Phase = "new" | "revoking" | "joining" | "describing" | "assigning" | "reading" | "ended";

interface Membership {
  readonly memberId: string;
  readonly generation: number;
}

const LEAVE_MS = 2_000;

export class SimulatedConsumer implements TaskConsumer, GroupClient {
  readonly process: SimulatedProcess;
  readonly groupId: string;
  readonly heartbeatIntervalMs: number;
  readonly #brokers: Brokers;
  readonly #random: Random;
  readonly #options: ConsumerOptions;
  readonly #onEnded: () => void;
  readonly #positions = new PartitionPositions();
  readonly #loops: readonly FetchLoop[];
  readonly #handOver: HandOver;
  readonly #commits = new Channel();
  readonly #underWay = Promise.withResolvers<void>();
  #isUnderWay = false;
  #phase: Phase = "new";
  #handlers: ConsumerHandlers | null = null;
  #memberId: string | null = null;
  /** What commits are stamped with; null: in no generation. */
  #membership: Membership | null = null;
  /** The group has gone on with this member, and its caller was not told (`lostRevocation`). */
  #hidden: Membership | null = null;
  #ownership: Ownership = NO_OWNERSHIP;
  #attempt = 0; // of a join; answers to older ones are void
  #lost = false;
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
    this.#options = options;
    this.#onEnded = onEnded;
    this.#handOver = new HandOver(process, brokers, this.#random, {
      onBatch: (batch) => this.#callNow(() => this.#handlers?.onBatch(batch)),
      onDrained: () => this.#kick(),
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
    if (this.#lost || this.#missing.some((topic) => this.#brokers.topics.has(topic))) return true;
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
      if (error !== "REBALANCE_IN_PROGRESS" || this.#random.chance(0.5)) this.#sendJoin(true);
      return;
    }
    if (error === "UNKNOWN_MEMBER_ID") this.#memberId = null;
    void this.#join();
  }

  onReachable(): void {
    if (this.#phase === "reading") for (const loop of this.#loops) loop.retry();
    const appeared = this.#missing.some((topic) => this.#brokers.topics.has(topic));
    if (appeared) this.#missing = this.#missing.filter((topic) => !this.#brokers.topics.has(topic));
    if (!this.#lost && !appeared) return;
    this.#lost = false;
    if (this.#phase === "joining") this.#sendJoin(false);
    else void this.#join();
  }

  onUnreachable(): void {
    if (this.#phase === "ended") return;
    this.#warn("no broker answers");
    if (this.#phase === "reading" || this.#phase === "describing") void this.#join();
  }

  // ---- joining

  async #join(): Promise<void> {
    if (this.#phase === "revoking" || this.#phase === "joining" || this.#phase === "ended") return;
    if (this.#phase === "assigning") return; // it hears again when it reads
    this.#closeGate("revoking");
    if (!(await this.#call(() => this.#revoke()))) return;
    if (!this.#is("revoking")) return; // stopped meanwhile
    this.#phase = "joining";
    this.#sendJoin(false);
  }

  #is(phase: Phase): boolean {
    return this.#phase === phase;
  }

  #closeGate(phase: Phase): void {
    this.#phase = phase;
    this.#attempt++;
    this.#lost = false;
    this.#hidden = null;
    this.#positions.clear();
    this.#handOver.close();
    for (const loop of this.#loops) loop.reset();
  }

  #sendJoin(hidden: boolean): void {
    const { link, topics, coordinator } = this.#brokers;
    const attempt = ++this.#attempt;
    const lose = (): void => {
      if (attempt === this.#attempt && !hidden) this.#lost = true;
    };
    const inTime = (run: () => void): void => {
      link.answer(
        this.process,
        () => {
          if (attempt === this.#attempt) run();
        },
        lose,
      );
    };
    const { sessionTimeoutMs, rebalanceTimeoutMs } = this.#options;
    const request: JoinRequest = {
      client: this,
      memberId: hidden ? (this.beatsAs?.memberId ?? null) : this.#memberId,
      topics: this.#options.topics,
      owned: this.#ownership,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      onRefused: (error, memberId) => inTime(() => this.#joinRefused(error, memberId, hidden)),
      onLeads: (answer) => inTime(() => this.#deal(answer, hidden)),
      onSynced: (memberId, generation, dealt) =>
        inTime(() => (hidden ? this.#hide({ memberId, generation }) : this.#joined({ memberId, generation }, dealt))),
    };
    link.send(
      this.process,
      () => {
        const missing = this.#options.topics.filter((topic) => !topics.has(topic));
        if (missing.length > 0 || !this.#isUnderWay) inTime(() => this.#arrived(missing));
        if (missing.length < this.#options.topics.length) coordinator.group(this.groupId).join(request);
      },
      lose,
    );
  }

  #arrived(missing: readonly string[]): void {
    this.#isUnderWay = true;
    this.#underWay.resolve();
    for (const topic of missing) {
      if (this.#missing.includes(topic)) continue;
      this.#callNow(() => this.#handlers?.onProblem(topic, -1, "missing-topic"));
      this.#warn(`topic ${topic} does not exist`);
    }
    this.#missing = missing;
  }

  #joinRefused(error: GroupError, memberId: string | null, hidden: boolean): void {
    if (hidden) {
      if (error === "UNKNOWN_MEMBER_ID") this.#hidden = null;
      return;
    }
    this.#memberId = error === "UNKNOWN_MEMBER_ID" ? null : (memberId ?? this.#memberId);
    this.#sendJoin(false);
  }

  /** This member leads the generation: it says who gets what. */
  #deal({ memberId, generation, members }: JoinAnswer, hidden: boolean): void {
    const { link, topics, coordinator } = this.#brokers;
    if (!hidden) this.#memberId = memberId;
    const names = [...new Set(members.flatMap((member) => member.topics))];
    const partitions = names.flatMap((topic) =>
      topics.partitions(topic).map((_, partition) => {
        return { topic, partition };
      }),
    );
    const dealt = assignSticky(members, partitions);
    const attempt = this.#attempt;
    link.send(
      this.process,
      () => coordinator.group(this.groupId).sync(memberId, generation, dealt),
      () => {
        if (attempt === this.#attempt && !hidden) this.#lost = true;
      },
    );
  }

  #hide(membership: Membership): void {
    if (this.#phase === "reading") this.#hidden = membership;
  }

  #joined(membership: Membership, dealt: TopicPartitions): void {
    if (this.#phase !== "joining") return;
    const { link } = this.#brokers;
    this.#memberId = membership.memberId;
    this.#membership = membership;
    this.#ownership = { generation: membership.generation, partitions: dealt };
    this.#phase = "describing";
    const attempt = this.#attempt;
    const lose = (): void => {
      if (attempt === this.#attempt && this.#phase === "describing") this.#lost = true;
    };
    link.send(
      this.process,
      () => {
        const partitions = this.#describe(dealt);
        link.answer(
          this.process,
          () => {
            if (attempt === this.#attempt) void this.#assign({ ...membership, partitions });
          },
          lose,
        );
      },
      lose,
    );
  }

  /** At the brokers. */
  #describe(dealt: TopicPartitions): AssignedPartition[] {
    const { offsets } = this.#brokers.coordinator.group(this.groupId);
    return Object.entries(dealt).flatMap(([topic, partitions]) =>
      partitions.map((partition) => {
        const log = this.#brokers.topics.partition(topic, partition);
        const commit = offsets.get(`${topic}#${partition}`);
        const { position: committed = null, metadata = "" } = commit ?? {};
        return { topic, partition, committed, metadata, logStart: log?.start ?? 0, logEnd: log?.end ?? 0 };
      }),
    );
  }

  async #assign(assignment: Assignment): Promise<void> {
    const handlers = this.#handlers;
    if (this.#phase !== "describing" || handlers === null) return;
    this.#phase = "assigning";
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
    this.#change(() => {
      const current = this.#positions.get(topic, partition);
      if (current !== undefined) current.paused = true;
    });
  }

  resume(topic: string, partition: number): void {
    this.#change(() => {
      const current = this.#positions.get(topic, partition);
      if (current !== undefined) current.paused = false;
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
      if (error === "UNKNOWN_MEMBER_ID") this.#memberId = null;
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
    const memberId = this.#memberId;
    const { link, coordinator } = this.#brokers;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = link.time.after(LEAVE_MS, resolve, this.process);
    link.send(this.process, () => {
      const group = coordinator.group(this.groupId);
      // Also a member that does not know its id yet.
      const mine = [...group.members.values()].filter(({ request }) => request.client === this);
      for (const { memberId: id } of mine) if (memberId === null || id === memberId) group.leave(id);
      link.answer(this.process, resolve);
    });
    await promise;
    link.time.cancel(timer);
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
