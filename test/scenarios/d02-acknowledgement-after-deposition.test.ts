import { expect, test } from "bun:test";
import {
  anotherLeads,
  counts,
  ended,
  entryAt,
  isReport,
  isVerdict,
  onlyRun,
  refusals,
  slows,
  slowsNothing,
  stage,
} from "./stage.ts";

test("D2: the acknowledgement that a grant waited for reaches a leader that was deposed; the procedure is gone", () => {
  const cell = stage({ spares: ["spare"] });
  const verdicts = counts(cell, isVerdict, { from: "leader" });
  slows(cell, 1_000, isReport, { from: "other", to: "leader" });
  cell.produce(0);
  cell.until("replicated", () => entryAt(cell, "other") === "granted to owner");
  cell.mayLead = (name) => name === "spare";
  cell.expireSession("leader");
  expect(anotherLeads(cell)).toBe("spare");
  const before = refusals(cell, "leader");
  cell.advance(1_000); // the acknowledgement arrives
  expect(refusals(cell, "leader")).toBeGreaterThan(before);
  expect(verdicts.count).toBe(0);

  slowsNothing(cell);
  ended(cell, { runs: 1, checks: 0 });
  expect(onlyRun(cell).token[0]).toBe(2);
});
