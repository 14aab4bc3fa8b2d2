import { expect, test } from "bun:test";
import {
  anotherLeads,
  counts,
  ended,
  entryAt,
  hangs,
  hangsNoMore,
  isWatermark,
  onlyRun,
  stage,
  stateAt,
  untilState,
  watermarkAt,
  zombie,
} from "./stage.ts";

test("C6: a replaced leader acknowledges no ledger entry, publishes no watermark and settles no doubt", () => {
  const cell = stage({ spares: ["spare"] });
  hangs(cell);
  cell.produce(0, "payment-7");
  untilState(cell, "owner", "executing");
  cell.produce(0, "payment-7");
  untilState(cell, "owner", "doubtful", 1); // it waits for the first to end
  hangsNoMore(cell);
  zombie(cell, "owner");
  const next = anotherLeads(cell);
  const watermarks = counts(cell, isWatermark, { from: "leader" });
  cell.end(onlyRun(cell), "success");
  cell.until("the zombie heard of the commit", () => watermarkAt(cell, "leader") === 1);
  cell.advance(1_000);
  expect(watermarks.count).toBe(0);
  expect(stateAt(cell, "owner", 1)).toBe("doubtful"); // the zombie knows the answer, and may not give it
  expect(entryAt(cell, "leader", 0)).toBe("none");
  expect(watermarkAt(cell, next)).toBe(0);

  cell.healCoordinator("leader");
  cell.healCoordinator("owner");
  ended(cell, { runs: 1, checks: 1 }); // the first is below W when it is asked about: only the check knows it
  expect(cell.settled()).toMatchObject({ checkedExecuted: 1 });
  cell.until("published by the new leader", () => watermarkAt(cell, next) === 2, 1_000);
});
