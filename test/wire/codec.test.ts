import { encode } from "@msgpack/msgpack";
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { PeerMessage, ReportMessage } from "../../src/core/messages.ts";
import { VouchError } from "../../src/errors.ts";
import { decodeMessage, MessageEncoder, messageBytesMax } from "../../src/wire/codec.ts";
import { scanBody } from "../../src/wire/scan.ts";
import { schemas, type Kind } from "../../src/wire/schema.ts";
import { anyMessage, bootId, samples } from "./samples.ts";

const BOOT = "0123456789abcdef0123456789abcdef";
const encoder = new MessageEncoder();

function bytesOf(message: PeerMessage): Uint8Array {
  return encoder.encode(BOOT, message).slice();
}

/** Runs what may only end well or with a protocol error. */
function refusalOf(body: Uint8Array): string {
  try {
    decodeMessage(body);
    return "";
  } catch (error) {
    if (error instanceof VouchError && error.code === "protocol") return error.message;
    throw error;
  }
}

const emptyReport: ReportMessage = {
  kind: "report",
  epoch: 1,
  number: 1,
  appliedEpoch: 0,
  appliedSeq: 0,
  seen: [],
  claims: [],
  doubts: [],
  finished: [],
  commits: [],
  partitions: [],
  progress: [],
  factsComplete: false,
  draining: false,
  runsNothing: false,
};

/** An ack as raw values with one of them replaced. */
function rawAck(index: number, value: unknown): Uint8Array {
  const raw: unknown[] = [schemas.ack.number, BOOT, 3, 4, 500];
  raw[index] = value;
  return encode(raw);
}

describe("codec", () => {
  for (const kind of Object.keys(samples) as Kind[]) {
    test(`${kind}: what is encoded is decoded again`, () => {
      const sample: fc.Arbitrary<PeerMessage> = samples[kind];
      fc.assert(
        fc.property(sample, bootId(), fc.integer({ min: 0, max: 7 }), (message, receiver, shift) => {
          const body = encoder.encode(receiver, message);
          // A body may begin anywhere in a received chunk: typed arrays must not depend on it.
          for (const chunk of [new Uint8Array(body.length + shift), Buffer.alloc(body.length + shift)]) {
            chunk.set(body, shift);
            expect(decodeMessage(chunk.subarray(shift))).toEqual({ receiverBootId: receiver, message });
          }
        }),
        { numRuns: 60 },
      );
    });
  }

  test("kind numbers are distinct, fit one byte and keep clear of the handshake's", () => {
    const numbers = Object.values(schemas).map((schema) => schema.number);
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(16);
    expect(Math.max(...numbers)).toBeLessThan(128);
    expect(messageBytesMax(0)).toBe(0);
    expect(messageBytesMax(schemas.ack.number)).toBe(64 * 1024);
  });

  test("a decoded message does not share memory with the encoder", () => {
    const message: PeerMessage = { kind: "nudge", epoch: 1, pids: [1, 2, 3] };
    const first = encoder.encode(BOOT, message);
    const kept = first.slice();
    encoder.encode(BOOT, emptyReport);
    expect(first).not.toEqual(kept); // the documented trap, shown
    expect(decodeMessage(kept).message).toEqual(message);
  });

  test("the encoder asserts its own limits: size, list length, consistency", () => {
    const long = { kind: "nudge", epoch: 1, pids: Array.from({ length: 60_000 }, () => 4_000_000_000) } as const;
    expect(() => encoder.encode(BOOT, long)).toThrow("more than 65536");
    const many = { ...emptyReport, seen: Array.from({ length: 70_000 }, () => ({ seq: 1, batch: 1, index: 1 })) };
    expect(() => encoder.encode(BOOT, many)).toThrow("a list of 70000");
    const claim = {
      number: 1,
      pid: 1,
      ownership: 1,
      generation: 1,
      offsets: { base: 0, count: 2, deltas: new Uint32Array(0) },
      hashes: new Uint32Array(3),
      idIsKey: new Uint8Array(0),
    };
    expect(() => encoder.encode(BOOT, { ...emptyReport, claims: [claim] })).toThrow("3 hash words for 2 tasks");
  });
});

describe("SEC7/SEC8: decoder", () => {
  test("refuses values out of range, of another type, missing or too many", () => {
    expect(refusalOf(rawAck(4, 500))).toBe("");
    expect(refusalOf(rawAck(1, BOOT.toUpperCase()))).toContain("receiver");
    for (const value of [-1, 1.5, Number.NaN, 2 ** 53, 2n ** 63n, "4", true, [], new Uint8Array(1)]) {
      const body = encode([schemas.ack.number, BOOT, 3, value, 500], { useBigInt64: true });
      expect(refusalOf(body)).not.toBe("");
    }
    for (const lease of [-0.1, Number.NaN, Number.POSITIVE_INFINITY, 3_600_001]) {
      expect(refusalOf(rawAck(4, lease))).toContain("leaseMs");
    }
    expect(refusalOf(encode([schemas.ack.number, BOOT, 3, 4]))).toContain("4 elements");
    expect(refusalOf(encode([schemas.ack.number, BOOT, 3, 4, 500, 6]))).toContain("6 elements");
    expect(refusalOf(encode([99, BOOT]))).toContain("unknown kind");
    expect(refusalOf(encode({ kind: "ack" }))).toContain("not an array");
    expect(refusalOf(encode([schemas.refused.number, BOOT, 1, 17]))).toContain("reason");
    expect(refusalOf(encode([schemas["state-chunk"].number, "x".repeat(32)]))).not.toBe("");
  });

  test("refuses inconsistent lengths and unknown codes inside typed arrays", () => {
    const verdicts = (results: number[], stamps: number[], attempts: number[], conflicts: number[] = []) =>
      encode([
        schemas.verdicts.number,
        BOOT,
        1,
        [
          [
            1,
            2,
            3,
            Uint8Array.from(results),
            new Uint8Array(Float64Array.from(stamps).buffer),
            Uint8Array.from(attempts),
            new Uint8Array(Float64Array.from(conflicts).buffer),
          ],
        ],
      ]);
    expect(refusalOf(verdicts([1, 2, 3], [5, 6], []))).toBe("");
    expect(refusalOf(verdicts([1, 2, 3], [5], []))).toContain("stamps");
    expect(refusalOf(verdicts([1, 2, 3], [5, 6], [1]))).toContain("attempts");
    expect(refusalOf(verdicts([0], [], []))).toContain("results");
    expect(refusalOf(verdicts([11], [], []))).toContain("results");
    expect(refusalOf(verdicts([10, 10], [], [], [1, 2, 3, 4, 5, 6, 7, 8]))).toBe("");
    expect(refusalOf(verdicts([10], [], [], [1, 2, 3]))).toContain("conflict words");
    expect(refusalOf(verdicts([1], [Number.NaN], []))).toContain("stamps");
    expect(refusalOf(verdicts([1], [2 ** 53], []))).toContain("stamps");
    expect(refusalOf(verdicts([1], [-1], []))).toContain("stamps");
    const none: never[] = [];
    const claim = (count: number, words: number, deltas: number) =>
      encode([
        schemas.report.number,
        BOOT,
        1,
        1,
        0,
        0,
        none,
        [[1, 1, 1, 1, [0, count, new Uint8Array(4 * deltas)], new Uint8Array(4 * words), new Uint8Array(0)]],
        none,
        none,
        none,
        none,
        none,
        false,
        false,
        false,
      ]);
    expect(refusalOf(claim(2, 4, 0))).toBe("");
    expect(refusalOf(claim(2, 4, 2))).toBe("");
    expect(refusalOf(claim(2, 3, 0))).toContain("hash words");
    expect(refusalOf(claim(2, 4, 1))).toContain("deltas");
    expect(refusalOf(claim(100_000, 0, 0))).toContain("count");
  });

  test("refuses maps, extensions, nil, depth, and more elements than bytes", () => {
    const wrap = (value: unknown) => encode([schemas.ack.number, BOOT, value, 4, 500]);
    expect(refusalOf(wrap({ constructor: 1 }))).toContain("type 0x81");
    expect(refusalOf(wrap(new Date(0)))).toContain("type 0xd6");
    expect(refusalOf(wrap(null))).toContain("type 0xc0");
    expect(refusalOf(wrap([[[[[[[[1]]]]]]]]))).toContain("nested deeper");
    expect(refusalOf(Uint8Array.of(0x92, 16, 0xdc, 0xff, 0xff))).toContain("more elements");
    expect(refusalOf(Uint8Array.of(0x92, 16, 0xdd, 0, 1, 0, 1))).toContain("more than 65536");
    expect(refusalOf(Uint8Array.of(0x92, 16, 0xc6, 0xff, 0xff, 0xff, 0xff))).toContain("binary of");
    expect(refusalOf(Uint8Array.of(0x92, 16, 0xdb, 0, 0xff, 0xff, 0xff))).toContain("text of");
    expect(refusalOf(Uint8Array.of(0x91, 16, 0))).toContain("after the frame");
  });

  test("nested headers cost no memory", () => {
    const nested = new Uint8Array(600);
    for (let at = 0; at < 600; at += 3) nested.set([0xdc, 0xff, 0xff], at);
    Bun.gc(true);
    const before = process.memoryUsage().heapUsed;
    for (let round = 0; round < 200; round++) expect(refusalOf(nested)).not.toBe("");
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(32 * 1024 * 1024);
  });

  test("any truncation of a message is refused", () => {
    fc.assert(
      fc.property(anyMessage(), fc.nat(), (message, cut) => {
        const body = bytesOf(message);
        expect(refusalOf(body.subarray(0, cut % body.length))).not.toBe("");
      }),
      { numRuns: 200 },
    );
  });

  test("garbage and damaged messages never do more than a protocol error", () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(anyMessage(), damage, (message, changes) => {
        const body = bytesOf(message);
        for (const [at, value] of changes) body[at % body.length] = value;
        const refusal = refusalOf(body);
        // What still decodes is consistent: it can be encoded again.
        if (refusal === "") expect(() => encoder.encode(BOOT, decodeMessage(body).message)).not.toThrow();
      }),
      { numRuns: 1_000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (body) => {
        refusalOf(body);
        refusalOf(Uint8Array.of(0x95, 17, 0xd9, 32, ...Buffer.from(BOOT), ...body));
      }),
      { numRuns: 1_000 },
    );
  });

  test("whatever passes the scan is read by msgpack in one piece", () => {
    const plain = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 6 },
        fc.integer(),
        fc.double(),
        fc.boolean(),
        fc.string(),
        fc.uint8Array(),
        fc.array(tie("value"), { maxLength: 20 }),
      ),
    }));
    fc.assert(
      fc.property(fc.array(plain.value, { maxLength: 8 }), (values) => {
        expect(() => scanBody(encode(values))).not.toThrow();
      }),
      { numRuns: 300 },
    );
  });
});
