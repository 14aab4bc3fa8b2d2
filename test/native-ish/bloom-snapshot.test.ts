import { describe, expect, test } from "bun:test";
import {
  BloomError,
  BloomFilter,
  BloomMalformedError,
  RotatingBloomFilter,
  Seen,
  snapshotBytes,
} from "../../native-ish/bloom.ts";
import { crc32 } from "../../native-ish/crc32.ts";
import { randomPairs, ring, unseen } from "./support.ts";

/** Three generations; of 130 blocks: two whole segments and a short one each. */
function filled(blocks = 130): RotatingBloomFilter {
  const filter = ring({ blocks, windowMs: 5000, openedAtMs: 3 });
  for (const id of [4, 9]) {
    filter.addMany(randomPairs(id, 50));
    filter.rotate(id, id * 100);
  }
  filter.addMany(randomPairs(1, 50));
  return filter;
}

function allSeen(filter: RotatingBloomFilter): boolean {
  return [4, 9, 1].every((seed) => unseen(filter, randomPairs(seed, 50)) === 0);
}

describe("snapshot", () => {
  test("brings everything back: parameters, generations, counters, sequence, bits", () => {
    const filter = filled();
    const bytes = filter.snapshot();
    expect(bytes).toHaveLength(snapshotBytes(130, 3));
    const { filter: copy, unknownSegments, totalMatches } = RotatingBloomFilter.restore(bytes, filter.parameters);
    expect(copy.equals(filter)).toBe(true);
    expect(copy.stats()).toEqual(filter.stats());
    expect(copy.generations).toEqual(filter.generations);
    expect([copy.sequence, copy.capacity, copy.windowMs]).toEqual([filter.sequence, filter.capacity, 5000]);
    expect(unknownSegments).toEqual([]);
    expect(totalMatches).toBe(true);
    // Bytes from the middle of a file are not aligned to words.
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(RotatingBloomFilter.restore(shifted.subarray(1)).filter.equals(filter)).toBe(true);
  });

  test("golden vector: one key in one block", () => {
    const zeros = (words: number) => "00000000".repeat(words);
    const filter = new BloomFilter({ blocks: 1, k: 3, seed: 5, capacity: 10 });
    filter.add(0x01020304, 0x05060708);
    expect(Array.from(filter.words, (word) => word.toString(16))).toEqual([
      "400",
      "0",
      "0",
      "0",
      "0",
      "0",
      "0",
      "0",
      "0",
      "20",
      "0",
      "0",
      "0",
      "0",
      "4000000",
      "0",
    ]);
    expect(filter.snapshot().toHex()).toBe(
      [
        // magic, version, header bytes, blocks, k, seed, generations, generationsMax
        "56424c4d01000000540000000100000003000000050000000100000001000000",
        // capacity, windowMs, sequence
        "0a0000000000000000000000000000000100000000000000",
        // generation 0, opened at 0, one insertion; CRC32 of the header
        "000000000000000000000000000000000100000000000000" + "6369098e",
        // the block
        ["00040000", zeros(8), "20000000", zeros(4), "00000004", zeros(1)].join(""),
        // CRC32 of the segment, total
        "67cb0e2f" + "f088e802",
      ].join(""),
    );
  });

  test("any damaged byte is a typed error or an unknown segment, and never a false negative", () => {
    const filter = filled(66);
    const good = filter.snapshot();
    const outcomes = { refused: 0, unknown: 0, trailer: 0 };
    for (let at = 0; at < good.length; at++) {
      const bad = good.slice();
      bad[at]! ^= 0x40;
      try {
        const { filter: copy, unknownSegments, totalMatches } = RotatingBloomFilter.restore(bad, filter.parameters);
        expect(allSeen(copy)).toBe(true);
        if (unknownSegments.length > 0) outcomes.unknown++;
        else outcomes.trailer += totalMatches ? Number.NaN : 1;
      } catch (error) {
        expect(error).toBeInstanceOf(BloomError);
        outcomes.refused++;
      }
    }
    const headerBytes = 56 + 3 * 24 + 4;
    expect(outcomes).toEqual({ refused: headerBytes, unknown: good.length - headerBytes - 4, trailer: 4 });
  }, 20_000);

  test("cut off or too long: refused before anything is allocated", () => {
    const good = filled().snapshot();
    for (let length = 0; length < good.length; length += length < 200 ? 1 : 97) {
      expect(() => RotatingBloomFilter.restore(good.subarray(0, length))).toThrow(BloomMalformedError);
    }
    const long = new Uint8Array(good.length + 1);
    long.set(good);
    expect(() => RotatingBloomFilter.restore(long)).toThrow(BloomMalformedError);
  });

  test("a header that asks for more than the file holds, or for another version, is refused under a right checksum", () => {
    const good = filled().snapshot();
    const headerEnd = 56 + 3 * 24;
    const forge = (at: number, value: number) => {
      const bytes = good.slice();
      const view = new DataView(bytes.buffer);
      view.setUint32(at, value, true);
      view.setUint32(headerEnd, crc32(bytes.subarray(0, headerEnd)), true);
      return bytes;
    };
    expect(RotatingBloomFilter.restore(forge(12, 130)).totalMatches).toBe(true);
    for (const [at, value] of [
      [0, 1],
      [4, 2],
      [8, 60],
      [12, 2 ** 22],
      [12, 2 ** 32 - 1],
      [16, 0],
      [16, 200],
      [20, 2 ** 31],
      [24, 0],
      [24, 2 ** 32 - 1],
      [28, 2],
      [32 + 4, 2 ** 31],
      [56, 100],
    ] as const) {
      expect(() => RotatingBloomFilter.restore(forge(at, value))).toThrow(BloomError);
    }
  });

  test("keys of a damaged segment are called seen until a peer repairs it; keys added meanwhile survive the repair", () => {
    const filter = filled();
    const peer = filter.copy();
    const bytes = filter.snapshot();
    // The first byte of the first segment of the open generation.
    const perGeneration = 130 * 64 + 3 * 4;
    bytes[56 + 3 * 24 + 4 + 2 * perGeneration]! ^= 1;
    const { filter: copy, unknownSegments } = RotatingBloomFilter.restore(bytes);
    expect(unknownSegments).toEqual([{ generationId: 9, index: 0 }]);
    expect(copy.generations.map((generation) => generation.unknownSegments)).toEqual([0, 0, 1]);
    const out = new Uint8Array(1);
    // The high half 0 is block 0, the highest one the last block.
    expect(copy.testAndAddMany(Uint32Array.of(0, 77), out)).toBe(0);
    expect(out[0]).toBe(Seen.unknown);
    expect(copy.hasMany(Uint32Array.of(0xffffffff, 77), out)).toBe(1);
    expect(copy.equals(copy.copy())).toBe(false);

    const again = RotatingBloomFilter.restore(copy.snapshot());
    expect(again.unknownSegments).toEqual(unknownSegments);

    // A peer that does not know it either cannot repair it.
    copy.applySegments(again.filter.segments([{ generationId: 9, indexes: Uint32Array.of(0) }]));
    expect(copy.has(0, 99)).toBe(true);
    copy.applySegments(peer.segments(copy.missingFrom(peer.digests())));
    expect(copy.has(0, 99)).toBe(false);
    expect(copy.has(0, 77)).toBe(true);
    expect(allSeen(copy)).toBe(true);
    again.filter.union(peer);
    expect(again.filter.has(0, 99)).toBe(false);
    expect(again.filter.has(0, 77)).toBe(true);
  });

  test("an undamaged empty segment of a peer repairs ours, although both have no bit", () => {
    const peer = ring({ blocks: 130 });
    const bytes = peer.snapshot();
    bytes[56 + 24 + 4]! ^= 1;
    const { filter } = RotatingBloomFilter.restore(bytes);
    expect(filter.has(0, 1)).toBe(true);
    filter.applySegments(peer.segments(filter.missingFrom(peer.digests())));
    expect(filter.has(0, 1)).toBe(false);
    expect(filter.equals(peer)).toBe(true);
  });

  test("taken in pieces while keys come and generations go, it has every key up to its sequence number", () => {
    const filter = ring({ blocks: 40_000, generationsMax: 2, deltaLogPairsMax: 50_000 });
    filter.addMany(randomPairs(1, 5000));
    filter.rotate(2);
    filter.addMany(randomPairs(2, 5000));
    const { sequence } = filter;
    const chunks: Uint8Array[] = [];
    for (const chunk of filter.snapshotChunks()) {
      chunks.push(chunk);
      filter.addMany(randomPairs(100 + chunks.length, 500));
      if (chunks.length === 3) filter.rotate(3);
    }
    expect(chunks.length).toBeGreaterThan(10);
    const { filter: copy, totalMatches } = RotatingBloomFilter.restore(new Uint8Array(Buffer.concat(chunks)));
    expect(totalMatches).toBe(true);
    expect(copy.sequence).toBe(sequence);
    expect(unseen(copy, randomPairs(1, 5000)) + unseen(copy, randomPairs(2, 5000))).toBe(0);
    expect(copy.applyDelta(filter.deltaSince(sequence)!)).toBe("applied");
    expect(copy.equals(filter)).toBe(true);
  });
});
