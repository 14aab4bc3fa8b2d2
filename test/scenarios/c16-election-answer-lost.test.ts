import { expect, test } from "bun:test";
import { ended, stage } from "./stage.ts";

test("C16: a node wins and does not learn it; it finds its own name as the leader's, asks again, and leads that epoch", () => {
  const cell = stage();
  let unknown = 0;
  cell.electionOutcome = () => (unknown++ === 0 ? "unknown-applied" : "normal");
  cell.crash("leader");
  cell.produce(0);
  ended(cell, { runs: 1, checks: 0 });
  expect(unknown).toBe(1); // one election write
  expect(cell.epoch).toBe(2);
  expect(cell.activeLeader()!.core.epoch).toBe(2);
});
