import { expect, test } from "bun:test";
import { ended, falsePositive, onlyRun, stage } from "./stage.ts";

test("F1: the filter says seen of a record that nobody was ever granted; table and W know better: granted, no check", () => {
  const cell = stage({ hasCheck: false, onUnknown: "drop" }); // taken for a duplicate it would be lost
  falsePositive(cell, cell.produce(0));
  ended(cell, { runs: 1, checks: 0 });
  expect(cell.settled()).toMatchObject({ falsePositive: 1, byPolicy: 0 });
});

test("F1: only one follower's filter says seen; alarmed, its grant is taken back, and the table decides", () => {
  const cell = stage({ hasCheck: false, onUnknown: "drop" });
  falsePositive(cell, cell.produce(0), ["other"]);
  ended(cell, { runs: 1, checks: 0 });
  expect(cell.node("leader").core.ctx.counters.unexpectedSeen).toBe(1);
  expect(cell.node("leader").alarms).toEqual([expect.stringContaining("unexpected-seen")]);
  expect(cell.settled()).toMatchObject({ falsePositive: 1, byPolicy: 0 });
});

test("F1: the same for a record that names its task; a bit is evidence for the check only", () => {
  const cell = stage();
  falsePositive(cell, cell.produce(0, "payment-7"));
  ended(cell, { runs: 1, checks: 1 });
  expect(cell.settled()).toMatchObject({ checkedNotExecuted: 1 });
});

test("F1: the same without a check, under onUnknown `drop`: parked for a person, never dropped on a bit", () => {
  const cell = stage({ hasCheck: false, onUnknown: "drop" });
  falsePositive(cell, cell.produce(0, "payment-7"));
  cell.drain();
  expect(cell.setAside).toEqual([{ kind: "parked", partition: 0, offset: 0, reason: "maybe-duplicate" }]);
  expect(cell.runs).toHaveLength(0);
});

test("F1: under onUnknown `execute` it runs", () => {
  const cell = stage({ hasCheck: false, onUnknown: "execute" });
  falsePositive(cell, cell.produce(0, "payment-7"));
  ended(cell, { runs: 1, checks: 0 });
  expect(onlyRun(cell).node).toBe("owner");
});
