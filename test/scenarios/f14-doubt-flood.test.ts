import { expect, test } from "bun:test";
import { crashProven, ended, hangs, hangsNoMore, stage } from "./stage.ts";

test("F14: a node dies with hundreds of grants; their checks run in offset order, a few at a time", () => {
  const cell = stage();
  hangs(cell);
  cell.produceMany(0, 400);
  cell.until("all granted", () => cell.node("owner").core.ctx.counters.granted === 400);
  expect(cell.runs).toHaveLength(100); // concurrency
  crashProven(cell, "owner");
  hangsNoMore(cell);
  cell.checkMs = 50;
  cell.move(0, "other");
  ended(cell, { runs: 500, checks: 400 });
  const offsets = cell.checks.map((check) => check.offset);
  expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
  for (const { at } of cell.checks) {
    const running = cell.checks.filter((check) => check.at <= at && check.at + cell.checkMs > at).length;
    expect(running).toBeLessThanOrEqual(16);
  }
});
