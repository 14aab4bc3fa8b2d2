/** Deterministic keys and small filters for the tests of the filter. */
import { RotatingBloomFilter, type RotatingOptions } from "../../native-ish/bloom.ts";

/** A small generator with a fixed seed (sfc32): the same keys in each run. */
export function randomWords(seed: number): () => number {
  let [a, b, c, counter] = [seed | 0, 0x9e3779b9 | 0, 0x243f6a88, 1];
  const next = () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    c |= 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 12; i++) next();
  return next;
}

export function randomPairs(seed: number, keys: number): Uint32Array<ArrayBuffer> {
  const next = randomWords(seed);
  const pairs = new Uint32Array(keys * 2);
  for (let i = 0; i < pairs.length; i++) pairs[i] = next();
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
