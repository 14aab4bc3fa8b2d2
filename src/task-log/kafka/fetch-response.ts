/**
 * The frame of a Fetch answer, version 11: which partitions, their errors and positions, and where their record batches
 * lie in the buffer. The batches themselves are read by `record-batches.ts`, after it is known that they are wanted.
 * Layout: Kafka's protocol guide, "Fetch API". Truncated input throws RangeError.
 */

export interface AbortedTransaction {
  readonly producerId: number;
  readonly firstOffset: number;
}

export interface FetchedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly errorCode: number;
  readonly highWatermark: number;
  readonly logStart: number;
  /** In the order of their first offsets. */
  readonly aborted: readonly AbortedTransaction[];
  /** Record batches, the last one perhaps cut off; empty when there are none. A view into the answer's buffer. */
  readonly records: Buffer;
}

export interface FetchResponse {
  readonly clientSideThrottleTime: number; // named so because kafkajs's connection reads it
  readonly errorCode: number;
  readonly partitions: readonly FetchedPartition[];
}

const MAX_HIGH_WORD = 0x1fffff; // above it a 64-bit offset is no safe integer

/** A signed 64-bit integer as a number. @throws RangeError when it is not a safe integer. */
export function readInt64(buffer: Buffer, at: number): number {
  const high = buffer.readInt32BE(at);
  if (high > MAX_HIGH_WORD || high < -MAX_HIGH_WORD) throw new RangeError(`a 64-bit value at ${at} is out of range`);
  return high * 0x1_0000_0000 + buffer.readUInt32BE(at + 4);
}

export function decodeFetchResponse(buffer: Buffer): FetchResponse {
  const clientSideThrottleTime = buffer.readInt32BE(0);
  const errorCode = buffer.readInt16BE(4);
  const partitions: FetchedPartition[] = [];
  let at = 10; // 6..10 is the fetch session's id: none is used
  const topics = buffer.readInt32BE(at);
  at += 4;
  for (let t = 0; t < topics; t++) {
    const nameBytes = buffer.readInt16BE(at);
    const topic = buffer.toString("utf8", at + 2, at + 2 + nameBytes);
    at += 2 + nameBytes;
    const count = buffer.readInt32BE(at);
    at += 4;
    for (let p = 0; p < count; p++) {
      const partition = buffer.readInt32BE(at);
      const partitionError = buffer.readInt16BE(at + 4);
      const highWatermark = readInt64(buffer, at + 6);
      const logStart = readInt64(buffer, at + 22); // 14..22 is the last stable offset
      const abortedCount = buffer.readInt32BE(at + 30); // -1: null
      at += 34;
      const aborted: AbortedTransaction[] = [];
      for (let a = 0; a < abortedCount; a++, at += 16) {
        aborted.push({ producerId: readInt64(buffer, at), firstOffset: readInt64(buffer, at + 8) });
      }
      const recordBytes = Math.max(0, buffer.readInt32BE(at + 4)); // at..+4 is the preferred replica
      at += 8;
      if (at + recordBytes > buffer.length) throw new RangeError("the answer ends inside its records");
      const records = buffer.subarray(at, at + recordBytes);
      at += recordBytes;
      partitions.push({ topic, partition, errorCode: partitionError, highWatermark, logStart, aborted, records });
    }
  }
  return { clientSideThrottleTime, errorCode, partitions };
}
