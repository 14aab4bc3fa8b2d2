import { expect, test } from "bun:test";
import type { Cell } from "../support/cell.ts";
import {
  ended,
  entryAt,
  hangs,
  hangsNoMore,
  isDoubt,
  loses,
  losesNothing,
  onlyRun,
  QUARANTINE_MS,
  stage,
  stateAt,
  untilState,
  watermarkAt,
  type StageOptions,
} from "./stage.ts";

/** The owner runs the task of 0:0; another node has the same task in 1:0 and waits. */
function secondWaits(payload = 1, options: StageOptions = {}): Cell {
  const cell = stage({ partitions: 2, ...options });
  expect(cell.assignment).toEqual(["owner", "other"]);
  hangs(cell);
  cell.produce(0, "payment-7");
  untilState(cell, "owner", "executing");
  cell.produce(1, "payment-7", payload);
  untilState(cell, "other", "doubtful", 0, 1);
  cell.advance(20_000);
  expect(stateAt(cell, "other", 0, 1)).toBe("doubtful");
  expect(cell.committed).toEqual([0, 0]);
  hangsNoMore(cell);
  return cell;
}

test("F15: two records are one task, the first runs; the second is dropped only when the first has executed", () => {
  const cell = secondWaits();
  cell.commitOutcome = (node) => (node === "owner" ? "lost" : "committed"); // so that the table still knows the first
  cell.end(onlyRun(cell), "success");
  cell.until("dropped", () => cell.committed[1] === 1);
  expect(entryAt(cell, "leader", 0, 0)).toBe("executed");
  cell.commitOutcome = () => "committed";
  ended(cell, { runs: 1, checks: 0 });
});

for (const onUnknown of ["park", "execute"] as const) {
  test(`F15: the same when W passes the first before the second asks again; no check is needed (onUnknown ${onUnknown})`, () => {
    const cell = secondWaits(1, { hasCheck: false, onUnknown });
    loses(cell, isDoubt, { from: "other" });
    cell.end(onlyRun(cell), "success");
    cell.until("W has passed it", () => watermarkAt(cell, "leader") === 1);
    expect(entryAt(cell, "leader")).toBe("none");
    losesNothing(cell);
    cell.dropLinks("other");
    ended(cell, { runs: 1, checks: 0 });
    expect(cell.setAside).toEqual([]);
  });
}

test("F15: two records are one task, and the node that runs the first dies; one of them runs after a check, once", () => {
  const cell = secondWaits();
  cell.crash("owner");
  const diedAt = cell.now;
  cell.drain();
  cell.verifyOnce();
  expect(cell.runs).toHaveLength(2);
  expect(cell.checks.length).toBeGreaterThanOrEqual(1);
  expect(cell.checks[0]!.at - diedAt).toBeGreaterThanOrEqual(QUARANTINE_MS);
});

test("F15: two records name one task and their payloads differ; the second is parked as a conflict", () => {
  const cell = secondWaits(2);
  cell.commitOutcome = (node) => (node === "owner" ? "lost" : "committed");
  cell.end(onlyRun(cell), "success");
  cell.until("decided", () => cell.committed[1] === 1);
  expect(cell.setAside).toEqual([{ kind: "parked", partition: 1, offset: 0, reason: "conflict" }]);
  cell.commitOutcome = () => "committed";
  ended(cell, { runs: 1, checks: 0 });
});
