import { expect, test } from "bun:test";
import { anotherLeads, ended, entryAt, ignoresDeadline, onlyRun, stage, stateAt } from "./stage.ts";

test("C5: a leader stops with a grant to itself that only wants acknowledgements; on waking it does not start it", () => {
  const cell = stage({ partitions: 3 });
  const mine = cell.assignment.indexOf("leader");
  cell.produce(mine);
  cell.until("replicated", () => entryAt(cell, "other", 0, mine) === "granted to leader");
  expect(stateAt(cell, "leader", 0, mine)).toBe("asked");
  ignoresDeadline(cell);
  cell.pause("leader");
  anotherLeads(cell);
  cell.rebalanceWithout("leader");
  cell.advance(2_000);
  const next = cell.assignment[mine]!;
  expect(next).not.toBe("leader");
  expect(stateAt(cell, next, 0, mine)).toBe("doubtful"); // it waits for a holder that may run it

  cell.resume("leader");
  cell.advance(5);
  expect(cell.runs).toHaveLength(0);
  ended(cell, { runs: 1, checks: 0 }); // back, it says that it never started: nothing to check
  expect(onlyRun(cell, 0, mine)).toMatchObject({ node: cell.assignment[mine]!, token: [2, expect.any(Number)] });
});
