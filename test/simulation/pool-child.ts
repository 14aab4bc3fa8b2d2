/** A worker whose seeds do what `pool.test.ts` needs: seed 3 ends its process, seed 5 never ends, seed 7 throws, 9 violates. */
import type { SimulationSettings } from "./observer.ts";
import type { SeedResult } from "./seed-result.ts";
import { serve } from "./serve-seeds.ts";

function resultOf(seed: number): SeedResult {
  return {
    seed,
    violation: seed === 9 ? { invariant: "I3", message: "two at once", at: 1 } : null,
    hash: seed === 25 ? String(performance.now()) : "h",
    virtualMs: 90_000,
    faultMs: 60_000,
    tasks: 100,
    runs: 101,
    faults: { kill: 2, cut: 1 },
    elections: 1,
    doubts: { executed: 1 },
    rows: ["A1", "A1", "C2"],
    nodes: 3,
    events: 10,
    settings: {} as SimulationSettings,
    plan: [],
  };
}

serve((seed) => {
  if (seed === 3) process.exit(3);
  while (seed === 5);
  if (seed === 7) throw new Error("seven");
  return resultOf(seed);
}, Promise.resolve());
