import { describe, expect, test } from "bun:test";
import {
  BloomFilter,
  BloomGenerationError,
  BloomIncompatibleError,
  BloomParameterError,
  estimateParameters,
  RotatingBloomFilter,
  Seen,
} from "../../native-ish/bloom.ts";
import { randomPairs, ring, unseen } from "./support.ts";

const parameters = estimateParameters({ capacity: 10_000, falsePositiveRate: 1e-3, seed: 1 });

describe("BloomFilter", () => {
  test("what was added is seen, and a second insertion changes nothing", () => {
    const filter = new BloomFilter(parameters);
    const pairs = randomPairs(1, 10_000);
    expect(unseen(filter, pairs)).toBe(10_000);
    const added = filter.addMany(pairs);
    expect(added).toBeGreaterThan(9_950);
    expect(unseen(filter, pairs)).toBe(0);
    expect(filter.addMany(pairs)).toBe(0);
    expect(filter.sequence).toBe(added);
  });

  test("testAndAddMany reports a repetition inside the batch as seen, also inside one group", () => {
    const filter = new BloomFilter(parameters);
    const pairs = Uint32Array.of(5, 6, 7, 8, 5, 6, 7, 8);
    const out = new Uint8Array(6).fill(99);
    expect(filter.testAndAddMany(pairs, out)).toBe(2);
    expect([...out]).toEqual([0, 0, 1, 1, 99, 99]);
  });

  test("batch sizes around the group size give the answers of single keys", () => {
    for (const keys of [0, 1, 31, 32, 33, 64, 65]) {
      const batch = new BloomFilter({ blocks: 2, k: 4, seed: 1 });
      const single = new BloomFilter({ blocks: 2, k: 4, seed: 1 });
      const pairs = randomPairs(keys, keys);
      const out = new Uint8Array(keys);
      const fresh = batch.testAndAddMany(pairs, out);
      const answers = Array.from({ length: keys }, (_, i) => single.testAndAdd(pairs[i * 2]!, pairs[i * 2 + 1]!));
      expect(Array.from(out, (seen) => seen !== 0)).toEqual(answers);
      expect(fresh).toBe(answers.filter((seen) => !seen).length);
      expect(batch.equals(single)).toBe(true);
      expect(batch.stats()).toEqual(single.stats());
    }
  });

  test("single keys: add says whether it changed the filter, has and testAndAdd whether it may be there", () => {
    const filter = new BloomFilter(parameters);
    expect(filter.has(1, 2)).toBe(false);
    expect(filter.add(1, 2)).toBe(true);
    expect(filter.add(1, 2)).toBe(false);
    expect(filter.has(1, 2)).toBe(true);
    expect(filter.testAndAdd(3, 4)).toBe(false);
    expect(filter.testAndAdd(3, 4)).toBe(true);
  });

  test("the highest hash stays inside the words, for any number of blocks", () => {
    for (const blocks of [1, 3, 64, 1000, 65_537]) {
      const filter = new BloomFilter({ blocks, k: 3, seed: 1 });
      filter.add(0xffffffff, 0xffffffff);
      expect(filter.words.subarray(-16).some((word) => word !== 0)).toBe(true);
      expect(filter.has(0xffffffff, 0xffffffff)).toBe(true);
    }
  });

  test("counters follow the bits", () => {
    const filter = new BloomFilter(parameters);
    filter.addMany(randomPairs(3, 10_000));
    const stats = filter.stats();
    const bits = filter.words.reduce((sum, word) => sum + word.toString(2).replaceAll("0", "").length, 0);
    expect(stats.setBits).toBe(bits);
    expect(stats.fill).toBe(bits / (parameters.blocks * 512));
    expect(Math.abs(stats.approximateKeys / 10_000 - 1)).toBeLessThan(0.02);
    expect(Math.abs(stats.falsePositiveRate / 1e-3 - 1)).toBeLessThan(0.1);
  });

  test("union holds both, copy is independent, clear forgets", () => {
    const left = new BloomFilter(parameters);
    const right = new BloomFilter(parameters);
    left.addMany(randomPairs(1, 500));
    right.addMany(randomPairs(2, 500));
    const before = left.copy();
    expect(before.equals(left)).toBe(true);
    left.union(right);
    expect(unseen(left, randomPairs(1, 500))).toBe(0);
    expect(unseen(left, randomPairs(2, 500))).toBe(0);
    const { setBits, insertions } = left.stats();
    expect(insertions).toBeGreaterThan(980);
    const bits = left.words.reduce((sum, word) => sum + word.toString(2).replaceAll("0", "").length, 0);
    expect(setBits).toBe(bits);
    expect(before.equals(left)).toBe(false);
    expect(unseen(before, randomPairs(2, 500))).toBeGreaterThan(490);
    left.clear();
    expect(unseen(left, randomPairs(1, 500))).toBe(500);
    expect(left.stats().setBits).toBe(0);
  });

  test("filters of another geometry, k or seed do not mix, and nothing changes", () => {
    const filter = new BloomFilter({ blocks: 8, k: 5, seed: 1 });
    for (const other of [
      { blocks: 9, k: 5, seed: 1 },
      { blocks: 8, k: 6, seed: 1 },
      { blocks: 8, k: 5, seed: 2 },
    ]) {
      const foreign = new BloomFilter({ ...other, deltaLogPairsMax: 10 });
      foreign.add(1, 2);
      expect(filter.isCompatible(foreign)).toBe(false);
      expect(() => filter.union(foreign)).toThrow(BloomIncompatibleError);
      expect(() => filter.applyDelta(foreign.deltaSince(0)!)).toThrow(BloomIncompatibleError);
      expect(() => BloomFilter.restore(foreign.snapshot(), filter.parameters)).toThrow(BloomIncompatibleError);
    }
    expect(filter.stats().setBits).toBe(0);
  });

  test("parameters and batches outside their limits are refused", () => {
    for (const bad of [
      { blocks: 0, k: 5, seed: 1 },
      { blocks: 2 ** 22 + 1, k: 5, seed: 1 },
      { blocks: 8, k: 21, seed: 1 },
      { blocks: 8, k: 5, seed: 2 ** 31 },
      { blocks: 8.5, k: 5, seed: 1 },
    ]) {
      expect(() => new BloomFilter(bad)).toThrow(BloomParameterError);
    }
    const filter = new BloomFilter({ blocks: 8, k: 5, seed: 1 });
    expect(() => filter.addMany(new Uint32Array(3))).toThrow(RangeError);
    expect(() => filter.testAndAddMany(new Uint32Array(4), new Uint8Array(1))).toThrow(RangeError);
  });

  test("a single filter takes no snapshot and no delta of a ring that rotated", () => {
    const rotated = ring({ generationsMax: 2, deltaLogPairsMax: 10 });
    rotated.rotate(2);
    rotated.add(1, 1);
    const filter = new BloomFilter(rotated.parameters);
    expect(() => filter.applyDelta(rotated.deltaSince(0)!)).toThrow(BloomGenerationError);
    expect(() => BloomFilter.restore(rotated.snapshot())).toThrow(BloomGenerationError);
    expect(filter.stats().setBits).toBe(0);
  });
});

describe("RotatingBloomFilter", () => {
  test("looks in all generations, inserts into the open one, and says which knew the key", () => {
    const filter = ring();
    const [old, young] = [randomPairs(1, 50), randomPairs(2, 50)];
    filter.addMany(old);
    filter.rotate(2);
    filter.addMany(young);
    const out = new Uint8Array(50);
    expect(filter.hasMany(old, out)).toBe(0);
    expect([...out].every((seen) => (seen & Seen.older) !== 0)).toBe(true);
    expect(filter.hasMany(young, out)).toBe(0);
    expect([...out].every((seen) => (seen & Seen.open) !== 0)).toBe(true);
  });

  test("a key that only an older generation knows is inserted too, so that it lives as long as its neighbours", () => {
    const filter = ring({ generationsMax: 2 });
    const pairs = randomPairs(1, 40);
    filter.addMany(pairs);
    filter.rotate(2);
    const out = new Uint8Array(40);
    expect(filter.testAndAddMany(pairs, out)).toBe(0);
    expect([...out].every((seen) => seen === Seen.older)).toBe(true);
    filter.rotate(3);
    expect(unseen(filter, pairs)).toBe(0);
  });

  test("S2: the open generation alone is tested for the union of verdicts", () => {
    const filter = ring();
    const pairs = randomPairs(1, 40);
    filter.addMany(pairs);
    filter.rotate(2);
    const out = new Uint8Array(40);
    expect(filter.testAndAddOpenMany(pairs, out)).toBe(40);
    expect([...out].every((seen) => seen === 0)).toBe(true);
    expect(filter.testAndAddOpenMany(pairs, out)).toBe(0);
    expect([...out].every((seen) => seen === Seen.open)).toBe(true);
  });

  test("R18: a key survives G - 1 rotations, then it leaves the window, and the metric says so", () => {
    const filter = ring({ generationsMax: 3 });
    const pairs = randomPairs(1, 40);
    filter.addMany(pairs);
    filter.rotate(5);
    filter.rotate(9);
    expect(unseen(filter, pairs)).toBe(0);
    expect(filter.window.retiredGenerations).toBe(0);
    const retired = filter.rotate(10);
    expect(retired).toMatchObject({ id: 1, insertions: 40 });
    expect(unseen(filter, pairs)).toBe(40);
    expect(filter.generations.map((generation) => generation.id)).toEqual([5, 9, 10]);
    expect(filter.window).toMatchObject({
      oldestGenerationId: 5,
      openGenerationId: 10,
      guaranteedTasks: 2000,
      retiredGenerations: 1,
      retiredInsertions: 40,
    });
  });

  test("rotating twice to the same id does nothing; backwards is an error", () => {
    const filter = ring();
    filter.add(1, 2);
    filter.rotate(4);
    filter.rotate(4);
    expect(filter.generations.map((generation) => generation.id)).toEqual([1, 4]);
    expect(() => filter.rotate(3)).toThrow(BloomGenerationError);
    expect(() => filter.rotate(4.5)).toThrow(BloomParameterError);
  });

  test("rotation is due by capacity first, then by age, and retiring inside the declared time is counted", () => {
    const filter = ring({ generationsMax: 3, capacity: 100, windowMs: 1000, openedAtMs: 10_000 });
    expect(filter.rotationDue(99_000)).toBeUndefined();
    filter.add(1, 1);
    expect(filter.rotationDue(10_499)).toBeUndefined();
    expect(filter.rotationDue(10_500)).toBe("age");
    filter.addMany(randomPairs(1, 105));
    expect(filter.rotationDue(10_001)).toBe("capacity");
    filter.rotate(2, 10_500);
    filter.rotate(3, 11_000);
    expect(filter.rotate(4, 11_500)).toMatchObject({ id: 1, insideWindow: false });
    expect(filter.rotate(5, 11_600)).toMatchObject({ id: 2, insideWindow: true });
    expect(filter.window.retiredInsideWindow).toBe(1);
  });

  test("union goes by generation id and keeps the newest ones, in either direction", () => {
    const [left, right] = [ring({ generationsMax: 2 }), ring({ generationsMax: 2, openGenerationId: 2 })];
    left.addMany(randomPairs(1, 30));
    left.rotate(2);
    left.addMany(randomPairs(2, 30));
    right.addMany(randomPairs(3, 30));
    right.rotate(3);
    right.addMany(randomPairs(4, 30));
    const other = right.copy();
    other.union(left);
    left.union(right);
    expect(left.equals(other)).toBe(true);
    expect(left.generations.map((generation) => generation.id)).toEqual([2, 3]);
    for (const seed of [2, 3, 4]) expect(unseen(left, randomPairs(seed, 30))).toBe(0);
    expect(unseen(left, randomPairs(1, 30))).toBeGreaterThan(20);
  });

  test("the outlook, which reads no block, agrees with the count of all blocks", () => {
    const filter = new RotatingBloomFilter({ ...parameters, capacity: 10_000, generationsMax: 3, openGenerationId: 1 });
    expect(filter.outlook()).toEqual({ fill: 0, falsePositiveRate: 0 });
    for (const [id, keys] of [10_000, 4_000, 20_000].entries()) {
      if (id > 0) filter.rotate(id + 1);
      filter.addMany(randomPairs(id + 1, keys));
      const stats = filter.stats();
      const counted = stats.reduce((sum, { falsePositiveRate }) => sum + falsePositiveRate, 0);
      const { fill, falsePositiveRate } = filter.outlook();
      expect(fill).toBe(stats.at(-1)!.fill);
      expect(Math.abs(falsePositiveRate / counted - 1)).toBeLessThan(0.1);
    }
    const full = new RotatingBloomFilter({
      blocks: 1,
      k: 3,
      seed: 1,
      capacity: 9,
      generationsMax: 1,
      openGenerationId: 1,
    });
    full.addMany(randomPairs(1, 5_000));
    expect(full.outlook().falsePositiveRate).toBeGreaterThan(0.99);
    expect(full.outlook().falsePositiveRate).toBeLessThanOrEqual(1);
  });

  test("is a ring of at least one and at most 16 generations", () => {
    expect(() => ring({ generationsMax: 0 })).toThrow(BloomParameterError);
    expect(() => ring({ generationsMax: 17 })).toThrow(BloomParameterError);
    expect(new RotatingBloomFilter({ ...parameters, generationsMax: 16, openGenerationId: 0 }).capacity).toBe(10_000);
  });
});
