/** No seed is lost, whatever becomes of the process that runs it; and what many seeds add up to. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { startPool, type SeedFailure } from "./pool.ts";
import type { SeedResult } from "./seed-result.ts";
import { matrixRows, mergeSummaries, SummaryBuilder } from "./summary.ts";

const command = [process.execPath, join(import.meta.dir, "pool-child.ts")];

async function run(from: number, to: number, twiceEvery = 0) {
  const results: SeedResult[] = [];
  const failures: SeedFailure[] = [];
  let next = from;
  await startPool({
    workers: 2,
    seedMsMax: 2_000,
    twiceEvery,
    command,
    next: () => (next < to ? { seed: next++, options: {} } : null),
    onResult: (result) => void results.push(result),
    onFailure: (failure) => void failures.push(failure),
  }).finished;
  return { results, failures: failures.sort((a, b) => a.seed - b.seed) };
}

test("a crashed, a hung and a throwing seed are failures with their seed; all others have their results", async () => {
  const { results, failures } = await run(0, 20);
  expect(failures.map(({ seed, invariant }) => `${seed} ${invariant}`)).toEqual(["3 crash", "5 hang", "7 crash"]);
  expect(failures[0]!.message).toContain("ended with 3");
  expect(failures[2]!.message).toContain("seven");
  const seeds = results.map(({ seed }) => seed).sort((a, b) => a - b);
  expect(seeds).toEqual([0, 1, 2, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
}, 20_000);

test("X4: a seed that runs twice with two event logs is a violation", async () => {
  const { results } = await run(24, 27, 25);
  expect(results.filter(({ violation }) => violation?.invariant === "X4").map(({ seed }) => seed)).toEqual([25]);
}, 20_000);

test("a summary adds up seeds, and pieces of a long run add up to one", async () => {
  const { results } = await run(8, 12);
  const of = (from: number, seeds: readonly SeedResult[]) => {
    const builder = new SummaryBuilder();
    for (const result of seeds) builder.add(result);
    return builder.build({ commit: "c", command: "x", from, seconds: 2 });
  };
  const bySeed = results.sort((a, b) => a.seed - b.seed);
  const whole = of(8, bySeed);
  expect(whole).toMatchObject({ seeds: 4, violations: 1, virtualHours: 0.1, tasks: 400, runs: 404, elections: 4 });
  expect(whole.faults).toEqual({ cut: 4, kill: 8 });
  expect(whole.rows).toEqual({ A1: 4, C2: 4 });
  expect([whole.rowsHit, whole.rowsTotal, whole.rowsMissed.length]).toEqual([2, 116, 114]);
  expect(whole.averages).toMatchObject({
    tasksPerSeed: 100,
    faultSecondsPerSeed: 60,
    faultsPerSeed: 3,
    nodesPerSeed: 3,
  });
  expect(whole.failures).toEqual([{ seed: 9, invariant: "I3", message: "two at once" }]);

  const merged = mergeSummaries([of(10, bySeed.slice(2)), of(8, bySeed.slice(0, 2))]);
  expect({ ...merged, pieces: undefined, seconds: 0 }).toEqual({ ...whole, pieces: undefined, seconds: 0 });
  expect(merged.pieces?.map(({ from, seeds }) => [from, seeds])).toEqual([
    [8, 2],
    [10, 2],
  ]);
  expect(() => mergeSummaries([whole, of(11, bySeed.slice(3))])).toThrow("are in two of them");
  expect(() => mergeSummaries([whole, { ...whole, commit: "d" }])).toThrow("not of one commit");
}, 20_000);

test("a row that the matrix does not have is an error", () => {
  const builder = new SummaryBuilder();
  builder.add({ rows: ["Z1"], faults: {}, doubts: {}, violation: null } as unknown as SeedResult);
  expect(() => builder.build({ commit: "c", command: "x", from: 0, seconds: 1 })).toThrow("Z1");
  expect(matrixRows.length).toBe(116);
});
