import { describe, test } from "bun:test";
import { assertSound, rulesOn, testAblations } from "./prove.ts";
import { revokeAblations, revokeBounds, revokeModel, revokeRules } from "./revoke-model.ts";

describe("revoke model, all rules on: no double, not stuck, few grants", () => {
  test("three rebalances, a claim sent twice", () => void assertSound(revokeModel(revokeBounds.rebalanced), 16_684));
  test("two rebalances, a node drains", () => void assertSound(revokeModel(revokeBounds.drained), 3_978));
  test("one rebalance", () => void assertSound(revokeModel(revokeBounds.once), 110));
});

describe("revoke model, one rule off", () => {
  // Kept as a finding: beside the refused sequence this half of the rule has no counterexample (see coverage.ts).
  test("R11: a verdict for another ownership alone makes no double", () => {
    assertSound(revokeModel(revokeBounds.rebalanced, rulesOn(revokeRules, "r11OtherOwnership")), 16_684);
  });
  testAblations(revokeModel, revokeRules, revokeAblations);
});
