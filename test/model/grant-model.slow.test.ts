import { describe, test } from "bun:test";
import { grantAblationsSlow, grantBudgets, grantModel } from "./grant-model.ts";
import { grantRules } from "./grant-state.ts";
import { assertSound, reportAtEnd, testAblations } from "./prove.ts";

const limitMs = 90_000;

reportAtEnd();

describe("grant model, all rules on: no double, no loss, not stuck (large)", () => {
  const large = [
    ["partition, rebalance, election", grantBudgets.partitionAndRebalance, 355_949],
    ["pause, rebalance, election", grantBudgets.pauseAndRebalance, 334_656],
    ["crash, partition of the owner, election", grantBudgets.crashAndPartitionOfTheOwner, 176_402],
    ["crash, partition, rebalance, election", grantBudgets.crashPartitionAndRebalance, 1_265_136],
  ] as const;
  for (const [title, faults, states] of large) {
    test(title, () => void assertSound(grantModel(faults), states), limitMs);
  }
});

describe("grant model, one rule off (large)", () => {
  testAblations(grantModel, grantRules, grantAblationsSlow, limitMs);
});
