import { expect, test } from "bun:test";
import {
  anotherLeads,
  ended,
  entryAt,
  isFact,
  loses,
  losesNothing,
  QUARANTINE_MS,
  stage,
  stateAt,
  untilState,
} from "./stage.ts";

test("E12: the commit failed and the leader died; the next owner's doubt waits until the executor has told its fact", () => {
  const cell = stage({ spares: ["spare"] });
  cell.commitOutcome = (node) => (node === "owner" && cell.runs.length > 0 ? "lost" : "committed");
  loses(cell, isFact, { from: "owner" });
  cell.produce(0);
  untilState(cell, "owner", "executed");
  expect(entryAt(cell, "leader")).toBe("granted to owner");
  cell.mayLead = (name) => name === "spare";
  cell.crash("leader");
  cell.cutPeers("owner"); // the next leader cannot ask it yet
  losesNothing(cell);
  anotherLeads(cell);
  const ledAt = cell.now;
  cell.move(0, "other");
  untilState(cell, "other", "doubtful");
  cell.advance(3_000);
  expect(entryAt(cell, "spare")).toBe("granted to owner");
  expect(stateAt(cell, "other")).toBe("doubtful");

  cell.healPeers("owner");
  ended(cell, { runs: 1, checks: 0 });
  expect(cell.now - ledAt).toBeLessThan(QUARANTINE_MS);
});
