import { expect, test } from "bun:test";
import { ended, entryAt, hangs, hangsNoMore, onlyRun, stage, stateAt, untilState } from "./stage.ts";

test("B5: the owner started before it heard of the next epoch; its run goes on and the next leader's table says so", () => {
  const cell = stage();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");

  cell.crash("leader");
  cell.until("another leads", () => cell.activeLeader() !== null);
  cell.advance(1_000);
  expect(stateAt(cell, "owner")).toBe("executing");
  expect(entryAt(cell, cell.activeLeader()!.name)).toMatch(/(granted to|executing at) owner/);
  cell.end(onlyRun(cell), "success");
  ended(cell, { runs: 1, checks: 0 });
  expect(onlyRun(cell).token[0]).toBe(1);
});

test("B5: the owner heard of the next epoch before it started; the old grant is void and given anew", () => {
  const cell = stage({ settings: { concurrency: 1 } });
  hangs(cell, 0);
  cell.produceMany(0, 2);
  untilState(cell, "owner", "granted", 1);

  cell.crash("leader");
  cell.until("another leads", () => cell.activeLeader() !== null);
  cell.until("its epoch is accepted", () => cell.node("owner").core.epoch === 2);
  expect(cell.node("owner").core.ctx.counters.heldAgain).toBe(1);
  untilState(cell, "owner", "granted", 1);
  hangsNoMore(cell);
  cell.end(onlyRun(cell, 0), "success");
  ended(cell, { runs: 2, checks: 0 });
  expect(onlyRun(cell, 1).token[0]).toBe(2);
});
