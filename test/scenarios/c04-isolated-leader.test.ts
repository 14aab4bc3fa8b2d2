import { expect, test } from "bun:test";
import { anotherLeads, ended, stage, zombie } from "./stage.ts";

test("C4: a leader cut from everybody grants itself nothing, and cannot shrink its set to itself", () => {
  const cell = stage({ partitions: 3 });
  const mine = cell.assignment.indexOf("leader");
  zombie(cell);
  cell.cutPeers("leader");
  cell.produce(mine); // the task log can be reached: it gets the record
  cell.advance(5_000);
  expect(cell.inSync.incarnations).toHaveLength(3);
  anotherLeads(cell);
  cell.advance(2_000);
  expect(cell.node("leader").core.ctx.counters.claimed).toBe(1);
  expect(cell.runs).toHaveLength(0);

  cell.healPeers("leader");
  cell.healCoordinator("leader");
  ended(cell, { runs: 1, checks: 0 });
});
