import { describe, test } from "bun:test";
import { assertSound, reportAtEnd, testAblations } from "./prove.ts";
import { startAblations } from "./start-ablations.ts";
import { startBounds, startModel, startRules } from "./start-model.ts";

reportAtEnd();

describe("start model, all rules on: no double, no loss, not stuck", () => {
  test("old processes run on or die, a rebalance", () => void assertSound(startModel(startBounds.crashed), 5_554));
  test("a duplicate of an earlier task", () => void assertSound(startModel(startBounds.duplicated), 2_466));
});

describe("start model, one rule off", () => testAblations(startModel, startRules, startAblations));
