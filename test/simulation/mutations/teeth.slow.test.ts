/**
 * The checkers themselves are needed: a seeded bug that one of them finds is not found by it, at the same seed, when it is left out. Who
 * takes a checker away, or blunts it, fails here.
 */
import { expect, test } from "bun:test";
import { runJobs } from "../pool.ts";
import type { SeedOptions } from "../seed-result.ts";

/** A bug that nearly every seed shows, and the checker that says so. */
const bites = [
  { mutation: "r3-lowest", invariant: "I10" },
  { mutation: "r4-push-first", invariant: "I11" },
  { mutation: "r7-watermark-one-more", invariant: "I18" },
  { mutation: "filter-false-negative", invariant: "I14" },
] as const;

const LIMIT_MS = 60_000;
/** One of the first seeds must do. */
const SEEDS = 6;

async function foundBy(mutation: string, seed: number, options: SeedOptions): Promise<string> {
  const [outcome] = await runJobs([{ seed, options }], { workers: 1, seedMsMax: LIMIT_MS, twiceEvery: 0, mutation });
  if (outcome === undefined || "failure" in outcome) throw new Error(`no result: ${JSON.stringify(outcome)}`);
  return outcome.result.violation?.invariant ?? "nothing";
}

/** The first seed at which that checker is the one that finds the bug. */
async function seedOf(mutation: string, invariant: string): Promise<number> {
  const said: string[] = [];
  for (let seed = 0; seed < SEEDS; seed++) {
    said.push(await foundBy(mutation, seed, {}));
    if (said.at(-1) === invariant) return seed;
  }
  throw new Error(`${invariant} did not find ${mutation}: ${said.join(", ")}`);
}

for (const { mutation, invariant } of bites) {
  test(
    `${invariant} finds ${mutation}, and only while it looks`,
    async () => {
      const seed = await seedOf(mutation, invariant);
      expect(await foundBy(mutation, seed, { without: [invariant] })).not.toBe(invariant);
    },
    2 * LIMIT_MS,
  );
}
