/** Writes with the acknowledgement of all replicas. Writes to dead and parked topics can be made to fail or to be slow. */
import { VouchError } from "../../../src/errors.ts";
import type { OutgoingRecord, TaskProducer } from "../../../src/task-log/task-log.ts";
import type { Random } from "../random.ts";
import type { SimulatedProcess } from "../virtual-time.ts";
import type { Brokers } from "./brokers.ts";
import { Channel } from "./link.ts";
import { ask, type Served } from "./questions.ts";
import { within } from "./settings.ts";
import { type AppendedRecord, bytesOf } from "./topic-store.ts";

const SET_ASIDE = /\.(?:dead|parked)$/;

export class SimulatedProducer implements TaskProducer {
  readonly #process: SimulatedProcess;
  readonly #brokers: Brokers;
  readonly #random: Random;
  readonly #onAppended: (topic: string, partition: number, record: AppendedRecord, process: SimulatedProcess) => void;
  readonly #channel = new Channel();
  readonly #underWay = new Set<Promise<void>>();
  #roundRobin = 0;
  #closed = false;

  constructor(
    process: SimulatedProcess,
    brokers: Brokers,
    onAppended: (topic: string, partition: number, record: AppendedRecord, process: SimulatedProcess) => void,
  ) {
    this.#process = process;
    this.#brokers = brokers;
    this.#random = brokers.random.split(`producer ${process.name} ${process.pid}`);
    this.#onAppended = onAppended;
  }

  async send(topic: string, records: readonly OutgoingRecord[]): Promise<void> {
    if (this.#closed) throw new VouchError("closed", "the producer was closed");
    if (records.length === 0) return;
    const { link } = this.#brokers;
    const what = `writing to ${topic} failed`;
    const sending = ask(link, this.#process, what, () => this.#write(topic, records), this.#channel);
    this.#underWay.add(sending);
    await sending.finally(() => this.#underWay.delete(sending));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#underWay);
  }

  /** At the brokers. */
  #write(topic: string, records: readonly OutgoingRecord[]): Served<void> {
    const { sendTrouble, topics } = this.#brokers;
    const logs = topics.partitions(topic);
    if (logs.length === 0) return { error: new VouchError("task-log", `topic ${topic} does not exist`) };
    const troubled = SET_ASIDE.test(topic);
    const lateMs = troubled && this.#random.chance(sendTrouble.slow) ? within(this.#random, sendTrouble.slowMs) : 0;
    if (troubled && this.#random.chance(sendTrouble.failed))
      return { error: new VouchError("unavailable", `writing to ${topic} failed: NOT_ENOUGH_REPLICAS`), lateMs };
    if (troubled && this.#random.chance(sendTrouble.refused))
      return { error: new VouchError("task-log", `writing to ${topic} failed: MESSAGE_TOO_LARGE`), lateMs };

    const placed = records.map((record) => ({ record, partition: this.#partitionOf(record, logs.length) }));
    const foreign = placed.find(({ partition }) => logs[partition] === undefined);
    if (foreign !== undefined)
      return { error: new VouchError("task-log", `${topic} has no partition ${foreign.partition}`) };
    for (const { record, partition } of placed) this.#onAppended(topic, partition, record, this.#process);
    const lost = troubled && this.#random.chance(sendTrouble.lostAnswer);
    return { value: undefined, lateMs: lost ? Infinity : lateMs };
  }

  #partitionOf({ partition, key }: OutgoingRecord, partitions: number): number {
    if (partition !== undefined) return partition;
    if (key === undefined || key === null) return this.#roundRobin++ % partitions;
    let hash = 0x811c9dc5;
    for (const byte of bytesOf(key) ?? []) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
    return hash % partitions;
  }
}
