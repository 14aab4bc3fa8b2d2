import { expect, test } from "bun:test";
import { hangs, hangsNoMore, stage } from "./stage.ts";

test("R11: refusing grants of a former epoch, whose sequence had come far, refuses none of this epoch", () => {
  const cell = stage({ settings: { concurrency: 1 }, spares: ["spare"] });
  cell.activeLeader()!.core.leader!.state.stamp = 1_000_000; // it had led for long
  hangs(cell);
  cell.produceMany(0, 10);
  cell.until("one runs", () => cell.runs.length === 1);
  cell.advance(200);
  cell.mayLead = (name) => name === "spare";
  cell.crash("leader");
  cell.until("another leads", () => cell.activeLeader()?.name === "spare");
  cell.move(0, "other"); // asks for what the owner holds: the owner gives it back
  cell.until("a grant was given back", () => cell.node("other").core.ctx.counters.granted > 0);
  cell.advance(100);
  cell.move(0, "owner");
  cell.until("at the owner again", () => cell.node("owner").core.member.state.windows.has(0));
  const asked = cell.node("owner").core.ctx.counters.staleVerdicts;
  cell.end(cell.runs[0]!, "success");
  for (const run of cell.runs) if (run.endedAt === Infinity) cell.end(run, "success");
  hangsNoMore(cell);
  cell.drain(20_000);
  expect(cell.node("owner").core.ctx.counters.staleVerdicts - asked).toBeLessThan(50);
  cell.verifyOnce();
});
