import { expect, test } from "bun:test";
import { EFFECT_SETTLE_MS, ended, hangs, hangsNoMore, onlyRun, stage, untilState } from "./stage.ts";

test("F5: the holder's handler hangs; the doubt waits and shows its age; the handler's time limit ends it, then the check", () => {
  const cell = stage();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  hangsNoMore(cell);
  cell.move(0, "other");
  untilState(cell, "other", "doubtful");
  cell.advance(120_000);
  const { doubtful, oldestDoubtMs } = cell.node("other").core.status(cell.now);
  expect(doubtful).toBe(1);
  expect(oldestDoubtMs).toBeGreaterThanOrEqual(120_000);
  expect(cell.checks).toHaveLength(0);

  cell.end(onlyRun(cell), "unknown", false); // handlerTimeoutMs: aborted
  const abortedAt = cell.now;
  ended(cell, { runs: 2, checks: 1 });
  expect(cell.checks[0]!.at - abortedAt).toBeGreaterThanOrEqual(EFFECT_SETTLE_MS);
});
