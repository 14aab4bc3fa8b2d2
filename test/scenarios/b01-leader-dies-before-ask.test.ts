import { expect, test } from "bun:test";
import { ended, isClaim, loses, losesNothing, onlyRun, stage, stateAt } from "./stage.ts";

test("B1: the leader dies before it took the ask; the owner asks the next one, is granted, and checks nothing", () => {
  const cell = stage();
  const lost = loses(cell, isClaim, { to: "leader" });
  cell.produce(0);
  cell.until("the claim is lost", () => lost.count > 0);
  expect(stateAt(cell, "owner")).toBe("asked");

  cell.crash("leader");
  losesNothing(cell);
  ended(cell, { runs: 1, checks: 0 });
  expect(onlyRun(cell).token[0]).toBe(2);
  expect(cell.node("owner").core.ctx.counters.verdictsLost).toBe(1);
});
