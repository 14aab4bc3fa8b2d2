import { expect, test } from "bun:test";
import type { Cell } from "../support/cell.ts";
import {
  crashProven,
  ended,
  entryAt,
  hangs,
  hangsNoMore,
  isFact,
  loses,
  losesNothing,
  QUARANTINE_MS,
  stage,
  stateAt,
  untilState,
  type StageOptions,
} from "./stage.ts";

/** The owner died executing; "other" owns the partition now and doubts. */
function otherDoubts(how: "proven" | "silent", options: StageOptions & { effect?: boolean } = {}): Cell {
  const cell = stage({ spares: ["spare"], ...options });
  if (options.partitions === 2) {
    cell.move(1, "other");
    cell.advance(500);
  }
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  if (options.partitions === 2) {
    cell.produce(1);
    untilState(cell, "other", "executing", 0, 1);
  }
  const { effect = false } = options;
  if (how === "proven") crashProven(cell, "owner", { effect });
  else cell.crash("owner", { effect });
  hangsNoMore(cell);
  cell.move(0, "other");
  untilState(cell, "other", "doubtful");
  return cell;
}

function dies(cell: Cell): void {
  crashProven(cell, "other");
  cell.move(0, "spare");
}

test("F6: the node that doubts dies waiting; its successor waits out the same quarantine, and checks", () => {
  const cell = otherDoubts("silent");
  const diedAt = cell.now;
  expect(entryAt(cell, "leader")).toBe("granted to owner");
  dies(cell);
  ended(cell, { runs: 2, checks: 1 });
  expect(cell.checks[0]).toMatchObject({ node: "spare" });
  expect(cell.checks[0]!.at - diedAt).toBeGreaterThan(QUARANTINE_MS - 1_000);
});

test("F6: the node that doubts dies with an adoption, its check under way; its successor adopts, and checks again", () => {
  const cell = otherDoubts("proven");
  cell.checkMs = 1_000;
  cell.until("the check runs", () => cell.checks.length === 1);
  expect(entryAt(cell, "leader")).toBe("granted to other dirty");
  dies(cell);
  ended(cell, { runs: 2, checks: 2 });
  expect(cell.checks[1]!.node).toBe("spare");
});

test("F6: the node that doubts dies when its check said executed, before the commit; the check is repeated, and right", () => {
  const cell = otherDoubts("proven", { effect: true });
  cell.commitOutcome = (node) => (node === "other" ? "lost" : "committed");
  loses(cell, isFact, { from: "other" });
  untilState(cell, "other", "dropped");
  expect(cell.committed[0]).toBe(0);
  expect(entryAt(cell, "leader")).toBe("granted to other dirty");
  losesNothing(cell);
  dies(cell);
  ended(cell, { runs: 1, checks: 2 });
});

test("F6: the node that doubts dies when its check said not executed, before the start; the check is repeated", () => {
  const cell = otherDoubts("proven", { settings: { concurrency: 1 }, partitions: 2 });
  cell.until("checked, and no handler is free", () => stateAt(cell, "other") === "granted");
  expect(cell.checks).toHaveLength(1);
  dies(cell);
  ended(cell, { runs: 4, checks: 3 }); // of these two runs and a check for the task that kept it busy
  expect(cell.runsOf(0, 0).map((run) => run.node)).toEqual(["owner", "spare"]);
});

test("F7: the node that doubts dies in its run under an adoption: quarantine, then the check", () => {
  const cell = otherDoubts("proven");
  hangs(cell);
  untilState(cell, "other", "executing");
  cell.crash("other");
  const diedAt = cell.now;
  hangsNoMore(cell);
  cell.move(0, "spare");
  ended(cell, { runs: 3, checks: 2 });
  expect(cell.checks[1]!.at - diedAt).toBeGreaterThanOrEqual(QUARANTINE_MS);
});

test("F8: the node that doubts loses the partition while it checks; its adoption goes over, the new owner checks", () => {
  const cell = otherDoubts("proven");
  cell.checkMs = 1_000;
  cell.until("the check runs", () => cell.checks.length === 1);
  cell.move(0, "spare");
  ended(cell, { runs: 2, checks: 2 });
  expect(cell.checks[1]!.node).toBe("spare");
  expect(cell.runs[1]!.node).toBe("spare");
});
