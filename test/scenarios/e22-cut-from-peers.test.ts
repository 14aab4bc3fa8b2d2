import { expect, test } from "bun:test";
import { ended, LEASE_MS, stage, stateAt } from "./stage.ts";

test("E22: a node loses its peers and keeps the task log; it leaves the group, its partitions are not stuck", () => {
  const cell = stage();
  cell.cutPeers("owner");
  const cutAt = cell.now;
  cell.advance(LEASE_MS);
  cell.produceMany(0, 5);
  cell.until("it left", () => cell.node("owner").core.role === "isolated", 30_000);
  expect(cell.now - cutAt).toBeGreaterThan(15_000); // isolateAfterMs: no sooner than its handlers had to stop
  expect(stateAt(cell, "owner")).toBe("absent");
  ended(cell, { runs: 5, checks: 0 });
  expect(cell.runs.every((run) => run.node === "other")).toBe(true);
});
