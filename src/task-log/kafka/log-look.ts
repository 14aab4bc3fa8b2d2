/**
 * Two questions that kafkajs does not ask, by which a log that was replaced is told from the one that was read (E18):
 * which topic stands behind a name now (its id), and where a leader epoch's records end (KIP-320).
 * Layouts: Kafka's protocol guide, "Metadata API" version 10 and "OffsetForLeaderEpoch API" version 3. Truncated input
 * throws RangeError.
 */

import type Broker from "kafkajs/src/broker";
import { createErrorFromCode } from "kafkajs/src/protocol/error";
import { readInt64 } from "./fetch-response.ts";

/** One topic as a broker has it now. */
export interface TopicLook {
  readonly id: string; // 32 hex digits, "" where the cluster gives its topics none
  /** By partition; the present leader's epoch. */
  readonly leaderEpochs: ReadonlyMap<number, number>;
}

const METADATA = { apiKey: 3, apiVersion: 10, apiName: "Metadata" };
const OFFSET_FOR_LEADER_EPOCH = { apiKey: 23, apiVersion: 3, apiName: "OffsetForLeaderEpoch" };
const REQUEST_TIMEOUT_MS = 5_000;
const ID_BYTES = 16;
const NO_ID = "0".repeat(2 * ID_BYTES); // of a cluster whose metadata version is older than its software

/** Topics that do not exist are left out. @returns null when the broker is too old to know topic ids (before Kafka 2.8) */
export async function lookAtTopics(
  broker: Broker,
  topics: readonly string[],
): Promise<ReadonlyMap<string, TopicLook> | null> {
  if ((broker.versions?.[METADATA.apiKey]?.maxVersion ?? 0) < METADATA.apiVersion) return null;
  const { looks } = await broker.connectionPool.send<{ readonly looks: ReadonlyMap<string, TopicLook> }>({
    request: { ...METADATA, encode: async () => encoded(metadataRequest(topics)) },
    response: { decode: async (payload) => decodeMetadata(payload), parse: async (answer) => answer },
    requestTimeout: REQUEST_TIMEOUT_MS,
  });
  return looks;
}

/** Where the records up to and including a leader epoch end; both -1 when the leader knows no such epoch. */
export interface EpochEnd {
  readonly leaderEpoch: number;
  readonly endOffset: number;
}

/**
 * Asked of the partition's leader. `currentEpoch`: in which it leads; -1 for whichever it believes.
 * @throws kafkajs's protocol error with the broker's code, as when it does not lead in that epoch
 */
export async function epochEnd(
  broker: Broker,
  topic: string,
  partition: number,
  leaderEpoch: number,
  currentEpoch: number,
): Promise<EpochEnd> {
  return broker.connectionPool.send<EpochEnd>({
    request: {
      ...OFFSET_FOR_LEADER_EPOCH,
      encode: async () => encoded(epochRequest(topic, partition, leaderEpoch, currentEpoch)),
    },
    response: { decode: async (payload) => decodeEpochEnd(payload), parse: async (answer) => answer },
    requestTimeout: REQUEST_TIMEOUT_MS,
  });
}

/** What kafkajs takes for one of its encoders. */
function encoded(bytes: Buffer): { readonly buf: Buffer; readonly buffer: Buffer } {
  return { buf: bytes, buffer: bytes };
}

function metadataRequest(topics: readonly string[]): Buffer {
  const parts: Buffer[] = [Buffer.from([0]), varint(topics.length + 1)]; // the header's tags; a compact array
  for (const topic of topics) {
    const name = Buffer.from(topic);
    parts.push(Buffer.alloc(ID_BYTES), varint(name.length + 1), name, Buffer.from([0]));
  }
  parts.push(Buffer.from([0, 0, 0, 0])); // creates nothing, asks for no permissions, no tags
  return Buffer.concat(parts);
}

/** Of a count or a length below 2^14. */
function varint(value: number): Buffer {
  return value < 0x80 ? Buffer.from([value]) : Buffer.from([(value & 0x7f) | 0x80, value >> 7]);
}

function epochRequest(topic: string, partition: number, leaderEpoch: number, currentEpoch: number): Buffer {
  const name = Buffer.from(topic);
  const bytes = Buffer.alloc(4 + 4 + 2 + name.length + 4 + 12);
  let at = bytes.writeInt32BE(-1, 0); // no replica asks
  at = bytes.writeInt32BE(1, at);
  at = bytes.writeInt16BE(name.length, at);
  at += name.copy(bytes, at);
  at = bytes.writeInt32BE(1, at);
  at = bytes.writeInt32BE(partition, at);
  at = bytes.writeInt32BE(currentEpoch, at);
  bytes.writeInt32BE(leaderEpoch, at);
  return bytes;
}

interface Answer {
  readonly clientSideThrottleTime: number; // named so because kafkajs's connection reads it
}

function decodeEpochEnd(payload: Buffer): EpochEnd & Answer {
  const nameBytes = payload.readInt16BE(8);
  const at = 10 + nameBytes + 4;
  const errorCode = payload.readInt16BE(at);
  if (errorCode !== 0) throw createErrorFromCode(errorCode);
  return {
    clientSideThrottleTime: payload.readInt32BE(0),
    leaderEpoch: payload.readInt32BE(at + 6),
    endOffset: readInt64(payload, at + 10),
  };
}

function decodeMetadata(payload: Buffer): { readonly looks: ReadonlyMap<string, TopicLook> } & Answer {
  const reader = new CompactReader(payload);
  reader.tags(); // the header's
  const clientSideThrottleTime = reader.int32();
  reader.array(() => {
    reader.skip(4);
    reader.text();
    reader.skip(4);
    reader.text();
    reader.tags();
  });
  reader.text(); // the Kafka cluster's id
  reader.skip(4);
  const looks = new Map<string, TopicLook>();
  reader.array(() => {
    const errorCode = reader.int16();
    const name = reader.text();
    const id = reader.hex(ID_BYTES);
    reader.skip(1);
    const leaderEpochs = new Map<number, number>();
    reader.array(() => {
      reader.skip(2);
      const partition = reader.int32();
      reader.skip(4);
      leaderEpochs.set(partition, reader.int32());
      for (let lists = 0; lists < 3; lists++) reader.array(() => reader.skip(4));
      reader.tags();
    });
    reader.skip(4);
    reader.tags();
    if (errorCode === 0 && name !== null) looks.set(name, { id: id === NO_ID ? "" : id, leaderEpochs });
  });
  return { clientSideThrottleTime, looks };
}

/** Reads Kafka's compact types, one after another. */
class CompactReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  skip(count: number): void {
    this.#at += count;
    if (this.#at > this.#bytes.length) throw new RangeError("the answer ends early");
  }

  int16(): number {
    this.skip(2);
    return this.#bytes.readInt16BE(this.#at - 2);
  }

  int32(): number {
    this.skip(4);
    return this.#bytes.readInt32BE(this.#at - 4);
  }

  hex(count: number): string {
    this.skip(count);
    return this.#bytes.toString("hex", this.#at - count, this.#at);
  }

  /** null for a null text. */
  text(): string | null {
    const length = this.#varint() - 1;
    if (length < 0) return null;
    this.skip(length);
    return this.#bytes.toString("utf8", this.#at - length, this.#at);
  }

  /** An element takes one byte at least: a count beyond the answer ends it early. */
  array(element: () => void): void {
    const count = this.#varint() - 1;
    for (let i = 0; i < count; i++) element();
  }

  tags(): void {
    const count = this.#varint();
    for (let i = 0; i < count; i++) {
      this.#varint();
      this.skip(this.#varint());
    }
  }

  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 32; shift += 7) {
      this.skip(1);
      const byte = this.#bytes[this.#at - 1] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError("a length of more than five bytes");
  }
}
