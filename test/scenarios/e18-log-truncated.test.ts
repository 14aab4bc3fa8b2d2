import { expect, test } from "bun:test";
import { stage, watermarkAt } from "./stage.ts";

test("E18: the log was cut and written anew (its leader epoch fell); the partition stops, nothing is taken for committed", () => {
  const cell = stage();
  cell.leaderEpoch = 7;
  cell.produceMany(0, 5);
  cell.drain();
  cell.advance(500);
  cell.leaderEpoch = 6;
  cell.produceMany(0, 5);
  cell.advance(5_000);
  expect(cell.node("owner").alarms.join()).toContain("truncated");
  expect(cell.committed[0]).toBe(5);
  expect(watermarkAt(cell, "leader")).toBe(5);
  expect(cell.runs).toHaveLength(5);
  cell.move(0, "other"); // the next owner knows the epoch from the commit, and stops too
  cell.advance(5_000);
  expect(cell.node("other").alarms.join()).toContain("truncated");
  expect(cell.runs).toHaveLength(5);
});

test("E18: the log answers that the position is out of range; the partition stops with an alarm", () => {
  const cell = stage();
  cell.produceMany(0, 5);
  cell.drain();
  cell.tell("owner", { type: "partition-problem", pid: 0, problem: "out of range" });
  cell.produceMany(0, 5);
  cell.advance(5_000);
  expect(cell.node("owner").alarms.join()).toContain("out-of-range");
  expect(cell.committed[0]).toBe(5);
  expect(cell.runs).toHaveLength(5);
});
