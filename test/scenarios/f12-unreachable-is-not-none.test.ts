import { expect, test } from "bun:test";
import { ended, hangs, hangsNoMore, onlyRun, stage, stateAt, untilState } from "./stage.ts";

test("F12: the only node that could vouch cannot be reached; that is no evidence, so it is waited for and not checked", () => {
  const cell = stage();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  hangsNoMore(cell);
  cell.cutPeers("owner");
  cell.move(0, "other");
  untilState(cell, "other", "doubtful");
  cell.advance(5_000);
  cell.end(onlyRun(cell), "success"); // it cannot tell anybody
  cell.advance(5_000);
  expect(stateAt(cell, "other")).toBe("doubtful");
  expect(cell.checks).toHaveLength(0);
  cell.healPeers("owner");
  ended(cell, { runs: 1, checks: 0 });
});
