import { expect, test } from "bun:test";
import { ended, entryAt, isVerdict, loses, losesNothing, onlyRun, stage, stateAt } from "./stage.ts";

test("B4: the grant was at all followers when the leader died before its reply; the same incarnation gets it anew", () => {
  const cell = stage({ hasCheck: false, onUnknown: "drop" });
  const lost = loses(cell, isVerdict, { from: "leader" });
  cell.produce(0);
  cell.until("the reply is lost", () => lost.count > 0);
  expect(entryAt(cell, "other")).toBe("granted to owner");
  expect(entryAt(cell, "owner")).toBe("granted to owner");
  expect(stateAt(cell, "owner")).toBe("asked");

  cell.crash("leader");
  losesNothing(cell);
  ended(cell, { runs: 1, checks: 0 });
  expect(onlyRun(cell)).toMatchObject({ node: "owner", token: [2, expect.any(Number)] });
  expect(cell.settled()).toMatchObject({ regranted: 1, byPolicy: 0 });
});
