import { expect, test } from "bun:test";
import { ended, LEASE_MS, SESSION_MS, stage } from "./stage.ts";

test("C13: the coordinator answers nobody; all pause at the leader's deadline and go on in the same epoch", () => {
  const cell = stage({ partitions: 3 });
  cell.coordinatorDown = true;
  const downAt = cell.now;
  const deadline = downAt + (2 * SESSION_MS) / 3;
  while (cell.now - downAt < 10_000) {
    for (let partition = 0; partition < 3; partition++) cell.produce(partition);
    cell.advance(200);
  }
  const before = cell.runs.length;
  expect(before).toBeGreaterThan(10); // until the deadline everything went on
  expect(cell.runs.every((run) => run.startedAt < deadline + LEASE_MS)).toBe(true);
  expect(cell.activeLeader()?.name).toBe("leader");

  cell.coordinatorDown = false;
  ended(cell, { runs: 150, checks: 0 });
  expect(cell.epoch).toBe(1);
  expect(cell.activeLeader()!.name).toBe("leader");
});
