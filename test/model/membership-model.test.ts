import { describe, test } from "bun:test";
import { membershipAblations, membershipFaults, membershipModel, membershipRules } from "./membership-model.ts";
import { assertSound, rulesOn, testAblations } from "./prove.ts";

describe("membership model", () => {
  test("all rules on, two crashes, a restart, two elections: one key is granted once", () => {
    assertSound(membershipModel(membershipFaults), 90_894);
  });

  // Kept as a finding: the floor costs availability when it is missing, not correctness (see coverage.ts).
  test("R3: a set written with a single member still grants nothing twice", () => {
    assertSound(membershipModel(membershipFaults, rulesOn(membershipRules, "r3NeverBelowMinInSync")), 94_137);
  });

  testAblations(membershipModel, membershipRules, membershipAblations);
});
