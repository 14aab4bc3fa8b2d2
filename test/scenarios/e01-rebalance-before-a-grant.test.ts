import { expect, test } from "bun:test";
import { ended, entryAt, hangs, isVerdict, onlyRun, slows, stage, stateAt, untilState } from "./stage.ts";

test("E1: the partition moves while the owner holds a record that it has not asked for; its copy is gone", () => {
  const cell = stage();
  cell.commitOutcome = (node) => (node === "owner" ? "lost" : "committed"); // no ceiling, so no claim
  cell.produce(0);
  untilState(cell, "owner", "held");
  cell.move(0, "other");
  ended(cell, { runs: 1, checks: 0 });
  expect(onlyRun(cell).node).toBe("other");
});

test("E1: the partition moves while the owner's claim is on its way; the answer is ignored, the grant given back", () => {
  const cell = stage();
  const late = slows(cell, 300, isVerdict, { from: "leader", to: "owner" });
  cell.produce(0);
  cell.until("the grant is on its way", () => late.count > 0);
  cell.move(0, "other");
  cell.until("moved", () => stateAt(cell, "owner") === "absent");
  expect(entryAt(cell, "leader")).toBe("granted to owner");
  ended(cell, { runs: 1, checks: 0 });
  expect(onlyRun(cell).node).toBe("other");
  cell.advance(500);
  expect(cell.node("owner").core.ctx.counters.staleVerdicts).toBe(1);
});

test("E1: the partition moves while the owner is doubtful; its doubt is gone, the next owner asks", () => {
  const cell = stage({ partitions: 2 });
  const elsewhere = cell.assignment[1]!;
  hangs(cell);
  cell.produce(1, "payment-7");
  untilState(cell, elsewhere, "executing", 0, 1);
  cell.produce(0, "payment-7"); // the same task: it waits
  untilState(cell, "owner", "doubtful");
  cell.move(0, "leader");
  untilState(cell, "leader", "doubtful");
  expect(stateAt(cell, "owner")).toBe("absent");
  cell.end(cell.runs[0]!, "success");
  cell.drain();
  cell.verifyOnce();
  expect(cell.runs).toHaveLength(1);
});
