import { describe, test } from "bun:test";
import { doubtAblations } from "./doubt-ablations.ts";
import { doubtBounds, doubtModel, doubtRules } from "./doubt-model.ts";
import { assertSound, reportAtEnd, testAblations } from "./prove.ts";

reportAtEnd();

describe("doubt model, all rules on: no loss, no double, no needless doubt, not stuck", () => {
  const states = [
    ["two delivery keys, a false bit, drop", doubtBounds.keys, 2_599],
    ["two delivery keys, a false bit at a member, drop", doubtBounds.keysAtAMember, 2_727],
    ["two task ids of one hash, drop", doubtBounds.different, 2_153],
    ["two task ids of one hash, a false bit, drop", doubtBounds.differentSeen, 823],
    ["two task ids of one hash, a false bit at a member, drop", doubtBounds.differentAtAMember, 898],
    ["two task ids of one hash, park", doubtBounds.differentParked, 2_449],
    ["two task ids of one hash, execute", doubtBounds.differentExecuted, 3_118],
    ["two task ids of one hash, a check", doubtBounds.differentChecked, 2_530],
    ["two records of one task id, drop", doubtBounds.equal, 818],
    ["two records of one task id, a false bit, drop", doubtBounds.equalSeen, 640],
    ["two records of one task id, park", doubtBounds.equalParked, 896],
    ["two records of one task id, execute", doubtBounds.equalExecuted, 880],
    ["two records of one task id, a check", doubtBounds.equalChecked, 802],
  ] as const;
  for (const [title, bounds, count] of states) test(title, () => void assertSound(doubtModel(bounds), count));
});

describe("doubt model, one rule off", () => testAblations(doubtModel, doubtRules, doubtAblations));
