import { describe, test } from "bun:test";
import { positionAblations, positionBounds, positionModel, positionRules } from "./position-model.ts";
import { assertSound, reportAtEnd, testAblations } from "./prove.ts";

reportAtEnd();

describe("position model, all rules on: no double, no loss, not stuck", () => {
  test("three rebalances, a stale batch", () => void assertSound(positionModel(positionBounds.ordinary), 28_649));
  test("somebody else commits twice", () => void assertSound(positionModel(positionBounds.moved), 267_506));
  test("a commit of the old dedup epoch", () => void assertSound(positionModel(positionBounds.oldEpoch), 222_101));
  test("the cell restarts and has forgotten", () => void assertSound(positionModel(positionBounds.restarted)));
});

describe("position model, one rule off", () => testAblations(positionModel, positionRules, positionAblations));
