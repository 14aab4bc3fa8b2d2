import { describe, test } from "bun:test";
import { attemptAblations, attemptBounds, attemptModel, attemptRules } from "./attempt-model.ts";
import { assertSound, reportAtEnd, testAblations } from "./prove.ts";

reportAtEnd();

describe("attempt model, all rules on: no double, no loss, no storm, not stuck", () => {
  test("a check, a crash, an abort, two rebalances", () =>
    void assertSound(attemptModel(attemptBounds.checked), 1_287));
  test("three rebalances", () => void assertSound(attemptModel(attemptBounds.calm), 163));
  test("three aborted runs", () => void assertSound(attemptModel(attemptBounds.poison), 213));
  test("no check, onUnknown execute", () => void assertSound(attemptModel(attemptBounds.unchecked), 1_700));
  test("no check, onUnknown drop", () => void assertSound(attemptModel(attemptBounds.dropping), 654));
  test("no check, onUnknown park", () => void assertSound(attemptModel(attemptBounds.parking), 774));
  test("a false positive under drop", () => void assertSound(attemptModel(attemptBounds.falselySeen), 58));
});

describe("attempt model, one rule off", () => testAblations(attemptModel, attemptRules, attemptAblations));
