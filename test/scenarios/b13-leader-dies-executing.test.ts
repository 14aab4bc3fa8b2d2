import { expect, test } from "bun:test";
import { ended, entryAt, hangs, hangsNoMore, QUARANTINE_MS, stage, stateAt } from "./stage.ts";

test("B13: the leader dies executing a task of its own; as a worker it is like any other: quarantine, then the check", () => {
  const cell = stage({ partitions: 3 });
  const mine = cell.assignment.indexOf("leader");
  hangs(cell);
  cell.produce(mine);
  cell.until("it executes", () => stateAt(cell, "leader", 0, mine) === "executing");
  expect(entryAt(cell, "other", 0, mine)).toBe("granted to leader");

  cell.crash("leader");
  hangsNoMore(cell);
  cell.until("another leads", () => cell.activeLeader() !== null);
  const activatedAt = cell.now;
  ended(cell, { runs: 2, checks: 1 });
  expect(cell.checks[0]!.at - activatedAt).toBeGreaterThanOrEqual(QUARANTINE_MS); // counted from the activation (R12)
});
