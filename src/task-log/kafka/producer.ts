/**
 * Writes records with all replicas' acknowledgement. Sends to one topic that wait while a request is on its way go together
 * in the next one, in their order. The producer is idempotent: what it repeats after a lost answer is written once. After a send
 * that failed for good the producer id is given up, since the broker might take the next records for a repetition of the
 * failed ones and drop them.
 */

import assert from "node:assert/strict";
import { CompressionTypes, type Message, Partitioners, type Producer, type ICustomPartitioner } from "kafkajs";
import { VouchError } from "../../errors.ts";
import type { OutgoingRecord, TaskProducer } from "../task-log.ts";
import { CLIENT_RETRY, createClient, endsWithin, type KafkaClient, type KafkaConnection } from "./client.ts";
import { isTooLarge, toVouchError, writeAdvice } from "./kafka-errors.ts";

const REQUEST_RECORDS_MAX = 1_000; // kafkajs groups records by partition in quadratic time
const REQUEST_BYTES_MAX = 512 * 1024; // a broker takes 1 MB a batch by default
const RETRIES = 8;
const CLOSE_MS = 5_000;

interface Waiting {
  readonly topic: string;
  readonly messages: readonly Message[];
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: VouchError) => void;
}

interface Connected {
  readonly client: KafkaClient;
  readonly producer: Producer;
}

export class KafkaProducer implements TaskProducer {
  readonly #connection: KafkaConnection;
  readonly #onWarning: (message: string) => void;
  readonly #onEnded: () => void;
  #waiting: Waiting[] = [];
  #sending: Promise<void> | null = null;
  #connected: Connected | null = null;
  #closing: Promise<void> | null = null;

  constructor(connection: KafkaConnection, onWarning: (message: string) => void, onEnded: () => void) {
    this.#connection = connection;
    this.#onWarning = onWarning;
    this.#onEnded = onEnded;
  }

  async send(topic: string, records: readonly OutgoingRecord[]): Promise<void> {
    if (this.#closing !== null) throw new VouchError("closed", "the producer was closed");
    const chunks = chunksOf(records.map(messageOf));
    const written = chunks.map(({ messages, bytes }) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.#waiting.push({ topic, messages, bytes, resolve, reject });
      return promise;
    });
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = null;
    });
    const outcomes = await Promise.allSettled(written);
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#sending;
    await this.#disconnect();
    this.#onEnded();
  }

  async #sendAll(): Promise<void> {
    await Promise.resolve(); // what the caller sends in the same turn goes along
    while (this.#waiting.length > 0) {
      const request = this.#nextRequest();
      try {
        await this.#write(request);
        for (const { resolve } of request) resolve();
      } catch (thrown) {
        this.#settleFailed(request, thrown);
      }
    }
  }

  /** What a broker finds too large may have been compressed where it came from: once more, compressed. */
  async #write(request: readonly [Waiting, ...Waiting[]]): Promise<void> {
    const { topic } = request[0];
    const messages = request.flatMap((each) => each.messages);
    for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
      try {
        const { producer } = await this.#connect();
        await producer.send({ topic, acks: -1, compression, messages });
        return;
      } catch (thrown) {
        await this.#disconnect();
        if (!isTooLarge(thrown) || compression === CompressionTypes.GZIP) throw thrown;
      }
    }
  }

  #settleFailed(request: readonly [Waiting, ...Waiting[]], thrown: unknown): void {
    const foreign = thrown instanceof NoSuchPartition ? thrown : null;
    const error = toVouchError(`writing to ${request[0].topic} failed`, thrown, writeAdvice(request[0].topic, thrown));
    for (const each of request.toReversed()) {
      // Nothing was written yet: those that went along with a wrong record are not to blame.
      const innocent = foreign !== null && !each.messages.some(({ partition }) => partition === foreign.partition);
      if (innocent) this.#waiting.unshift(each);
      else each.reject(error);
    }
  }

  /** As many waiting sends to one topic as fit in a request. */
  #nextRequest(): readonly [Waiting, ...Waiting[]] {
    const [first, ...others] = this.#waiting;
    assert(first !== undefined, "nothing waits");
    let { bytes } = first;
    let records = first.messages.length;
    let count = 1;
    for (const each of others) {
      records += each.messages.length;
      bytes += each.bytes;
      if (each.topic !== first.topic || records > REQUEST_RECORDS_MAX || bytes > REQUEST_BYTES_MAX) break;
      count++;
    }
    this.#waiting.splice(0, count);
    return [first, ...others.slice(0, count - 1)];
  }

  async #connect(): Promise<Connected> {
    if (this.#connected !== null) return this.#connected;
    const client = createClient(this.#connection, this.#onWarning);
    const producer = client.kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: stablePartitioner,
      retry: { ...CLIENT_RETRY, retries: RETRIES },
    });
    this.#connected = { client, producer };
    await producer.connect();
    return this.#connected;
  }

  async #disconnect(): Promise<void> {
    const connected = this.#connected;
    this.#connected = null;
    if (connected === null) return;
    await endsWithin(connected.producer.disconnect(), CLOSE_MS);
    connected.client.closeSockets();
  }
}

/** kafkajs itself leaves such a record out and reports success. */
class NoSuchPartition extends Error {
  readonly partition: number;

  constructor(topic: string, partition: number) {
    super(`${topic} has no partition ${partition}`);
    this.partition = partition;
  }
}

/** By key as Kafka's Java client does it, else in turns; decided once, so that a repetition goes to the same partition. */
const stablePartitioner: ICustomPartitioner = () => {
  const choose = Partitioners.DefaultPartitioner();
  return (args) => {
    const { topic, message, partitionMetadata } = args;
    message.partition ??= choose(args);
    const { partition } = message;
    if (!partitionMetadata.some(({ partitionId }) => partitionId === partition)) {
      throw Object.assign(new NoSuchPartition(topic, partition), { retriable: false });
    }
    return partition;
  };
};

function messageOf(record: OutgoingRecord): Message {
  return {
    ...(record.partition === undefined ? {} : { partition: record.partition }),
    key: record.key === undefined || record.key === null ? null : bufferOf(record.key),
    value: record.value === null ? null : bufferOf(record.value),
    headers: Object.fromEntries(Object.entries(record.headers ?? {}).map(([name, value]) => [name, bufferOf(value)])),
  };
}

function bufferOf(bytes: Uint8Array | string): Buffer {
  if (typeof bytes === "string") return Buffer.from(bytes);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const RECORD_OVERHEAD_BYTES = 70;

function bytesOf({ key, value, headers }: Message): number {
  let bytes = RECORD_OVERHEAD_BYTES + (key?.length ?? 0) + (value?.length ?? 0);
  for (const [name, header] of Object.entries(headers ?? {})) bytes += name.length + (header?.length ?? 0);
  return bytes;
}

function chunksOf(messages: readonly Message[]): { messages: Message[]; bytes: number }[] {
  const chunks: { messages: Message[]; bytes: number }[] = [];
  let current: { messages: Message[]; bytes: number } | null = null;
  for (const message of messages) {
    const bytes = bytesOf(message);
    if (
      current === null ||
      current.messages.length >= REQUEST_RECORDS_MAX ||
      current.bytes + bytes > REQUEST_BYTES_MAX
    ) {
      current = { messages: [], bytes: 0 };
      chunks.push(current);
    }
    current.messages.push(message);
    current.bytes += bytes;
  }
  return chunks;
}
