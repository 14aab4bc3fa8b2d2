/**
 * How fast the seen-set is: `bun bench/bloom.ts [--json FILE]`. One process, one run, so that the figures compare.
 *
 * H is the hash alone, text to pair. "Filter" is `testAndAddMany` alone, which comes on top of it: new keys in batches of
 * 2,048, into a filter that goes from empty to full (0.2 MB) or from half full on (20 MB). The peers get the same
 * strings, capacity and rate, one key a call, test then add, because that is the interface they have. Prints each bar
 * with its figure.
 */
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { BloomFilter, estimateParameters, RotatingBloomFilter } from "../native-ish/bloom.ts";
import { type KeyHash, KeyTag, loadKeyHash } from "../native-ish/key-hash.ts";

const BATCH_KEYS = 2048;
const SAMPLES = 15;
const SMALL_KEYS = 100_000;
const LARGE_KEYS = 10_000_000;
const LARGE_SAMPLE_KEYS = 2 ** 17;
const RATE = 1e-3;

interface Figure {
  readonly name: string;
  readonly unit: "ns a key";
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly samples: readonly number[];
}

interface StringFilter {
  /** True when the key may have been there; it is there afterwards. */
  testAndAdd(key: string): boolean;
}

interface Contender {
  readonly name: string;
  /** Slow ones get fewer keys. */
  readonly keys: number;
  readonly make: () => StringFilter;
}

const require = createRequire(import.meta.url);
/** Plain, because the peers hash the text alone too. */
const hash = await loadKeyHash(1);
const prefixedHash = hash.withPrefix(KeyTag.taskId, "1");
const small = estimateParameters({ capacity: SMALL_KEYS, falsePositiveRate: RATE, seed: 1 });
const large = estimateParameters({ capacity: LARGE_KEYS, falsePositiveRate: RATE, seed: 1 });
let nextKey = 0;

/** 21 characters, the shape of a delivery key. */
const deliveryKey = () => `payments-eu:${nextKey & 63}:${1_000_000 + (nextKey++ >>> 6)}`;
/** 36 characters, the usual task id. */
const uuid = () => crypto.randomUUID();

function newKeys(count: number, make: () => string = deliveryKey): string[] {
  const keys = Array.from({ length: count }, make);
  // A string just made from pieces is put together when it is first read: not in anybody's measured time.
  hash.hashMany(keys);
  return keys;
}

function nanosecondsAKey(keys: number, run: () => void): number {
  const startedAt = Bun.nanoseconds();
  run();
  return (Bun.nanoseconds() - startedAt) / keys;
}

function figure(name: string, samples: readonly number[]): Figure {
  const sorted = [...samples].sort((left, right) => left - right);
  const median = sorted[sorted.length >> 1] ?? Number.NaN;
  return { name, unit: "ns a key", median, min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN, samples };
}

const pairs = new Uint32Array(BATCH_KEYS * 2);
const seenOut = new Uint8Array(BATCH_KEYS);

function hashBatch(keyHash: KeyHash, keys: readonly string[], first: number): Uint32Array {
  const count = Math.min(BATCH_KEYS, keys.length - first);
  for (let i = 0; i < count; i++) keyHash.hashInto(keys[first + i] ?? "", pairs, i);
  return pairs.subarray(0, count * 2);
}

function timeHash(keyHash: KeyHash, keys: readonly string[]): number {
  return nanosecondsAKey(keys.length, () => {
    for (let first = 0; first < keys.length; first += BATCH_KEYS) hashBatch(keyHash, keys, first);
  });
}

function timeFilter(keys: readonly string[], filter: BloomFilter | RotatingBloomFilter): number {
  const hashed = hash.hashMany(keys);
  return nanosecondsAKey(keys.length, () => {
    for (let word = 0; word < hashed.length; word += BATCH_KEYS * 2) {
      filter.testAndAddMany(hashed.subarray(word, word + BATCH_KEYS * 2), seenOut);
    }
  });
}

/** Random pairs: what a filter holds does not matter for its speed, only how much. */
function prefill(filter: { addMany(pairs: Uint32Array): unknown }, keys: number): void {
  const random = new Uint32Array(2 ** 14);
  for (let done = 0; done < keys; done += random.length / 2) {
    crypto.getRandomValues(random);
    filter.addMany(random);
  }
}

/** Hash and filters by turns, so that a slow moment of the machine meets all of them. */
function measureFilters(): Figure[] {
  const smallFilter = new BloomFilter(small);
  const largeFilter = new BloomFilter(large);
  prefill(largeFilter, LARGE_KEYS / 2);
  const ring = new RotatingBloomFilter({ ...small, generationsMax: 4, openGenerationId: 1 });
  for (const id of [2, 3, 4]) {
    prefill(ring, SMALL_KEYS);
    ring.rotate(id);
  }
  const hashOnly = { plain: [] as number[], prefixed: [] as number[] };
  const filters = { small: [] as number[], large: [] as number[], ring: [] as number[] };
  for (let sample = -3; sample < SAMPLES; sample++) {
    const keys = newKeys(SMALL_KEYS);
    const largeKeys = newKeys(LARGE_SAMPLE_KEYS);
    smallFilter.clear();
    const openRing = ring.copy();
    const plain = timeHash(hash, keys);
    const prefixed = timeHash(prefixedHash, keys);
    const ofSmall = timeFilter(keys, smallFilter);
    const ofLarge = timeFilter(largeKeys, largeFilter);
    const ofRing = timeFilter(keys, openRing);
    // The first rounds only warm the compiler up.
    if (sample < 0) continue;
    hashOnly.plain.push(plain);
    hashOnly.prefixed.push(prefixed);
    filters.small.push(ofSmall);
    filters.large.push(ofLarge);
    filters.ring.push(ofRing);
  }
  return [
    figure("hash only (H)", hashOnly.plain),
    figure("hash only, with a prefix", hashOnly.prefixed),
    figure("filter, 0.2 MB", filters.small),
    figure("filter, 20 MB", filters.large),
    figure("ring of 4 x 0.2 MB", filters.ring),
  ];
}

function contenders(): Contender[] {
  const { BloomFilter: ByBits } = require("bloomfilter") as {
    BloomFilter: new (bits: number, k: number) => { test(key: string): boolean; add(key: string): void };
  };
  const Mnemonist = require("mnemonist/bloom-filter") as new (options: { capacity: number; errorRate: number }) => {
    test(key: string): boolean;
    add(key: string): void;
  };
  const { BloomFilter: Classic } = require("bloom-filters") as {
    BloomFilter: { create(keys: number, rate: number): { has(key: string): boolean; add(key: string): void } };
  };
  const testThenAdd = (filter: { test(key: string): boolean; add(key: string): void }): StringFilter => ({
    testAndAdd(key) {
      if (filter.test(key)) return true;
      filter.add(key);
      return false;
    },
  });
  // The textbook's size and k for this filter, which knows no capacity.
  const bits = Math.ceil((-SMALL_KEYS * Math.log(RATE)) / Math.LN2 ** 2);
  return [
    { name: "bloomfilter 1.1.0", keys: SMALL_KEYS, make: () => testThenAdd(new ByBits(bits, 10)) },
    {
      name: "mnemonist 0.40.8",
      keys: SMALL_KEYS / 2,
      make: () => testThenAdd(new Mnemonist({ capacity: SMALL_KEYS, errorRate: RATE })),
    },
    {
      name: "bloom-filters 3.0.4",
      keys: SMALL_KEYS / 10,
      make: () => {
        const filter = Classic.create(SMALL_KEYS, RATE);
        return testThenAdd({ test: (key) => filter.has(key), add: (key) => filter.add(key) });
      },
    },
  ];
}

/** Ours and the peers by turns, strings in and booleans out. */
function measurePeers(kind: string, make: () => string): Figure[] {
  const ours = new BloomFilter(small);
  const oursSamples: number[] = [];
  const peers = contenders().map((contender) => ({ ...contender, samples: [] as number[] }));
  for (let sample = -2; sample < SAMPLES; sample++) {
    const keys = newKeys(SMALL_KEYS, make);
    ours.clear();
    const seen: boolean[] = [];
    const own = nanosecondsAKey(keys.length, () => {
      for (let first = 0; first < keys.length; first += BATCH_KEYS) {
        const batch = hashBatch(hash, keys, first);
        ours.testAndAddMany(batch, seenOut);
        for (let i = 0; i < batch.length / 2; i++) seen.push(seenOut[i] !== 0);
      }
    });
    if (sample >= 0) oursSamples.push(own);
    for (const peer of peers) {
      const filter = peer.make();
      const answers: boolean[] = [];
      const time = nanosecondsAKey(peer.keys, () => {
        for (let i = 0; i < peer.keys; i++) answers.push(filter.testAndAdd(keys[i] ?? ""));
      });
      if (sample >= 0) peer.samples.push(time);
    }
  }
  return [
    figure(`ours, ${kind}`, oursSamples),
    ...peers.map(({ name, samples }) => figure(`${name}, ${kind}`, samples)),
  ];
}

/** Heap growth over two million keys, garbage included: an object a key would show as 16 bytes or more. */
function heapBytesAKey(): number {
  const filter = new BloomFilter(small);
  const keys = 2 ** 21;
  const batch = new Uint32Array(BATCH_KEYS * 2);
  crypto.getRandomValues(batch);
  filter.testAndAddMany(batch, seenOut);
  Bun.gc(true);
  const before = process.memoryUsage().heapUsed;
  for (let done = 0; done < keys; done += BATCH_KEYS) filter.testAndAddMany(batch, seenOut);
  return Math.max(0, process.memoryUsage().heapUsed - before) / keys;
}

function atMost(bar: string, value: number | undefined, limit: number): { bar: string; value: number; holds: boolean } {
  return { bar, value: value ?? Number.NaN, holds: value !== undefined && value <= limit };
}

const { values } = parseArgs({ options: { json: { type: "string" } } });
const filterFigures = measureFilters();
const peerFigures = [measurePeers("delivery keys", deliveryKey), measurePeers("UUIDs", uuid)];
const figures = [...filterFigures, ...peerFigures.flat()];
const [, , smallFigure, largeFigure] = filterFigures;
const heap = heapBytesAKey();
const bars = [
  atMost("filter at 0.2 MB, beyond H: at most 15 ns", smallFigure?.median, 15),
  atMost("filter at 20 MB, beyond H: at most 40 ns", largeFigure?.median, 40),
  ...peerFigures.flatMap((group) => {
    const [ours, ...peers] = group.map(({ median }) => median);
    const kind = group[0]?.name.slice("ours, ".length);
    return (["bloomfilter", "mnemonist", "bloom-filters"] as const).map((name, index) => {
      const times = (peers[index] ?? Number.NaN) / (ours ?? Number.NaN);
      const wanted = { bloomfilter: 3, mnemonist: 8, "bloom-filters": 50 }[name];
      return { bar: `at least ${wanted} times ${name}, ${kind}`, value: times, holds: times >= wanted };
    });
  }),
  atMost("heap bytes a key: at most 1", heap, 1),
];
const [processor] = cpus();
const report = {
  machine: {
    processor: processor?.model ?? "unknown",
    cores: cpus().length,
    bun: Bun.version,
    platform: process.platform,
  },
  configuration: { samples: SAMPLES, batchKeys: BATCH_KEYS, falsePositiveRate: RATE, small, large },
  figures,
  bars,
};

console.log(`${report.machine.processor}, ${report.machine.cores} cores, Bun ${Bun.version}`);
console.log(`p = ${RATE}, k = ${small.k}, batches of ${BATCH_KEYS}, ${SAMPLES} samples: median (min to max), ns a key`);
for (const { name, median, min, max } of figures) {
  console.log(`  ${name.padEnd(36)}${median.toFixed(1).padStart(8)}  (${min.toFixed(1)} to ${max.toFixed(1)})`);
}
for (const { bar, value, holds } of bars) {
  console.log(`  ${holds ? "holds " : "MISSED"}  ${bar}: ${value.toFixed(value < 1 ? 3 : 1)}`);
}
if (values.json !== undefined) await Bun.write(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
