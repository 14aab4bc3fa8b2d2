import { expect, test } from "bun:test";
import { crc32 } from "../../native-ish/crc32.ts";
import { randomPairs } from "./support.ts";

test("crc32 is the one of zlib, for every length and alignment, in one piece or several", () => {
  expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
  const bytes = new Uint8Array(randomPairs(1, 16).buffer);
  for (let first = 0; first < 4; first++) {
    for (let end = first; end <= bytes.length; end++) {
      const piece = bytes.subarray(first, end);
      expect(crc32(piece)).toBe(Bun.hash.crc32(piece));
      const middle = first + Math.floor((end - first) / 3);
      expect(crc32(bytes.subarray(middle, end), crc32(bytes.subarray(first, middle)))).toBe(crc32(piece));
    }
  }
});
