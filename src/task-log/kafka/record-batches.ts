/**
 * Kafka's record batches (magic 2) as task records. Guarantees: batches of aborted transactions and control batches give
 * no record but move the position on, as do offsets that compaction removed; records below the asked position are left
 * out; keys and values are views into the fetched buffer (or the decompressed one), nothing is copied. A batch whose
 * bytes are not those that its producer signed gives no record at all.
 * Layout: Kafka's documentation, "Record Batch"; the rule for aborted transactions is the Java consumer's.
 *
 * It is separate from kafkajs's decoder because that one is the largest cost of a record (64-bit objects for each offset,
 * a decoder and several closures for each record), and because it stops for ever at a batch that compaction emptied.
 */

import { describeError } from "../../errors.ts";
import type { TaskRecord } from "../task-log.ts";
import { decompress } from "./codecs.ts";
import { crc32c } from "../../../native-ish/crc32.ts";
import { type AbortedTransaction, readInt64 } from "./fetch-response.ts";

/** Consecutive records of one partition leader epoch. */
export interface RecordRun {
  readonly leaderEpoch: number;
  /** Where the next run or fetch begins: past the last offset that this run covers. */
  nextPosition: number;
  readonly records: TaskRecord[];
}

/** A batch that cannot be read, behind batches that can. */
export class UnreadableBatch extends Error {
  readonly readable: readonly RecordRun[];
  /** Where reading came to. The batch's own word for its offset is not covered by its checksum. */
  readonly offset: number;

  constructor(readable: readonly RecordRun[], offset: number, cause: unknown) {
    super(`the record batch at offset ${offset} cannot be read: ${describeError(cause)}`, { cause });
    this.readable = readable;
    this.offset = offset;
  }
}

const HEADER_BYTES = 61;
const CHECKSUM_AT = 17;
const CHECKED_FROM = 21;
const LENGTH_FIELD_ENDS_AT = 12;
const MAGIC = 2;
const COMPRESSION_MASK = 0x07;
const LOG_APPEND_TIME_FLAG = 0x08;
const TRANSACTIONAL_FLAG = 0x10;
const CONTROL_FLAG = 0x20;
const ABORT_MARKER = 0;

const NO_HEADERS: Readonly<Record<string, Uint8Array>> = Object.freeze({});
const NO_BYTES = new Uint8Array(0);

/**
 * @param records what a fetch from `position` gave
 * @throws UnreadableBatch with what comes before, when the bytes of a batch are damaged, of another format, or compressed
 * in a way that is not supported
 */
export function decodeRecordBatches(
  records: Buffer,
  position: number,
  aborted: readonly AbortedTransaction[],
): readonly RecordRun[] {
  const reading = new BatchReading(position, aborted);
  let at = 0;
  while (at + HEADER_BYTES <= records.length) {
    const end = at + LENGTH_FIELD_ENDS_AT + records.readInt32BE(at + 8);
    if (end > records.length) break; // cut off by the fetch's size limit: the next fetch begins with it
    try {
      reading.take(records, at, end);
    } catch (error) {
      throw new UnreadableBatch(reading.runs, reading.nextPosition, error);
    }
    at = end;
  }
  return reading.runs;
}

/** What has been read of one fetch so far. */
class BatchReading {
  readonly runs: RecordRun[] = [];
  readonly #position: number;
  readonly #aborted: readonly AbortedTransaction[];
  readonly #abortedProducers = new Set<number>();
  #nextAborted = 0;

  constructor(position: number, aborted: readonly AbortedTransaction[]) {
    this.#position = position;
    this.#aborted = aborted;
  }

  get nextPosition(): number {
    return this.runs.at(-1)?.nextPosition ?? this.#position;
  }

  /** One whole batch. @throws Error, and then nothing of the batch was taken. */
  take(records: Buffer, at: number, end: number): void {
    if (end - at < HEADER_BYTES) throw new RangeError(`it declares ${end - at} bytes`);
    const magic = records.readInt8(at + 16);
    if (magic !== MAGIC) throw new Error(`record format ${magic} is not supported (only ${MAGIC})`);
    if (records.readUInt32BE(at + CHECKSUM_AT) !== crc32c(records.subarray(at + CHECKED_FROM, end))) {
      throw new Error("its checksum does not fit its bytes, which are damaged");
    }
    const baseOffset = readInt64(records, at);
    const leaderEpoch = records.readInt32BE(at + 12);
    const attributes = records.readInt16BE(at + 21);
    const lastOffset = baseOffset + records.readInt32BE(at + 23);
    assertInOrder(records, end, lastOffset);
    const producerId = readInt64(records, at + 43);

    this.#abortUpTo(lastOffset);
    const taken: TaskRecord[] = [];
    if ((attributes & CONTROL_FLAG) !== 0) {
      if (isAbortMarker(records, at, end)) this.#abortedProducers.delete(producerId);
    } else if ((attributes & TRANSACTIONAL_FLAG) === 0 || !this.#abortedProducers.has(producerId)) {
      decodeBatch(records, at, end, baseOffset, attributes, this.#position, taken);
    }
    const run = this.#runOf(leaderEpoch);
    for (const record of taken) run.records.push(record);
    run.nextPosition = Math.max(run.nextPosition, lastOffset + 1);
  }

  #abortUpTo(lastOffset: number): void {
    for (; this.#nextAborted < this.#aborted.length; this.#nextAborted++) {
      const next = this.#aborted[this.#nextAborted];
      if (next === undefined || next.firstOffset > lastOffset) return;
      this.#abortedProducers.add(next.producerId);
    }
  }

  #runOf(leaderEpoch: number): RecordRun {
    const last = this.runs.at(-1);
    if (last?.leaderEpoch === leaderEpoch) return last;
    const run = { leaderEpoch, nextPosition: this.#position, records: [] };
    this.runs.push(run);
    return run;
  }
}

function decodeBatch(
  buffer: Buffer,
  at: number,
  end: number,
  baseOffset: number,
  attributes: number,
  position: number,
  into: TaskRecord[],
): void {
  const count = buffer.readInt32BE(at + 57);
  const firstTimestamp = readInt64(buffer, at + 27);
  const lastTimestamp = readInt64(buffer, at + 35);
  const appendTime = (attributes & LOG_APPEND_TIME_FLAG) !== 0;
  const compression = attributes & COMPRESSION_MASK;
  const body = compression === 0 ? buffer : decompress(buffer.subarray(at + HEADER_BYTES, end), compression);
  const reader = new RecordReader(
    body,
    compression === 0 ? at + HEADER_BYTES : 0,
    compression === 0 ? end : body.length,
  );

  for (let i = 0; i < count; i++) {
    const recordEnd = reader.varint() + reader.at;
    reader.at += 1; // the attributes of a record mean nothing yet
    const timestampDelta = reader.varint();
    const offset = baseOffset + reader.varint();
    const key = reader.bytes();
    const value = reader.bytes();
    const headers = reader.headers();
    if (reader.at !== recordEnd) throw new RangeError(`record ${offset} ends at another place than it declares`);
    if (offset < position) continue;
    into.push({
      offset,
      key,
      value,
      headers,
      timestampMs: appendTime ? lastTimestamp : firstTimestamp + timestampDelta,
    });
  }
}

/**
 * The offset of a batch is outside of its checksum (its broker gives it), and one that is damaged would move the position past
 * records that nobody saw. What the next batch begins with, which comes even when it is cut off, shows which cannot be.
 */
function assertInOrder(records: Buffer, end: number, lastOffset: number): void {
  if (!Number.isSafeInteger(lastOffset)) throw new Error("its offset is damaged");
  if (end + 8 > records.length) return;
  const next = readInt64(records, end);
  if (next > lastOffset) return;
  throw new Error(`it ends at offset ${lastOffset}, and the batch behind it begins at ${next}: one of them is damaged`);
}

/** A control record's key is (version, type): type 0 aborts the producer's transaction, 1 commits it. */
function isAbortMarker(buffer: Buffer, at: number, end: number): boolean {
  const reader = new RecordReader(buffer, at + HEADER_BYTES, end);
  reader.varint();
  reader.at += 1;
  reader.varint();
  reader.varint();
  const key = reader.bytes();
  return key !== null && key.length >= 4 && ((key[2] ?? 0) << 8) + (key[3] ?? 0) === ABORT_MARKER;
}

/** Reads the variable-length fields of records; every read past the end throws RangeError. */
class RecordReader {
  at: number;
  readonly #buffer: Buffer;
  readonly #end: number;

  constructor(buffer: Buffer, at: number, end: number) {
    this.#buffer = buffer;
    this.at = at;
    this.#end = end;
  }

  /** Zigzag, up to 64 bits; values beyond 32 bits (only timestamps have them) go through multiplication. */
  varint(): number {
    const buffer = this.#buffer;
    let at = this.at;
    let byte = buffer[at++]!;
    let value = byte & 0x7f;
    if (byte >= 0x80) {
      let scale = 128;
      do {
        if (at >= this.#end || scale > 2 ** 63) throw new RangeError("a variable-length number does not end");
        byte = buffer[at++]!;
        value += (byte & 0x7f) * scale;
        scale *= 128;
      } while (byte >= 0x80);
    }
    if (at > this.#end) throw new RangeError("a record ends inside a number");
    this.at = at;
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** A length and that many bytes; -1 is null. */
  bytes(): Buffer | null {
    const length = this.varint();
    if (length < 0) return null;
    const start = this.at;
    const end = start + length;
    if (end > this.#end) throw new RangeError("a record ends inside a field");
    this.at = end;
    return this.#buffer.subarray(start, end);
  }

  /** Of a repeated header the last one counts; one without a value is empty. */
  headers(): Readonly<Record<string, Uint8Array>> {
    const count = this.varint();
    if (count <= 0) return NO_HEADERS;
    const headers: Record<string, Uint8Array> = {};
    for (let i = 0; i < count; i++) {
      const name = this.bytes()?.toString("utf8") ?? "";
      const value = this.bytes() ?? NO_BYTES;
      // A header named __proto__ must become a property, not a prototype.
      if (name === "__proto__") Object.defineProperty(headers, name, { value, enumerable: true, configurable: true });
      else headers[name] = value;
    }
    return headers;
  }
}
