import { expect, test } from "bun:test";
import {
  anotherLeads,
  ended,
  entryAt,
  isDelta,
  isChunk,
  loses,
  losesNothing,
  refusals,
  SESSION_MS,
  slows,
  slowsNothing,
  stage,
  zombie,
} from "./stage.ts";

test("D11: state of the old epoch reaches a joiner of the new one; thrown away, and synchronised by the new leader", () => {
  const cell = stage({ spares: ["spare"] });
  zombie(cell);
  cell.mayLead = (name) => name === "spare";
  cell.advance(SESSION_MS - 200);
  loses(cell, isDelta, { from: "leader" });
  cell.produce(0);
  cell.until("only the old leader has it", () => entryAt(cell, "leader") === "granted to owner");
  const late = slows(cell, 1_000, isChunk, { from: "leader", to: "joiner" });
  cell.start("joiner");
  cell.until("its state is on its way", () => late.count > 0);
  expect(anotherLeads(cell)).toBe("spare");
  losesNothing(cell);
  cell.until("everything is executed", () => cell.runs.length === 1);
  cell.until("the joiner is in the set", () => cell.inSync.incarnations.includes(cell.node("joiner").incarnation));
  const before = refusals(cell, "joiner");
  cell.advance(1_500); // the old state arrives
  expect(refusals(cell, "joiner")).toBeGreaterThan(before);
  expect(entryAt(cell, "joiner")).toBe(entryAt(cell, "spare"));
  expect(cell.node("joiner").core.replica.appliedEpoch).toBe(2);
  slowsNothing(cell);
  cell.healCoordinator("leader");
  ended(cell, { runs: 1, checks: 0 });
});
