import { expect, test } from "bun:test";
import { ended, hangs, hangsNoMore, onlyRun, stage, untilState } from "./stage.ts";

test("F4: the holder says executed and dies; the next owner has dropped it, and that was right", () => {
  const cell = stage();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  hangsNoMore(cell);
  cell.move(0, "other");
  untilState(cell, "other", "doubtful");
  cell.commitOutcome = () => "lost";
  cell.end(onlyRun(cell), "success");
  untilState(cell, "other", "dropped");
  expect(cell.committed[0]).toBe(0);
  cell.crash("owner");
  cell.commitOutcome = () => "committed";
  ended(cell, { runs: 1, checks: 0 });
});
