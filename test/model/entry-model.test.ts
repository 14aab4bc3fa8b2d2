import { describe, test } from "bun:test";
import { entryAblations, entryBounds, entryModel, entryRules } from "./entry-model.ts";
import { assertSound, reportAtEnd, testAblations } from "./prove.ts";

reportAtEnd();

describe("entry model, all rules on: no double, not stuck", () => {
  test("one record", () => void assertSound(entryModel(entryBounds.oneRecord), 939));
  test("one record, a run ends unknown", () => void assertSound(entryModel(entryBounds.oneRecordAborted), 2_893));
  test("two records of one task id", () => void assertSound(entryModel(entryBounds.twoRecords), 7_334));
  test("two records, a run ends unknown", () => void assertSound(entryModel(entryBounds.twoRecordsAborted), 26_420));
});

describe("entry model, one rule off", () => {
  testAblations(entryModel, entryRules, entryAblations);
});
