import { describe, test } from "bun:test";
import { rulesOn } from "./ablation.ts";
import { mergeAblations, mergeBounds, mergeModel, mergeRules } from "./merge-model.ts";
import { assertSound, reportAtEnd, testAblations } from "./prove.ts";

reportAtEnd();

describe("merge model, all rules on: no double, not stuck", () => {
  test("truthful check, one crash, two rebalances", () => void assertSound(mergeModel(mergeBounds.truthful), 38_221));
  test("no check, two crashes, one rebalance", () => void assertSound(mergeModel(mergeBounds.none), 57_096));
  test("no check, a lagging member is evicted", () => void assertSound(mergeModel(mergeBounds.lagging), 175_052));
});

describe("merge model, one rule off", () => {
  // Kept as a finding: the rule is a convention and a second line, not what safety rests on (see coverage.ts).
  test("R5: any of the last set's entries may win a merge", () => {
    assertSound(mergeModel(mergeBounds.none, rulesOn(mergeRules, "r5HighestWins")), 60_088, "r5HighestWins");
  });
  testAblations(mergeModel, mergeRules, mergeAblations);
});
