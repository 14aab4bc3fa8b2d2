import { expect, test } from "bun:test";
import { ended, isChunk, slows, stage } from "./stage.ts";

test("M1: deltas race the snapshot to a joiner; in the set only when it has both, and then it equals the leader", () => {
  const cell = stage({ partitions: 3 });
  for (let p = 0; p < 3; p++) cell.produceMany(p, 100);
  cell.until("some are known", () => cell.runs.length > 150);
  cell.handler = () => ({ ms: 200, outcome: "success" });
  const late = slows(cell, 400, isChunk, { from: "leader", to: "joiner" });
  cell.start("joiner");
  cell.until("its snapshot is on its way", () => late.count > 0);
  const seqOfSnapshot = cell.node("leader").core.leader!.state.seq;
  const joins = () => cell.inSync.incarnations.includes(cell.node("joiner").incarnation);
  while (!joins()) {
    for (let p = 0; p < 3; p++) cell.produceMany(p, 3);
    cell.advance(20);
    expect(cell.now).toBeLessThan(60_000);
  }
  const { replica } = cell.node("joiner").core;
  expect(replica.appliedSeq).toBeGreaterThan(seqOfSnapshot);
  ended(cell, { checks: 0 });
  cell.advance(1_000);
  const leader = cell.node("leader").core.replica;
  expect([replica.appliedEpoch, replica.appliedSeq]).toEqual([leader.appliedEpoch, leader.appliedSeq]);
  expect(replica.watermarkRows()).toEqual(leader.watermarkRows());
  expect(replica.table.entries).toBe(leader.table.entries);
  for (const { id } of leader.filter.generations) expect(replica.filter.wordsOf(id)).toEqual(leader.filter.wordsOf(id));
});
