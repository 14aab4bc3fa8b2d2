import { expect, test } from "bun:test";
import { ended, isCommitNoteAbove, loses, losesNothing, stage, watermarkAt } from "./stage.ts";

test("A12: the owner dies when it has committed and not told; the next owner reads the commit and publishes W", () => {
  const cell = stage();
  loses(cell, isCommitNoteAbove(0), { from: "owner" });
  cell.produceMany(0, 3);
  cell.until("committed", () => cell.committed[0] === 3);
  expect(watermarkAt(cell, "leader")).toBe(0);

  cell.crash("owner");
  losesNothing(cell);
  cell.until("W is known", () => watermarkAt(cell, "leader") === 3);
  expect(cell.assignment[0]).toBe("other");
  cell.produce(0);
  ended(cell, { runs: 4, checks: 0 });
  expect(cell.settled()).toMatchObject({ attestedExecuted: 0, committed: 0 }); // nothing came back
});
