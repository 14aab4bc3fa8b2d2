import { describe, test } from "bun:test";
import { assertSound, reportAtEnd, testAblations } from "./prove.ts";
import { restartAblations, restartBounds, restartModel, restartRules } from "./restart-model.ts";

reportAtEnd();

describe("restart model", () => {
  test("all rules on, two crashes, restarts and rebalances: no double, not stuck", () => {
    assertSound(restartModel(restartBounds.restarted), 3_159);
  });
  testAblations(restartModel, restartRules, restartAblations);
});
