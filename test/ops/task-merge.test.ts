/** What a cell knows of a task, from the words of its nodes: real cores in virtual time, looked up as `task <id>` does. */
import { expect, test } from "bun:test";
import type { Doubt } from "../../src/core/member/window.ts";
import { lookUpTask } from "../../src/core/task-look.ts";
import { type NodeTaskAnswer, nodeTaskAnswer, type TaskRecordReport, type TaskReport } from "../../src/ops/task.ts";
import { mergeTask } from "../../src/ops/task-merge.ts";
import { reportText } from "../../src/ops/task-text.ts";
import { type Cell, hashOf } from "../support/cell.ts";
import { stage, stateAt, untilState } from "../scenarios/stage.ts";
import { nodeStatus } from "./node-fixture.ts";

const NAMES = ["leader", "owner", "other"];

function answerOf(
  cell: Cell,
  name: string,
  id: string,
  record: { partition: number; offset: number } | null,
): NodeTaskAnswer {
  const { core } = cell.node(name);
  const [hashHi, hashLo] = hashOf(`t:${id}`);
  const key = record === null ? [0, 0] : hashOf(`k:${record.partition}:${record.offset}`);
  const found =
    record === null ? null : { pid: record.partition, offset: record.offset, hashHi: key[0]!, hashLo: key[1]! };
  const view = lookUpTask(core, { id, hashHi, hashLo, record: found }, cell.now);
  const status = nodeStatus({ nodeId: name, topics: ["tasks"], core: core.status(cell.now) });
  return nodeTaskAnswer(id, status, view, new Date(0));
}

/** Asks every living node; who is dead or paused does not answer. */
function ask(cell: Cell, id: string): TaskReport {
  const position = /^tasks:(\d+):(\d+)$/.exec(id);
  const record = position === null ? null : { partition: Number(position[1]), offset: Number(position[2]) };
  const members = NAMES.map((nodeId) => {
    const node = cell.node(nodeId);
    const silent = !node.alive || node.paused;
    const answer = silent ? null : answerOf(cell, nodeId, id, record);
    return { nodeId, url: `http://${nodeId}`, error: silent ? "no answer within 3000 ms" : "", answer };
  });
  return mergeTask(id, members, null);
}

function one(cell: Cell, id: string): TaskRecordReport {
  const { records } = ask(cell, id);
  expect(records).toHaveLength(1);
  return records[0]!;
}

test("in flight: who runs it, under which token; by its id and by its position alike", () => {
  const cell = stage({ handlerMs: 5_000 });
  cell.produce(0, "order-1");
  untilState(cell, "owner", "executing");
  const found = one(cell, "order-1");
  expect(found).toMatchObject({
    topic: "tasks",
    partition: 0,
    offset: 0,
    taskId: "order-1",
    state: "in-flight",
    owner: "owner",
    runsOn: "owner",
    holder: "owner",
    phase: "executing",
    epoch: 1,
    committed: false,
    waitsFor: "its handler to end",
  });
  expect(found.sequence).toBeGreaterThan(0);
  expect(one(cell, "tasks:0:0")).toEqual(found);
  const report = ask(cell, "order-1");
  expect(report).toMatchObject({
    state: "in-flight",
    seen: true,
    complete: true,
    leader: { nodeId: "leader", epoch: 1 },
  });
});

test("a record without an id is found by its position, and by no text that only reads like it", () => {
  const cell = stage({ handlerMs: 5_000 });
  cell.produce(0);
  untilState(cell, "owner", "executing");
  expect(one(cell, "tasks:0:0")).toMatchObject({ taskId: "", state: "in-flight", runsOn: "owner" });
  expect(ask(cell, "tasks:0")).toMatchObject({ state: "unknown", records: [] });
});

test("in flight between attempts: which attempt comes, and when", () => {
  const cell = stage({ topic: { retryBackoffMs: 2_000 } });
  cell.handler = () => ({ ms: 5, outcome: "failure" });
  cell.produce(0, "order-1");
  cell.until("a first failure", () => cell.node("owner").core.ctx.counters.failedAttempts === 1);
  const found = one(cell, "order-1");
  expect(found).toMatchObject({ state: "in-flight", phase: "granted", runsOn: "", attempts: 1 });
  expect(found.waitsFor).toBe("attempt 2 of 3, after a back-off");
  expect(found.withinMs).toBeGreaterThan(500);
  expect(found.withinMs).toBeLessThanOrEqual(3_000);
});

test("in flight without a leader: what this node waits for", () => {
  const cell = stage({ handlerMs: 60_000, settings: { concurrency: 1 } });
  cell.produce(0, "first");
  cell.produce(0, "second");
  untilState(cell, "owner", "executing", 0);
  cell.until("granted, not started", () => stateAt(cell, "owner", 1) === "granted");
  expect(one(cell, "second").waitsFor).toBe("a free handler: 1 of 1 run");
  cell.cutPeers("owner");
  cell.advance(4_000);
  const held = one(cell, "second");
  expect(held).toMatchObject({ state: "in-flight", owner: "owner" });
  expect(held.waitsFor).toContain("in-sync set");
});

test("asked for: whose acknowledgement its verdict waits for", () => {
  const cell = stage();
  cell.pause("other");
  cell.produce(0, "order-1");
  untilState(cell, "owner", "asked");
  cell.advance(500);
  const found = one(cell, "order-1");
  expect(found).toMatchObject({ state: "in-flight", phase: "asked", owner: "owner", holder: "owner", runsOn: "" });
  expect(found.waitsFor).toBe("the leader's verdict, which other must acknowledge");
  expect(found.text).toStartWith("owner has it: asked for, no verdict yet; waits for the leader's verdict");
});

test("doubtful: a holder that is alive is waited for, and what it says is told", () => {
  const cell = stage({ handlerMs: 20_000 });
  cell.produce(0, "order-1");
  untilState(cell, "owner", "executing");
  cell.move(0, "other");
  cell.until("in doubt at its new owner", () => stateAt(cell, "other") === "doubtful");
  cell.advance(1_000);
  // It runs, and that comes first; its new owner's view says why that one does not.
  const found = one(cell, "order-1");
  expect(found).toMatchObject({
    state: "in-flight",
    runsOn: "owner",
    owner: "other",
    attestation: "running",
    verdict: "wait",
  });
  expect(found.waitsFor).toBe("its handler to end; the partition has moved");
  expect(found.views.find(({ nodeId }) => nodeId === "other")?.view).toContain("doubtful");
});

test("doubtful: a holder that is silent counts as stopped after its quarantine, and that is told", () => {
  const cell = stage({ handlerMs: 60_000 });
  cell.produce(0, "order-1");
  untilState(cell, "owner", "executing");
  cell.crash("owner");
  cell.until("in doubt at its new owner", () =>
    NAMES.some((name) => cell.node(name).alive && stateAt(cell, name) === "doubtful"),
  );
  cell.advance(300);
  const report = ask(cell, "order-1");
  expect(report).toMatchObject({ state: "doubtful", complete: false });
  const [found] = report.records;
  expect(found).toMatchObject({
    holder: "owner",
    runsOn: "",
    waitsFor: "owner, to count as stopped: it does not answer",
  });
  expect(found!.withinMs).toBeGreaterThan(0);
  expect(found!.withinMs).toBeLessThanOrEqual(18_000);
  expect(reportText(report)).toContain("owner: no answer: no answer within 3000 ms");
  expect(reportText(report)).toContain("2 of 3 nodes answered: who is silent may know more");
});

test("adopted: its check, how often it was asked and what it said last; then settled, by whom and how", () => {
  const cell = stage({ handlerMs: 60_000, settings: { checkBackoffMs: 8_000 } });
  let answer: "unknown" | "executed" = "unknown";
  cell.check = () => answer;
  cell.produce(0, "order-1");
  untilState(cell, "owner", "executing");
  cell.crash("owner");
  cell.proveDeath("owner");
  const holder = (): string => NAMES.find((name) => cell.node(name).alive && cell.assignment[0] === name) ?? "";
  const doubt = (): Doubt | undefined => cell.node(holder()).core.member.state.windows.get(0)?.doubts.get(0);
  cell.until("a useless check", () => holder() !== "" && doubt()?.checkSaid === "unknown");
  const adopted = one(cell, "order-1");
  expect(adopted).toMatchObject({
    state: "adopted",
    owner: holder(),
    checks: { asked: 1, answer: "unknown", runs: false },
  });
  expect(adopted.waitsFor).toBe("check 2 of 3: the last one gave no usable answer");
  expect(adopted.withinMs).toBeGreaterThan(1_000);
  answer = "executed";
  cell.until("settled", () => doubt() === undefined);
  const settled = one(cell, "order-1");
  expect(settled).toMatchObject({
    outcome: "dropped",
    settled: { how: "checkedExecuted", ran: false, checks: 2, by: holder() },
  });
  cell.advance(5_000);
  expect(one(cell, "order-1")).toMatchObject({ state: "settled", committed: true, outcome: "dropped" });
  expect(one(cell, "tasks:0:0")).toMatchObject({ state: "settled", taskId: "order-1" });
});

test("settled by running it: the check said not-executed, and its handler then succeeded", () => {
  const cell = stage({ handlerMs: 60_000 });
  cell.check = () => "not-executed";
  cell.produce(0, "order-1");
  untilState(cell, "owner", "executing");
  cell.crash("owner");
  cell.proveDeath("owner");
  cell.handler = () => ({ ms: 5, outcome: "success" });
  cell.until("run again", () => cell.effects("order-1") === 1);
  cell.advance(2_000);
  expect(one(cell, "order-1")).toMatchObject({
    outcome: "executed",
    committed: true,
    settled: { how: "checkedNotExecuted", ran: true },
  });
});

test("parked and dead: while the log does not take the record, where it is to go; then who wrote it there, and why", () => {
  for (const kind of ["dead", "parked"] as const) {
    const cell = stage({ handlerMs: 60_000, hasCheck: false });
    cell.acknowledgeSetAside = false;
    if (kind === "dead") cell.handler = () => ({ ms: 5, outcome: "failure" });
    cell.produce(0, "order-1");
    if (kind === "parked") {
      untilState(cell, "owner", "executing");
      cell.crash("owner");
      cell.proveDeath("owner");
    }
    cell.until("a write", () => NAMES.some((name) => cell.node(name).alive && stateAt(cell, name) === "writing"));
    cell.advance(300);
    const writing = one(cell, "order-1");
    expect(writing).toMatchObject({ state: "in-flight", phase: "writing", outcome: "" });
    expect(writing.waitsFor).toBe(`the next try to write it to tasks.${kind}: the last one was not acknowledged`);
    expect(writing.withinMs).toBeLessThanOrEqual(1_000);
    cell.acknowledgeSetAside = true;
    cell.until("set aside", () => ask(cell, "order-1").state === kind);
    cell.advance(3_000);
    const reason = kind === "dead" ? "attempts" : "unknown";
    const found = one(cell, "order-1");
    expect(found).toMatchObject({ state: kind, outcome: kind, committed: true, setAside: { kind, reason } });
    expect(found.text).toContain(`tasks.${kind}`);
    expect(found.text).toContain(reason);
  }
});

test("committed, and the ways not to know a task", () => {
  const cell = stage();
  cell.produce(0, "order-1");
  cell.produceGap(0, 1);
  cell.handler = (run) => ({ ms: run.offset === 2 ? 60_000 : 5, outcome: "success" });
  cell.produce(0, "order-2");
  cell.until("the first is committed", () => (cell.committed[0] ?? 0) >= 2);
  cell.advance(1_000);
  const committed = one(cell, "tasks:0:0");
  expect(committed).toMatchObject({ state: "committed", committed: true, outcome: "" });
  expect(committed.text).toStartWith("below the watermark (2): committed");
  expect(ask(cell, "order-1")).toMatchObject({ state: "unknown", seen: true, records: [] });
  expect(ask(cell, "order-1").text).toStartWith("seen by the filter, no record");
  expect(ask(cell, "order-9")).toMatchObject({ state: "unknown", seen: false, records: [] });
  expect(one(cell, "tasks:0:900").text).toBe("unknown: tasks/0 ends at 3: there is no such record yet");
  expect(ask(cell, "bills:0:1").text).toContain('no topic "bills" in this cell (it has tasks)');
});

test("two records of one task: both are named, the most alive first", () => {
  const cell = stage({ handlerMs: 5_000 });
  cell.produce(0, "order-1");
  untilState(cell, "owner", "executing");
  cell.produce(0, "order-1");
  cell.until("the second is in doubt", () => stateAt(cell, "owner", 1) === "doubtful");
  const { records, state } = ask(cell, "order-1");
  expect(state).toBe("in-flight");
  expect(records.map(({ offset, state: each }) => [offset, each])).toEqual([
    [0, "in-flight"],
    [1, "doubtful"],
  ]);
  const byPosition = ask(cell, "tasks:0:1");
  expect(byPosition.state).toBe("doubtful");
  expect(byPosition.records.map(({ offset, asked }) => [offset, asked])).toEqual([
    [1, true],
    [0, false],
  ]);
});

test("a look changes nothing, also not at partitions that nobody has", () => {
  const cell = stage();
  const { core } = cell.node("leader");
  const before = [...core.replica.table.partitions.keys()];
  expect(ask(cell, "tasks:5000:1").records).toEqual([]);
  expect([...core.replica.table.partitions.keys()]).toEqual(before);
});

test("no answer at all is no knowledge; nor is that of nodes that hold no complete state", () => {
  const none = mergeTask("x", [{ nodeId: "a", url: "", error: "no HTTP", answer: null }], {
    nodeId: "a",
    bootId: "",
    epoch: 4,
  });
  expect(none).toMatchObject({ state: "unknown", seen: null, complete: false, leader: { nodeId: "a", epoch: 4 } });
  expect(none.text).toBe("unknown: no node that answered holds a complete seen-set");
});

test("no line is longer than 80 columns, whatever the names", () => {
  const cell = stage({ handlerMs: 5_000 });
  const id = `order-${"0123456789".repeat(20)}`;
  cell.produce(0, id);
  untilState(cell, "owner", "executing");
  const report = ask(cell, id);
  expect(report.state).toBe("in-flight");
  const text = reportText({
    ...report,
    nodes: report.nodes.map((node) => ({ ...node, nodeId: node.nodeId.repeat(12) })),
  });
  expect(text.split("\n").filter((line) => line.length > 80)).toEqual([]);
});
