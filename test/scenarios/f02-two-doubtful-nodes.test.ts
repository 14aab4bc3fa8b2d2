import { expect, test } from "bun:test";
import { ended, hangs, hangsNoMore, stage, stateAt, untilState } from "./stage.ts";

test("F2: two nodes doubt the same record; neither vouches for it, one is given it, and only that one checks", () => {
  const cell = stage({ spares: ["spare"] });
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  cell.crash("owner");
  hangsNoMore(cell);
  cell.move(0, "other");
  untilState(cell, "other", "doubtful");
  cell.node("other").deaf = true; // it does not hear that it lost the partition
  cell.move(0, "spare");
  untilState(cell, "spare", "doubtful");
  cell.advance(5_000);
  expect(stateAt(cell, "other")).toBe("doubtful");
  expect(stateAt(cell, "spare")).toBe("doubtful");
  ended(cell, { runs: 2, checks: 1 });
  expect(cell.checks[0]!.node).toBe("spare");
  expect(cell.runs[1]!.node).toBe("spare");
});
