import { expect, test } from "bun:test";
import type { Cell } from "../support/cell.ts";
import {
  crashProven,
  EFFECT_SETTLE_MS,
  ended,
  entryAt,
  hangs,
  hangsNoMore,
  onlyRun,
  QUARANTINE_MS,
  stage,
  untilState,
} from "./stage.ts";

function ownerExecutes(): Cell {
  const cell = stage();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  expect(entryAt(cell, "leader")).toBe("granted to owner");
  return cell;
}

test("A8: the holder dies executing, without an effect; the check runs after the quarantine, and the task again", () => {
  const cell = ownerExecutes();
  cell.crash("owner", { effect: false });
  const crashedAt = cell.now;
  hangsNoMore(cell);
  ended(cell, { runs: 2, checks: 1 });
  expect(cell.checks[0]!.at - crashedAt).toBeGreaterThanOrEqual(QUARANTINE_MS + EFFECT_SETTLE_MS);
});

test("A8: the holder dies executing, and its effect lands after its death; the check is late enough to see it", () => {
  const cell = ownerExecutes();
  crashProven(cell, "owner", { effect: false });
  const crashedAt = cell.now;
  const run = onlyRun(cell);
  cell.after(EFFECT_SETTLE_MS - 1, () => (run.effect = true));
  hangsNoMore(cell);
  cell.move(0, "other"); // at once, not only when the group has noticed
  ended(cell, { runs: 1, checks: 1 });
  expect(cell.checks[0]!.at - crashedAt).toBeGreaterThanOrEqual(EFFECT_SETTLE_MS);
  expect(cell.checks[0]!.at - crashedAt).toBeLessThan(QUARANTINE_MS); // the proof of death spares the quarantine
});
