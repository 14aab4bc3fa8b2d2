import { expect, test } from "bun:test";
import type { Cell } from "../support/cell.ts";
import {
  ended,
  entryAt,
  grantedNotStarted,
  isAnswer,
  isCommitNoteAbove,
  isFact,
  onlyRun,
  refusals,
  slows,
  slowsNothing,
  stage,
  watermarkAt,
  type What,
} from "./stage.ts";

/** What the owner says travels so long that "leader" leads the next epoch when it arrives. */
function arrivesLate(cell: Cell, what: What, cause: () => void): void {
  const late = slows(cell, 800, what, { from: "owner", to: "leader" });
  cause();
  cell.until("it is on its way", () => late.count > 0);
  const before = refusals(cell, "leader");
  cell.mayLead = (name) => name === "leader";
  cell.expireSession("leader");
  cell.until("it leads again", () => cell.node("leader").core.leader !== null);
  expect(cell.node("leader").core.epoch).toBe(2);
  cell.until("refused", () => refusals(cell, "leader") > before, 1_000);
  slowsNothing(cell);
}

test("D8: a ledger entry of the old epoch is refused, and reported again to the new leader", () => {
  const cell = stage({ spares: ["spare"] });
  cell.commitOutcome = (node) => (node === "owner" && cell.runs.length > 0 ? "lost" : "committed");
  arrivesLate(cell, isFact, () => cell.produce(0));
  expect(onlyRun(cell).outcome).toBe("success");
  expect(entryAt(cell, "leader")).toBe("granted to owner");
  cell.until("reported again", () => entryAt(cell, "leader") === "executed");
  cell.move(0, "other");
  ended(cell, { runs: 1, checks: 0 });
  expect(cell.settled()).toMatchObject({ attestedExecuted: 1 });
});

test("D9: a release of the old epoch is ignored, and asked for again", () => {
  const cell = grantedNotStarted({ spares: ["spare"] });
  arrivesLate(cell, isAnswer, () => cell.move(0, "other"));
  expect(entryAt(cell, "leader")).toBe("granted to owner");
  cell.until("given on", () => cell.runsOf(0, 0).length === 1);
  expect(onlyRun(cell)).toMatchObject({ node: "other", token: [2, expect.any(Number)] });
  cell.end(cell.runsOf(1, 0)[0]!, "success");
  ended(cell, { runs: 2, checks: 0 });
});

test("D10: a commit told in the old epoch is refused, and reported again", () => {
  const cell = stage({ spares: ["spare"] });
  arrivesLate(cell, isCommitNoteAbove(0), () => cell.produce(0));
  expect(cell.committed[0]).toBe(1);
  expect(watermarkAt(cell, "leader")).toBe(0);
  cell.until("reported again", () => watermarkAt(cell, "leader") === 1);
  cell.produce(0);
  ended(cell, { runs: 2, checks: 0 });
});
