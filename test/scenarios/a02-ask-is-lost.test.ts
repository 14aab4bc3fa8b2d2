import { expect, test } from "bun:test";
import { ended, entryAt, isClaim, loses, stage, stateAt } from "./stage.ts";

test("A2: the owner's claim is lost and the owner dies; the next owner's claim is granted", () => {
  const cell = stage();
  const lost = loses(cell, isClaim, { from: "owner" });
  cell.produce(0);
  cell.until("the claim is lost", () => lost.count > 0);
  expect(stateAt(cell, "owner")).toBe("asked");
  expect(entryAt(cell, "leader")).toBe("none");

  cell.crash("owner");
  ended(cell, { runs: 1, checks: 0 });
});
