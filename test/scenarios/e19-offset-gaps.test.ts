import { expect, test } from "bun:test";
import { ended, stage } from "./stage.ts";

test("E19: offsets that are never delivered, at the head, in the middle, in thousands and at the end, hold up nothing", () => {
  const cell = stage();
  cell.produceGap(0, 3);
  cell.produceMany(0, 2);
  cell.produceGap(0, 5_000);
  cell.produce(0);
  cell.produceGap(0, 1);
  ended(cell, { runs: 3, checks: 0 });
  expect(cell.committed[0]).toBe(5_007);
});
