/** Record batches byte by byte: what a log may hold besides plain records, and bytes that are none. */

import { expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { DECOMPRESSED_BYTES_MAX } from "../../../src/task-log/kafka/codecs.ts";
import { decodeFetchResponse } from "../../../src/task-log/kafka/fetch-response.ts";
import { decodeRecordBatches, UnreadableBatch } from "../../../src/task-log/kafka/record-batches.ts";
import { type BatchSpec, fetchAnswer, recordBatch, signed } from "./fetch-bytes.ts";

const bytesOf = (...specs: readonly BatchSpec[]): Buffer => Buffer.concat(specs.map(recordBatch));
const offsetsOf = (
  bytes: Buffer,
  position: number,
  aborted: { producerId: number; firstOffset: number }[] = [],
): number[] =>
  decodeRecordBatches(bytes, position, aborted).flatMap(({ records }) => records.map(({ offset }) => offset));
const endOf = (bytes: Buffer, position: number): number | undefined =>
  decodeRecordBatches(bytes, position, []).at(-1)?.nextPosition;

test("offsets, timestamps, values and headers of consecutive batches", () => {
  const headers = [
    ["task-id", "first"],
    ["empty", null],
    ["task-id", "last"],
    ["__proto__", "x"],
  ] as const;
  const bytes = bytesOf(
    { baseOffset: 5, deltas: [0, 1, 2], value: (delta) => `v${delta}`, firstTimestampMs: 1_700_000_000_000 },
    { baseOffset: 8, deltas: [0], value: () => null, headers },
  );
  const [run] = decodeRecordBatches(bytes, 5, []);
  expect(run?.nextPosition).toBe(9);
  expect(run?.records.map(({ offset }) => offset)).toEqual([5, 6, 7, 8]);
  expect(run?.records.map(({ timestampMs }) => timestampMs)).toEqual([
    1_700_000_000_000, 1_700_000_000_010, 1_700_000_000_020, 1_000,
  ]);
  expect(run?.records.map(({ value }) => (value === null ? null : Buffer.from(value).toString()))).toEqual([
    "v0",
    "v1",
    "v2",
    null,
  ]);
  const found = run?.records[3]?.headers ?? {};
  expect(Object.keys(found)).toEqual(["task-id", "empty", "__proto__"]);
  expect(Buffer.from(found["task-id"]!).toString()).toBe("last"); // of a repeated header the last one counts
  expect(found["empty"]).toHaveLength(0);
});

test("records below the asked position are left out: a batch is fetched whole", () => {
  expect(offsetsOf(bytesOf({ baseOffset: 0, deltas: [0, 1, 2, 3, 4] }), 3)).toEqual([3, 4]);
});

test("R14: offsets that compaction removed are crossed, at the end of a batch and of a whole one", () => {
  const bytes = bytesOf({ baseOffset: 10, deltas: [0, 3], lastDelta: 9 }, { baseOffset: 20, deltas: [], lastDelta: 4 });
  expect(offsetsOf(bytes, 10)).toEqual([10, 13]);
  expect(endOf(bytes, 10)).toBe(25);
});

test("R14: aborted transactions give no record, committed ones do, interleaved and with control records between", () => {
  const bytes = bytesOf(
    { baseOffset: 0, deltas: [0, 1], producerId: 7, transactional: true },
    { baseOffset: 2, deltas: [0], producerId: 8, transactional: true },
    { baseOffset: 3, deltas: [0] },
    { baseOffset: 4, producerId: 7, control: "abort" },
    { baseOffset: 5, producerId: 8, control: "commit" },
    { baseOffset: 6, deltas: [0], producerId: 7, transactional: true },
    { baseOffset: 7, producerId: 7, control: "commit" },
  );
  expect(offsetsOf(bytes, 0, [{ producerId: 7, firstOffset: 0 }])).toEqual([2, 3, 6]);
  expect(endOf(bytes, 0)).toBe(8);
  expect(endOf(bytesOf({ baseOffset: 7, producerId: 7, control: "commit" }), 7)).toBe(8);
});

test("a batch whose offset is damaged, which no checksum covers, gives nothing and moves no position", () => {
  const batches = [10, 20, 30].map((baseOffset) => recordBatch({ baseOffset, deltas: [0, 9] }));
  const OFFSET_BYTES = 8;
  for (let bit = 0; bit < 8 * OFFSET_BYTES; bit++) {
    const damaged = Buffer.concat(batches);
    damaged[batches[0]!.length + (bit >> 3)]! ^= 1 << (bit & 7);
    let thrown: unknown;
    try {
      decodeRecordBatches(damaged.subarray(0, damaged.length - 70), 10, []); // the third one is cut off
    } catch (error) {
      thrown = error;
    }
    if (!(thrown instanceof UnreadableBatch)) throw new Error(`bit ${bit} went unnoticed`);
    // Set back, the one before it may be the damaged one as well: which of them it is, is for a person to say.
    expect([10, 20]).toContain(thrown.offset);
    for (const { records } of thrown.readable) expect(records.every(({ offset }) => offset < 20)).toBe(true);
  }
});

test("each partition leader epoch is a run of its own, without a gap between them", () => {
  const bytes = bytesOf(
    { baseOffset: 0, deltas: [0, 1], leaderEpoch: 3 },
    { baseOffset: 2, deltas: [0], leaderEpoch: 3 },
    { baseOffset: 3, deltas: [0, 1], leaderEpoch: 5 },
  );
  const runs = decodeRecordBatches(bytes, 1, []);
  expect(runs.map(({ leaderEpoch, nextPosition, records }) => [leaderEpoch, nextPosition, records.length])).toEqual([
    [3, 3, 2],
    [5, 5, 2],
  ]);
});

test("append time is the batch's, create time the record's", () => {
  const bytes = bytesOf({ baseOffset: 0, deltas: [0, 5], appendTimeMs: 9_999 });
  expect(decodeRecordBatches(bytes, 0, [])[0]?.records.map(({ timestampMs }) => timestampMs)).toEqual([9_999, 9_999]);
});

for (const compression of ["gzip", "snappy", "xerial", "lz4", "zstd"] as const) {
  test(`records compressed with ${compression}`, () => {
    const value = (delta: number): string => `${delta} ${"z".repeat(500 + delta)} ${"é".repeat(delta)}`;
    const bytes = bytesOf({ baseOffset: 4, deltas: [0, 1, 5], compression, value, headers: [["task-id", "x"]] });
    const [run] = decodeRecordBatches(bytes, 5, []);
    expect(run?.nextPosition).toBe(10);
    expect(run?.records.map(({ offset }) => offset)).toEqual([5, 9]);
    expect(run?.records.map((record) => Buffer.from(record.value!).toString())).toEqual([value(1), value(5)]);
  });
}

test("another compression and the old message format are named in the error, with the offset", () => {
  expect(() => offsetsOf(bytesOf({ baseOffset: 3, compression: "number 7" }), 0)).toThrow(
    "the record batch at offset 0 cannot be read: compression number 7 is not supported (gzip, snappy, lz4, zstd are)",
  );
  expect(() => offsetsOf(bytesOf({ baseOffset: 0, magic: 1 }), 0)).toThrow("record format 1");
});

test("what stands before a batch that cannot be read is given, and nothing of that batch", () => {
  for (const compression of ["none", "gzip", "snappy", "xerial", "lz4", "zstd"] as const) {
    const damaged = bytesOf({ baseOffset: 2, deltas: [0, 1, 2], compression, value: () => "value".repeat(9) });
    damaged[damaged.length - 9]! ^= 0x10;
    const bytes = Buffer.concat([bytesOf({ baseOffset: 0, deltas: [0, 1] }), damaged, bytesOf({ baseOffset: 5 })]);
    const error = unreadable(bytes);
    expect(error.message).toContain("offset 2 cannot be read: its checksum does not fit");
    expect(error.readable.map(({ nextPosition, records }) => [nextPosition, records.length])).toEqual([[2, 2]]);
  }
});

test("a producer's wrong records in a batch that it signed give none of the batch", () => {
  const [first, second] = [Buffer.from("0c000000026b020000", "hex"), Buffer.from("0c00000202ff", "hex")];
  const bytes = bytesOf({ baseOffset: 0, deltas: [0, 1], body: Buffer.concat([first, second]) });
  expect(unreadable(bytes).readable).toEqual([]);
  const bomb = bytesOf({
    baseOffset: 0,
    compression: "gzip",
    body: gzipSync(Buffer.alloc(DECOMPRESSED_BYTES_MAX + 1)),
  });
  expect(unreadable(bomb).message).toContain("gzip data cannot be decompressed");
});

function unreadable(bytes: Buffer): UnreadableBatch {
  try {
    decodeRecordBatches(bytes, 0, []);
  } catch (error) {
    expect(error).toBeInstanceOf(UnreadableBatch);
    return error as UnreadableBatch;
  }
  throw new Error("it could be read");
}

test("a batch that the fetch cut off is left for the next fetch", () => {
  const whole = bytesOf({ baseOffset: 0, deltas: [0, 1] });
  const cut = bytesOf({ baseOffset: 2, deltas: [0, 1] }).subarray(0, -1);
  expect(offsetsOf(Buffer.concat([whole, cut]), 0)).toEqual([0, 1]);
  expect(endOf(Buffer.concat([whole, cut]), 0)).toBe(2);
  expect(decodeRecordBatches(cut, 2, [])).toEqual([]);
  expect(decodeRecordBatches(Buffer.alloc(0), 2, [])).toEqual([]);
});

test("damaged bytes are an error, never other records", () => {
  for (const compression of ["none", "gzip", "snappy", "xerial", "lz4", "zstd"] as const) {
    const bytes = bytesOf({ baseOffset: 0, deltas: [0, 1], compression, value: () => "value", headers: [["h", "x"]] });
    for (let at = 21; at < bytes.length; at++) {
      for (const value of [0x00, 0x7f, 0x80, 0xff]) {
        const damaged = Buffer.from(bytes);
        damaged[at] = value;
        if (value === bytes[at]) expect(offsetsOf(damaged, 0)).toEqual([0, 1]);
        else expect(() => offsetsOf(damaged, 0)).toThrow("checksum");
      }
    }
  }
});

test("wrong bytes under a right checksum are an error or other records, never an endless loop or a read past the end", () => {
  for (const compression of ["none", "gzip", "snappy", "xerial", "lz4", "zstd"] as const) {
    const spec: BatchSpec = {
      baseOffset: 0,
      deltas: [0, 1, 2],
      value: () => "value".repeat(20),
      headers: [["h", "x"]],
    };
    const bytes = bytesOf({ ...spec, compression });
    for (let at = 0; at < bytes.length; at++) {
      for (const value of [0x00, 0x7f, 0x80, 0xff]) {
        const damaged = Buffer.from(bytes);
        damaged[at] = value;
        try {
          for (const { records } of decodeRecordBatches(signed(damaged), 0, [])) {
            for (const record of records) expect(record.value?.length ?? 0).toBeLessThan(1_000);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(UnreadableBatch);
        }
      }
    }
  }
});

test("a fetch answer: partitions with errors, aborted transactions and records", () => {
  const records = bytesOf({ baseOffset: 3 });
  const answer = fetchAnswer(
    [
      { topic: "tópic", partition: 2, highWatermark: 2 ** 40, logStart: 3, records },
      { topic: "u", partition: 0, errorCode: 1, aborted: null },
      { topic: "u", partition: 1, aborted: [{ producerId: 5, firstOffset: 6 }] },
    ],
    0,
    12,
  );
  const decoded = decodeFetchResponse(answer);
  expect(decoded).toMatchObject({ clientSideThrottleTime: 12, errorCode: 0 });
  expect(decoded.partitions).toEqual([
    { topic: "tópic", partition: 2, errorCode: 0, highWatermark: 2 ** 40, logStart: 3, aborted: [], records },
    { topic: "u", partition: 0, errorCode: 1, highWatermark: 100, logStart: 0, aborted: [], records: Buffer.alloc(0) },
    {
      topic: "u",
      partition: 1,
      errorCode: 0,
      highWatermark: 100,
      logStart: 0,
      aborted: [{ producerId: 5, firstOffset: 6 }],
      records: Buffer.alloc(0),
    },
  ]);
  for (let length = 0; length < answer.length; length++) {
    expect(() => decodeFetchResponse(answer.subarray(0, length))).toThrow();
  }
});
