import { describe, test } from "bun:test";
import { rulesOn } from "./ablation.ts";
import { membershipAblations, membershipFaults, membershipModel, membershipRules } from "./membership-model.ts";
import { assertSound, reportAtEnd, testAblations } from "./prove.ts";

reportAtEnd();

describe("membership model", () => {
  test("all rules on, two crashes, a restart, two elections: one key is granted once", () => {
    assertSound(membershipModel(membershipFaults), 90_894);
  });

  // Kept as a finding: the floor costs availability when it is missing, not correctness (see coverage.ts).
  test("R3: a set written with a single member still grants nothing twice", () => {
    assertSound(
      membershipModel(membershipFaults, rulesOn(membershipRules, "r3NeverBelowMinInSync")),
      94_137,
      "r3NeverBelowMinInSync",
    );
  });

  testAblations(membershipModel, membershipRules, membershipAblations);
});
