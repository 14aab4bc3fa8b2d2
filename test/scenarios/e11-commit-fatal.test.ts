import { expect, test } from "bun:test";
import { stage } from "./stage.ts";

test("E11: a commit fails for good; the partition stops with an alarm instead of trying for ever", () => {
  const cell = stage();
  cell.commitOutcome = (node) => (node === "owner" && cell.runs.length > 0 ? "fatal" : "committed");
  cell.produce(0);
  cell.until("stopped", () => cell.node("owner").alarms.length > 0);
  expect(cell.node("owner").alarms).toEqual([expect.stringContaining("commit-fatal")]);
  const { commits } = cell.node("owner").core.ctx.counters;
  cell.produceMany(0, 5);
  cell.advance(5_000);
  expect(cell.node("owner").core.ctx.counters.commits).toBe(commits);
  expect(cell.runs).toHaveLength(1);
});
