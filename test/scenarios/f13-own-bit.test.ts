import { expect, test } from "bun:test";
import { ended, isVerdict, loses, losesNothing, onlyRun, stage, stateAt } from "./stage.ts";

for (const id of [null, "payment-7"]) {
  test(`F13: a reply is lost and its asker asks again (${id ?? "delivery key"}); its own bit raises no doubt`, () => {
    const cell = stage({ hasCheck: false, onUnknown: "drop" });
    const lost = loses(cell, isVerdict, { to: "owner" });
    cell.produce(0, id);
    cell.until("the reply is lost", () => lost.count > 0);
    expect(stateAt(cell, "owner")).toBe("asked");
    losesNothing(cell);
    cell.dropLinks("owner");
    ended(cell, { runs: 1, checks: 0 });
    expect(onlyRun(cell).node).toBe("owner");
    expect(cell.settled()).toMatchObject({ regranted: 1, byPolicy: 0 });
  });
}
