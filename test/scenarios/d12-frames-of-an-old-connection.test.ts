import { expect, test } from "bun:test";
import { ended, entryAt, isVerdict, onlyRun, refusals, slows, stage, untilState } from "./stage.ts";

test("D12: a node has connected anew when a grant of its old connection arrives; refused, the new one brought its own", () => {
  const cell = stage({ hasCheck: false, onUnknown: "drop" });
  const late = slows(cell, 500, isVerdict, { from: "leader", to: "owner" });
  cell.produce(0);
  cell.until("the grant is on its way", () => late.count > 0);
  const oldStamp = cell.node("leader").core.replica.table.partition(0).stampOf(0);
  cell.latencyMs = () => 1;
  // For a moment it believes that another node leads the same epoch: it lets the link go and dials again.
  for (const name of ["other", "leader"])
    cell.tell("owner", { type: "leader", leader: { incarnation: cell.node(name).incarnation, epoch: 1 } });
  untilState(cell, "owner", "executed");
  expect(onlyRun(cell).token[1]).toBeGreaterThan(oldStamp);
  const before = refusals(cell, "owner");

  cell.advance(500); // the old grant arrives
  expect(refusals(cell, "owner")).toBe(before + 1);
  expect(entryAt(cell, "leader")).toBe("none");
  ended(cell, { runs: 1, checks: 0 });
});
