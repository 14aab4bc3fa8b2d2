import { describe, test } from "bun:test";
import { assertSound, reportAtEnd, testAblations } from "./prove.ts";
import { startAblations } from "./start-ablations.ts";
import { startBounds, startModel, startRules } from "./start-model.ts";

reportAtEnd();

describe("start model, all rules on: no double, no loss, not stuck", () => {
  test("old processes run on or die, a rebalance", () => void assertSound(startModel(startBounds.crashed), 11_401));
  test("the new set is lost too", () => void assertSound(startModel(startBounds.lostTwice), 23_067));
  test("a duplicate of an earlier task", () => void assertSound(startModel(startBounds.duplicated), 5_232));
});

describe("start model, one rule off", () => testAblations(startModel, startRules, startAblations));
