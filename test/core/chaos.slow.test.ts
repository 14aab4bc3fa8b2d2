/**
 * Random faults against a whole cell: no loss, no double that the rules do not excuse. One seed is one history, the same
 * each time; a failure tells its seed and its story. More of them: CHAOS_FROM=1000 CHAOS_SEEDS=2000 bun test test/core/chaos.slow.test.ts
 */
import { expect, test } from "bun:test";
import { Chaos } from "./chaos.ts";

const FROM = Number(process.env["CHAOS_FROM"] ?? 0);
const COUNT = Number(process.env["CHAOS_SEEDS"] ?? 61);

test(
  `G0, G1, G2: ${COUNT} random histories lose nothing and run nothing twice`,
  () => {
    const failures: string[] = [];
    let executed = 0;
    let checked = 0;
    for (let seed = FROM; seed < FROM + COUNT; seed++) {
      try {
        const { cell } = new Chaos(seed).run();
        executed += cell.runs.length;
        checked += cell.checks.length;
      } catch (error) {
        failures.push(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    if (failures.length > 0) throw new Error(`${failures.length} of ${COUNT} histories\n\n${failures.join("\n\n")}`);
    // They are histories of a cell that works, and that has to check.
    expect(executed).toBeGreaterThan(100 * COUNT);
    expect(checked).toBeGreaterThan(COUNT);
  },
  30_000 + 1_000 * COUNT,
);

test("a seed is one history", () => {
  const story = () => {
    const { cell, steps } = new Chaos(7).run();
    return JSON.stringify([steps, cell.runs, cell.checks, cell.committed]);
  };
  expect(story()).toBe(story());
});
