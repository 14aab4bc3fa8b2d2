import { describe, test } from "bun:test";
import { rulesOn } from "./ablation.ts";
import { memoryAblations, memoryBounds, memoryModel } from "./memory-model.ts";
import { memoryRules } from "./memory-state.ts";
import { assertSound, reportAtEnd, testAblations } from "./prove.ts";

const limitMs = 90_000;

reportAtEnd();

describe("memory model, all rules on: no double, no loss, not given again, not stuck", () => {
  const proofs = [
    ["a commit back, a crash, an election", memoryBounds.redelivered, 167_260],
    ["another tool commits twice, an election", memoryBounds.moved, 158_804],
    ["another tool commits twice, a crash, an election, a lapse", memoryBounds.movedAndCrashed, 1_008_888],
    ["a node is cut off, an election", memoryBounds.late, 130_692],
    ["a node is cut off, a crash, an election", memoryBounds.lateAndCrashed, 374_814],
    ["two records of one task id, a commit forwards, a crash, an election", memoryBounds.movedTwins, 286_514],
    ["two records of one task id, another tool commits twice", memoryBounds.movedTwinsTwice, 469_698],
    ["two records of one task id, no check, one waits for the other", memoryBounds.waiting, 29_835],
    ["two records of one task id, a node is cut off", memoryBounds.lateTwins, 65_969],
  ] as const;
  for (const [title, bounds, states] of proofs) {
    test(title, () => void assertSound(memoryModel(bounds), states), limitMs);
  }
});

describe("memory model, one rule off", () => {
  // Kept as a finding: a second line (see coverage.ts).
  const anchorFirst = (): void => {
    const off = "r7FromReplicatedFirst";
    assertSound(memoryModel(memoryBounds.moved, rulesOn(memoryRules, off)), 191_657, off);
  };
  test("R7: an anchor before from is replicated harms nothing", anchorFirst, limitMs);
  testAblations(memoryModel, memoryRules, memoryAblations, limitMs);
});
