import { expect, test } from "bun:test";
import { anotherLeads, ended, stage } from "./stage.ts";

test("C10: the coordinator reaches the leader, its followers do not; it resigns, and another leads", () => {
  const cell = stage();
  cell.cutPeers("leader");
  const cutAt = cell.now;
  cell.produce(0);
  const next = anotherLeads(cell);
  expect(cell.now - cutAt).toBeLessThan(10_000);
  expect(cell.node("leader").logs.join("\n")).toContain("fewer than 2 live members for 6000 ms");
  ended(cell, { runs: 1, checks: 0 });

  cell.healPeers("leader");
  cell.until("back in the set", () => cell.inSync.incarnations.includes(cell.node("leader").incarnation));
  expect(cell.leaderName()).toBe(next);
});
