import { expect, test } from "bun:test";
import { ended, entryAt, grantedNotStarted, onlyRun } from "./stage.ts";

test("E2: the partition moves while a grant is not started; it is given back and given on, unchecked", () => {
  const cell = grantedNotStarted({ hasCheck: false, onUnknown: "drop" });
  expect(entryAt(cell, "leader")).toBe("granted to owner");
  cell.move(0, "other");
  cell.until("the next owner runs it", () => cell.runsOf(0, 0).length === 1);
  expect(onlyRun(cell).node).toBe("other");
  cell.end(cell.runs[0]!, "success"); // a handler is free at the old owner: nothing is left for it
  ended(cell, { runs: 2, checks: 0 });
});
