import { expect, test } from "bun:test";
import { ended, isDelta, isReport, slows, slowsNothing, stage, stateAt, untilState } from "./stage.ts";

test("M10: a follower acknowledges too slowly; every grant waits for it, until it is taken out of the set", () => {
  const cell = stage();
  slows(cell, 8_000, isReport, { from: "other", to: "leader" });
  cell.advance(1_000);
  cell.produce(0);
  cell.advance(1_500);
  expect(cell.inSync.incarnations).toHaveLength(3);
  expect(stateAt(cell, "owner")).toBe("asked");
  untilState(cell, "owner", "executed");
  expect(cell.inSync.incarnations).not.toContain(cell.node("other").incarnation);
  expect(cell.now).toBeLessThan(15_000);

  slowsNothing(cell);
  cell.dropLinks("other");
  cell.until("back in the set", () => cell.inSync.incarnations.length === 3);
  ended(cell, { runs: 1, checks: 0 });
});

test("M10: a follower is heard, and gets the decisions too late; the same", () => {
  const cell = stage();
  slows(cell, 20_000, isDelta, { from: "leader", to: "other" });
  cell.produce(0);
  cell.advance(2_500);
  expect(stateAt(cell, "owner")).toBe("asked");
  untilState(cell, "owner", "executed");
  expect(cell.now).toBeLessThan(10_000);
  expect(cell.inSync.incarnations).not.toContain(cell.node("other").incarnation);
  slowsNothing(cell);
  cell.dropLinks("other");
  cell.until("back in the set", () => cell.inSync.incarnations.length === 3);
  ended(cell, { runs: 1, checks: 0 });
});

test("M10: a follower stands still; the same", () => {
  const cell = stage();
  cell.pause("other");
  const pausedAt = cell.now;
  cell.produce(0);
  untilState(cell, "owner", "executed");
  expect(cell.now - pausedAt).toBeGreaterThan(2_900);
  expect(cell.now - pausedAt).toBeLessThan(4_500);
  cell.resume("other");
  cell.until("back in the set", () => cell.inSync.incarnations.length === 3);
  ended(cell, { runs: 1, checks: 0 });
});
