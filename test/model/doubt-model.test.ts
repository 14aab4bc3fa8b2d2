import { describe, test } from "bun:test";
import { doubtAblations } from "./doubt-ablations.ts";
import { doubtBounds, doubtModel, doubtRules } from "./doubt-model.ts";
import { assertSound, reportAtEnd, testAblations } from "./prove.ts";

reportAtEnd();

describe("doubt model, all rules on: no loss, no double, no needless doubt, not stuck", () => {
  const states = [
    ["two delivery keys, a false bit, drop", doubtBounds.keys, 3_143],
    ["two delivery keys, a false bit at a member, drop", doubtBounds.keysAtAMember, 3_287],
    ["two task ids of one hash, drop", doubtBounds.different, 4_693],
    ["two task ids of one hash, a false bit, drop", doubtBounds.differentSeen, 2_579],
    ["two task ids of one hash, a false bit at a member, drop", doubtBounds.differentAtAMember, 2_724],
    ["two task ids of one hash, park", doubtBounds.differentParked, 5_379],
    ["two task ids of one hash, execute", doubtBounds.differentExecuted, 10_373],
    ["two task ids of one hash, a check", doubtBounds.differentChecked, 8_657],
    ["two records of one task id, drop", doubtBounds.equal, 2_927],
    ["two records of one task id, a false bit, drop", doubtBounds.equalSeen, 2_069],
    ["two records of one task id, park", doubtBounds.equalParked, 3_075],
    ["two records of one task id, execute", doubtBounds.equalExecuted, 3_051],
    ["two records of one task id, a check", doubtBounds.equalChecked, 2_805],
  ] as const;
  for (const [title, bounds, count] of states) test(title, () => void assertSound(doubtModel(bounds), count));
});

describe("doubt model, one rule off", () => testAblations(doubtModel, doubtRules, doubtAblations));
