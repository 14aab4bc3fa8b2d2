/** Random faults against a whole cell: no loss, no double that the rules do not excuse. One seed is one history. */
import { expect, test } from "bun:test";
import { Chaos } from "./chaos.ts";

const SEEDS = 61;

test(`G0, G1, G2: ${SEEDS} random histories lose nothing and run nothing twice`, () => {
  const from = Number(process.env["CHAOS_FROM"] ?? 0);
  const count = Number(process.env["CHAOS_SEEDS"] ?? SEEDS);
  const failures: string[] = [];
  let excused = 0;
  for (let seed = from; seed < from + count; seed++) {
    try {
      excused += new Chaos(seed).run().excused.length;
    } catch (error) {
      failures.push(`seed ${seed}: ${(error as Error).message}`);
    }
  }
  if (failures.length > 0) throw new Error(`${failures.length} of ${count} seeds failed\n\n${failures.join("\n\n")}`);
  expect(excused).toBeLessThan(count);
}, 120_000);
