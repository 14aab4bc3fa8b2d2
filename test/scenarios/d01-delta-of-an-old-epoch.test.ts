import { expect, test } from "bun:test";
import {
  anotherLeads,
  ended,
  entryAt,
  hangs,
  isDelta,
  loses,
  losesNothing,
  refusals,
  SESSION_MS,
  slows,
  slowsNothing,
  stage,
  untilState,
  zombie,
} from "./stage.ts";

test("D1: a delta of the old epoch reaches a follower of the new one; refused, its entry is not taken", () => {
  const cell = stage({ spares: ["spare"] });
  zombie(cell);
  cell.mayLead = (name) => name === "spare";
  cell.advance(SESSION_MS - 100);
  const late = slows(cell, 1_000, isDelta, { from: "leader", to: "other" });
  for (const to of ["owner", "spare"]) loses(cell, isDelta, { from: "leader", to });
  hangs(cell);
  cell.produce(0);
  cell.until("the delta is on its way", () => late.count > 0);
  expect(anotherLeads(cell)).toBe("spare");
  losesNothing(cell);
  untilState(cell, "owner", "executing"); // granted by the new leader
  expect(cell.node("other").core.epoch).toBe(2);
  const before = refusals(cell, "other");

  cell.advance(1_000); // the old delta arrives
  expect(refusals(cell, "other")).toBeGreaterThan(before);
  expect(entryAt(cell, "leader")).toBe("granted to owner");
  expect(cell.node("other").core.replica.table.partition(0).read(0)!.epoch).toBe(2);
  slowsNothing(cell);
  cell.healCoordinator("leader");
  cell.end(cell.runs[0]!, "success");
  ended(cell, { runs: 1, checks: 0 });
});
