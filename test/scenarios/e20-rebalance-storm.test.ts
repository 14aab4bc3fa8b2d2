import { test } from "bun:test";
import { ended, stage } from "./stage.ts";

test("E20: rebalances come faster than a task takes; executions live through them, each task runs once", () => {
  const cell = stage({ partitions: 3 });
  cell.handler = () => ({ ms: 3_000, outcome: "success" });
  for (let partition = 0; partition < 3; partition++) cell.produceMany(partition, 5);
  cell.until("they run", () => cell.runs.length === 15);
  const names = ["owner", "other", "leader"];
  for (let round = 0; round < 20; round++) {
    cell.move(round % 3, names[(round + Math.floor(round / 3)) % 3]!);
    cell.advance(150);
  }
  ended(cell, { runs: 15, checks: 0 });
});
