import { describe, test } from "bun:test";
import { ceilingAblations, ceilingBounds, ceilingModel, ceilingRules } from "./ceiling-model.ts";
import { assertSound, reportAtEnd, testAblations } from "./prove.ts";

reportAtEnd();

describe("ceiling model, all rules on: no double, not stuck", () => {
  test("the cell restarts twice, a rebalance", () => void assertSound(ceilingModel(ceilingBounds.plain), 30_267));
  test("another tool resets the offset", () => void assertSound(ceilingModel(ceilingBounds.reset), 102_594));
  test("a late word about a join", () => void assertSound(ceilingModel(ceilingBounds.stalled), 137_036));
  test("a second record with the task id", () => void assertSound(ceilingModel(ceilingBounds.twin), 2_331));
});

describe("ceiling model, one rule off", () => testAblations(ceilingModel, ceilingRules, ceilingAblations));
