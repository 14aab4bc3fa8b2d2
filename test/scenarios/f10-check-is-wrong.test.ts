/**
 * What the product cannot see: a check that is wrong. These scripts show how far the damage goes, who is asked when, and
 * that what was done on the check's word is counted as that.
 */
import { expect, test } from "bun:test";
import type { Cell } from "../support/cell.ts";
import { crashProven, EFFECT_SETTLE_MS, hangs, hangsNoMore, stage, tokensRise, untilState } from "./stage.ts";

function ownerDiesExecuting(effect: boolean): { cell: Cell; diedAt: number } {
  const cell = stage();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  crashProven(cell, "owner", { effect });
  const diedAt = cell.now;
  hangsNoMore(cell);
  cell.move(0, "other");
  return { cell, diedAt };
}

test("F10: a check that reads a stale copy makes a second run, under a larger token, and counts as the check's word", () => {
  const { cell, diedAt } = ownerDiesExecuting(true);
  cell.check = () => "not-executed"; // the copy does not have the effect yet
  cell.drain();
  expect(cell.checks).toHaveLength(1);
  expect(cell.checks[0]!.at - diedAt).toBeGreaterThanOrEqual(EFFECT_SETTLE_MS);
  expect(cell.runs).toHaveLength(2);
  expect(cell.effects(cell.taskIdOf(0, 0))).toBe(2); // nothing else could have told
  tokensRise(cell); // whoever looks at the effects can tell which came second
  expect(cell.node("other").core.ctx.settled).toMatchObject({ checkedNotExecuted: 1, checkedExecuted: 0 });
});

test("F11: a check that says executed although it was not loses this task alone, and counts as the check's word", () => {
  const { cell } = ownerDiesExecuting(false);
  cell.produce(0);
  const lied = cell.taskIdOf(0, 0);
  cell.check = () => "executed";
  cell.drain();
  expect(cell.runsOf(0, 0)).toHaveLength(1);
  expect(cell.effects(lied)).toBe(0);
  expect(cell.effects(cell.taskIdOf(0, 1))).toBe(1);
  expect(cell.checks).toHaveLength(1);
  expect(cell.committed[0]).toBe(2);
  expect(cell.node("other").core.ctx.settled).toMatchObject({ checkedNotExecuted: 0, checkedExecuted: 1 });
});
