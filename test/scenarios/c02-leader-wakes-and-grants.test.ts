import { expect, test } from "bun:test";
import { anotherLeads, counts, ended, entryAt, ignoresDeadline, isVerdict, onlyRun, stage } from "./stage.ts";

for (const guard of ["its deadline", "the epochs"]) {
  test(`C2: the leader stops with a grant that only wants its acknowledgements, wakes after its session; ${guard} stops it`, () => {
    const cell = stage();
    cell.closeMs = 20_000; // what it sends on its old links still arrives
    cell.produce(0);
    cell.until("replicated", () => entryAt(cell, "other") === "granted to owner");
    const verdicts = counts(cell, isVerdict, { from: "leader" });
    if (guard === "the epochs") ignoresDeadline(cell);
    cell.pause("leader");
    anotherLeads(cell);
    cell.until("executed under the next epoch", () => cell.runs.length === 1);
    expect(verdicts.count).toBe(0);

    const refusedBefore = cell.node("owner").core.ctx.counters.refusedMessages;
    cell.resume("leader");
    cell.advance(10);
    const refused = cell.node("owner").core.ctx.counters.refusedMessages - refusedBefore;
    if (guard === "the epochs") expect(verdicts.count).toBeGreaterThan(0);
    else expect(verdicts.count).toBe(0);
    expect(refused).toBeGreaterThanOrEqual(verdicts.count);
    ended(cell, { runs: 1, checks: 0 });
    expect(onlyRun(cell).token[0]).toBe(2);
  });
}
