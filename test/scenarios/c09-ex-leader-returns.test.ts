import { expect, test } from "bun:test";
import { anotherLeads, ended, entryAt, hangs, isDelta, loses, losesNothing, stage, untilState } from "./stage.ts";

test("C9: an ex-leader returns with a decision that nobody else has; it drops it and takes the cell's state", () => {
  const cell = stage({ spares: ["spare"] });
  loses(cell, isDelta);
  cell.produce(0);
  cell.until("decided by the leader alone", () => entryAt(cell, "leader") === "granted to owner");
  cell.advance(1);
  cell.pause("leader");
  losesNothing(cell);
  const next = anotherLeads(cell);
  cell.rebalanceWithout("leader");
  hangs(cell);
  cell.move(0, "other");
  untilState(cell, "other", "executing");
  expect(entryAt(cell, next)).toBe("granted to other");

  cell.resume("leader");
  cell.until("back in the set", () => cell.inSync.incarnations.includes(cell.node("leader").incarnation));
  expect(entryAt(cell, "leader")).toBe("granted to other");
  expect(entryAt(cell, next)).toBe("granted to other");
  cell.end(cell.runs[0]!, "success");
  ended(cell, { runs: 1, checks: 0 });
});
