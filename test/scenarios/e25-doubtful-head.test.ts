import { expect, test } from "bun:test";
import { ended, hangs, hangsNoMore, stage, stateAt, untilState } from "./stage.ts";

test("E25: the first record of a partition waits for a quarantine; what is above it goes on, only the position waits", () => {
  const cell = stage();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  hangsNoMore(cell);
  cell.crash("owner");
  cell.until("moved", () => cell.assignment[0] === "other");
  cell.produceMany(0, 50);
  cell.advance(1_000);
  expect(stateAt(cell, "other", 0)).toBe("doubtful");
  expect(cell.runs.filter((run) => run.node === "other" && run.outcome === "success")).toHaveLength(50);
  expect(cell.committed[0]).toBe(0);
  ended(cell, { runs: 52, checks: 1 });
});
