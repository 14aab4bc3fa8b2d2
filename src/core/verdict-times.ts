/**
 * How long this node's questions wait for their verdicts, as a histogram: one count a batch, none a task. Whoever shows
 * it reads the counts; the alarm about slow verdicts (matrix row M10) takes the difference of two looks.
 */

/** Upper bounds of the buckets, in milliseconds; the last bucket has none. */
export const VERDICT_BOUNDS_MS: readonly number[] = [
  0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000,
];

export class VerdictTimes {
  /** Batches by bucket, not cumulated: one more than there are bounds. */
  readonly counts = new Float64Array(VERDICT_BOUNDS_MS.length + 1);
  count = 0;
  sumMs = 0;

  observe(ms: number): void {
    let bucket = 0;
    while (bucket < VERDICT_BOUNDS_MS.length && ms > VERDICT_BOUNDS_MS[bucket]!) bucket++;
    this.counts[bucket]!++;
    this.count++;
    this.sumMs += ms;
  }
}

/**
 * The bound below which the share `quantile` (0..1) of these batches lies: an upper estimate, as exact as the buckets.
 * 0 for no batches at all, Infinity when it lies in the last bucket.
 */
export function quantileMs(counts: ArrayLike<number>, quantile: number): number {
  let total = 0;
  for (let bucket = 0; bucket < counts.length; bucket++) total += counts[bucket] ?? 0;
  if (total === 0) return 0;
  let below = 0;
  for (let bucket = 0; bucket < counts.length; bucket++) {
    below += counts[bucket] ?? 0;
    if (below >= total * quantile) return VERDICT_BOUNDS_MS[bucket] ?? Infinity;
  }
  return Infinity;
}
