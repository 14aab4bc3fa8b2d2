import { expect, test } from "bun:test";
import { ended, entryAt, hangs, hangsNoMore, onlyRun, QUARANTINE_MS, stage, untilState } from "./stage.ts";

test("A7: the owner dies with a grant that it has not started; not to be told from A6: quarantine, then the check", () => {
  const cell = stage({ settings: { concurrency: 1 } });
  hangs(cell, 0);
  cell.produceMany(0, 2);
  untilState(cell, "owner", "executing", 0);
  untilState(cell, "owner", "granted", 1);
  expect(entryAt(cell, "other", 1)).toBe("granted to owner");

  cell.crash("owner");
  const crashedAt = cell.now;
  hangsNoMore(cell);
  ended(cell, { runs: 3, checks: 2 }); // offset 0 was running, offset 1 was not: both are checked
  expect(onlyRun(cell, 1).node).toBe("other");
  expect(cell.checks[0]!.at - crashedAt).toBeGreaterThan(QUARANTINE_MS);
});
