import { expect, test } from "bun:test";
import { ended, entryAt, stage, stateAt } from "./stage.ts";

test("F16: a handler fails and is tried again under the same grant; the task is executed when it succeeds, unchecked", () => {
  const cell = stage();
  cell.handler = (run) => ({ ms: 5, outcome: run.attempt < 3 ? "failure" : "success" });
  cell.produce(0);
  ended(cell, { runs: 3, checks: 0 });
  expect(cell.runs.map((run) => run.attempt)).toEqual([1, 2, 3]);
  expect(new Set(cell.runs.map((run) => run.token.join(":"))).size).toBe(1);
  expect(cell.runs[1]!.startedAt - cell.runs[0]!.endedAt).toBeGreaterThanOrEqual(50); // back-off
});

test("F16: a handler fails at every attempt; dead-lettered, and committed only when that write is acknowledged", () => {
  const cell = stage();
  cell.handler = () => ({ ms: 5, outcome: "failure" });
  cell.acknowledgeSetAside = false;
  cell.produce(0);
  cell.until("given up", () => cell.runs.length === 3);
  cell.advance(5_000);
  expect(cell.committed[0]).toBe(0);
  expect(entryAt(cell, "leader")).toBe("granted to owner");
  cell.acknowledgeSetAside = true;
  cell.drain();
  expect(cell.setAside).toEqual([{ kind: "dead", partition: 0, offset: 0, reason: "attempts" }]);
  expect(cell.runs).toHaveLength(3);
  expect(cell.checks).toHaveLength(0);
});

test("F16: the partition moves between two attempts; the next owner goes on with the count, unchecked", () => {
  const cell = stage({ topic: { retryBackoffMs: 5_000 } });
  cell.handler = (run) => ({ ms: 5, outcome: run.attempt < 2 ? "failure" : "success" });
  cell.produce(0);
  cell.until("failed once", () => cell.runs[0]?.outcome === "failure");
  cell.move(0, "other");
  ended(cell, { runs: 2, checks: 0 });
  expect(cell.runs[1]).toMatchObject({ node: "other", attempt: 2 });
});

test("F16: the dead letter could not be written and the partition moves; the next owner writes it", () => {
  const cell = stage({ topic: { attemptsMax: 1 } });
  cell.handler = () => ({ ms: 5, outcome: "failure" });
  cell.acknowledgeSetAside = false;
  cell.produce(0);
  cell.until("refused once", () => stateAt(cell, "owner") === "writing" && cell.runs[0]?.outcome === "failure");
  cell.advance(100); // between two tries
  cell.move(0, "other");
  cell.until("moved", () => cell.node("other").ownerships.has(0));
  cell.acknowledgeSetAside = true;
  cell.drain();
  expect(cell.setAside.map(({ kind }) => kind)).toEqual(["dead"]);
  cell.until("forgotten", () => cell.node("owner").core.member.state.retained.size === 0, 5_000);
});

test("F16: the partition comes back after the dead letter was written; nothing of the write is kept", () => {
  const cell = stage({ topic: { attemptsMax: 1 } });
  cell.handler = () => ({ ms: 5, outcome: "failure" });
  cell.produce(0);
  cell.until("runs", () => cell.runs.length === 1);
  cell.commitOutcome = () => "lost";
  cell.until("being written", () => stateAt(cell, "owner") === "writing");
  cell.rebalance(true); // the write ends while nobody owns the partition
  cell.commitOutcome = () => "committed";
  cell.drain();
  expect(cell.setAside).toHaveLength(1);
  expect(cell.node("owner").core.member.state.windows.get(0)!.setAside.size).toBe(0);
});
