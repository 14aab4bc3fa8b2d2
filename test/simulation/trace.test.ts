/** A story tells what concerns the violation, in order, and leaves the rest out. */
import { expect, test } from "bun:test";
import type { HistoryEvent } from "./history.ts";
import type { SimulationSettings } from "./observer.ts";
import type { SeedResult } from "./seed-result.ts";
import { story } from "./trace.ts";

const on = { partition: 0, pid: 1, epoch: 1, attempt: 1 };
const history: HistoryEvent[] = [
  { type: "process", at: 0, node: "a", pid: 1, what: "started", detail: "" },
  { type: "process", at: 0, node: "b", pid: 2, what: "started", detail: "" },
  { type: "leads", at: 10, node: "a", pid: 1, epoch: 1 },
  { type: "produced", at: 20, partition: 0, offset: 4, taskId: "t1", payload: 1 },
  { type: "produced", at: 20, partition: 0, offset: 5, taskId: "t10", payload: 1 },
  { type: "handler-start", at: 30, node: "a", run: 1, offset: 4, taskId: "t1", stamp: 7, ...on },
  { type: "handler-start", at: 30, node: "a", run: 2, offset: 5, taskId: "t10", stamp: 8, ...on },
  { type: "effect", at: 40, run: 1, taskId: "t1" },
  { type: "fault", at: 50, kind: "kill", node: "a", detail: "" },
  { type: "process", at: 50, node: "a", pid: 1, what: "killed", detail: "" },
  { type: "handler-end", at: 50, run: 1, outcome: "died" },
  { type: "note", at: 60, node: "b", pid: 2, message: "something" },
  { type: "handler-start", at: 70, node: "b", run: 3, offset: 4, taskId: "t1", stamp: 9, ...on },
  { type: "effect", at: 80, run: 3, taskId: "t1" },
  { type: "committed", at: 85, node: "b", partition: 0, position: 3, before: 2 },
  { type: "committed", at: 90, node: "b", partition: 0, position: 5, before: 3 },
  { type: "violation", at: 90, invariant: "I2", message: "I2: task t1: 2 effects" },
];

const result: SeedResult = {
  seed: 5,
  violation: { invariant: "I2", message: "I2: task t1: 2 effects", at: 90 },
  hash: "h",
  virtualMs: 90,
  faultMs: 90,
  tasks: 2,
  runs: 3,
  faults: {},
  elections: 1,
  doubts: {},
  rows: [],
  nodes: 2,
  events: 17,
  settings: {} as SimulationSettings,
  plan: ["0: 50 ms kill leader for 1 ms"],
  history,
};

test("the story of a violated task: faults, leadership, its runs, its commit, the violation last", () => {
  const lines = story(result, false).slice(6);
  expect(lines).toEqual([
    "    0.0000  +.  a: process 1 started",
    "    0.0000  ++  b: process 2 started",
    "    0.0100  L+  a: LEADS epoch 1",
    '    0.0200  L+  log: record 0:4 is task "t1"',
    '    0.0300  H+  a: STARTS "t1", run 1, record 0:4, token 1.7, attempt 1',
    '    0.0400  H+  EFFECT of "t1" by run 1',
    "    0.0500  H+  FAULT kill a",
    "    0.0500  x+  a: process 1 killed",
    "    0.0500  x+  run 1 ends: died",
    '    0.0700  xH  b: STARTS "t1", run 3, record 0:4, token 1.9, attempt 1',
    '    0.0800  xH  EFFECT of "t1" by run 3: its 2. effect',
    "    0.0900  xH  b: commits partition 0 at 5, was 3",
    "    0.0900  xH  VIOLATION I2: task t1: 2 effects",
  ]);
});

test("--full tells everything", () => {
  const text = story(result, true).join("\n");
  expect(text).toContain("something");
  expect(text).toContain('"t10"');
  expect(text).toContain("commits partition 0 at 3");
});
