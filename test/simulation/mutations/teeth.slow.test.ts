/**
 * The checkers themselves are needed: a seeded bug that one of them finds at a known seed is not found by it when it is left out. Who takes
 * a checker away, or blunts it, fails here.
 */
import { expect, test } from "bun:test";
import { runJobs } from "../pool.ts";
import type { SeedOptions } from "../seed-result.ts";

/** A bug, the seed that shows it, and the checker that says so. */
const bites = [
  { mutation: "r3-lowest", seed: 0, invariant: "I10" },
  { mutation: "r4-push-first", seed: 0, invariant: "I11" },
  { mutation: "r3-watermark-waits", seed: 0, invariant: "I17" },
  { mutation: "r3-lost-acknowledgement", seed: 0, invariant: "V3" },
] as const;

const LIMIT_MS = 60_000;

async function foundBy(mutation: string, seed: number, options: SeedOptions): Promise<string> {
  const [outcome] = await runJobs([{ seed, options }], { workers: 1, seedMsMax: LIMIT_MS, twiceEvery: 0, mutation });
  if (outcome === undefined || "failure" in outcome) throw new Error(`no result: ${JSON.stringify(outcome)}`);
  return outcome.result.violation?.invariant ?? "nothing";
}

for (const { mutation, seed, invariant } of bites) {
  test(
    `${invariant} finds ${mutation} at seed ${seed}, and only while it looks`,
    async () => {
      expect(await foundBy(mutation, seed, {})).toBe(invariant);
      expect(await foundBy(mutation, seed, { without: [invariant] })).not.toBe(invariant);
    },
    2 * LIMIT_MS,
  );
}
