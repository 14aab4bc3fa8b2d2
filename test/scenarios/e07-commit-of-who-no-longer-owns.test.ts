import { expect, test } from "bun:test";
import { ended, hangs, hangsNoMore, stage, untilState } from "./stage.ts";

test("E7: the log takes commits from whoever sends them; who no longer owns a partition sends none for it", () => {
  const cell = stage();
  hangs(cell, 0, 1);
  cell.produceMany(0, 3);
  untilState(cell, "owner", "executed", 2);
  hangsNoMore(cell);
  cell.takesStaleCommits = true;
  cell.move(0, "other");
  untilState(cell, "other", "doubtful");
  const { counters } = cell.node("owner").core.ctx;
  const commits = counters.commits;
  let position = cell.committed[0]!;
  for (const run of cell.runs) {
    if (run.endedAt === Infinity) cell.end(run, "success");
    cell.advance(300);
    expect(cell.committed[0]!).toBeGreaterThanOrEqual(position);
    position = cell.committed[0]!;
  }
  expect(counters.commits).toBe(commits);
  ended(cell, { runs: 3, checks: 0 });
});
