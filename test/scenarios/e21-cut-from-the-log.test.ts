import { test } from "bun:test";
import { ended, entryAt, hangs, hangsNoMore, onlyRun, stage, untilState } from "./stage.ts";

test("E21: a node loses the task log and keeps its peers; it cannot commit, its facts reach the ledger", () => {
  const cell = stage();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  hangsNoMore(cell);
  cell.node("owner").deaf = true;
  cell.commitOutcome = (node) => (node === "owner" ? "lost" : "committed");
  cell.rebalanceWithout("owner");
  untilState(cell, "other", "doubtful");
  cell.end(onlyRun(cell), "success");
  cell.until("in the ledger", () => entryAt(cell, "leader") === "executed");
  ended(cell, { runs: 1, checks: 0 });
});
