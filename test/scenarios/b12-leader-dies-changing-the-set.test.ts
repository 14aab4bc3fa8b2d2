import { expect, test } from "bun:test";
import type { Cell } from "../support/cell.ts";
import { counts, ended, entryAt, isReport, isVerdict, loses, losesNothing, stage, stateAt } from "./stage.ts";

/** A joiner is synchronised, and the leader does not learn how its write of the larger set ended. */
function changesTheSet(how: "unknown-applied" | "unknown-lost"): Cell {
  const cell = stage();
  cell.start("joiner");
  cell.inSyncOutcome = () => {
    cell.after(0, () => (cell.coordinatorDown = true)); // the answer is lost, and asking again does not help yet
    return how;
  };
  cell.until("sent, and not known", () => cell.coordinatorDown);
  cell.inSyncOutcome = () => "normal";
  expect(cell.node("leader").core.leader!.state.pendingSet).toContain(cell.node("joiner").incarnation);
  return cell;
}

for (const how of ["unknown-applied", "unknown-lost"] as const) {
  test(`B12: while the outcome of a set change is open (${how}), releases need the union of both sets`, () => {
    const cell = changesTheSet(how);
    loses(cell, isReport, { from: "joiner" }); // it does not acknowledge
    const verdicts = counts(cell, isVerdict);
    cell.produce(0);
    cell.until("decided, and with the old set", () => entryAt(cell, "other") === "granted to owner");
    cell.advance(500);
    expect(verdicts.count).toBe(0);
    expect(stateAt(cell, "owner")).toBe("asked");

    losesNothing(cell);
    cell.dropLinks("joiner");
    cell.coordinatorDown = false;
    ended(cell, { runs: 1, checks: 0 });
  });

  test(`B12: the leader dies with a set change open (${how}); the next one reads the set and merges its members`, () => {
    const cell = changesTheSet(how);
    loses(cell, isVerdict);
    cell.produce(0);
    cell.until("decided", () => entryAt(cell, "joiner") === "granted to owner");

    cell.coordinatorDown = false;
    cell.crash("leader");
    losesNothing(cell);
    expect(cell.inSync.incarnations).toHaveLength(how === "unknown-applied" ? 4 : 3);
    cell.until("another leads", () => cell.activeLeader() !== null);
    expect(entryAt(cell, cell.activeLeader()!.name)).toBe("granted to owner");
    ended(cell, { runs: 1, checks: 0 });
  });
}
