import { expect, test } from "bun:test";
import { Cell } from "../support/cell.ts";

test("R1: a leader whose epoch is too low for a node of the cell gives its place back and is elected anew above it", () => {
  const cell = new Cell({ partitions: 2, nodes: ["a", "b"] });
  cell.until("both in sync", () => cell.inSync.incarnations.length === 2);
  cell.produceMany(0, 10);
  // The coordinator's epoch was restored from an old copy: a node that comes knows a later one.
  const late = cell.start("c");
  late.core.epoch = 50;
  cell.produceMany(1, 10);
  cell.until("a leader above it", () => (cell.activeLeader()?.core.epoch ?? 0) > 50, 30_000);
  cell.drain();
  cell.verifyOnce();
  expect(cell.epoch).toBeGreaterThan(50);
});
