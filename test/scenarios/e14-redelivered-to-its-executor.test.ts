import { expect, test } from "bun:test";
import { ended, hangs, hangsNoMore, onlyRun, stage, stateAt, untilState } from "./stage.ts";

test("E14: a record is delivered again to the node that executes it; it joins the run, no second copy, no check", () => {
  const cell = stage();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  const { ownership } = cell.node("owner").core.member.state;
  cell.move(0, "owner");
  cell.advance(2_000);
  expect(cell.node("owner").core.member.state.ownership).toBe(ownership + 1);
  expect(cell.node("owner").core.member.state.windows.get(0)!.stateOf(0)).toBeGreaterThan(0); // delivered again
  expect(stateAt(cell, "owner")).toBe("executing");
  hangsNoMore(cell);
  cell.end(onlyRun(cell), "success");
  ended(cell, { runs: 1, checks: 0 }); // committed by the new ownership
});
