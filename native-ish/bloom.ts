/**
 * The seen-set: "has this task perhaps been granted before?", a blocked, double-hashed Bloom filter over a
 * `Uint32Array`. Keys are 8-byte pairs, two words each, high half first; `key-hash.ts` makes them.
 *
 * Guarantees: a key that was added is called seen (no false negative), through any union, delta, segment, snapshot and
 * rotation, until its generation is retired. An answer "not seen" is therefore exact, and "seen" is only *maybe*: the
 * caller must treat it as a doubt, never as done.
 * Does not: know time, chance, files or peers; the caller brings clocks and bytes.
 *
 *   pair (high, low) -> block = floor(high * blocks / 2^32); k times: bit = low >>> 23, low *= 0x9e3779b9
 *   bloom-blocks            the bits and the loops over 32 keys
 *   bloom-batches           batches over all generations of a ring
 *   bloom-generations       the ring, `RotatingBloomFilter`; its table of generations beside it
 *   bloom-sync, -delta-log  deltas, digests, segments
 *   bloom-snapshot          bytes, out and in
 *   bloom-sizing            how large, and how wrong
 */
import type { BloomStats } from "./bloom-blocks.ts";
import { BloomGenerationError } from "./bloom-errors.ts";
import { defaultCapacity, type DeltaOutcome, type RestoredFilter, RotatingBloomFilter } from "./bloom-generations.ts";
import type { BloomParameters } from "./bloom-sizing.ts";
import type { GenerationDigest, SegmentBatch, SegmentRequest } from "./bloom-sync.ts";

export { type BloomStats, Seen, SEGMENT_BYTES } from "./bloom-blocks.ts";
export {
  BloomError,
  type BloomErrorCode,
  BloomGenerationError,
  BloomIncompatibleError,
  BloomMalformedError,
  BloomParameterError,
} from "./bloom-errors.ts";
export type { RetiredGeneration, WindowInfo } from "./bloom-generation-table.ts";
export {
  defaultCapacity,
  type DeltaOutcome,
  type GenerationInfo,
  type RestoredFilter,
  RotatingBloomFilter,
  type RotatingOptions,
} from "./bloom-generations.ts";
export {
  BLOCK_BITS,
  BLOCKS_MAX,
  blockedFalsePositiveRate,
  type BloomParameters,
  estimateParameters,
  type EstimatedParameters,
  type EstimateInput,
  estimateRotatingParameters,
  type EstimateRotatingInput,
  type EstimatedRotatingParameters,
  expectedFalsePositiveRate,
  K_MAX,
  SEED_MAX,
} from "./bloom-sizing.ts";
export { snapshotBytes, type UnknownSegment } from "./bloom-snapshot.ts";
export {
  type BloomDelta,
  decodeDelta,
  type DeltaRun,
  differingSegments,
  encodeDelta,
  type GenerationDigest,
  type SegmentBatch,
  type SegmentRequest,
} from "./bloom-sync.ts";

export interface BloomFilterOptions extends BloomParameters {
  /** Keys for which the filter was sized; by default those that set half of its bits. Only statistics use it. */
  readonly capacity?: number;
  /** How many new pairs to remember for `deltaSince`; 0 or absent: none. */
  readonly deltaLogPairsMax?: number;
}

/** The one generation of a filter that does not rotate. */
const ONLY_GENERATION = 0;

/** One filter, for a set that is bounded: a ring of one generation that never rotates. */
export class BloomFilter {
  readonly #ring: RotatingBloomFilter;

  /** @throws BloomParameterError when an option is outside its limits. */
  constructor(options: BloomFilterOptions, ring?: RotatingBloomFilter) {
    const { capacity = defaultCapacity(options) } = options;
    this.#ring =
      ring ?? new RotatingBloomFilter({ ...options, capacity, generationsMax: 1, openGenerationId: ONLY_GENERATION });
  }

  get parameters(): BloomParameters {
    return this.#ring.parameters;
  }

  /** How many insertions changed the filter, as far as this replica knows without a gap. */
  get sequence(): number {
    return this.#ring.sequence;
  }

  /** The bits, 16 words a block; not to be written. */
  get words(): Uint32Array {
    return this.#ring.wordsOf(ONLY_GENERATION);
  }

  /** One key by its two halves; true when it changed the filter. */
  add(high: number, low: number): boolean {
    return this.#ring.add(high, low);
  }

  /** False: certainly not added. True: perhaps. */
  has(high: number, low: number): boolean {
    return this.#ring.has(high, low);
  }

  /** Adds it; true when it may have been there before. */
  testAndAdd(high: number, low: number): boolean {
    return this.#ring.testAndAdd(high, low);
  }

  /** Returns how many keys changed the filter. @throws RangeError for a batch of odd length. */
  addMany(pairs: Uint32Array): number {
    return this.#ring.addMany(pairs);
  }

  /** A byte per key, 0 = not seen; returns how many were not seen. @throws RangeError as `testAndAddMany`. */
  hasMany(pairs: Uint32Array, seenOut: Uint8Array): number {
    return this.#ring.hasMany(pairs, seenOut);
  }

  /**
   * A byte per key, 0 = was not there; returns how many were not. A key that repeats inside the batch is seen the
   * second time.
   * @throws RangeError when `pairs` has odd length or `seenOut` is shorter than the batch.
   */
  testAndAddMany(pairs: Uint32Array, seenOut: Uint8Array): number {
    return this.#ring.testAndAddMany(pairs, seenOut);
  }

  isCompatible(other: BloomFilter): boolean {
    return this.#ring.isCompatible(other.#ring);
  }

  /** @throws BloomIncompatibleError when geometry, k or seed differ; nothing was changed. */
  union(other: BloomFilter): void {
    this.#ring.union(other.#ring);
  }

  /** As `RotatingBloomFilter.deltaSince`. */
  deltaSince(sequence: number): Uint8Array<ArrayBuffer> | undefined {
    return this.#ring.deltaSince(sequence);
  }

  /** As `RotatingBloomFilter.applyDelta`; a delta of a ring that has rotated is a BloomGenerationError. */
  applyDelta(bytes: Uint8Array): DeltaOutcome {
    return this.#ring.applyDelta(bytes, true);
  }

  digests(): GenerationDigest[] {
    return this.#ring.digests();
  }

  missingFrom(theirs: readonly GenerationDigest[]): SegmentRequest[] {
    return this.#ring.missingFrom(theirs);
  }

  segments(requests: readonly SegmentRequest[]): SegmentBatch[] {
    return this.#ring.segments(requests);
  }

  /** @throws BloomMalformedError when a batch does not fit; nothing was changed. */
  applySegments(batches: readonly SegmentBatch[]): number {
    return this.#ring.applySegments(batches, true);
  }

  resumeAt(sequence: number): void {
    this.#ring.resumeAt(sequence);
  }

  snapshot(): Uint8Array<ArrayBuffer> {
    return this.#ring.snapshot();
  }

  /** As `RotatingBloomFilter.restore`. @throws BloomGenerationError for the snapshot of a ring. */
  static restore(bytes: Uint8Array, expected?: BloomParameters, deltaLogPairsMax = 0): RestoredFilter<BloomFilter> {
    const { filter, ...rest } = RotatingBloomFilter.restore(bytes, expected, deltaLogPairsMax);
    if (filter.generationsMax !== 1 || filter.openGenerationId !== ONLY_GENERATION) {
      throw new BloomGenerationError("this is the snapshot of a ring, not of a single filter");
    }
    return { filter: new BloomFilter(filter.parameters, filter), ...rest };
  }

  copy(): BloomFilter {
    return new BloomFilter(this.parameters, this.#ring.copy());
  }

  /** Forgets all keys. */
  clear(): void {
    this.#ring.clear();
  }

  equals(other: BloomFilter): boolean {
    return this.#ring.equals(other.#ring);
  }

  /** Reads every block; meant for metrics at intervals. */
  stats(): BloomStats {
    const [stats] = this.#ring.stats();
    if (stats === undefined) throw new Error("a filter without its generation");
    return stats;
  }
}
