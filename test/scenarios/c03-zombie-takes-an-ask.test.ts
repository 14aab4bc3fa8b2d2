import { expect, test } from "bun:test";
import { anotherLeads, counts, ended, entryAt, isActive, isVerdict, stage, stateAt, zombie } from "./stage.ts";

test("C3: a leader that was replaced takes a new ask; without every member of its set it grants nothing", () => {
  const cell = stage({ spares: ["spare"] });
  zombie(cell, "owner"); // the owner is left with it
  const next = anotherLeads(cell);
  const verdicts = counts(cell, isVerdict, { from: "leader" });
  cell.produce(0);
  cell.until("the zombie has decided", () => entryAt(cell, "leader") === "granted to owner");
  cell.advance(1_000);
  expect(isActive(cell, "leader")).toBe(true);
  expect(cell.node("leader").core.epoch).toBe(1);
  expect(entryAt(cell, next)).toBe("none");
  expect(verdicts.count).toBe(0);
  expect(stateAt(cell, "owner")).toBe("asked");

  cell.healCoordinator("leader");
  cell.healCoordinator("owner");
  ended(cell, { runs: 1, checks: 0 });
  expect(isActive(cell, "leader")).toBe(false);
});
