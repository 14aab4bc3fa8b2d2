import { expect, test } from "bun:test";
import {
  anotherLeads,
  crashProven,
  ended,
  entryAt,
  hangs,
  hangsNoMore,
  onlyRun,
  stage,
  stateAt,
  untilState,
} from "./stage.ts";

test("D5: a grant that is not started when an epoch begins is void, and given anew", () => {
  const cell = stage({ settings: { concurrency: 1 } });
  hangs(cell, 0);
  cell.produceMany(0, 2);
  untilState(cell, "owner", "granted", 1);
  cell.mayLead = (name) => name === "other";
  cell.expireSession("leader");
  anotherLeads(cell);
  cell.until("it heard", () => cell.node("owner").core.epoch === 2);
  expect(cell.node("owner").core.ctx.counters.heldAgain).toBe(1);
  hangsNoMore(cell);
  cell.end(onlyRun(cell, 0), "success");
  ended(cell, { runs: 2, checks: 0 });
  expect(onlyRun(cell, 1).token[0]).toBe(2);
});

test("D6: what executes when an epoch begins goes on; the new leader's table says so", () => {
  const cell = stage();
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  cell.mayLead = (name) => name === "other";
  cell.expireSession("leader");
  anotherLeads(cell);
  cell.until("it heard", () => cell.node("owner").core.epoch === 2);
  cell.advance(500);
  expect(stateAt(cell, "owner")).toBe("executing");
  expect(entryAt(cell, "other")).toMatch(/(granted to|executing at) owner/);
  cell.move(0, "other"); // and so nobody else starts it
  cell.advance(2_000);
  expect(stateAt(cell, "other")).toBe("doubtful");
  cell.end(onlyRun(cell), "success");
  ended(cell, { runs: 1, checks: 0 });
});

test("D7: an adoption whose check runs when an epoch begins is void; the check runs again", () => {
  const cell = stage({ spares: ["spare"] });
  hangs(cell);
  cell.produce(0);
  untilState(cell, "owner", "executing");
  crashProven(cell, "owner");
  hangsNoMore(cell);
  cell.checkMs = 1_000;
  cell.move(0, "other");
  cell.until("the check runs", () => cell.checks.length === 1);
  expect(stateAt(cell, "other")).toBe("adopted");
  cell.mayLead = (name) => name === "spare";
  cell.expireSession("leader");
  anotherLeads(cell);
  const ledAt = cell.now;
  ended(cell, { runs: 2, checks: 2 });
  expect(cell.checks[1]!.at).toBeGreaterThan(ledAt);
  expect(cell.runs[1]!.startedAt).toBeGreaterThanOrEqual(cell.checks[1]!.at + 1_000); // the first answer was void
});
