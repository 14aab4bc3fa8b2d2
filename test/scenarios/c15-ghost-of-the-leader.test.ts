import { expect, test } from "bun:test";
import { ended, SESSION_MS, stage } from "./stage.ts";

test("C15: the leader's process is new while its old session holds the leadership; all wait for the session's end", () => {
  const cell = stage();
  const ghost = cell.node("leader").incarnation;
  cell.crash("leader");
  cell.start("leader");
  cell.produce(0);
  cell.advance(SESSION_MS - 10);
  expect(cell.epoch).toBe(1);
  expect(cell.node("leader").core.leaderKnown?.incarnation).toBe(ghost);
  expect(cell.activeLeader()).toBeNull();

  ended(cell, { runs: 1, checks: 0 });
  expect(cell.epoch).toBe(2);
});
