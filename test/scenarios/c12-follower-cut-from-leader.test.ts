import { expect, test } from "bun:test";
import { EFFECT_SETTLE_MS, ended, hangs, hangsNoMore, onlyRun, QUARANTINE_MS, stage, untilState } from "./stage.ts";

test("C12: a follower that only its leader cannot reach leaves the set and the group; what it ran waits out the quarantine", () => {
  const cell = stage();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  hangsNoMore(cell);
  cell.cutPeers("owner");
  const cutAt = cell.now;
  cell.until("out of the set", () => !cell.inSync.incarnations.includes(cell.node("owner").incarnation), 10_000);
  cell.until("its lease is over", () => cell.node("owner").core.role === "suspended", 10_000);
  cell.produce(0);
  cell.until("out of the group", () => cell.assignment[0] === "other", 20_000);
  const [mine] = cell.runsOf(0, 0);
  expect(mine).toMatchObject({ node: "owner", outcome: "unknown", effect: false }); // aborted before anybody may check
  ended(cell, { runs: 3, checks: 1 });
  expect(onlyRun(cell, 1).node).toBe("other"); // it did not start what came after its lease
  expect(cell.checks[0]!.at).toBeGreaterThanOrEqual(mine!.endedAt + EFFECT_SETTLE_MS);
  expect(cell.checks[0]!.at - cutAt).toBeGreaterThanOrEqual(QUARANTINE_MS);
});
