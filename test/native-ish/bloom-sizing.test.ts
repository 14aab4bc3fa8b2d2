import { describe, expect, test } from "bun:test";
import {
  blockedFalsePositiveRate,
  BloomParameterError,
  estimateParameters,
  estimateRotatingParameters,
  expectedFalsePositiveRate,
} from "../../native-ish/bloom.ts";
import { randomWords } from "./support.ts";

describe("sizing", () => {
  test("costs what the design's table says, within 2 % of the bits and one probe", () => {
    const table = [
      [1e-2, 10.09, 6],
      [1e-3, 15.63, 9],
      [1e-4, 22.17, 11],
      [1e-5, 29.71, 14],
      [1e-6, 39.01, 15],
    ] as const;
    for (const [falsePositiveRate, bitsPerKey, k] of table) {
      const estimated = estimateParameters({ capacity: 2 ** 20, falsePositiveRate, seed: 1 });
      expect(Math.abs(estimated.bitsPerKey / bitsPerKey - 1)).toBeLessThan(0.02);
      expect(Math.abs(estimated.k - k)).toBeLessThanOrEqual(1);
      expect(estimated.expectedFalsePositiveRate).toBeLessThanOrEqual(falsePositiveRate);
      expect(estimated.expectedFalsePositiveRate).toBeGreaterThan(falsePositiveRate * 0.99);
    }
  });

  test("the textbook size would miss p = 1e-3 by more than half", () => {
    const textbook = -Math.log(1e-3) / Math.LN2 ** 2;
    expect(blockedFalsePositiveRate(textbook, 10)).toBeGreaterThan(1.5e-3);
  });

  test("the formula is what throwing keys at one block measures", () => {
    const next = randomWords(5);
    const [k, meanKeys, trials] = [4, 60, 20_000];
    let hits = 0;
    for (let trial = 0; trial < trials; trial++) {
      // Poisson by the gaps between arrivals: it shares nothing with the formula under test.
      let keys = 0;
      for (let time = 0; ; keys++) {
        time -= Math.log((next() + 1) / 2 ** 32);
        if (time > meanKeys) break;
      }
      const block = new Uint8Array(512);
      for (let thrown = 0; thrown < keys * k; thrown++) block[next() >>> 23] = 1;
      hits += (block.reduce((sum, bit) => sum + bit, 0) / 512) ** k;
    }
    const ratio = hits / trials / blockedFalsePositiveRate(512 / meanKeys, k);
    expect(Math.abs(ratio - 1)).toBeLessThan(0.02);
  });

  test("an empty filter is never wrong, a drowned one always", () => {
    expect(expectedFalsePositiveRate({ blocks: 10, k: 6, seed: 0 }, 0)).toBe(0);
    expect(expectedFalsePositiveRate({ blocks: 10, k: 6, seed: 0 }, 1e9)).toBe(1);
    expect(expectedFalsePositiveRate({ blocks: 10, k: 6, seed: 0 }, 10_000)).toBeGreaterThan(0.99);
  });

  test("a ring of 4 at P = 1e-3 costs about 3.2 bytes for each key of its window", () => {
    const windowTasks = 3_000_000;
    const estimated = estimateRotatingParameters({ windowTasks, falsePositiveRate: 1e-3, generationsMax: 4, seed: 1 });
    expect(estimated.capacity).toBe(1_000_000);
    expect(estimated.expectedFalsePositiveRate).toBeLessThanOrEqual(2.5e-4);
    expect((estimated.blocks * 64 * 4) / windowTasks).toBeCloseTo(3.2, 1);
  });

  test("refuses what it cannot size", () => {
    const good = { capacity: 1000, falsePositiveRate: 1e-3, seed: 1 };
    for (const bad of [
      { ...good, capacity: 0 },
      { ...good, capacity: 1.5 },
      { ...good, capacity: 2 ** 31 },
      { ...good, falsePositiveRate: 0 },
      { ...good, falsePositiveRate: Number.NaN },
      { ...good, falsePositiveRate: 0.6 },
      { ...good, seed: -1 },
    ]) {
      expect(() => estimateParameters(bad)).toThrow(BloomParameterError);
    }
    const ringOfOne = { windowTasks: 10, falsePositiveRate: 1e-3, generationsMax: 1, seed: 1 };
    expect(() => estimateRotatingParameters(ringOfOne)).toThrow(BloomParameterError);
  });
});
