import { expect, test } from "bun:test";
import { ended, stage, watermarkAt } from "./stage.ts";

for (const truth of ["unknown", "lost"] as const) {
  test(`E6: a commit times out (${truth === "lost" ? "not made" : "made"}); while owner the node commits again, nothing else happens`, () => {
    const cell = stage();
    let trouble = 2;
    cell.commitOutcome = (node) => (node === "owner" && cell.runs.length > 0 && trouble-- > 0 ? truth : "committed");
    cell.produceMany(0, 3);
    const { counters } = cell.node("owner").core.ctx;
    cell.until("two are unknown", () => counters.commitsUnknown === 2);
    expect(cell.committed[0]).toBe(truth === "lost" ? 0 : 3);
    expect(watermarkAt(cell, "leader")).toBe(0); // W is told after an answer only
    cell.until("W", () => watermarkAt(cell, "leader") === 3, 1_000);
    ended(cell, { runs: 3, checks: 0 });
    expect(counters.commitsRefused).toBe(0);
  });
}
