import { expect, test } from "bun:test";
import type { Cell } from "../support/cell.ts";
import { crashProven, ended, hangs, hangsNoMore, stage, untilState, type StageOptions } from "./stage.ts";

function ownerDiesExecuting(options: StageOptions): Cell {
  const cell = stage(options);
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  crashProven(cell, "owner");
  hangsNoMore(cell);
  cell.move(0, "other");
  return cell;
}

test("F9: the check fails or times out; asked again after a pause, nothing is committed meanwhile", () => {
  const cell = ownerDiesExecuting({});
  const truth = cell.check;
  cell.check = (taskId, node) => (cell.checks.length < 3 ? "unknown" : truth(taskId, node));
  cell.until("asked twice", () => cell.checks.length === 2);
  expect(cell.committed[0]).toBe(0);
  expect(cell.checks[1]!.at - cell.checks[0]!.at).toBeGreaterThanOrEqual(100);
  ended(cell, { runs: 2, checks: 3 });
});

for (const onUnknown of ["park", "drop", "execute"] as const) {
  test(`F9: the check never knows; after its attempts the task definition's onUnknown (${onUnknown}) decides, not a default`, () => {
    const cell = ownerDiesExecuting({ onUnknown });
    cell.check = () => "unknown";
    cell.drain();
    expect(cell.checks).toHaveLength(3);
    expect(cell.runs).toHaveLength(onUnknown === "execute" ? 2 : 1);
    expect(cell.setAside).toEqual(
      onUnknown === "park" ? [{ kind: "parked", partition: 0, offset: 0, reason: "unknown" }] : [],
    );
  });
}
