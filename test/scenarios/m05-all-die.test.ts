import { expect, test } from "bun:test";
import type { Cell } from "../support/cell.ts";
import { EFFECT_SETTLE_MS, ended, hangs, hangsNoMore, QUARANTINE_MS, stage, untilState } from "./stage.ts";

/**
 * 0 is committed; 1 runs without an effect; 2 is executed and in the bitmap of the last commit; 3 is executed, and no
 * commit says so; 4 was never delivered when all of the last set is gone.
 */
function untilDisaster(cell: Cell): void {
  cell.produce(0);
  cell.drain();
  hangs(cell, 1, 3);
  cell.produceMany(0, 3);
  untilState(cell, "owner", "executed", 2);
  cell.advance(500);
  cell.commitOutcome = () => "lost";
  cell.end(cell.runsOf(0, 3)[0]!, "success");
  untilState(cell, "owner", "executed", 3);
  expect(cell.committed[0]).toBe(1);
  hangsNoMore(cell);
}

function checkedOffsets(cell: Cell): number[] {
  return cell.checks.map((check) => check.offset).sort((a, b) => a - b);
}

test("M5: all nodes lose their memory at once; what may have run is checked, what the commit proves is not", () => {
  const cell = stage();
  untilDisaster(cell);
  for (const name of ["leader", "owner", "other"]) cell.crash(name);
  for (const name of ["leader", "owner", "other"]) cell.start(name);
  cell.commitOutcome = () => "committed";
  cell.produce(0);
  cell.until("somebody leads", () => cell.activeLeader() !== null);
  const ledAt = cell.now;
  ended(cell, { runs: 6, checks: 2 });
  expect(checkedOffsets(cell)).toEqual([1, 3]);
  for (const { at } of cell.checks) expect(at - ledAt).toBeGreaterThanOrEqual(QUARANTINE_MS + EFFECT_SETTLE_MS);
  expect(cell.runsOf(0, 1)).toHaveLength(2);
  expect(cell.activeLeader()!.alarms.join()).toContain("filter-window");
});

test("M4: the last of the set die while others live that are not in it; unclean, and those do not vouch", () => {
  const cell = stage();
  cell.cutPeers("other");
  cell.until("two are left", () => cell.inSync.incarnations.length === 2);
  untilDisaster(cell);
  cell.crash("leader");
  cell.crash("owner");
  cell.healPeers("other");
  cell.start("fresh");
  cell.commitOutcome = () => "committed";
  cell.produce(0);
  cell.until("somebody leads", () => cell.activeLeader() !== null);
  ended(cell, { runs: 6, checks: 2 });
  expect(checkedOffsets(cell)).toEqual([1, 3]);
});

test("M4: a member of the set that is registered and cannot be reached is waited for before anybody starts without it", () => {
  const cell = stage();
  cell.cutPeers("other");
  cell.until("two are left", () => cell.inSync.incarnations.length === 2);
  untilDisaster(cell);
  cell.crash("leader");
  cell.cutPeers("owner"); // it lives, and has everything
  cell.healPeers("other");
  cell.start("fresh");
  cell.commitOutcome = () => "committed";
  cell.advance(12_000);
  expect(cell.activeLeader()).toBeNull();
  cell.healPeers("owner");
  cell.produce(0);
  cell.until("somebody leads", () => cell.activeLeader() !== null);
  cell.end(cell.runsOf(0, 1)[0]!, "success");
  ended(cell, { runs: 5, checks: 0 }); // nothing was lost
});
