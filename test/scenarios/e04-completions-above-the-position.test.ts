import { expect, test } from "bun:test";
import { ended, entryAt, hangs, hangsNoMore, stage } from "./stage.ts";

for (const barrier of ["its last commit says so", "the ledger says so"]) {
  test(`E4: at a rebalance 0-8 run and 9-19 are done, uncommitted; nobody runs those again: ${barrier}`, () => {
    const cell = stage();
    hangs(cell, 0, 1, 2, 3, 4, 5, 6, 7, 8);
    if (barrier === "the ledger says so") {
      cell.commitOutcome = (node) => (node === "owner" && cell.runs.length > 0 ? "lost" : "committed");
    }
    cell.produceMany(0, 20);
    cell.until("the last one is known to be done", () => entryAt(cell, "leader", 19) === "executed");
    expect(cell.committed[0]).toBe(0);
    hangsNoMore(cell);
    cell.move(0, "other");
    cell.advance(5_000);
    expect(cell.settled()).toMatchObject({ attestedExecuted: 11 });
    expect(cell.runs).toHaveLength(20);
    for (const run of cell.runs) if (run.endedAt === Infinity) cell.end(run, "success");
    ended(cell, { runs: 20, checks: 0 });
  });
}
