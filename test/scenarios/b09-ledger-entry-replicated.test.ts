import { expect, test } from "bun:test";
import { ended, entryAt, isFact, counts, stage, untilState } from "./stage.ts";

test("B9: the ledger entry is replicated when the leader dies; telling it again changes nothing", () => {
  const cell = stage({ spares: ["spare"] });
  cell.produce(0);
  untilState(cell, "owner", "executing");
  cell.commitOutcome = (node) => (node === "owner" ? "lost" : "committed");
  cell.until("replicated", () => entryAt(cell, "other") === "executed" && entryAt(cell, "spare") === "executed");

  cell.crash("leader");
  const told = counts(cell, isFact, { from: "owner" });
  cell.mayLead = (name) => name === "other";
  cell.until("another leads", () => cell.activeLeader() !== null);
  cell.until("told again", () => told.count > 0);
  cell.advance(50);
  expect(entryAt(cell, "other")).toBe("executed");
  expect(cell.node("other").core.replica.table.ledger).toBe(1);
  cell.move(0, "spare");
  ended(cell, { runs: 1, checks: 0 });
  expect(cell.settled()).toMatchObject({ attestedExecuted: 1 });
});
