/**
 * The seen-set of an unbounded stream: a ring of whole filters of one geometry, k and seed. A key is looked for in all
 * of them and inserted into the open one; the leader rotates and names the new generation, the oldest one is retired.
 *
 * Guarantees: a key that was inserted is called seen until its generation is retired: through at least the
 * `generationsMax - 1` rotations that follow. Therefore a key that only an *older* generation seems to know is inserted
 * all the same: it may be a false positive, and the key must live as long as its neighbours.
 * Does not guarantee the opposite: "seen" is only ever *maybe*, at about P = G * p. Keeps no time: it is told.
 *
 * Longer than most files because it is the whole public face of the ring; the work is done by its siblings.
 */
import { BloomBatches, countUnseen } from "./bloom-batches.ts";
import { BloomBits, type BloomStats, type Generation } from "./bloom-blocks.ts";
import { DeltaLog } from "./bloom-delta-log.ts";
import { BloomGenerationError } from "./bloom-errors.ts";
import { GenerationTable, type RetiredGeneration, type WindowInfo } from "./bloom-generation-table.ts";
import {
  BLOCK_BITS,
  type BloomParameters,
  checkParameters,
  expectedFalsePositiveRate,
  GENERATIONS_MAX,
  requireInteger,
  sameParameters,
} from "./bloom-sizing.ts";
import {
  decodeSnapshot,
  encodeSnapshot,
  snapshotChunks,
  type SnapshotHeader,
  type UnknownSegment,
} from "./bloom-snapshot.ts";
import {
  checkSegmentBatch,
  decodeDelta,
  differingSegments,
  digestsOf,
  encodeDelta,
  type GenerationDigest,
  mergeSegmentBatch,
  requireCompatible,
  type SegmentBatch,
  type SegmentRequest,
  segmentsOf,
} from "./bloom-sync.ts";

/** The largest delta log: 8 bytes a pair, so 512 MiB. */
const LOG_PAIRS_MAX = 2 ** 26;

export interface RotatingOptions extends BloomParameters {
  /** How many generations are held at most, 1..16. */
  readonly generationsMax: number;
  /** Keys after which the open generation is full and `rotationDue` says so. */
  readonly capacity: number;
  /** The id of the first generation, given by the leader. */
  readonly openGenerationId: number;
  readonly openedAtMs?: number;
  /** The declared window in time; 0 or absent: the window is declared in tasks only. */
  readonly windowMs?: number;
  /** How many new pairs to remember for `deltaSince`; 0 or absent: none, the caller has a log of its own. */
  readonly deltaLogPairsMax?: number;
}

export interface GenerationInfo {
  readonly id: number;
  readonly openedAtMs: number;
  readonly insertions: number;
  readonly unknownSegments: number;
}

export type DeltaOutcome =
  /** All of it follows on what we had. */
  | "applied"
  /** We had it; nothing changed. */
  | "repeated"
  /** Its bits are set, but keys before it are missing: ask for `deltaSince(sequence)`, or compare digests. */
  | "gap";

export interface RestoredFilter<Filter> {
  readonly filter: Filter;
  readonly unknownSegments: readonly UnknownSegment[];
  readonly totalMatches: boolean;
}

export class RotatingBloomFilter {
  readonly parameters: BloomParameters;
  readonly generationsMax: number;
  readonly capacity: number;
  readonly windowMs: number;
  readonly #deltaLogPairsMax: number;
  readonly #log: DeltaLog | undefined;
  #table: GenerationTable;
  #sequence: number;
  readonly #batches: BloomBatches;
  readonly #onePair = new Uint32Array(2);
  readonly #oneOut = new Uint8Array(1);

  /** @throws BloomParameterError when an option is outside its limits. */
  constructor(options: RotatingOptions, held?: readonly Generation[], sequence = 0) {
    const { blocks, k, seed, generationsMax, capacity, openGenerationId } = options;
    const { openedAtMs = 0, windowMs = 0, deltaLogPairsMax = 0 } = options;
    checkParameters(options);
    requireInteger("generationsMax", generationsMax, 1, GENERATIONS_MAX);
    requireInteger("capacity", capacity, 1, Number.MAX_SAFE_INTEGER);
    requireInteger("openGenerationId", openGenerationId, 0, Number.MAX_SAFE_INTEGER);
    requireInteger("openedAtMs", openedAtMs, 0, Number.MAX_SAFE_INTEGER);
    requireInteger("windowMs", windowMs, 0, Number.MAX_SAFE_INTEGER);
    requireInteger("deltaLogPairsMax", deltaLogPairsMax, 0, LOG_PAIRS_MAX);
    this.parameters = { blocks, k, seed };
    this.generationsMax = generationsMax;
    this.capacity = capacity;
    this.windowMs = windowMs;
    this.#deltaLogPairsMax = deltaLogPairsMax;
    this.#batches = new BloomBatches(blocks);
    const first = held ?? [{ id: openGenerationId, openedAtMs, bits: new BloomBits(this.parameters) }];
    this.#table = new GenerationTable(this.parameters, generationsMax, windowMs, first);
    this.#sequence = sequence;
    if (deltaLogPairsMax > 0) this.#log = new DeltaLog(deltaLogPairsMax, sequence, openGenerationId, openedAtMs);
  }

  /** How many insertions changed the ring, as far as this replica knows without a gap. */
  get sequence(): number {
    return this.#sequence;
  }

  /** The generations held, oldest first; the last one is open. */
  get generations(): GenerationInfo[] {
    return this.#table.held.map(({ id, openedAtMs, bits }) => {
      return { id, openedAtMs, insertions: bits.insertions, unknownSegments: bits.unknownSegments };
    });
  }

  get openGenerationId(): number {
    return this.#table.open.id;
  }

  get window(): WindowInfo {
    return this.#table.window(this.capacity);
  }

  /**
   * Looks in all generations, inserts into the open one. Writes a byte per key (bits of `Seen`; 0 = not seen) and
   * returns how many were not seen. A key that repeats inside the batch is seen the second time. The pairs to forward
   * to replicas are those without the bit `Seen.open`.
   * @throws RangeError when `pairs` has odd length or `seenOut` is shorter than the batch.
   */
  testAndAddMany(pairs: Uint32Array, seenOut: Uint8Array): number {
    this.#sequence += this.#batches.testAndAdd(this.#table.held, pairs, seenOut, this.#log);
    return countUnseen(seenOut, pairs.length / 2);
  }

  /** The same without looking at the older generations: what a member tests for the union of verdicts (S2, R6). */
  testAndAddOpenMany(pairs: Uint32Array, seenOut: Uint8Array): number {
    this.#sequence += this.#batches.testAndAdd([this.#table.open], pairs, seenOut, this.#log);
    return countUnseen(seenOut, pairs.length / 2);
  }

  /** Looks in all generations and changes nothing. Output and errors as `testAndAddMany`. */
  hasMany(pairs: Uint32Array, seenOut: Uint8Array): number {
    this.#batches.has(this.#table.held, pairs, seenOut);
    return countUnseen(seenOut, pairs.length / 2);
  }

  /** Inserts into the open generation; returns how many keys changed it. */
  addMany(pairs: Uint32Array): number {
    const fresh = this.#batches.add(this.#table.open.bits, pairs, this.#log);
    this.#sequence += fresh;
    return fresh;
  }

  /** One key by its two halves; true when it changed the open generation. */
  add(high: number, low: number): boolean {
    return this.addMany(this.#pair(high, low)) === 1;
  }

  has(high: number, low: number): boolean {
    return this.hasMany(this.#pair(high, low), this.#oneOut) === 0;
  }

  /** True when it may have been there before. */
  testAndAdd(high: number, low: number): boolean {
    return this.testAndAddMany(this.#pair(high, low), this.#oneOut) === 0;
  }

  /**
   * Opens the generation `id` and retires the oldest one when the ring is full; the retired one is returned. Opening
   * the one that is open already does nothing, so that a rotation can be applied twice.
   * @throws BloomGenerationError when `id` is below the open one: the leader's ids only rise.
   */
  rotate(id: number, openedAtMs = 0): RetiredGeneration | undefined {
    requireInteger("generation id", id, 0, Number.MAX_SAFE_INTEGER);
    requireInteger("openedAtMs", openedAtMs, 0, Number.MAX_SAFE_INTEGER);
    const openId = this.openGenerationId;
    if (id < openId) throw new BloomGenerationError(`cannot open generation ${id}: ${openId} is open`);
    const { retired } = this.#table.admit(id, openedAtMs);
    this.#log?.startRun(id, this.#table.open.openedAtMs);
    return retired;
  }

  /** Why the leader should rotate now, if it should: the capacity first, because that is what the error rate hangs on. */
  rotationDue(nowMs: number): "capacity" | "age" | undefined {
    const { bits, openedAtMs } = this.#table.open;
    if (bits.insertions >= this.capacity) return "capacity";
    // With G generations, each open for 1/(G-1) of the window, the oldest is retired just after the window is over.
    const ageMaxMs = this.windowMs / Math.max(1, this.generationsMax - 1);
    return this.windowMs > 0 && bits.insertions > 0 && nowMs - openedAtMs >= ageMaxMs ? "age" : undefined;
  }

  /** True when `union` would not throw: equal geometry, k and seed. */
  isCompatible(other: RotatingBloomFilter): boolean {
    return sameParameters(this.parameters, other.parameters);
  }

  /**
   * OR of the other ring into this one, by generation id; the newest `generationsMax` ids remain. A segment that is
   * damaged here and known there is repaired. Sequence numbers of before cannot be caught up from any more.
   * @throws BloomIncompatibleError when geometry, k or seed differ; nothing was changed.
   */
  union(other: RotatingBloomFilter): void {
    requireCompatible(this.parameters, other.parameters);
    let changed = false;
    for (const { id, openedAtMs, bits } of other.#table.held) {
      const mine = this.#table.admit(id, openedAtMs).generation?.bits;
      if (mine === undefined) continue;
      const added = mine.merge(bits.words, 0);
      for (let index = 0; index < bits.segmentCount; index++) {
        if (!bits.isSegmentUnknown(index)) mine.markSegmentKnown(index);
      }
      if (added > 0) mine.recount(bits.insertions);
      changed ||= added > 0;
    }
    this.#afterForeignBits(changed);
  }

  /** The keys inserted since a sequence number, as bytes; undefined when the log does not reach back so far. */
  deltaSince(sequence: number): Uint8Array<ArrayBuffer> | undefined {
    const delta = this.#log?.since(sequence);
    return delta === undefined ? undefined : encodeDelta(this.parameters, delta);
  }

  /**
   * Sets the bits of a peer's delta, whatever its place in the order, and opens the generations that it names. With
   * `heldOnly`, a newer generation than ours is an error instead.
   * @throws BloomMalformedError, BloomIncompatibleError, BloomGenerationError: nothing was changed.
   */
  applyDelta(bytes: Uint8Array, heldOnly = false): DeltaOutcome {
    const { fromSequence, toSequence, runs } = decodeDelta(bytes, this.parameters);
    const newer = heldOnly ? runs.find((run) => run.generationId > this.openGenerationId) : undefined;
    if (newer !== undefined) throw new BloomGenerationError(`delta for generation ${newer.generationId}`);
    const known = this.#sequence;
    const joins = fromSequence <= known && toSequence >= known;
    let at = fromSequence;
    for (const { generationId, openedAtMs, pairs } of runs) {
      const { generation } = this.#table.admit(generationId, openedAtMs);
      if (generation !== undefined) this.#batches.add(generation.bits, pairs, undefined);
      // The log repeats the sender's sequence exactly, also where a bit was set here before.
      const firstNew = Math.max(0, known - at);
      const hasNew = firstNew < pairs.length / 2;
      if (joins && this.#log !== undefined && (hasNew || generationId > this.#log.generationId)) {
        this.#log.startRun(generationId, openedAtMs);
        for (let i = firstNew * 2; i < pairs.length; i += 2) this.#log.append(pairs[i]!, pairs[i + 1]!);
      }
      at += pairs.length / 2;
    }
    if (!joins) return fromSequence > known ? "gap" : "repeated";
    this.#sequence = toSequence;
    return toSequence > known ? "applied" : "repeated";
  }

  /** Checksums per generation and 4 KiB segment. */
  digests(): GenerationDigest[] {
    return digestsOf(this.#table.held);
  }

  /** What to ask a peer for, given its digests. */
  missingFrom(theirs: readonly GenerationDigest[]): SegmentRequest[] {
    return differingSegments(this.digests(), theirs, this.parameters);
  }

  /** Copies of the segments asked for; what is not held any more is left out. */
  segments(requests: readonly SegmentRequest[]): SegmentBatch[] {
    return segmentsOf(this.#table.held, requests);
  }

  /**
   * OR of a peer's segments; returns how many bits were new. With `heldOnly`, generations that we do not hold are
   * ignored: so a peer that is no authority on generations cannot push ours out of the ring.
   * @throws BloomMalformedError when a batch does not fit; nothing was changed.
   */
  applySegments(batches: readonly SegmentBatch[], heldOnly = false): number {
    for (const batch of batches) checkSegmentBatch(batch, this.parameters);
    let added = 0;
    for (const batch of batches) {
      const { generationId, openedAtMs } = batch;
      const generation = heldOnly
        ? this.#table.find(generationId)
        : this.#table.admit(generationId, openedAtMs).generation;
      if (generation !== undefined) added += mergeSegmentBatch(generation.bits, batch);
    }
    this.#afterForeignBits(added > 0);
    return added;
  }

  /** After a finished synchronisation: this replica has at least what the peer had at that sequence number. */
  resumeAt(sequence: number): void {
    requireInteger("sequence", sequence, 0, Number.MAX_SAFE_INTEGER);
    const { id, openedAtMs } = this.#table.open;
    this.#sequence = sequence;
    this.#log?.restart(sequence, id, openedAtMs);
  }

  snapshot(): Uint8Array<ArrayBuffer> {
    return encodeSnapshot(this.#header(), this.#table.held);
  }

  /** The same in pieces, so that a large ring does not hold up the loop; keys may be inserted in between. */
  snapshotChunks(): Generator<Uint8Array<ArrayBuffer>, void, undefined> {
    return snapshotChunks(this.#header(), this.#table.held);
  }

  /**
   * A ring from its snapshot. Damaged segments are listed; until they are repaired, their keys are called seen.
   * @throws BloomMalformedError or BloomParameterError for a damaged header or a wrong length, BloomIncompatibleError
   * when `expected` is given and differs.
   */
  static restore(
    bytes: Uint8Array,
    expected?: BloomParameters,
    deltaLogPairsMax = 0,
  ): RestoredFilter<RotatingBloomFilter> {
    const { header, generations, unknownSegments, totalMatches } = decodeSnapshot(bytes);
    if (expected !== undefined) requireCompatible(expected, header.parameters);
    const { generationsMax, capacity, windowMs, sequence } = header;
    const { id: openGenerationId = 0, openedAtMs = 0 } = generations.at(-1) ?? {};
    const table = { generationsMax, capacity, windowMs, openGenerationId, openedAtMs, deltaLogPairsMax };
    const filter = new RotatingBloomFilter({ ...header.parameters, ...table }, generations, sequence);
    return { filter, unknownSegments, totalMatches };
  }

  /** An independent ring with the same keys; its delta log begins anew. */
  copy(): RotatingBloomFilter {
    const held = this.#table.held.map(({ id, openedAtMs, bits }) => {
      const copied = new BloomBits(this.parameters);
      copied.copyFrom(bits);
      return { id, openedAtMs, bits: copied };
    });
    const { generationsMax, capacity, windowMs } = this;
    const { id: openGenerationId, openedAtMs } = this.#table.open;
    const rest = { generationsMax, capacity, windowMs, openGenerationId, openedAtMs };
    const options = { ...this.parameters, ...rest, deltaLogPairsMax: this.#deltaLogPairsMax };
    return new RotatingBloomFilter(options, held, this.#sequence);
  }

  /** Forgets all keys, keeps the generations. For a new dedup epoch: anything else would be a false negative. */
  clear(): void {
    for (const { bits } of this.#table.held) bits.clear();
    this.#afterForeignBits(true);
  }

  /** True when both hold the same generations with the same bits and know all of them. */
  equals(other: RotatingBloomFilter): boolean {
    const mine = this.#table.held;
    const theirs = other.#table.held;
    if (!this.isCompatible(other) || mine.length !== theirs.length) return false;
    return mine.every(({ id, bits }, index) => {
      const their = theirs[index];
      if (their === undefined || their.id !== id || bits.unknownSegments + their.bits.unknownSegments > 0) return false;
      return bits.words.every((word, at) => word === their.bits.words[at]);
    });
  }

  /** Per generation, oldest first. Reads every block; meant for metrics at intervals. */
  stats(): (BloomStats & { readonly generationId: number })[] {
    return this.#table.held.map(({ id, bits }) => ({ generationId: id, ...bits.stats(this.capacity) }));
  }

  /**
   * How full the open generation is, and the rate at which a new key would be called seen now over all of them: by the
   * blocked formula, from counters. Costs the same for a filter of any size, unlike `stats`.
   */
  outlook(): { readonly fill: number; readonly falsePositiveRate: number } {
    const rates = this.#table.held.map(({ bits }) => expectedFalsePositiveRate(this.parameters, bits.expectedKeys()));
    return { fill: this.#table.open.bits.fill, falsePositiveRate: rates.reduce((sum, rate) => sum + rate, 0) };
  }

  /** For tests and golden vectors: the words of a generation, not to be written. */
  wordsOf(generationId: number): Uint32Array {
    const generation = this.#table.find(generationId);
    if (generation === undefined) throw new BloomGenerationError(`generation ${generationId} is not held`);
    return generation.bits.words;
  }

  #pair(high: number, low: number): Uint32Array {
    this.#onePair[0] = high;
    this.#onePair[1] = low;
    return this.#onePair;
  }

  #header(): SnapshotHeader {
    const { parameters, generationsMax, capacity, windowMs } = this;
    return { parameters, generationsMax, capacity, windowMs, sequence: this.#sequence };
  }

  /** When bits changed that no pair in the log explains, whoever is behind must compare digests. */
  #afterForeignBits(changed: boolean): void {
    const { id, openedAtMs } = this.#table.open;
    if (changed) this.resumeAt(this.#sequence + 1);
    else this.#log?.startRun(id, openedAtMs);
  }
}

/** The default capacity: the keys at which half of the bits are set, where the textbook filter is best. */
export function defaultCapacity(parameters: BloomParameters): number {
  return Math.max(1, Math.floor((parameters.blocks * BLOCK_BITS * Math.LN2) / parameters.k));
}
