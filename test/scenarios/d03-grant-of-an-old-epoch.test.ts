import { expect, test } from "bun:test";
import type { Cell } from "../support/cell.ts";
import {
  anotherLeads,
  ended,
  entryAt,
  falsePositive,
  hangs,
  isVerdict,
  onlyRun,
  refusals,
  SESSION_MS,
  slows,
  slowsNothing,
  stage,
  stateAt,
  untilState,
  zombie,
} from "./stage.ts";

/** A verdict of epoch 1 is on its way to the owner, which hears of epoch 2 before it arrives. */
function verdictTravels(seen: boolean): Cell {
  const cell = stage({ spares: ["spare"], hasCheck: false, onUnknown: "drop" });
  zombie(cell);
  cell.mayLead = (name) => name === "spare";
  cell.advance(SESSION_MS - 100);
  const late = slows(cell, 1_000, isVerdict, { from: "leader", to: "owner" });
  hangs(cell);
  const offset = cell.produce(0);
  if (seen) falsePositive(cell, offset);
  cell.until("the verdict is on its way", () => late.count > 0);
  expect(cell.epoch).toBe(1);
  expect(stateAt(cell, "owner")).toBe("asked");
  expect(anotherLeads(cell)).toBe("spare");
  return cell;
}

function arrives(cell: Cell): void {
  untilState(cell, "owner", "executing"); // by a grant of the new epoch
  const before = refusals(cell, "owner");
  cell.advance(1_000);
  expect(refusals(cell, "owner")).toBeGreaterThan(before);
  slowsNothing(cell);
  cell.healCoordinator("leader");
  cell.end(onlyRun(cell), "success");
  ended(cell, { runs: 1, checks: 0 });
  expect(onlyRun(cell).token[0]).toBe(2);
  expect(cell.settled()).toMatchObject({ byPolicy: 0 }); // "drop" would have lost it
}

test("D3: a grant of the old epoch reaches its node in the new one; refused, asked again, given anew", () => {
  const cell = verdictTravels(false);
  expect(entryAt(cell, "spare")).toBe("granted to owner");
  arrives(cell);
});

test("D4: a `seen` of the old epoch reaches its node in the new one; refused, and the new leader is asked", () => {
  const cell = verdictTravels(true);
  expect(entryAt(cell, "spare")).toBe("none");
  arrives(cell);
});
