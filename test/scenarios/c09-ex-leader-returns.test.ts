import { expect, test } from "bun:test";
import {
  anotherLeads,
  ended,
  entryAt,
  hangs,
  hangsNoMore,
  isClaim,
  isDelta,
  isDoubt,
  loses,
  losesNothing,
  stage,
  untilState,
} from "./stage.ts";

test("C9: an ex-leader returns with decisions that nobody else has; it drops them and takes the cell's state", () => {
  const cell = stage({ spares: ["spare"], partitions: 2 });
  expect(cell.assignment).toEqual(["owner", "other"]);
  loses(cell, isDelta);
  cell.produce(0);
  cell.produce(1);
  cell.until("decided by the leader alone", () => entryAt(cell, "leader") === "granted to owner");
  cell.until("both", () => entryAt(cell, "leader", 0, 1) === "granted to other");
  cell.advance(1);
  cell.pause("leader");
  losesNothing(cell);
  for (const what of [isClaim, isDoubt]) loses(cell, what, { from: "other" }); // 1:0 is not asked for meanwhile
  const next = anotherLeads(cell);
  cell.rebalanceWithout("leader");
  hangs(cell);
  cell.move(0, "spare");
  untilState(cell, "spare", "executing");
  expect(entryAt(cell, next)).toBe("granted to spare");

  cell.resume("leader");
  cell.until("back in the set", () => cell.inSync.incarnations.includes(cell.node("leader").incarnation));
  for (const name of ["leader", next]) {
    expect(entryAt(cell, name, 0, 0)).toBe("granted to spare");
    expect(entryAt(cell, name, 0, 1)).toBe("none");
  }
  losesNothing(cell);
  cell.dropLinks("other");
  hangsNoMore(cell);
  cell.end(cell.runs[0]!, "success");
  ended(cell, { runs: 2, checks: 0 });
});
