import { expect, test } from "bun:test";
import { ended, GROUP_SESSION_MS, onlyRun, SESSION_MS, stage, stateAt, untilState } from "./stage.ts";

test("E23: a process stands still past its sessions while its handler runs; it is evicted, and its run still counts", () => {
  const cell = stage();
  cell.handler = () => ({ ms: 12_000, outcome: "success" });
  cell.produce(0);
  untilState(cell, "owner", "executing");
  cell.pause("owner");
  cell.advance(SESSION_MS + 100);
  expect(cell.inSync.incarnations).not.toContain(cell.node("owner").incarnation);
  cell.advance(GROUP_SESSION_MS - SESSION_MS);
  cell.rebalanceWithout("owner");
  untilState(cell, "other", "doubtful");
  cell.resume("owner");
  cell.advance(1_000);
  expect(stateAt(cell, "owner")).toBe("executing"); // within lease and grace: not aborted
  expect(stateAt(cell, "other")).toBe("doubtful");
  ended(cell, { runs: 1, checks: 0 });
  expect(onlyRun(cell).node).toBe("owner");
});
