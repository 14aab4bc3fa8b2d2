import { expect, test } from "bun:test";
import { ended, entryAt, isDelta, loses, losesNothing, onlyRun, stage } from "./stage.ts";

for (const next of ["owner", "other"]) {
  test(`B3: the grant reached some followers when the leader died; "${next}" leads and gives it anew, nothing is dropped`, () => {
    const cell = stage({ hasCheck: false, onUnknown: "drop" }); // a needless doubt would lose the task here
    loses(cell, isDelta, { to: "owner" });
    cell.produce(0);
    cell.until("partly replicated", () => entryAt(cell, "other") === "granted to owner");
    expect(entryAt(cell, "owner")).toBe("none");

    cell.crash("leader");
    losesNothing(cell);
    cell.mayLead = (name) => name === next;
    cell.until("another leads", () => cell.activeLeader() !== null);
    expect(cell.activeLeader()!.name).toBe(next);
    expect(entryAt(cell, next)).toBe("granted to owner");
    ended(cell, { runs: 1, checks: 0 });
    expect(onlyRun(cell)).toMatchObject({ node: "owner", token: [2, expect.any(Number)] });
    expect(cell.settled()).toMatchObject({ regranted: 1, byPolicy: 0 });
  });
}
