import { expect, test } from "bun:test";
import { ended, stage } from "./stage.ts";

test("C17: the leader loses its session every two seconds; one election a loss, and work goes on between them", () => {
  const cell = stage({ partitions: 3 });
  for (let loss = 0; loss < 10; loss++) {
    cell.until("somebody leads", () => cell.activeLeader() !== null);
    const before = cell.runs.length;
    for (let partition = 0; partition < 3; partition++) cell.produceMany(partition, 3);
    cell.advance(2_000);
    expect(cell.runs.length).toBeGreaterThan(before);
    cell.expireSession(cell.leaderName()!);
  }
  cell.until("somebody leads", () => cell.activeLeader() !== null);
  ended(cell, { runs: 90, checks: 0 });
  expect(cell.epoch).toBe(11);
});
