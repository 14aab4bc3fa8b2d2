import { expect, test } from "bun:test";
import { Cell } from "../support/cell.ts";

test("R3: no member is evicted because the filter opens a new generation", () => {
  const filter = { generations: 3, capacityPerGeneration: 200, falsePositiveRate: 0.01, seed: 3 };
  const cell = new Cell({ partitions: 3, settings: { filter } });
  cell.until("all in sync", () => cell.inSync.incarnations.length === 3);
  cell.advance(5_000); // longer than inSyncEvictionMs
  const { version } = cell.inSync;
  cell.latencyMs = (from, to) => (from === "b" || to === "b" ? 3 : 1);
  for (let i = 0; i < 60; i++) {
    for (let partition = 0; partition < 3; partition++) cell.produceMany(partition, 10);
    cell.advance(20);
  }
  cell.drain();
  expect(cell.activeLeader()!.core.replica.filter.openGenerationId).toBeGreaterThan(5);
  expect(cell.inSync.version).toBe(version);
});
