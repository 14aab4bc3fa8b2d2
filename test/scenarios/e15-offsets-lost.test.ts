import { expect, test } from "bun:test";
import { ended, hangs, hangsNoMore, onlyRun, rewritesCommit, stage, untilState } from "./stage.ts";

test("E15: the group's offsets are gone (retention); an alarm, and W still answers for what was done", () => {
  const cell = stage();
  cell.produceMany(0, 10);
  cell.drain();
  cell.advance(500);
  rewritesCommit(cell, null);
  cell.produceMany(0, 3);
  ended(cell, { runs: 13, checks: 0 });
  expect(cell.settled()).toMatchObject({ committed: 10 });
  expect(cell.node("leader").alarms.join()).toContain("offsets-lost");
});

test("E15: the same in a cell that had begun at the end of the log; the backlog is read, not skipped", () => {
  const cell = stage({ settings: { startAt: "latest" } });
  cell.produceMany(0, 10);
  cell.drain();
  cell.advance(500);
  hangs(cell, 10);
  cell.produceMany(0, 2);
  untilState(cell, "owner", "executed", 11);
  expect(cell.committed[0]).toBe(10);
  cell.produceMany(0, 3);
  rewritesCommit(cell, null); // "latest" would now be 15
  cell.advance(2_000);
  hangsNoMore(cell);
  cell.end(onlyRun(cell, 10), "success");
  ended(cell, { runs: 15, checks: 0 });
  expect(cell.node("leader").alarms.join()).toContain("offsets-lost");
});

test("E15: the first owner of a new partition dies before its first commit; `latest` is where the cell began, not later", () => {
  const cell = stage({ settings: { startAt: "latest" }, partitions: 2 });
  cell.produceMany(1, 4);
  cell.drain();
  expect(cell.runs).toHaveLength(4);
  rewritesCommit(cell, null); // partition 0: W is 0 and replicated, and nothing is committed any more
  cell.produceMany(0, 3);
  cell.rebalance(true);
  ended(cell, { runs: 7, checks: 0 });
});

test("E15: retention has deleted what the cell had not read; it goes on behind it with an alarm, and says what it skipped", () => {
  const cell = stage();
  cell.produceMany(0, 10);
  cell.drain();
  cell.advance(500);
  cell.log[0]!.push({ id: null, payload: 0, isGap: true }, { id: null, payload: 0, isGap: true });
  cell.logStart = 12;
  rewritesCommit(cell, null);
  cell.produceMany(0, 3);
  ended(cell, { runs: 13, checks: 0 });
  expect(cell.node("leader").alarms.join()).toContain("2 offsets were skipped");
});
