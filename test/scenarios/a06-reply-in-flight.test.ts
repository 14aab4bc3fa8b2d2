import { expect, test } from "bun:test";
import { ended, isVerdict, loses, losesNothing, QUARANTINE_MS, stage, stateAt } from "./stage.ts";

test("A6: the owner dies while the reply is in flight; nobody knows whether it started: quarantine, then the check", () => {
  const cell = stage();
  const lost = loses(cell, isVerdict, { to: "owner" });
  cell.produce(0);
  cell.until("the reply is on its way", () => lost.count > 0);
  expect(stateAt(cell, "owner")).toBe("asked");

  cell.crash("owner");
  const crashedAt = cell.now;
  losesNothing(cell);
  ended(cell, { runs: 1, checks: 1 });
  expect(cell.checks[0]!.at - crashedAt).toBeGreaterThan(QUARANTINE_MS);
});
