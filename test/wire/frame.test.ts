import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { VouchError } from "../../src/errors.ts";
import { FrameParser, LENGTH_BYTES, writeLength } from "../../src/wire/frame.ts";

const limits = (kind: number): number => (kind === 16 ? 100 : kind === 17 ? 70_000 : kind === 18 ? 1_000_000 : 0);

function frameOf(body: readonly number[] | Uint8Array): Uint8Array {
  const frame = new Uint8Array(LENGTH_BYTES + body.length);
  writeLength(frame, 0, body.length);
  frame.set(body, LENGTH_BYTES);
  return frame;
}

/** A body that only the parser reads: array header, kind, filling. */
function bodyOf(kind: number, length: number, wide: boolean): Uint8Array {
  const body = new Uint8Array(length).map((_, index) => (index * 7) & 0xff);
  body.set(wide ? [0xdc, 0, 16, kind] : [0x92, kind]);
  return body;
}

function collect(parser: FrameParser, chunks: readonly Uint8Array[]): [number, string][] {
  const frames: [number, string][] = [];
  for (const chunk of chunks) {
    parser.push(chunk, (kind, body) => {
      frames.push([kind, Buffer.from(body).toString("hex")]);
      return true;
    });
  }
  return frames;
}

function refusal(bytes: readonly number[]): VouchError {
  const parser = new FrameParser(limits, 1_000_000);
  try {
    parser.push(Uint8Array.from(bytes), () => true);
  } catch (error) {
    expect(error).toBeInstanceOf(VouchError);
    // After a refusal nothing more is taken, not even a good frame.
    parser.push(frameOf(bodyOf(16, 5, false)), () => {
      throw new Error("the parser went on");
    });
    return error as VouchError;
  }
  throw new Error("nothing was refused");
}

describe("frame parser", () => {
  const bodies = [
    bodyOf(16, 2, false),
    bodyOf(16, 3, false),
    bodyOf(16, 4, true),
    bodyOf(16, 100, true),
    bodyOf(17, 2, false),
    bodyOf(17, 40_000, true),
    bodyOf(16, 5, false),
  ];
  const stream = Buffer.concat(bodies.map(frameOf));
  const expected: [number, string][] = bodies.map((body) => [
    body[0] === 0xdc ? body[3]! : body[1]!,
    Buffer.from(body).toString("hex"),
  ]);

  test("gives the same frames byte by byte", () => {
    const parser = new FrameParser(limits, 1_000_000);
    expect(
      collect(
        parser,
        [...stream].map((byte) => Uint8Array.of(byte)),
      ),
    ).toEqual(expected);
    expect(parser.midFrame).toBe(false);
  });

  test("gives the same frames however the stream is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 30_000 }), { maxLength: 60 }), (sizes) => {
        const chunks: Uint8Array[] = [];
        let at = 0;
        for (const size of sizes) chunks.push(stream.subarray(at, (at += size)));
        chunks.push(stream.subarray(Math.min(at, stream.length)));
        expect(collect(new FrameParser(limits, 1_000_000), chunks)).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  });

  test("two cuts anywhere in the first frames change nothing", () => {
    const short = Buffer.concat(bodies.slice(0, 3).map(frameOf));
    for (let first = 0; first <= short.length; first++) {
      for (let second = first; second <= short.length; second++) {
        const chunks = [short.subarray(0, first), short.subarray(first, second), short.subarray(second)];
        expect(collect(new FrameParser(limits, 1_000_000), chunks)).toEqual(expected.slice(0, 3));
      }
    }
  });

  test("SEC6: a whole frame in one chunk is not copied", () => {
    const frame = frameOf(bodyOf(17, 50, false));
    let body = new Uint8Array(0);
    new FrameParser(limits, 1_000_000).push(frame, (_, given) => {
      body = given as Uint8Array<ArrayBuffer>;
      return true;
    });
    expect(body.buffer).toBe(frame.buffer as ArrayBuffer);
  });

  test("SEC6: refuses lengths of zero, one, beyond the maximum and beyond 2^31 by their first four bytes", () => {
    for (const bytes of [
      [0, 0, 0, 0],
      [0, 0, 0, 1],
      [0, 0x0f, 0x42, 0x41],
      [0x80, 0, 0, 0],
      [0xff, 0xff, 0xff, 0xff],
    ]) {
      expect(refusal(bytes).code).toBe("protocol");
    }
  });

  test("SEC6: a length within the maximum but above that of its kind is refused before its body is kept", () => {
    expect(refusal([0, 0, 0, 101, 0x92, 16]).message).toContain("more than 100");
    expect(refusal([0, 0, 0, 101, 0xdc, 0, 16, 16]).message).toContain("more than 100");
  });

  test("SEC6: refuses unknown kinds, bodies that are no array, and bodies too short for a kind", () => {
    expect(refusal([0, 0, 0, 5, 0x92, 99]).message).toContain("kind 99");
    expect(refusal([0, 0, 0, 5, 0x92, 0xd0]).message).toContain("not accepted");
    for (const first of [0x00, 0x80, 0x90, 0xa1, 0xc0, 0xc7, 0xdd, 0xde, 0xff]) {
      expect(refusal([0, 0, 0, 5, first]).message).toContain("not an array");
    }
    expect(refusal([0, 0, 0, 3, 0xdc, 0, 0]).message).toContain("too short");
  });

  test("SEC6: other protocols are refused by their first bytes", () => {
    for (const greeting of ["GET / HTTP/1.1\r\n", "SSH-2.0-x", "\x16\x03\x01\x02\x00\x01"]) {
      expect(refusal([...Buffer.from(greeting, "latin1")]).code).toBe("protocol");
    }
  });

  test("SEC6: memory grows with the bytes that came, not with the declared length", () => {
    const parser = new FrameParser(limits, 1_000_000);
    parser.push(Uint8Array.of(0, 0x0f, 0x42, 0x40, 0x92, 18), () => true);
    expect(parser.heldBytes).toBeLessThanOrEqual(16_384);
    parser.push(new Uint8Array(20_000), () => true);
    expect(parser.heldBytes).toBeLessThanOrEqual(2 * 20_006);
    expect(parser.midFrame).toBe(true);
    parser.push(new Uint8Array(1_000_000 - 20_002), () => true);
    expect(parser.midFrame).toBe(false);
    expect(parser.heldBytes).toBe(0);
  });

  test("takes nothing more once its reader says so, also within one chunk", () => {
    const parser = new FrameParser(limits, 1_000_000);
    let frames = 0;
    parser.push(stream, () => ++frames < 2);
    parser.push(stream, () => ++frames < 99);
    expect(frames).toBe(2);
  });
});
