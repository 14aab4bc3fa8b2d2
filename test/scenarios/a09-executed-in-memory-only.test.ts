import { expect, test } from "bun:test";
import { ended, entryAt, isReport, loses, losesNothing, QUARANTINE_MS, stage, stateAt, untilState } from "./stage.ts";

test("A9: the holder dies when its handler is done and only it knows; quarantine, then the check says executed", () => {
  const cell = stage();
  cell.produce(0);
  untilState(cell, "owner", "executing");
  loses(cell, isReport, { from: "owner" });
  cell.commitOutcome = (node) => (node === "owner" ? "lost" : "committed");
  untilState(cell, "owner", "executed");
  expect(cell.effects(cell.taskIdOf(0, 0))).toBe(1);
  cell.advance(50);
  expect(entryAt(cell, "leader")).toBe("granted to owner");
  expect(stateAt(cell, "owner")).toBe("executed");

  cell.crash("owner");
  const crashedAt = cell.now;
  losesNothing(cell);
  ended(cell, { runs: 1, checks: 1 });
  expect(cell.checks[0]!.at - crashedAt).toBeGreaterThan(QUARANTINE_MS);
});
