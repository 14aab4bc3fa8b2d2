import { encode } from "@msgpack/msgpack";
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { VouchError } from "../../src/errors.ts";
import { decodeHello, encodeHello, encodeRefusal, helloBytesMax, type Hello } from "../../src/wire/hello.ts";
import { PROTOCOL_VERSION } from "../../src/wire/limits.ts";

const hello: Hello = {
  cell: "main",
  clusterUuid: "c".repeat(32),
  nodeId: "node-1",
  bootId: "1".repeat(32),
  expectedNodeId: "node-2",
  expectedBootId: "2".repeat(32),
  parameters: [
    { name: "topics", value: "orders, payments" },
    { name: "filter.seed", value: "17" },
  ],
};

describe("hello", () => {
  test("both directions come back as they were sent", () => {
    for (const type of ["hello", "accepted"] as const) {
      expect(decodeHello(encodeHello(type, hello))).toEqual({ type, version: PROTOCOL_VERSION, hello });
    }
    expect(decodeHello(encodeRefusal("another cell"))).toEqual({ type: "refused", reason: "another cell" });
  });

  test("R19: a hello of another version is recognised whatever else it has", () => {
    const body = encode([1, "vouch-peer", PROTOCOL_VERSION + 1, "something", "new"]);
    expect(decodeHello(body)).toEqual({ type: "hello", version: PROTOCOL_VERSION + 1, hello: null });
  });

  test("a reason from outside cannot put control characters into a log", () => {
    expect(decodeHello(encodeRefusal("a\u001b[2Jb\nc"))).toEqual({ type: "refused", reason: "a?[2Jb?c" });
  });

  test("SEC5: only the handshake's kinds are accepted, up to 4 KiB", () => {
    expect([0, 1, 2, 3, 4, 16].map(helloBytesMax)).toEqual([0, 4096, 4096, 4096, 0, 0]);
    const huge = {
      ...hello,
      parameters: Array.from({ length: 5 }, () => ({ name: "topics", value: "x".repeat(1000) })),
    };
    expect(() => encodeHello("hello", huge)).toThrow("shorten the parameters");
  });

  test("garbage and damage are protocol errors", () => {
    const whole = encodeHello("hello", hello);
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat(), (at, value, cut) => {
        const body = whole.slice(0, whole.length - (cut % 3 === 0 ? cut % whole.length : 0));
        if (body.length > 0) body[at % body.length] = value;
        try {
          decodeHello(body);
        } catch (error) {
          expect(error).toBeInstanceOf(VouchError);
          expect((error as VouchError).code).toBe("protocol");
        }
      }),
      { numRuns: 1_000 },
    );
    for (const body of [encode([1, "other", 1]), encode([9, "vouch-peer", PROTOCOL_VERSION]), encode(["x"])]) {
      expect(() => decodeHello(body)).toThrow(VouchError);
    }
  });
});
