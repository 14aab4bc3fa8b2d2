import { expect, test } from "bun:test";
import type { Cell } from "../support/cell.ts";
import {
  EFFECT_SETTLE_MS,
  ended,
  hangs,
  hangsNoMore,
  onlyRun,
  QUARANTINE_MS,
  stage,
  stateAt,
  untilState,
} from "./stage.ts";

/** The owner executes, the partition has moved, and "other" waits. */
function movesWhileExecuting(): Cell {
  const cell = stage();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  hangsNoMore(cell);
  cell.move(0, "other");
  untilState(cell, "other", "doubtful");
  cell.advance(30_000); // longer than any quarantine: the holder is there, so it is waited for
  expect(stateAt(cell, "other")).toBe("doubtful");
  expect(stateAt(cell, "owner")).toBe("executing");
  return cell;
}

test("E3: the partition moves while its owner executes; the next owner waits, and drops it when it is done", () => {
  const cell = movesWhileExecuting();
  cell.end(onlyRun(cell), "success");
  const endedAt = cell.now;
  ended(cell, { runs: 1, checks: 0 });
  expect(cell.now - endedAt).toBeLessThan(1_000);
  expect(cell.settled()).toMatchObject({ waitedForHolder: 1 });
});

test("E3, F3: the node that was waited for dies executing: quarantine, then the check", () => {
  const cell = movesWhileExecuting();
  cell.crash("owner");
  const crashedAt = cell.now;
  ended(cell, { runs: 2, checks: 1 });
  expect(cell.checks[0]!.at - crashedAt).toBeGreaterThanOrEqual(QUARANTINE_MS + EFFECT_SETTLE_MS - 1_000);
  expect(cell.runs[1]!.node).toBe("other");
});
