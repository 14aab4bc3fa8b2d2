/** Fetch answers and record batches written by hand, for what no producer here would write. */

import { gzipSync, zstdCompressSync } from "node:zlib";
import { compress as lz4Frame } from "lz4js";
import { compress as snappyBlock } from "snappyjs";
import { crc32c } from "../../../native-ish/crc32.ts";

/** "xerial" is snappy as Java producers write it: a header and blocks. */
export type Compression = "none" | "gzip" | "snappy" | "xerial" | "lz4" | "zstd" | "number 7";

export interface BatchSpec {
  readonly baseOffset: number;
  readonly leaderEpoch?: number;
  readonly producerId?: number;
  readonly transactional?: boolean;
  /** A control batch that ends a transaction. */
  readonly control?: "commit" | "abort";
  readonly compression?: Compression;
  readonly appendTimeMs?: number;
  readonly firstTimestampMs?: number;
  readonly magic?: number;
  /** Instead of what the records give: the bytes behind the header. */
  readonly body?: Buffer;
  /** Offset deltas of the records; compaction leaves gaps. */
  readonly deltas?: readonly number[];
  /** Of the batch, when compaction removed its last records. */
  readonly lastDelta?: number;
  readonly value?: (delta: number) => string | null;
  readonly headers?: readonly (readonly [string, string | null])[];
}

const CODECS: Readonly<Record<Compression, number>> = {
  none: 0,
  gzip: 1,
  snappy: 2,
  xerial: 2,
  lz4: 3,
  zstd: 4,
  "number 7": 7,
};
const XERIAL_BLOCK_BYTES = 64; // so that several are needed

export function compressed(bytes: Buffer, compression: Compression): Buffer {
  if (compression === "gzip") return gzipSync(bytes);
  if (compression === "snappy") return Buffer.from(snappyBlock(bytes));
  if (compression === "xerial") return xerial(bytes);
  if (compression === "lz4") return Buffer.from(lz4Frame(bytes));
  if (compression === "zstd") return zstdCompressSync(bytes);
  return bytes;
}

function xerial(bytes: Buffer): Buffer {
  const parts = [Buffer.from([0x82, ...Buffer.from("SNAPPY"), 0, 0, 0, 0, 1, 0, 0, 0, 1])];
  for (let at = 0; at < bytes.length; at += XERIAL_BLOCK_BYTES) {
    const block = Buffer.from(snappyBlock(bytes.subarray(at, at + XERIAL_BLOCK_BYTES)));
    const length = Buffer.alloc(4);
    length.writeInt32BE(block.length);
    parts.push(length, block);
  }
  return Buffer.concat(parts);
}

export function varint(value: number): Buffer {
  let rest = BigInt(value) >= 0n ? BigInt(value) * 2n : BigInt(value) * -2n - 1n;
  const bytes: number[] = [];
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

function field(text: string | Buffer | null): Buffer {
  if (text === null) return varint(-1);
  const bytes = Buffer.from(text);
  return Buffer.concat([varint(bytes.length), bytes]);
}

function record(delta: number, key: Buffer | null, value: string | null, spec: BatchSpec): Buffer {
  const headers = (spec.headers ?? []).flatMap(([name, header]) => [field(name), field(header)]);
  const body = Buffer.concat([
    Buffer.from([0]),
    varint(delta * 10), // the timestamp's delta
    varint(delta),
    field(key),
    field(value),
    varint(spec.headers?.length ?? 0),
    ...headers,
  ]);
  return Buffer.concat([varint(body.length), body]);
}

export function recordBatch(spec: BatchSpec): Buffer {
  const deltas = spec.control === undefined ? (spec.deltas ?? [0]) : [0];
  const marker = Buffer.from([0, 0, 0, spec.control === "commit" ? 1 : 0]);
  const plain = Buffer.concat(
    deltas.map((delta) =>
      record(delta, spec.control === undefined ? Buffer.from("k") : marker, spec.value?.(delta) ?? null, spec),
    ),
  );
  const compression = spec.compression ?? "none";
  const body = spec.body ?? compressed(plain, compression);
  let attributes: number = CODECS[compression];
  if (spec.appendTimeMs !== undefined) attributes |= 0x08;
  if (spec.transactional === true || spec.control !== undefined) attributes |= 0x10;
  if (spec.control !== undefined) attributes |= 0x20;
  const header = Buffer.alloc(61);
  header.writeBigInt64BE(BigInt(spec.baseOffset), 0);
  header.writeInt32BE(49 + body.length, 8);
  header.writeInt32BE(spec.leaderEpoch ?? 0, 12);
  header.writeInt8(spec.magic ?? 2, 16);
  header.writeInt16BE(attributes, 21);
  header.writeInt32BE(spec.lastDelta ?? Math.max(0, ...deltas), 23);
  header.writeBigInt64BE(BigInt(spec.firstTimestampMs ?? 1_000), 27);
  header.writeBigInt64BE(BigInt(spec.appendTimeMs ?? spec.firstTimestampMs ?? 1_000), 35);
  header.writeBigInt64BE(BigInt(spec.producerId ?? -1), 43);
  header.writeInt32BE(deltas.length, 57);
  return signed(Buffer.concat([header, body]));
}

/** Writes the checksum that fits the batch's bytes, in place. */
export function signed(batch: Buffer): Buffer {
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17);
  return batch;
}

export interface PartitionSpec {
  readonly topic: string;
  readonly partition: number;
  readonly errorCode?: number;
  readonly highWatermark?: number;
  readonly logStart?: number;
  readonly aborted?: readonly { readonly producerId: number; readonly firstOffset: number }[] | null;
  readonly records?: Buffer;
}

/** A Fetch answer, version 11, each partition under a topic entry of its own. */
export function fetchAnswer(partitions: readonly PartitionSpec[], errorCode = 0, throttleMs = 0): Buffer {
  const head = Buffer.alloc(14);
  head.writeInt32BE(throttleMs, 0);
  head.writeInt16BE(errorCode, 4);
  head.writeInt32BE(partitions.length, 10);
  return Buffer.concat([head, ...partitions.map(partitionBytes)]);
}

function partitionBytes(spec: PartitionSpec): Buffer {
  const name = Buffer.from(spec.topic);
  const aborted = spec.aborted === undefined ? [] : spec.aborted;
  const records = spec.records ?? Buffer.alloc(0);
  const head = Buffer.alloc(2 + name.length + 4 + 34);
  let at = head.writeInt16BE(name.length, 0);
  at += name.copy(head, at);
  at = head.writeInt32BE(1, at);
  at = head.writeInt32BE(spec.partition, at);
  at = head.writeInt16BE(spec.errorCode ?? 0, at);
  at = head.writeBigInt64BE(BigInt(spec.highWatermark ?? 100), at);
  at = head.writeBigInt64BE(BigInt(spec.highWatermark ?? 100), at);
  at = head.writeBigInt64BE(BigInt(spec.logStart ?? 0), at);
  head.writeInt32BE(aborted === null ? -1 : aborted.length, at);
  const transactions = (aborted ?? []).map(({ producerId, firstOffset }) => {
    const bytes = Buffer.alloc(16);
    bytes.writeBigInt64BE(BigInt(producerId), 0);
    bytes.writeBigInt64BE(BigInt(firstOffset), 8);
    return bytes;
  });
  const tail = Buffer.alloc(8);
  tail.writeInt32BE(-1, 0); // no preferred replica
  tail.writeInt32BE(records.length, 4);
  return Buffer.concat([head, ...transactions, tail, records]);
}
