import { expect, test } from "bun:test";
import { ended, entryAt, stage, stateAt, untilState } from "./stage.ts";

test("A1: the owner dies with a record that it has not asked for; the next owner's claim is granted", () => {
  const cell = stage();
  cell.commitOutcome = (node) => (node === "owner" ? "lost" : "committed"); // no ceiling, so no claim
  cell.produce(0);
  untilState(cell, "owner", "held");
  cell.advance(500);
  expect(stateAt(cell, "owner")).toBe("held");
  expect(entryAt(cell, "leader")).toBe("none");

  cell.crash("owner");
  ended(cell, { runs: 1, checks: 0 });
});
