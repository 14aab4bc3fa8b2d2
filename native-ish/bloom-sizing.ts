/**
 * How large a filter must be, and what it will then do: parameters, their limits, and the false-positive formula of a
 * *blocked* filter. Pure arithmetic; guarantees that parameters which pass `checkParameters` are safe to allocate.
 *
 * Why not the textbook `-n ln p / (ln 2)^2`: keys spread over the blocks like balls over urns, and the crowded blocks
 * dominate the error. Sized by the textbook, a blocked filter misses p = 1e-3 by more than half.
 */
import { BloomParameterError } from "./bloom-errors.ts";

/** One block is one 64-byte cache line, so a key costs one memory access. */
export const BLOCK_BITS = 512;
export const BLOCK_WORDS = BLOCK_BITS / 32;
export const BLOCK_BYTES = BLOCK_BITS / 8;
/** 256 MiB a filter: the limit on what a peer's or a file's header can make us allocate. */
export const BLOCKS_MAX = 2 ** 22;
/** More probes than this buy nothing: the best k at p = 1e-7 is below it. */
export const K_MAX = 20;
/** Seeds from 2^31 on take a slow path in xxhash-wasm. */
export const SEED_MAX = 2 ** 31 - 1;

/** More generations than this only cost probes. */
export const GENERATIONS_MAX = 16;

/** What two filters must share before their bits may be mixed. The seed is the one of the key hash. */
export interface BloomParameters {
  /** How many 512-bit blocks. */
  readonly blocks: number;
  /** Bits set by one key, all in one block. */
  readonly k: number;
  /** The seed under which the cluster hashes keys, 0..2^31-1. */
  readonly seed: number;
}

export interface EstimateInput {
  /** Distinct keys that the filter must hold at the given rate. */
  readonly capacity: number;
  /** Wanted rate at capacity, in (0, 0.5]. */
  readonly falsePositiveRate: number;
  readonly seed: number;
}

export interface EstimatedParameters extends BloomParameters {
  readonly capacity: number;
  readonly bitsPerKey: number;
  /** What the formula gives for these whole blocks at capacity; never above the wanted rate. */
  readonly expectedFalsePositiveRate: number;
}

/** @throws BloomParameterError when a field is not an integer within its limits. */
export function checkParameters(parameters: BloomParameters): void {
  requireInteger("blocks", parameters.blocks, 1, BLOCKS_MAX);
  requireInteger("k", parameters.k, 1, K_MAX);
  requireInteger("seed", parameters.seed, 0, SEED_MAX);
}

/** @throws BloomParameterError naming the field, the limits and what came instead. */
export function requireInteger(name: string, value: number, minimum: number, maximum: number): void {
  if (!Number.isSafeInteger(value) || value < minimum || value > maximum) {
    throw new BloomParameterError(`${name} must be an integer from ${minimum} to ${maximum}, got ${value}`);
  }
}

/** True when the bits of two filters mean the same keys. */
export function sameParameters(left: BloomParameters, right: BloomParameters): boolean {
  return left.blocks === right.blocks && left.k === right.k && left.seed === right.seed;
}

/**
 * The smallest filter that keeps the wanted rate at capacity.
 * @throws BloomParameterError when the input is out of range, or the filter would be larger than `BLOCKS_MAX`.
 */
export function estimateParameters(input: EstimateInput): EstimatedParameters {
  const { capacity, falsePositiveRate, seed } = input;
  requireInteger("capacity", capacity, 1, BLOCKS_MAX * BLOCK_BITS);
  if (!(falsePositiveRate >= 1e-8 && falsePositiveRate <= 0.5)) {
    throw new BloomParameterError(`falsePositiveRate must be from 1e-8 to 0.5, got ${falsePositiveRate}`);
  }
  let best = { k: 1, bitsPerKey: bitsPerKeyFor(falsePositiveRate, 1) };
  for (let k = 2; k <= K_MAX; k++) {
    const bitsPerKey = bitsPerKeyFor(falsePositiveRate, k);
    // The cost has one flat valley in k: a probe more, on every key for ever, must save at least 0.5 % of the memory.
    if (bitsPerKey > best.bitsPerKey * 0.995) break;
    best = { k, bitsPerKey };
  }
  const blocks = Math.max(1, Math.ceil((capacity * best.bitsPerKey) / BLOCK_BITS));
  checkParameters({ blocks, k: best.k, seed });
  return {
    blocks,
    k: best.k,
    seed,
    capacity,
    bitsPerKey: best.bitsPerKey,
    expectedFalsePositiveRate: expectedFalsePositiveRate({ blocks, k: best.k, seed }, capacity),
  };
}

export interface EstimateRotatingInput {
  /** The declared window: how many of the latest new keys must be remembered at least. */
  readonly windowTasks: number;
  /** Wanted rate over the whole ring when every generation is full. */
  readonly falsePositiveRate: number;
  readonly generationsMax: number;
  readonly seed: number;
}

export interface EstimatedRotatingParameters extends EstimatedParameters {
  readonly generationsMax: number;
}

/**
 * A ring in which each of G generations may be wrong at P/G. The open one may just have been begun, so the window
 * must fit into the other G - 1.
 * @throws BloomParameterError as `estimateParameters`, and for fewer than two generations.
 */
export function estimateRotatingParameters(input: EstimateRotatingInput): EstimatedRotatingParameters {
  const { windowTasks, falsePositiveRate, generationsMax, seed } = input;
  requireInteger("generationsMax", generationsMax, 2, GENERATIONS_MAX);
  requireInteger("windowTasks", windowTasks, 1, Number.MAX_SAFE_INTEGER);
  const capacity = Math.ceil(windowTasks / (generationsMax - 1));
  return {
    ...estimateParameters({ capacity, falsePositiveRate: falsePositiveRate / generationsMax, seed }),
    generationsMax,
  };
}

/** The rate after `keys` distinct keys, by the blocked formula. */
export function expectedFalsePositiveRate(parameters: BloomParameters, keys: number): number {
  if (keys <= 0) return 0;
  return blockedFalsePositiveRate((parameters.blocks * BLOCK_BITS) / keys, parameters.k);
}

/**
 * `FPR = sum over j of Poisson(j; 512 / bitsPerKey) * E[(X_jk / 512)^k]`, where X_jk is how many of 512 bits are set
 * after j*k uniform throws (exact, by the occupancy recurrence). After Putze, Sanders, Singler, "Cache-, hash- and
 * space-efficient Bloom filters", with the exact occupancy in place of an inner textbook filter.
 */
export function blockedFalsePositiveRate(bitsPerKey: number, k: number): number {
  const mean = BLOCK_BITS / bitsPerKey;
  // Beyond this load practically every block is full, and the table would only grow.
  if (mean > 2048) return 1;
  const keysMax = Math.ceil(mean + 10 * Math.sqrt(mean) + 20);
  const moments = occupancyMoments(k, keysMax);
  let rate = 0;
  let logPoisson = -mean;
  for (let keys = 0; keys <= keysMax; keys++) {
    if (keys > 0) logPoisson += Math.log(mean / keys);
    rate += Math.exp(logPoisson) * (moments[keys] ?? 1);
  }
  return Math.min(1, rate);
}

/** Bisection on bits a key; the textbook filter is a lower bound, because blocking never helps. */
function bitsPerKeyFor(rate: number, k: number): number {
  let low = -k / Math.log(1 - rate ** (1 / k));
  if (blockedFalsePositiveRate(low, k) <= rate) return low;
  let high = low * 2;
  while (blockedFalsePositiveRate(high, k) > rate) high *= 2;
  while (high - low > 1e-6 * high) {
    const middle = (low + high) / 2;
    if (blockedFalsePositiveRate(middle, k) > rate) low = middle;
    else high = middle;
  }
  return high;
}

/** Tables by k, because sizing asks for the same ones many times; at most `K_MAX` of a few kilobytes each. */
const momentsByK = new Map<number, Float64Array>();

/** `table[j] = E[(X_jk / 512)^k]` for j up to at least `keysMax`. */
function occupancyMoments(k: number, keysMax: number): Float64Array {
  const known = momentsByK.get(k);
  if (known !== undefined && known.length > keysMax) return known;
  const table = new Float64Array(Math.ceil(keysMax * 1.25) + 1);
  const chance = new Float64Array(BLOCK_BITS + 1);
  chance[0] = 1;
  const allHit = Float64Array.from({ length: BLOCK_BITS + 1 }, (_, set) => (set / BLOCK_BITS) ** k);
  for (let keys = 1; keys < table.length; keys++) {
    for (let thrown = 0; thrown < k; thrown++) throwOne(chance);
    let moment = 0;
    for (let set = 1; set <= BLOCK_BITS; set++) moment += (chance[set] ?? 0) * (allHit[set] ?? 0);
    table[keys] = moment;
  }
  momentsByK.set(k, table);
  return table;
}

/** One more uniform throw: stay with chance set/512, one bit more otherwise. Downwards, so that it works in place. */
function throwOne(chance: Float64Array): void {
  for (let set = BLOCK_BITS; set >= 1; set--) {
    const stay = (chance[set] ?? 0) * (set / BLOCK_BITS);
    chance[set] = stay + (chance[set - 1] ?? 0) * ((BLOCK_BITS - set + 1) / BLOCK_BITS);
  }
  chance[0] = 0;
}
