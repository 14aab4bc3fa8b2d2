/**
 * A group of consumers on one topic, for the task log's conformance suite. Every member watches, in every test, the rules
 * that hold always: no batch between `onRevoke` and the end of `onAssign`, barriers in turns, batches of the generation that
 * was assigned, and positions without a gap or an overlap. What it saw against them makes the end of the test fail.
 */
import { randomUUID } from "node:crypto";
import { VouchError } from "../../src/errors.ts";
import type {
  Assignment,
  CommitOutcome,
  ConsumerHandlers,
  ConsumerOptions,
  GroupOffset,
  OutgoingRecord,
  PartitionPosition,
  RecordBatch,
  TaskAdmin,
  TaskConsumer,
  TaskLog,
  TaskProducer,
  TaskRecord,
} from "../../src/task-log/task-log.ts";
import { type ChildProcess, waitUntil } from "../support/servers/processes.ts";
import type { LoneMember } from "./task-log-lone-member.ts";

/** A member in a process of its own. */
export type MemberProcess = Pick<ChildProcess, "waitForOutput" | "kill" | "stop">;

/** What stands behind the task logs under test. */
export interface TaskLogService extends AsyncDisposable {
  /** With connections of its own; the caller closes it. */
  openLog(): TaskLog;
  /** Starts `liveAlone` in a process of its own, which ends at the latest with the service. */
  startMember(member: LoneMember): MemberProcess;
}

export interface TaskLogTiming {
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  readonly maxWaitMs: number;
  /** For what must not wait for a session to expire: longer than `waitMs`. */
  readonly longSessionTimeoutMs: number;
  /** How long a test waits for what must happen. */
  readonly waitMs: number;
  /** How long a test watches that something does not happen. */
  readonly quietMs: number;
}

export interface Behaviour {
  readonly options?: Partial<ConsumerOptions>;
  onRevoke?(member: Member): Promise<void>;
  /** Default: each partition from what was committed, else from the log's start. */
  onAssign?(assignment: Assignment, member: Member): Promise<readonly PartitionPosition[]>;
}

export type MemberEvent = "revoke" | "assign" | "batch";

export class Member {
  readonly consumer: TaskConsumer;
  readonly events: MemberEvent[] = [];
  readonly assignments: Assignment[] = [];
  readonly batches: RecordBatch[] = [];
  readonly problems: string[] = [];
  readonly warnings: string[] = [];
  readonly fatal: Error[] = [];
  readonly #violations: string[] = [];
  readonly #log: TaskLog;
  readonly #topic: string;
  readonly #behaviour: Behaviour;
  readonly #allowed = new Map<number, Set<number>>(); // positions at which the next batch of a partition may begin
  #phase: "revoked" | "assigning" | "reading" | "stopped" = "revoked";

  constructor(log: TaskLog, topic: string, options: ConsumerOptions, behaviour: Behaviour) {
    this.#log = log;
    this.#topic = topic;
    this.#behaviour = behaviour;
    this.consumer = log.consumer({ ...options, ...behaviour.options });
  }

  start(): Promise<void> {
    return this.consumer.start(this.#handlers());
  }

  async stop(): Promise<void> {
    await this.consumer.stop();
    this.#phase = "stopped";
  }

  /** Partitions of the newest assignment whose `onAssign` has ended; none while it has been revoked. */
  owned(): number[] {
    if (this.#phase !== "reading") return [];
    return (this.assignments.at(-1)?.partitions ?? []).map(({ partition }) => partition).sort((a, b) => a - b);
  }

  generation(): number {
    return this.assignments.at(-1)?.generation ?? 0;
  }

  /** Everything delivered from a partition, in order, repetitions included. */
  records(partition: number): TaskRecord[] {
    return this.batches.filter((batch) => batch.partition === partition).flatMap((batch) => [...batch.records]);
  }

  offsets(partition: number): number[] {
    return this.records(partition).map((record) => record.offset);
  }

  seek(partition: number, position: number): void {
    this.#allow(partition).add(position);
    this.consumer.seek(this.#topic, partition, position);
  }

  commit(generation: number, partition: number, position: number, metadata = ""): Promise<CommitOutcome> {
    return this.consumer.commit(generation, [{ topic: this.#topic, partition, position, metadata }]);
  }

  /** Stops it. @throws Error when a rule was broken */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.#log.close();
    if (this.#violations.length > 0) throw new Error(this.#violations.join("\n"));
  }

  #handlers(): ConsumerHandlers {
    return {
      onRevoke: async () => {
        if (this.#phase === "assigning") this.#violations.push("onRevoke before onAssign had ended");
        this.#phase = "revoked";
        this.events.push("revoke");
        await this.#behaviour.onRevoke?.(this);
      },
      onAssign: (assignment) => this.#assign(assignment),
      onBatch: (batch) => this.#accept(batch),
      onProblem: (topic, partition, problem) => void this.problems.push(`${topic}#${partition} ${problem}`),
      onWarning: (message) => void this.warnings.push(message),
      onFatal: (error) => void this.fatal.push(error),
    };
  }

  async #assign(assignment: Assignment): Promise<readonly PartitionPosition[]> {
    if (this.#phase !== "revoked") this.#violations.push(`onAssign while ${this.#phase}, without onRevoke`);
    if (assignment.generation <= this.generation()) {
      this.#violations.push(`generation ${assignment.generation} follows ${this.generation()}`);
    }
    this.#phase = "assigning";
    this.events.push("assign");
    this.assignments.push(assignment);
    const positions = await this.#positionsFor(assignment);
    this.#allowed.clear();
    for (const { partition, position } of positions) this.#allow(partition).add(position);
    this.#phase = "reading";
    return positions;
  }

  async #positionsFor(assignment: Assignment): Promise<readonly PartitionPosition[]> {
    try {
      return (await this.#behaviour.onAssign?.(assignment, this)) ?? startOf(assignment);
    } catch (error) {
      this.#phase = "revoked"; // it has ended, and no batch may come
      throw error;
    }
  }

  #accept(batch: RecordBatch): void {
    this.events.push("batch");
    this.batches.push(batch);
    const name = `batch ${batch.partition}:[${batch.fetchedFrom},${batch.nextPosition})`;
    if (this.#phase !== "reading") this.#violations.push(`${name} while ${this.#phase}`);
    if (batch.topic !== this.#topic) this.#violations.push(`${name} of topic ${batch.topic}`);
    if (batch.generation !== this.generation()) this.#violations.push(`${name} of generation ${batch.generation}`);
    if (batch.logEnd < batch.nextPosition) this.#violations.push(`${name} beyond the log end ${batch.logEnd}`);
    const allowed = this.#allow(batch.partition);
    if (!allowed.has(batch.fetchedFrom)) this.#violations.push(`${name}, but expected one of ${[...allowed].join()}`);
    allowed.delete(batch.fetchedFrom);
    allowed.add(batch.nextPosition);
    let from = batch.fetchedFrom;
    for (const { offset } of batch.records) {
      if (offset < from || offset >= batch.nextPosition) this.#violations.push(`${name} has offset ${offset}`);
      from = offset + 1;
    }
  }

  #allow(partition: number): Set<number> {
    const known = this.#allowed.get(partition);
    if (known !== undefined) return known;
    const added = new Set<number>();
    this.#allowed.set(partition, added);
    return added;
  }
}

/** One topic and one consumer group with names of their own; ends all its members when it is disposed of. */
export class Group {
  readonly topic: string;
  readonly groupId: string;
  readonly admin: TaskAdmin;
  readonly producer: TaskProducer;
  readonly #service: TaskLogService;
  readonly #timing: TaskLogTiming;
  readonly #log: TaskLog;
  readonly #members: Member[] = [];
  readonly #children: MemberProcess[] = [];

  constructor(service: TaskLogService, timing: TaskLogTiming) {
    this.topic = `topic-${randomUUID()}`;
    this.groupId = `group-${randomUUID()}`;
    this.#service = service;
    this.#timing = timing;
    this.#log = service.openLog();
    this.admin = this.#log.admin();
    this.producer = this.#log.producer();
  }

  static async create(service: TaskLogService, timing: TaskLogTiming, partitions: number): Promise<Group> {
    const group = new Group(service, timing);
    await group.admin.createTopic(group.topic, partitions);
    return group;
  }

  /** A member that joins the group, with its own connections. */
  async join(behaviour: Behaviour = {}): Promise<Member> {
    const { member, started } = this.launch(behaviour);
    await started;
    return member;
  }

  /** The same for a member whose first join may have to wait for something. */
  launch(behaviour: Behaviour = {}): { member: Member; started: Promise<void> } {
    const member = new Member(this.#service.openLog(), this.topic, this.#options(), behaviour);
    this.#members.push(member);
    return { member, started: member.start() };
  }

  /** A member in another process; resolves when it has been assigned its partitions. */
  async joinChild(position: number): Promise<MemberProcess> {
    const child = this.#service.startMember({ consumer: this.#options(), position });
    this.#children.push(child);
    await child.waitForOutput(/^assigned \d+ [1-9]/m, this.#timing.waitMs);
    return child;
  }

  /** `count` records with the values from..from+count-1 to one partition. */
  produce(partition: number, count: number, from = 0): Promise<void> {
    const records: OutgoingRecord[] = Array.from({ length: count }, (_, index) => {
      return { partition, value: String(from + index) };
    });
    return this.producer.send(this.topic, records);
  }

  until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    return waitUntil(what, condition, this.#timing.waitMs, 10);
  }

  /** Waits until these members own all partitions together, as many each as said, and none twice. */
  async untilOwned(counts: readonly (readonly [Member, number])[]): Promise<void> {
    await this.until(`partitions owned ${counts.map(([, count]) => count).join("/")}`, () => {
      const generations = new Set(counts.map(([member]) => member.generation()));
      return generations.size === 1 && counts.every(([member, count]) => member.owned().length === count);
    });
    const owned = counts.flatMap(([member]) => member.owned());
    if (new Set(owned).size !== owned.length) throw new Error(`a partition has two owners: ${owned.join()}`);
  }

  async untilRead(member: Member, partition: number, count: number): Promise<void> {
    await this.until(`${count} records of partition ${partition}`, () => member.records(partition).length >= count);
  }

  async offsets(partition: number): Promise<GroupOffset | undefined> {
    const offsets = await this.admin.groupOffsets(this.groupId, this.topic);
    return offsets.find((offset) => offset.partition === partition);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#children.map((child) => child.stop()));
    const ended = await Promise.allSettled(this.#members.map((member) => member[Symbol.asyncDispose]()));
    await this.admin.close();
    await this.#log.close();
    const errors = ended.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
    if (errors.length > 0) throw new AggregateError(errors, errors.map(String).join("\n"));
  }

  #options(): ConsumerOptions {
    const { sessionTimeoutMs, rebalanceTimeoutMs, heartbeatIntervalMs, maxWaitMs } = this.#timing;
    return {
      groupId: this.groupId,
      topics: [this.topic],
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      heartbeatIntervalMs,
      maxWaitMs,
      maxBytesPerPartition: 1_048_576,
    };
  }
}

export type Rule = (title: string, body: () => Promise<void>) => void;

/** What the rules of the task log are written with. */
export interface Suite {
  readonly rule: Rule;
  readonly group: (partitions: number) => Promise<Group>;
  /** A group whose topic does not exist. */
  readonly groupWithoutTopic: () => Group;
  readonly timing: TaskLogTiming;
  /** The log itself, with connections of its own; the caller closes it. */
  readonly openLog: () => TaskLog;
}

export function startOf(assignment: Assignment): PartitionPosition[] {
  return assignment.partitions.map(({ topic, partition, committed, logStart }) => {
    return { topic, partition, position: committed ?? logStart, paused: false };
  });
}

/** The code of the error that a call fails with, or "resolved". */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "resolved";
  } catch (error) {
    return error instanceof VouchError ? `VouchError ${error.code}` : String(error);
  }
}

export function text(bytes: Uint8Array | null | undefined): string | null {
  return bytes === null || bytes === undefined ? null : new TextDecoder().decode(bytes);
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}
