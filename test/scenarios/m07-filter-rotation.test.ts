import { expect, test } from "bun:test";
import { ended, hangs, hangsNoMore, stage, stateAt, untilState } from "./stage.ts";

const filter = { generations: 2, capacityPerGeneration: 100, falsePositiveRate: 1e-6, seed: 7 };

test("M7: the filter forgets a task that still runs; the table does not, so its duplicate waits", () => {
  const cell = stage({ partitions: 2, settings: { filter } });
  hangs(cell, 0);
  cell.produce(0, "payment-7");
  untilState(cell, "owner", "executing");
  const open = () => cell.node("leader").core.replica.filter.openGenerationId;
  const before = open();
  for (let i = 0; i < 500; i++) {
    cell.produce(0);
    if (i % 50 === 49) cell.advance(100);
  }
  cell.until("rotated away", () => open() >= before + 3);
  cell.produceGap(1, 1); // offset 0 hangs in this cell
  cell.produce(1, "payment-7");
  untilState(cell, "other", "doubtful", 1, 1);
  cell.advance(5_000);
  expect(stateAt(cell, "other", 1, 1)).toBe("doubtful");
  hangsNoMore(cell);
  cell.end(cell.runsOf(0, 0)[0]!, "success");
  ended(cell, { runs: 501, checks: 0 });
});

test("M11: the filter fills; a new generation opens at its capacity, and no records are taken for seen", () => {
  const cell = stage({ settings: { filter } });
  for (let batch = 0; batch < 20; batch++) {
    cell.produceMany(0, 50);
    cell.advance(100);
    const { filterFalsePositiveRate } = cell.node("leader").core.status(cell.now);
    expect(filterFalsePositiveRate).toBeLessThan(10 * filter.falsePositiveRate);
  }
  expect(cell.node("leader").core.replica.filter.openGenerationId).toBeGreaterThanOrEqual(10);
  expect(cell.node("other").core.replica.filter.openGenerationId).toBe(
    cell.node("leader").core.replica.filter.openGenerationId,
  );
  ended(cell, { runs: 1_000, checks: 0 });
});
