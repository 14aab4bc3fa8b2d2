import { expect, test } from "bun:test";
import { Cell } from "../support/cell.ts";
import { EFFECT_SETTLE_MS, ended, hangs, hangsNoMore, untilState } from "./stage.ts";

test("M16: one node with min-in-sync 1 works alone; its restart is an unclean start of the cell, every time", () => {
  const cell = new Cell({ nodes: ["solo"], settings: { minInSync: 1 } });
  cell.produceMany(0, 10);
  cell.drain();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "solo", "executing", 10);
  hangsNoMore(cell);
  for (let restart = 1; restart <= 2; restart++) {
    const before = cell.node("solo").incarnation;
    cell.crash("solo");
    cell.start("solo");
    cell.tell("solo", { type: "death-proven", incarnation: before });
    cell.produce(0);
    const startedAt = cell.now;
    cell.drain();
    expect(cell.checks.length).toBeGreaterThan(0);
    expect(cell.checks[0]!.at).toBeGreaterThanOrEqual(EFFECT_SETTLE_MS);
    expect(cell.now - startedAt).toBeLessThan(15_000); // the death was proven: no quarantine
    expect(cell.activeLeader()!.alarms.join()).toContain("filter-window");
  }
  ended(cell, { runs: 14, checks: 1 }); // the second restart left nothing open
});

test("M16: with min-in-sync 2 one node alone grants nothing, and says what it waits for", () => {
  const cell = new Cell({ nodes: ["solo"] });
  cell.produce(0);
  cell.advance(30_000);
  expect(cell.activeLeader()).toBeNull();
  expect(cell.node("solo").core.waitingFor).toContain("waiting for 1 more node (min-in-sync 2)");
  expect(cell.runs).toHaveLength(0);
  cell.start("second");
  ended(cell, { runs: 1, checks: 0 });
});
