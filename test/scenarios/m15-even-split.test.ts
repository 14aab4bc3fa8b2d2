import { expect, test } from "bun:test";
import { ended, stage } from "./stage.ts";

test("M15: the network splits evenly, the coordinator is reached from both sides; only the leader's side goes on", () => {
  const cell = stage({ spares: ["spare"], partitions: 4 });
  const here = ["leader", "owner"];
  cell.isSplit = (a, b) => here.includes(a) !== here.includes(b);
  cell.dropLinks("other");
  cell.dropLinks("spare");
  const splitAt = cell.now;
  cell.until("the others are out of the set", () => cell.inSync.incarnations.length === 2, 10_000);
  cell.advance(3_000);
  const before = cell.runs.length;
  for (let partition = 0; partition < 4; partition++) cell.produceMany(partition, 10);
  cell.until("the others are out of the group", () => cell.assignment.every((name) => here.includes(name!)), 30_000);
  expect(cell.now - splitAt).toBeGreaterThan(15_000);
  cell.drain();
  expect(cell.runs.slice(before).every((run) => here.includes(run.node))).toBe(true);
  expect(cell.epoch).toBe(1);

  cell.isSplit = () => false;
  cell.until("all in the set again", () => cell.inSync.incarnations.length === 4);
  ended(cell, { runs: 40, checks: 0 });
});
