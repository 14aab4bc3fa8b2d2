import { expect, test } from "bun:test";
import { ended, isReport, onlyRun, slows, stage, untilState } from "./stage.ts";

test("E13: the client never tells the owner that the partition moved; its claims are of an old generation, refused", () => {
  const cell = stage();
  cell.takesStaleCommits = true; // not even the broker tells it
  cell.node("owner").deaf = true;
  cell.move(0, "other");
  cell.until("the new owner has it", () => cell.node("other").core.member.state.windows.get(0)?.anchored === true);
  expect(cell.node("owner").ownerships.has(0)).toBe(true); // it goes on reading
  slows(cell, 200, isReport, { from: "other" }); // the old owner asks first
  cell.produceMany(0, 5);
  untilState(cell, "owner", "doubtful", 4); // refused, asked again, refused
  ended(cell, { runs: 5, checks: 0 });
  expect(cell.runs.every((run) => run.node === "other")).toBe(true);
  expect(cell.node("owner").core.ctx.counters).toMatchObject({ claimed: 5, granted: 0 });
});

test("E13: the same while the old owner executes; its commit is refused, the new owner waits and drops", () => {
  const cell = stage();
  cell.handler = () => ({ ms: 2_000, outcome: "success" });
  cell.produce(0);
  untilState(cell, "owner", "executing");
  cell.node("owner").deaf = true;
  cell.move(0, "other");
  untilState(cell, "other", "doubtful");
  cell.until("the old owner tried to commit", () => cell.node("owner").core.ctx.counters.commitsRefused > 0);
  ended(cell, { runs: 1, checks: 0 });
  expect(onlyRun(cell).node).toBe("owner");
});
