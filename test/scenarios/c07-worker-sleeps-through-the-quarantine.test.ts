import { expect, test } from "bun:test";
import type { Cell, Run } from "../support/cell.ts";
import { EFFECT_SETTLE_MS, ended, hangs, hangsNoMore, QUARANTINE_MS, stage, tokensRise, untilState } from "./stage.ts";

/** The owner stops right after a start, for longer than the quarantine; "other" checked and runs the task again. */
function sleepsAfterStart(): { cell: Cell; first: Run; second: Run } {
  const cell = stage();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  cell.pause("owner");
  const pausedAt = cell.now;
  cell.rebalanceWithout("owner");
  hangsNoMore(cell);
  cell.handler = () => ({ ms: 500, outcome: "success" });
  cell.until("it runs again", () => cell.runs.length === 2);
  expect(cell.checks).toHaveLength(1);
  expect(cell.checks[0]!.at - pausedAt).toBeGreaterThanOrEqual(QUARANTINE_MS + EFFECT_SETTLE_MS);
  return { cell, first: cell.runs[0]!, second: cell.runs[1]! };
}

test("C7: a worker sleeps between start check and handler for longer than the quarantine: only the token tells its effect", () => {
  const { cell, first, second } = sleepsAfterStart();
  cell.until("the second run is done", () => second.outcome === "success");
  cell.end(first, "success"); // lands before anything in the process could stop it
  cell.resume("owner");
  cell.drain();
  expect(cell.effects(cell.taskIdOf(0, 0))).toBe(2);
  tokensRise(cell);
  const sink = { token: [0, 0] as readonly [number, number], effects: 0 };
  for (const { token } of [second, first]) {
    if (token[0] < sink.token[0] || (token[0] === sink.token[0] && token[1] < sink.token[1])) continue;
    sink.token = token;
    sink.effects++;
  }
  expect(sink.effects).toBe(1); // G3: a sink that refuses stale tokens
});

test("C8: a worker sleeps in its handler for longer than the quarantine; it aborts the handler the moment it wakes", () => {
  const { cell, first } = sleepsAfterStart();
  cell.resume("owner");
  expect(first).toMatchObject({ outcome: "unknown", endedAt: cell.now, effect: false });
  ended(cell, { runs: 2, checks: 1 });
});
