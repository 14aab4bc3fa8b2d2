/**
 * A simulated Kafka behind the task-log port, with the semantics that bite (SIM4): group generations and eager rebalances,
 * commits that are fenced by generation and never by ownership, answers that get lost, sessions that the brokers time, gaps,
 * truncation, retention, a topic created anew, buffers that outlive a pause, revocations that nobody is told of.
 *
 * Everything is decided by the given random stream and happens in the given virtual time. Idle members cost no events but
 * one look at all of them every 200 ms.
 */
import { ConfigurationError, VouchError } from "../../../src/errors.ts";
import { SetAsideHeader } from "../../../src/execution/set-aside.ts";
import type { ConsumerOptions, TaskLog } from "../../../src/task-log/task-log.ts";
import type { Random } from "../random.ts";
import type { SimulatedProcess, VirtualTime } from "../virtual-time.ts";
import { SimulatedAdmin } from "./admin.ts";
import { Brokers, type KafkaCounters } from "./brokers.ts";
import { SimulatedConsumer } from "./consumer.ts";
import type { Group } from "./group.ts";
import { SimulatedProducer } from "./producer.ts";
import { type CommitTrouble, type KafkaSettings, kafkaSettings, type SendTrouble } from "./settings.ts";
import type { AppendedRecord, PartitionLog, StoredRecord } from "./topic-store.ts";

export interface SimulatedKafkaOptions {
  readonly topic: string;
  readonly partitions: number;
  /** Whose offsets and owners are the truth below; default: the first group that somebody names. */
  readonly groupId?: string;
  readonly settings?: Partial<KafkaSettings>;
}

export interface CommittedTruth {
  readonly node: string; // "" for a foreign client
  readonly pid: number; // -1 for a foreign client
  readonly partition: number;
  readonly position: number;
  readonly metadata: string;
  readonly before: number | null;
  readonly generation: number;
}

export interface SetAsideTruth {
  readonly kind: "dead" | "parked";
  readonly reason: string;
  readonly attempts: number;
  readonly partition: number; // of the record that was set aside
  readonly offset: number;
  readonly taskId: string; // of its header, else ""
  readonly process: SimulatedProcess; // who wrote it
  readonly at: number; // virtual ms
}

const decoder = new TextDecoder();

export class SimulatedKafka {
  readonly topic: string;
  readonly settings: KafkaSettings;
  /** Of the first topic; by partition. */
  readonly committed: (number | null)[];
  readonly metadata: string[];
  readonly logStart: number[];
  readonly setAsideRecords: SetAsideTruth[] = [];
  acceptsStaleCommits = false;
  onCommitted: ((commit: CommittedTruth) => void) | null = null;
  onProduced: ((partition: number, offset: number, record: StoredRecord) => void) | null = null;
  onSetAside: ((record: SetAsideTruth) => void) | null = null;
  readonly #time: VirtualTime;
  readonly #brokers: Brokers;
  readonly #logs: readonly PartitionLog[];
  readonly #records: readonly (readonly StoredRecord[])[];
  readonly #groupId: string | null;
  readonly #random: Random;
  #main: Group | null = null;
  #owners: (string | null)[];
  #ownersVersion = -1;

  constructor(time: VirtualTime, random: Random, options: SimulatedKafkaOptions) {
    const { topic, partitions } = options;
    this.#time = time;
    this.#random = random.split("world");
    this.topic = topic;
    this.settings = { ...kafkaSettings(), ...options.settings };
    this.#groupId = options.groupId ?? null;
    this.#brokers = new Brokers(time, random, this.settings, {
      acceptsStaleCommits: () => this.acceptsStaleCommits,
      onGroup: (group) => this.#onGroup(group),
    });
    this.#brokers.topics.create(topic, partitions);
    this.#logs = this.#brokers.topics.partitions(topic);
    this.#records = this.#logs.map(({ records }) => records);
    this.committed = Array.from({ length: partitions }, () => null);
    this.metadata = Array.from({ length: partitions }, () => "");
    this.logStart = Array.from({ length: partitions }, () => 0);
    this.#owners = Array.from({ length: partitions }, () => null);
  }

  // ---- for the nodes

  /** What a node's process is given. */
  taskLogOf(process: SimulatedProcess): TaskLog {
    return new SimulatedTaskLog(process, this.#brokers, (...appended) => this.#append(...appended));
  }

  get reaches(): (process: SimulatedProcess) => boolean {
    return this.#brokers.link.reaches;
  }

  /** Whether a process and the brokers hear each other at the moment; asked whenever something is sent or arrives. */
  set reaches(reaches: (process: SimulatedProcess) => boolean) {
    this.#brokers.link.reaches = reaches;
  }

  // ---- the truth

  /** Index is the offset. */
  get log(): readonly (readonly StoredRecord[])[] {
    return this.#records;
  }

  get leaderEpoch(): readonly number[] {
    return this.#logs.map((log) => log.leaderEpoch);
  }

  get generation(): number {
    return this.#main?.generation ?? 0;
  }

  /** By partition: the node that owns it in the group's present generation. */
  get owner(): readonly (string | null)[] {
    const group = this.#main;
    if (group === null || group.version === this.#ownersVersion) return this.#owners;
    this.#ownersVersion = group.version;
    this.#owners = this.#logs.map((_, partition) => {
      return group.ownerOf(this.topic, partition)?.request.client.process.name ?? null;
    });
    return this.#owners;
  }

  get rebalances(): number {
    return this.#main?.rebalances ?? 0;
  }

  get evictions(): number {
    return this.#main?.evictions ?? 0;
  }

  get counters(): Readonly<KafkaCounters> {
    return this.#brokers.counters;
  }

  // ---- what the world does

  append(partition: number, record: AppendedRecord): number {
    return this.#appendTo(this.#log(partition), partition, record);
  }

  /** Offsets that are never delivered: compacted away, or markers of a transaction. */
  gap(partition: number, count: number): void {
    const log = this.#log(partition);
    for (let left = count; left > 0; left--) log.appendGap(this.#wallMs());
    log.wake();
  }

  rebalance(): void {
    if ((this.#main?.members.size ?? 0) > 0) this.#main?.prepare();
  }

  /** A rebalance that gives the partition to this node, if it is a member then. */
  move(partition: number, toNode: string): void {
    this.#main?.moves.set(`${this.topic}#${partition}`, toNode);
    this.rebalance();
  }

  get commitTrouble(): CommitTrouble {
    return this.#brokers.commitTrouble;
  }

  /** Of writes to dead and parked topics. */
  get sendTrouble(): SendTrouble {
    return this.#brokers.sendTrouble;
  }

  /** The chance that such a write fails or that its answer is lost; some are slow then. */
  get setAsideTrouble(): number {
    return this.sendTrouble.failed + this.sendTrouble.lostAnswer;
  }

  set setAsideTrouble(chance: number) {
    this.sendTrouble.failed = chance / 2;
    this.sendTrouble.lostAnswer = chance / 2;
    this.sendTrouble.slow = chance / 2;
  }

  /** By node: so much longer each way. */
  get slowMs(): Map<string, number> {
    return this.#brokers.link.slowMs;
  }

  get spurious(): { readonly lostRevocation: Set<string>; readonly lateBatches: Set<string> } {
    return this.#brokers.spurious;
  }

  get lostRevocation(): Set<string> {
    return this.spurious.lostRevocation;
  }

  foreignCommit(partition: number, position: number, metadata = ""): void {
    const group = this.#mainGroup();
    group.store(null, group.generation, { topic: this.topic, partition, position, metadata });
  }

  /** The group's offsets are gone, as after their retention. */
  loseOffsets(): void {
    this.#main?.offsets.clear();
    this.committed.fill(null);
    this.metadata.fill("");
  }

  /** What lies at `end` and above is gone; what is written from then on has a higher leader epoch. */
  truncate(partition: number, end: number): void {
    this.#log(partition).truncate(end);
    this.logStart[partition] = this.#log(partition).start;
  }

  /** Retention: what lies below is gone. */
  raiseLogStart(partition: number, offset: number): void {
    this.#log(partition).raiseStart(offset);
    this.logStart[partition] = this.#log(partition).start;
  }

  /** Deleted and created again. Brokers mostly drop the group's offsets with the topic. */
  recreateTopic(offsets: "kept" | "dropped" = this.#random.chance(0.5) ? "kept" : "dropped"): void {
    for (const log of this.#logs) log.recreate();
    this.logStart.fill(0);
    if (offsets === "dropped") this.loseOffsets();
  }

  // ----

  #log(partition: number): PartitionLog {
    const log = this.#logs[partition];
    if (log === undefined) throw new Error(`${this.topic} has no partition ${partition}`);
    return log;
  }

  #mainGroup(): Group {
    return this.#main ?? this.#brokers.coordinator.group(this.#groupId ?? "vouch");
  }

  #onGroup(group: Group): void {
    if (this.#main !== null || (this.#groupId !== null && this.#groupId !== group.groupId)) return;
    this.#main = group;
    group.onStored = (process, { topic, partition, position, metadata }, before, generation) => {
      if (topic !== this.topic) return;
      this.committed[partition] = position;
      this.metadata[partition] = metadata;
      const [node, pid] = process === null ? ["", -1] : [process.name, process.pid];
      this.onCommitted?.({ node, pid, partition, position, metadata, before, generation });
    };
  }

  #append(topic: string, partition: number, record: AppendedRecord, process: SimulatedProcess): void {
    const log = this.#brokers.topics.partition(topic, partition);
    if (log === undefined) return;
    const stored = log.records[this.#appendTo(log, topic === this.topic ? partition : -1, record)]!;
    if (topic === `${this.topic}.dead`) this.#setAside("dead", stored, process);
    if (topic === `${this.topic}.parked`) this.#setAside("parked", stored, process);
  }

  #appendTo(log: PartitionLog, partition: number, record: AppendedRecord): number {
    const offset = log.append(record, this.#wallMs());
    if (partition >= 0) this.onProduced?.(partition, offset, log.records[offset]!);
    log.wake();
    return offset;
  }

  #setAside(kind: "dead" | "parked", { headers }: StoredRecord, process: SimulatedProcess): void {
    const text = (header: string): string => decoder.decode(headers[header] ?? new Uint8Array());
    const [partition = -1, offset = -1] = text(SetAsideHeader.origin).split(":").slice(-2).map(Number);
    const reason = text(SetAsideHeader.reason);
    const attempts = Number(text(SetAsideHeader.attempts));
    const taskId = text("task-id");
    const truth: SetAsideTruth = { kind, reason, attempts, partition, offset, taskId, process, at: this.#time.now };
    this.setAsideRecords.push(truth);
    this.onSetAside?.(truth);
  }

  #wallMs(): number {
    return Math.floor(this.settings.wallMs(this.#time.now));
  }
}

class SimulatedTaskLog implements TaskLog {
  readonly #process: SimulatedProcess;
  readonly #brokers: Brokers;
  readonly #onAppended: ConstructorParameters<typeof SimulatedProducer>[2];
  readonly #consumers = new Set<SimulatedConsumer>();
  readonly #others = new Set<{ close(): Promise<void> }>();
  #closed = false;

  constructor(
    process: SimulatedProcess,
    brokers: Brokers,
    onAppended: ConstructorParameters<typeof SimulatedProducer>[2],
  ) {
    this.#process = process;
    this.#brokers = brokers;
    this.#onAppended = onAppended;
  }

  consumer(options: ConsumerOptions): SimulatedConsumer {
    this.#assertOpen();
    if (options.groupId === "" || options.topics.length === 0)
      throw new ConfigurationError(["consumer: expected a group id and at least one topic"]);
    const consumer: SimulatedConsumer = new SimulatedConsumer(this.#process, this.#brokers, options, () => {
      this.#consumers.delete(consumer);
    });
    this.#consumers.add(consumer);
    return consumer;
  }

  producer(): SimulatedProducer {
    this.#assertOpen();
    const producer = new SimulatedProducer(this.#process, this.#brokers, this.#onAppended);
    this.#others.add(producer);
    return producer;
  }

  admin(): SimulatedAdmin {
    this.#assertOpen();
    const admin = new SimulatedAdmin(this.#process, this.#brokers);
    this.#others.add(admin);
    return admin;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#consumers].map((consumer) => consumer.stop()));
    await Promise.all([...this.#others].map((other) => other.close()));
  }

  #assertOpen(): void {
    if (this.#closed) throw new VouchError("closed", "the task log was closed");
  }
}
