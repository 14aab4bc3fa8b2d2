import { expect, test } from "bun:test";
import { ended, entryAt, stage } from "./stage.ts";

test("E5: a commit is refused (ILLEGAL_GENERATION); the fact goes to the ledger, this generation commits nothing more", () => {
  const cell = stage();
  cell.commitOutcome = (node) => (node === "owner" && cell.runs.length > 0 ? "refused" : "committed");
  cell.produce(0);
  const { counters } = cell.node("owner").core.ctx;
  cell.until("refused", () => counters.commitsRefused === 1);
  const commits = counters.commits;
  cell.produce(0);
  cell.advance(2_000);
  expect(counters.commits).toBe(commits);
  expect(entryAt(cell, "other")).toBe("executed");
  cell.move(0, "other"); // the rebalance that the refusal spoke of
  ended(cell, { runs: 2, checks: 0 });
  expect(cell.settled()).toMatchObject({ attestedExecuted: 1 });
});

test("E10: a commit is refused (REBALANCE_IN_PROGRESS); after the join the owner commits it in the new generation", () => {
  const cell = stage();
  cell.commitOutcome = (node) => (node === "owner" && cell.runs.length > 0 ? "refused" : "committed");
  cell.produce(0);
  cell.until("refused", () => cell.node("owner").core.ctx.counters.commitsRefused === 1);
  cell.commitOutcome = () => "committed";
  expect(cell.committed[0]).toBe(0);
  cell.move(0, "owner");
  ended(cell, { runs: 1, checks: 0 });
  expect(cell.settled()).toMatchObject({ attestedExecuted: 0 }); // it joined its own
});
