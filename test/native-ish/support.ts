/** Deterministic keys and small filters for the tests of the filter. */
import { RotatingBloomFilter, type RotatingOptions } from "../../native-ish/bloom.ts";

/** Fills arrays with the words of a small generator with a fixed seed (sfc32): the same ones in each run. */
export function wordFiller(seed: number): (words: Uint32Array) => void {
  const state = Int32Array.of(seed, 0x9e3779b9, 0x243f6a88, 1);
  const fill = (words: Uint32Array) => {
    // In locals, because the accuracy tests draw some 10^9 words.
    let a = state[0]!;
    let b = state[1]!;
    let c = state[2]!;
    let counter = state[3]!;
    for (let i = 0; i < words.length; i++) {
      const sum = (((a + b) | 0) + counter) | 0;
      counter = (counter + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (((c << 21) | (c >>> 11)) + sum) | 0;
      words[i] = sum;
    }
    state.set([a, b, c, counter]);
  };
  fill(new Uint32Array(12));
  return fill;
}

/** The same generator, one word a call. */
export function randomWords(seed: number): () => number {
  const fill = wordFiller(seed);
  const one = new Uint32Array(1);
  return () => {
    fill(one);
    return one[0]!;
  };
}

export function randomPairs(seed: number, keys: number): Uint32Array<ArrayBuffer> {
  const pairs = new Uint32Array(keys * 2);
  wordFiller(seed)(pairs);
  return pairs;
}

export function ring(options: Partial<RotatingOptions> = {}): RotatingBloomFilter {
  return new RotatingBloomFilter({
    blocks: 64,
    k: 6,
    seed: 7,
    generationsMax: 3,
    capacity: 1000,
    openGenerationId: 1,
    ...options,
  });
}

/** The keys that a filter calls "not seen"; a key that was added must not be among them. */
export function unseen(filter: { hasMany(pairs: Uint32Array, out: Uint8Array): number }, pairs: Uint32Array): number {
  return filter.hasMany(pairs, new Uint8Array(pairs.length / 2));
}
