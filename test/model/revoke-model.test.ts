import { describe, test } from "bun:test";
import { rulesOn } from "./ablation.ts";
import { assertSound, reportAtEnd, testAblations } from "./prove.ts";
import { revokeAblations } from "./revoke-ablations.ts";
import { revokeBounds, revokeModel, revokeRules } from "./revoke-model.ts";

reportAtEnd();

describe("revoke model, all rules on: no double, not stuck, few grants", () => {
  test("three rebalances, a claim sent twice", () => void assertSound(revokeModel(revokeBounds.rebalanced), 16_684));
  test("two rebalances, a node drains", () => void assertSound(revokeModel(revokeBounds.drained), 3_978));
  test("two rebalances, a revoke asked twice", () => void assertSound(revokeModel(revokeBounds.askedTwice), 7_282));
  test("one rebalance", () => void assertSound(revokeModel(revokeBounds.once), 110));
});

describe("revoke model, one rule off", () => {
  // Kept as a finding: beside the refused sequence this half of the rule has no counterexample (see coverage.ts).
  test("R11: a verdict for another ownership alone makes no double", () => {
    assertSound(
      revokeModel(revokeBounds.rebalanced, rulesOn(revokeRules, "r11OtherOwnership")),
      16_684,
      "r11OtherOwnership",
    );
  });
  testAblations(revokeModel, revokeRules, revokeAblations);
});
