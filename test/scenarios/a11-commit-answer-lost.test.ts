import { expect, test } from "bun:test";
import { ended, entryAt, stage, untilState } from "./stage.ts";

test("A11: the commit was taken, its answer is lost, and the owner dies; the record never comes back", () => {
  const cell = stage();
  cell.produce(0);
  untilState(cell, "owner", "executing");
  cell.commitOutcome = (node) => (node === "owner" ? "unknown" : "committed");
  cell.until("the log has it", () => cell.committed[0] === 1);
  expect(cell.node("owner").core.member.state.windows.get(0)!.committed).toBe(0); // it does not know

  cell.crash("owner");
  cell.produce(0); // the partition goes on
  ended(cell, { runs: 2, checks: 0 });
  expect(cell.settled()).toMatchObject({ attestedExecuted: 0, committed: 0 });
});

test("A11: the commit was not taken, its answer is lost, and the owner dies; the ledger answers as in A10", () => {
  const cell = stage();
  cell.produce(0);
  untilState(cell, "owner", "executing");
  cell.commitOutcome = (node) => (node === "owner" ? "lost" : "committed");
  cell.until("the owner tried to commit", () => cell.node("owner").core.ctx.counters.commitsUnknown > 0);
  expect(cell.committed[0]).toBe(0);
  expect(entryAt(cell, "other")).toBe("executed");

  cell.crash("owner");
  ended(cell, { runs: 1, checks: 0 });
  expect(cell.settled()).toMatchObject({ attestedExecuted: 1 });
});
