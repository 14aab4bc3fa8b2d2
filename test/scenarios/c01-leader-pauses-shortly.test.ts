import { expect, test } from "bun:test";
import { ended, hangs, hangsNoMore, onlyRun, stage, untilState } from "./stage.ts";

test("C1, C19: the leader stops (or its loop is blocked) for longer than the lease and shorter than its session; same epoch, grants asked for again", () => {
  const cell = stage({ settings: { concurrency: 1 } });
  hangs(cell, 0);
  cell.produceMany(0, 2);
  untilState(cell, "owner", "granted", 1);
  const stamp = cell.node("owner").core.member.state.windows.get(0)!.stampOf(1);

  cell.pause("leader");
  cell.until("its lease is over", () => cell.node("owner").core.role === "suspended", 3_500);
  cell.advance(1_000);
  cell.end(onlyRun(cell, 0), "success"); // a handler is free, and the old grant must not use it
  cell.advance(500);
  expect(cell.runs).toHaveLength(1);
  cell.resume("leader");
  hangsNoMore(cell);
  ended(cell, { runs: 2, checks: 0 });
  expect(cell.epoch).toBe(1);
  expect(onlyRun(cell, 1).token[0]).toBe(1);
  expect(onlyRun(cell, 1).token[1]).toBeGreaterThan(stamp);
});
