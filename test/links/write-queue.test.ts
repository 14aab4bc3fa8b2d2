import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { WriteQueue } from "../../src/links/write-queue.ts";
import { FrameParser } from "../../src/wire/frame.ts";

/** A body as a frame parser wants it. */
function bodyOf(length: number, seed: number): Uint8Array {
  const body = new Uint8Array(length).map((_, index) => (index * 31 + seed) & 0xff);
  body.set([0x92, 16]);
  return body;
}

describe("write queue", () => {
  test("whatever the socket takes, the frames come out once and in order", () => {
    const lengths = fc.array(fc.integer({ min: 2, max: 200_000 }), { minLength: 1, maxLength: 30 });
    const takes = fc.array(fc.integer({ min: 0, max: 150_000 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(lengths, takes, fc.integer({ min: 1, max: 4 }), (sizes, portions, every) => {
        const out: Uint8Array[] = [];
        let turn = 0;
        const queue = new WriteQueue(
          (bytes) => {
            const taken = Math.min(bytes.length, portions[turn++ % portions.length]!);
            out.push(bytes.slice(0, taken));
            return taken;
          },
          64 * 1024 * 1024,
        );
        const bodies = sizes.map((size, index) => bodyOf(size, index));
        for (const [index, body] of bodies.entries()) {
          expect(queue.push(body)).toBe(true);
          if (index % every === 0) queue.flush();
        }
        portions.push(1_000_000);
        while (queue.flush() !== "empty") expect(queue.unsentBytes).toBeGreaterThan(0);
        const got: Uint8Array[] = [];
        new FrameParser(() => 1_000_000, 1_000_000).push(Buffer.concat(out), (_, body) => got.push(body) > 0);
        expect(got.map((body) => Bun.hash(body))).toEqual(bodies.map((body) => Bun.hash(body)));
      }),
      { numRuns: 40 },
    );
  });

  test("keeps no more than its limit and says so", () => {
    const queue = new WriteQueue(() => 0, 1_000);
    expect(queue.push(bodyOf(500, 1))).toBe(true);
    expect(queue.push(bodyOf(493, 1))).toBe(false); // 504 + 497 = 1,001
    expect(queue.unsentBytes).toBe(504);
    expect(queue.push(bodyOf(492, 1))).toBe(true);
    expect(queue.flush()).toBe("blocked");
  });

  test("tells when the socket is closed", () => {
    const queue = new WriteQueue(() => -1, 1_000);
    queue.push(bodyOf(5, 1));
    expect(queue.flush()).toBe("closed");
  });
});
