import { expect, test } from "bun:test";
import { Cell } from "../support/cell.ts";

test("three nodes execute and commit every task once", () => {
  const cell = new Cell({ partitions: 3 });
  cell.until("a leader votes", () => cell.activeLeader() !== null);
  for (let p = 0; p < 3; p++) cell.produceMany(p, 200);
  cell.drain();
  cell.verifyOnce();
  expect(cell.runs.length).toBe(600);
  expect(cell.checks.length).toBe(0);
});
