import { expect, test } from "bun:test";
import { ended, stage } from "./stage.ts";

test("M17: one of two nodes dies; the other grants nothing alone, loses nothing, and goes on when there are two again", () => {
  const cell = stage({ nodes: ["owner", "leader"], partitions: 2 });
  cell.crash("owner");
  cell.produceMany(0, 3);
  cell.produceMany(1, 3);
  cell.advance(30_000);
  expect(cell.inSync.incarnations).toHaveLength(2); // never written smaller
  expect(cell.runs).toHaveLength(0);
  cell.start("owner");
  ended(cell, { runs: 6, checks: 0 });
});

test("M17: the leader of two dies; the same", () => {
  const cell = stage({ nodes: ["owner", "leader"], partitions: 2 });
  cell.crash("leader");
  cell.produceMany(0, 3);
  cell.produceMany(1, 3);
  cell.advance(30_000);
  expect(cell.runs).toHaveLength(0);
  expect(cell.node("owner").core.waitingFor).toContain("waiting for 1 more node");
  cell.start("leader");
  ended(cell, { runs: 6, checks: 0 });
});
