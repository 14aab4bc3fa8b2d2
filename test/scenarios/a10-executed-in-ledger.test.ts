import { expect, test } from "bun:test";
import { ended, entryAt, QUARANTINE_MS, stage, untilState } from "./stage.ts";

test("A10: the holder dies when the in-sync set knows that it executed; the next owner drops and commits, unchecked", () => {
  const cell = stage();
  cell.produce(0);
  untilState(cell, "owner", "executing");
  cell.commitOutcome = (node) => (node === "owner" ? "lost" : "committed");
  cell.until("in the ledger", () => entryAt(cell, "leader") === "executed" && entryAt(cell, "other") === "executed");
  expect(cell.committed[0]).toBe(0);

  cell.crash("owner");
  const crashedAt = cell.now;
  ended(cell, { runs: 1, checks: 0 });
  expect(cell.now - crashedAt).toBeLessThan(QUARANTINE_MS); // nothing was waited for but the group
  expect(cell.settled()).toMatchObject({ attestedExecuted: 1 });
});
