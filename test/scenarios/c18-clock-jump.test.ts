import { expect, test } from "bun:test";
import {
  ended,
  hangs,
  hangsNoMore,
  isReport,
  loses,
  losesNothing,
  onlyRun,
  stage,
  stateAt,
  untilState,
} from "./stage.ts";

test("C18: the clocks of a node disagree; it starts nothing until a later report is answered, and aborts nothing", () => {
  const cell = stage({ settings: { concurrency: 1 } });
  hangs(cell, 0);
  cell.produceMany(0, 2);
  untilState(cell, "owner", "granted", 1);
  const stamp = cell.node("owner").core.member.state.windows.get(0)!.stampOf(1);

  loses(cell, isReport, { from: "owner" }); // no answer for a while
  cell.tell("owner", { type: "clock-jump" });
  expect(stateAt(cell, "owner", 0)).toBe("executing");
  hangsNoMore(cell);
  cell.end(onlyRun(cell, 0), "success");
  cell.advance(1_000);
  expect(cell.runs).toHaveLength(1);
  losesNothing(cell);
  ended(cell, { runs: 2, checks: 0 });
  expect(onlyRun(cell, 1).token[1]).toBeGreaterThan(stamp); // given anew
});
