/**
 * Appends records. `send` resolves once every record is in the file; the calls that wait at the same time share
 * transactions. A `send` that is larger than one transaction is not atomic: when it fails, some of its records may be there.
 */

import { toError, VouchError } from "../../errors.ts";
import type { OutgoingRecord, TaskProducer } from "../task-log.ts";
import { encodeHeaders, toBytes } from "./header-codec.ts";
import { limits } from "./limits.ts";
import type { RecordStore, StoredRecord } from "./record-store.ts";

interface QueuedSend {
  readonly records: readonly StoredRecord[];
  readonly bytes: number;
  taken: number; // records that are in a transaction already
  stored: number;
  readonly settle: (error: Error | null) => void;
}

export class EmbeddedProducer implements TaskProducer {
  readonly #open: () => Promise<RecordStore>;
  readonly #onAppended: () => void;
  readonly #queue: QueuedSend[] = [];
  readonly #partitionCounts = new Map<string, number>(); // counts never change once a topic exists
  #queuedBytes = 0;
  #roundRobin = 0;
  #flushing: Promise<void> | null = null;
  #closed = false;

  /** `onAppended` is called after each transaction, so that consumers of this process need not poll for it. */
  constructor(open: () => Promise<RecordStore>, onAppended: () => void) {
    this.#open = open;
    this.#onAppended = onAppended;
  }

  async send(topic: string, records: readonly OutgoingRecord[]): Promise<void> {
    if (this.#closed) throw new VouchError("closed", "the producer was closed");
    if (records.length === 0) return;
    const partitions = await this.#partitionsOf(topic);
    const stored = records.map((record) => this.#toStored(topic, partitions, record));
    const bytes = stored.reduce((total, record) => total + sizeOf(record), 0);
    if (this.#queuedBytes > 0 && this.#queuedBytes + bytes > limits.producerQueueBytesMax) {
      throw new VouchError(
        "unavailable",
        `the producer holds ${limits.producerQueueBytesMax} bytes that are not stored yet`,
      );
    }
    await new Promise<void>((resolve, reject) => {
      const settle = (error: Error | null): void => (error === null ? resolve() : reject(error));
      this.#queue.push({ records: stored, bytes, taken: 0, stored: 0, settle });
      this.#queuedBytes += bytes;
      this.#flushing ??= this.#flush().finally(() => (this.#flushing = null));
    });
  }

  /** Waits for what was sent before. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#flushing;
  }

  async #partitionsOf(topic: string): Promise<number> {
    const known = this.#partitionCounts.get(topic);
    if (known !== undefined) return known;
    const store = await this.#open();
    const description = await store.describeTopic(topic);
    if (description === null) throw new VouchError("task-log", `topic ${topic} does not exist`);
    this.#partitionCounts.set(topic, description.partitions);
    return description.partitions;
  }

  #toStored(topic: string, partitions: number, record: OutgoingRecord): StoredRecord {
    const key = record.key === undefined || record.key === null ? null : toBytes(record.key);
    const stored = {
      topic,
      partition: record.partition ?? (key === null ? this.#roundRobin++ % partitions : hashOf(key) % partitions),
      key,
      value: record.value === null ? null : toBytes(record.value),
      headers: encodeHeaders(record.headers ?? {}),
    };
    if (!Number.isInteger(stored.partition) || stored.partition < 0 || stored.partition >= partitions) {
      throw new VouchError("task-log", `topic ${topic} has partitions 0 to ${partitions - 1}, got ${stored.partition}`);
    }
    if (sizeOf(stored) > limits.recordBytesMax) {
      throw new VouchError(
        "task-log",
        `a record of ${sizeOf(stored)} bytes is larger than the limit of ${limits.recordBytesMax} bytes`,
      );
    }
    return stored;
  }

  async #flush(): Promise<void> {
    await Promise.resolve(); // the sends of the same turn go into the same transaction
    while (this.#queue.length > 0) {
      const { records, shares } = this.#takeTransaction();
      let failure: Error | null = null;
      try {
        const store = await this.#open();
        await store.append(records, Date.now());
        this.#onAppended();
      } catch (thrown) {
        failure = toError(thrown);
      }
      for (const [send, count] of shares) this.#settleShare(send, count, failure);
    }
  }

  /** The next records in order, and how many of each waiting send they are. */
  #takeTransaction(): { records: StoredRecord[]; shares: Map<QueuedSend, number> } {
    const records: StoredRecord[] = [];
    const shares = new Map<QueuedSend, number>();
    let bytes = 0;
    for (const send of this.#queue) {
      while (send.taken < send.records.length) {
        const record = send.records[send.taken];
        if (record === undefined) break;
        bytes += sizeOf(record);
        const full = records.length >= limits.recordsPerTransactionMax || bytes > limits.bytesPerTransactionMax;
        if (full && records.length > 0) return { records, shares };
        records.push(record);
        send.taken++;
        shares.set(send, (shares.get(send) ?? 0) + 1);
      }
    }
    return { records, shares };
  }

  #settleShare(send: QueuedSend, count: number, failure: Error | null): void {
    send.stored += count;
    if (failure === null && send.stored < send.records.length) return;
    const at = this.#queue.indexOf(send);
    if (at < 0) return;
    this.#queue.splice(at, 1);
    this.#queuedBytes -= send.bytes;
    send.settle(failure);
  }
}

function sizeOf(record: StoredRecord): number {
  return (record.key?.length ?? 0) + (record.value?.length ?? 0) + (record.headers?.length ?? 0);
}

/** 32-bit FNV-1a. It only has to be the same in every process: it does not place keys where Kafka's clients do. */
function hashOf(key: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of key) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}
