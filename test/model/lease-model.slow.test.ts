import { describe, test } from "bun:test";
import { leaseAblations, leaseBounds, leaseModel, leaseRules } from "./lease-model.ts";
import { assertSound, reportAtEnd, testAblations } from "./prove.ts";

reportAtEnd();

describe("lease model, all rules on", () => {
  test("no double within 10 s", () => void assertSound(leaseModel(leaseBounds.doubles), 289_779));
  test("no double, the leader cut off for 13 s", () => void assertSound(leaseModel(leaseBounds.cutOffLeader), 41_396));
  test("no double with two reports in flight", () => void assertSound(leaseModel(leaseBounds.pipelined), 733_350));
  test("no lease outlives the leader's right to give it", () =>
    void assertSound(leaseModel(leaseBounds.leases), 89_089));
});

describe("lease model, one rule off", () => testAblations(leaseModel, leaseRules, leaseAblations));
