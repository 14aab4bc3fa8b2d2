/**
 * The bits of one filter: where a key's bits are, and the loops that set and test them.
 *
 * A key is an 8-byte pair: word 2i of a batch is the high half of its hash, word 2i+1 the low half. The high half
 * chooses a 512-bit block by fastrange; the low half makes k positions inside it: the top 9 bits, then a multiplication
 * by the golden ratio (as RocksDB's FastLocalBloom; textbook `h1 + i*h2` has only 512*256 patterns a block and measures
 * up to 3.5 times the theoretical rate). All loops work on groups of 32 keys: first every block is found and touched,
 * so that the cache misses overlap, then it is probed. Nothing is allocated per key.
 *
 * Guarantees: a bit that was set stays set until `clear`; a key never leaves its block. Does not check batches: the
 * public classes do that.
 */
import { BLOCK_BITS, BLOCK_BYTES, BLOCK_WORDS, type BloomParameters } from "./bloom-sizing.ts";
import { BloomParameterError } from "./bloom-errors.ts";

/** Keys that are located and touched together: enough loads in flight, and few enough to stay in the first cache. */
export const GROUP_KEYS = 32;
/** The unit of checksums and of synchronisation. */
export const SEGMENT_BYTES = 4096;
export const SEGMENT_WORDS = SEGMENT_BYTES / 4;
/** A filter of up to 256 KiB lives in the second-level cache: there is nothing to fetch ahead. */
const CACHED_WORDS = 2 ** 16;
const BLOCKS_PER_SEGMENT = SEGMENT_BYTES / BLOCK_BYTES;
const GOLDEN = 0x9e3779b9;

/** What a byte of a `seenOut` array can hold; 0 is "certainly not seen". More than one bit can be set. */
export const Seen = {
  /** In the open generation (of a single filter: in it); this insertion changed nothing there. */
  open: 1,
  /** In an older generation of the ring. */
  older: 2,
  /** Its segment was damaged in a snapshot and not yet fetched from a peer: nobody can say "not seen". */
  unknown: 4,
} as const;

/** One filter of a ring, under the id that the leader gave it. */
export interface Generation {
  readonly id: number;
  /** The leader's clock when it opened the generation, as it was told to us; 0 when nobody keeps time. */
  readonly openedAtMs: number;
  readonly bits: BloomBits;
}

export interface BloomStats {
  readonly bits: number;
  readonly setBits: number;
  /** Insertions that changed at least one bit; after a union or a repaired segment the estimate where that is larger. */
  readonly insertions: number;
  /** Share of set bits, 0..1. */
  readonly fill: number;
  /** The rate at which a new key would be called seen now: mean over blocks of (set/512)^k. */
  readonly falsePositiveRate: number;
  /** Estimated number of distinct keys, from the bits alone. */
  readonly approximateKeys: number;
  /** `approximateKeys` over the capacity; above 1 the filter is worse than it was sized for. */
  readonly saturation: number;
  /** Segments that are damaged and not repaired yet; keys in them are always called seen. */
  readonly unknownSegments: number;
}

/** @throws BloomParameterError on a machine whose words are big-endian: snapshots and segments are memory as it lies. */
function requireLittleEndian(): void {
  if (new Uint8Array(Uint32Array.of(1).buffer)[0] !== 1) {
    throw new BloomParameterError("the filter needs a little-endian machine");
  }
}
requireLittleEndian();

/** @throws RangeError when a batch is not whole pairs or its output is too short: the caller's mistake. */
export function checkBatch(pairs: Uint32Array, seenOut?: Uint8Array): number {
  if (pairs.length % 2 !== 0) throw new RangeError(`a batch holds whole pairs, got ${pairs.length} words`);
  const keys = pairs.length / 2;
  if (seenOut !== undefined && seenOut.length < keys) {
    throw new RangeError(`seenOut needs ${keys} bytes, got ${seenOut.length}`);
  }
  return keys;
}

/** Up to 32 keys of a batch, located: what all generations of a ring share. */
export class KeyGroup {
  count = 0;
  /** The word index of each key's block. */
  readonly bases = new Int32Array(GROUP_KEYS);
  /** Each key's low half, signed: the probing loops then hold nothing but 32-bit integers. */
  readonly lows = new Int32Array(GROUP_KEYS);

  /** Takes the keys [first, first + count) of the batch, for filters of so many blocks. */
  locate(blocks: number, pairs: Int32Array, first: number, count: number): void {
    // A division by a power of two is exact, and the product cannot round up to `blocks` (at most 2^22).
    const scale = blocks / 2 ** 32;
    for (let i = 0; i < count; i++) {
      this.bases[i] = (((pairs[(first + i) * 2]! >>> 0) * scale) | 0) * BLOCK_WORDS;
      this.lows[i] = pairs[(first + i) * 2 + 1]!;
    }
    this.count = count;
  }
}

export class BloomBits {
  readonly blocks: number;
  readonly k: number;
  readonly words: Uint32Array<ArrayBuffer>;
  setBits = 0;
  insertions = 0;
  /** The same memory, signed: the engine then keeps every value a plain 32-bit integer. */
  readonly #signed: Int32Array;
  /** One byte a segment, 1 = unknown; undefined in the usual case that all are known. */
  #unknown: Uint8Array | undefined;
  #unknownCount = 0;
  /** Keeps the touching loads alive; its value means nothing. */
  touched = 0;

  constructor(parameters: BloomParameters) {
    this.blocks = parameters.blocks;
    this.k = parameters.k;
    this.words = new Uint32Array(parameters.blocks * BLOCK_WORDS);
    this.#signed = new Int32Array(this.words.buffer);
  }

  get segmentCount(): number {
    return Math.ceil(this.words.length / SEGMENT_WORDS);
  }

  get unknownSegments(): number {
    return this.#unknownCount;
  }

  /** Independent loads of each block's first word: the misses overlap instead of following one another. */
  touchGroup(group: KeyGroup): void {
    const { bases, count } = group;
    const words = this.#signed;
    if (words.length <= CACHED_WORDS) return;
    let sum = 0;
    for (let i = 0; i < count; i++) sum ^= words[bases[i]!]!;
    this.touched = sum;
  }

  /**
   * Sets the bits of the group and writes `Seen.open`, `Seen.unknown` or 0 per key into `out` from `outFirst`. Returns
   * how many keys changed a bit. A key that repeats inside the group is seen the second time.
   */
  testAndAddGroup(group: KeyGroup, out: Uint8Array, outFirst: number): number {
    const changed = setGroup(this.#signed, this.k, group.bases, group.lows, group.count, out, outFirst);
    const fresh = changed & FRESH_MASK;
    this.setBits += changed >>> FRESH_BITS;
    this.insertions += fresh;
    if (this.#unknown !== undefined) this.#markUnknown(this.#unknown, group, out, outFirst);
    return fresh;
  }

  /** Adds `flag` (and `Seen.unknown`) to the byte of each key of the group that may be in this filter. */
  hasGroup(group: KeyGroup, out: Uint8Array, outFirst: number, flag: number): void {
    const { bases, lows, count } = group;
    const words = this.#signed;
    const k = this.k;
    for (let i = 0; i < count; i++) {
      const base = bases[i]!;
      let h = lows[i]!;
      let probe = 0;
      while (probe < k && ((words[base | (h >>> 28)]! >>> (h >>> 23)) & 1) === 1) {
        h = Math.imul(h, GOLDEN);
        probe++;
      }
      if (probe === k) out[outFirst + i]! |= flag;
    }
    if (this.#unknown !== undefined) this.#markUnknown(this.#unknown, group, out, outFirst);
  }

  /**
   * OR of foreign words into this filter, from word `firstWord`. Returns how many bits were new. The insertion counter
   * cannot know how many keys came, so it is raised by `recount` afterwards.
   */
  merge(words: Uint32Array, firstWord: number): number {
    if (firstWord < 0 || firstWord + words.length > this.words.length) {
      throw new RangeError(`words ${firstWord}..${firstWord + words.length} are outside the filter`);
    }
    let added = 0;
    const mine = this.#signed;
    for (let i = 0; i < words.length; i++) {
      const before = mine[firstWord + i]!;
      const after = before | words[i]!;
      if (after !== before) {
        mine[firstWord + i] = after;
        added += popcount(after ^ before);
      }
    }
    this.setBits += added;
    return added;
  }

  /** After foreign bits came: the counter is at least the peer's and at least what the bits say. */
  recount(insertionsElsewhere: number): void {
    this.insertions = Math.max(this.insertions, insertionsElsewhere, Math.round(this.#approximateKeys()));
  }

  /** Counts set bits again, for words that were filled from outside. */
  countBits(): void {
    let total = 0;
    for (let block = 0; block < this.blocks; block++) total += this.#bitsInBlock(block);
    this.setBits = total;
  }

  clear(): void {
    this.words.fill(0);
    this.setBits = 0;
    this.insertions = 0;
    this.#unknown = undefined;
    this.#unknownCount = 0;
  }

  copyFrom(other: BloomBits): void {
    this.words.set(other.words);
    this.setBits = other.setBits;
    this.insertions = other.insertions;
    this.#unknown = other.#unknown?.slice();
    this.#unknownCount = other.#unknownCount;
  }

  isSegmentUnknown(segment: number): boolean {
    return this.#unknown !== undefined && this.#unknown[segment] === 1;
  }

  markSegmentUnknown(segment: number): void {
    this.#unknown ??= new Uint8Array(this.segmentCount);
    if (this.#unknown[segment] === 1) return;
    this.#unknown[segment] = 1;
    this.#unknownCount++;
  }

  markSegmentKnown(segment: number): void {
    if (this.#unknown === undefined || this.#unknown[segment] !== 1) return;
    this.#unknown[segment] = 0;
    this.#unknownCount--;
    // The probing loops ask only whether the map exists.
    if (this.#unknownCount === 0) this.#unknown = undefined;
  }

  /** Share of set bits, 0..1. */
  get fill(): number {
    return this.setBits / (this.words.length * 32);
  }

  /**
   * How many distinct keys set so many bits on average: a block that holds a Poisson number of keys with mean m has
   * the share 1 - exp(-m (1 - (1 - 1/512)^k)) of its bits set.
   */
  expectedKeys(): number {
    // A full filter has no finite estimate; half a bit short of full is the usual correction.
    const free = 1 - Math.min(this.fill, 1 - 0.5 / (this.words.length * 32));
    return (-this.blocks * Math.log(free)) / (1 - (1 - 1 / BLOCK_BITS) ** this.k);
  }

  /** Reads every block: milliseconds for a large filter, so not for each batch. */
  stats(capacity: number): BloomStats {
    const bits = this.words.length * 32;
    let rate = 0;
    for (let block = 0; block < this.blocks; block++) rate += (this.#bitsInBlock(block) / BLOCK_BITS) ** this.k;
    const approximateKeys = this.#approximateKeys();
    return {
      bits,
      setBits: this.setBits,
      insertions: this.insertions,
      fill: this.setBits / bits,
      falsePositiveRate: rate / this.blocks,
      approximateKeys,
      saturation: approximateKeys / capacity,
      unknownSegments: this.#unknownCount,
    };
  }

  /** Per block `-(512/k) ln(1 - x/512)`: the textbook estimate, but where the keys really are. */
  #approximateKeys(): number {
    let keys = 0;
    const perBlock = BLOCK_BITS / this.k;
    for (let block = 0; block < this.blocks; block++) {
      // A full block has no finite estimate; half a bit short of full is the usual correction.
      const set = Math.min(this.#bitsInBlock(block), BLOCK_BITS - 0.5);
      keys -= perBlock * Math.log1p(-set / BLOCK_BITS);
    }
    return keys;
  }

  #bitsInBlock(block: number): number {
    let set = 0;
    const end = (block + 1) * BLOCK_WORDS;
    for (let i = block * BLOCK_WORDS; i < end; i++) set += popcount(this.#signed[i]!);
    return set;
  }

  #markUnknown(unknown: Uint8Array, group: KeyGroup, out: Uint8Array, outFirst: number): void {
    for (let i = 0; i < group.count; i++) {
      const segment = (group.bases[i]! / BLOCK_WORDS / BLOCKS_PER_SEGMENT) | 0;
      if (unknown[segment] === 1) out[outFirst + i]! |= Seen.unknown;
    }
  }
}

export function popcount(word: number): number {
  let v = word - ((word >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** A group has at most 32 fresh keys; what is above these bits of `setGroup`'s result counts the bits it set. */
const FRESH_BITS = 6;
const FRESH_MASK = (1 << FRESH_BITS) - 1;

/**
 * The hot loop. A function of its own, and one number as its result, because the engine then compiles it by itself:
 * inlined into its callers, with their fields and iterators, it measured up to half as long again.
 */
function setGroup(
  words: Int32Array,
  k: number,
  bases: Int32Array,
  lows: Int32Array,
  count: number,
  out: Uint8Array,
  outFirst: number,
): number {
  let setBits = 0;
  let fresh = 0;
  for (let i = 0; i < count; i++) {
    const base = bases[i]!;
    let h = lows[i]!;
    let present = 0;
    for (let probe = 0; probe < k; probe++) {
      // Bits 31..28 choose the word. A shift uses only the low five bits of its count, so h >>> 23 is the bit in it.
      const index = base | (h >>> 28);
      const word = words[index]!;
      // Without a branch: whether a bit was set is close to a coin flip, which the predictor loses.
      present += (word >>> (h >>> 23)) & 1;
      words[index] = word | (1 << (h >>> 23));
      h = Math.imul(h, GOLDEN);
    }
    setBits += k - present;
    const isFresh = present === k ? 0 : 1;
    fresh += isFresh;
    out[outFirst + i] = isFresh ^ 1;
  }
  return fresh | (setBits << FRESH_BITS);
}
