import { expect, test } from "bun:test";
import { ended, isDelta, loses, losesNothing, stage, watermarkAt } from "./stage.ts";

test("B14: the leader dies with watermarks that nobody else has; a lower W is safe, and the owner tells it again", () => {
  const cell = stage();
  cell.produceMany(0, 5);
  cell.until("executed", () => cell.runs.length === 5 && cell.runs.every((run) => run.outcome === "success"));
  loses(cell, (message) => isDelta(message) && message.kind === "delta" && message.delta.watermarks.length > 0);
  cell.until("the leader knows W", () => watermarkAt(cell, "leader") === 5);
  expect(watermarkAt(cell, "other")).toBe(0);
  expect(watermarkAt(cell, "owner")).toBe(0);

  cell.crash("leader");
  losesNothing(cell);
  cell.until("another leads", () => cell.activeLeader() !== null);
  cell.until("told again", () => watermarkAt(cell, cell.activeLeader()!.name) === 5, 2_000);
  cell.produce(0);
  ended(cell, { runs: 6, checks: 0 });
});
