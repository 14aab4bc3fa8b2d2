import { expect, test } from "bun:test";
import { ended, rewritesCommit, stage, watermarkAt } from "./stage.ts";

test("E8: a stale commit of this cell moves the offset back; W is exact, so what comes back is dropped unasked", () => {
  const cell = stage();
  cell.produceMany(0, 2);
  cell.drain();
  const stale = cell.metadata[0]!;
  cell.produceMany(0, 8);
  cell.drain();
  cell.advance(500);
  expect(watermarkAt(cell, "leader")).toBe(10);

  rewritesCommit(cell, 2, stale);
  ended(cell, { runs: 10, checks: 0 });
  expect(cell.settled()).toMatchObject({ committed: 8 });
});

test("E16: another tool resets the group to the beginning; W answers for all of it, nothing is checked", () => {
  const cell = stage();
  cell.produceMany(0, 300);
  cell.drain();
  cell.advance(500);
  rewritesCommit(cell, 0);
  ended(cell, { runs: 300, checks: 0 });
  expect(cell.settled()).toMatchObject({ committed: 300 });
  expect(cell.node("leader").alarms.join()).toContain("foreign-commit");
});
