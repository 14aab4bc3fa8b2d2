/**
 * What the checkers that are named after rules bite on, and what they let pass; `checkers.test.ts` runs them.
 *
 * Longer than most files: one list, a case a rule.
 */
import { Outcome, type CoreEvent } from "../../../src/core/events.ts";
import { State } from "../../../src/core/member/window.ts";
import { DIRTY_FLAG, FREE_FLAG, type AnswerItem, type ReportMessage } from "../../../src/core/messages.ts";
import { offsetsOf } from "../../core/support.ts";
import type { SimulationSettings } from "../observer.ts";
import { Bench, deltaTo, entryOf, executeOf, type BenchNode } from "./bench.ts";

export interface Case {
  readonly id: string;
  readonly what: string;
  readonly settings?: Partial<SimulationSettings>;
  readonly bad: (bench: Bench) => void;
  readonly good: (bench: Bench) => void;
}

type Effect = Parameters<Bench["effect"]>[1];

const TICK: CoreEvent = { type: "tick" };

function reportOf(number: number, more: Partial<ReportMessage> = {}): ReportMessage {
  return { kind: "report", epoch: 1, number, claims: [], doubts: [], ...more } as unknown as ReportMessage;
}

function sends(message: ReportMessage | { kind: "ack"; epoch: number; number: number; leaseMs: number }): Effect {
  return { type: "send", connection: 1, to: "x/1", message };
}

function writes(version: number): Effect {
  return { type: "write-in-sync", epoch: 2, incarnations: [], evicted: [], version };
}

function elected(bench: Bench): BenchNode {
  const a = bench.node("a");
  const inSync = { incarnations: [], version: 5 };
  const watermarks = { clean: false, written: false, partitions: [] };
  bench.step(a, { type: "election", outcome: "won", epoch: 2, inSync, watermarks });
  return a;
}

function leases(bench: Bench, until: number): BenchNode {
  const a = bench.node("a");
  a.core.member.state.lease.until = 10;
  bench.step(a, TICK);
  bench.effect(a, sends(reportOf(1)));
  a.core.member.state.lease.until = until;
  return a;
}

function leader(bench: Bench, more: Record<string, unknown> = {}): BenchNode {
  const a = bench.node("a");
  bench.leads(a, 1, { connected: () => true, deadline: 500, ...more });
  bench.step(a, TICK);
  return a;
}

/** A node whose lease was over for long has one again, of this epoch; its incarnation. */
function cameBack(bench: Bench, epoch: number): string {
  const b = bench.node("b");
  b.core.member.state.lease.lastUntil = -1e9;
  bench.step(b, TICK);
  b.core.epoch = epoch;
  bench.step(b, TICK);
  b.core.member.state.lease.lastUntil = 1e9;
  bench.step(b, TICK);
  return b.incarnation;
}

/** The holder answers a revoke of record 0, and its leader has written this into the table. */
function released(bench: Bench, status: AnswerItem["status"], flags: number, attempts: number): void {
  const a = leader(bench);
  const { table } = a.core.replica;
  table.partition(0).from = 0;
  table.partition(0).write(0, 0, 1, 9, FREE_FLAG | flags, 0, attempts, 1, 1);
  const item = { pid: 0, offset: 0, stamp: 1, status, attempts: 2, taskId: "", idKnown: true };
  bench.message(a, { kind: "answer", epoch: 1, number: 1, items: [{ ...item, payloadHi: 0, payloadLo: 0 }] });
}

function twoOfOneId(bench: Bench, flags: number): void {
  const [a, b] = [bench.node("a"), bench.node("b")];
  bench.leads(a, 1);
  bench.produce("x");
  bench.produce("x");
  bench.given(0, b, flags);
  a.core.replica.table.partition(0).write(1, 1, 1, 8, DIRTY_FLAG, 0, 0, 1, 1);
  bench.effect(a, deltaTo(b, 1, [{ ...entryOf(1, a, 8), phases: Uint8Array.of(DIRTY_FLAG) }]));
}

function ranTwice(bench: Bench, between: (b: BenchNode) => void): void {
  const [a, b] = [bench.node("a"), bench.node("b")];
  bench.produce();
  const run = bench.run(a, 0);
  bench.end(run, "died");
  bench.pass(10);
  between(b);
  bench.run(b, 0);
}

function ends(bench: Bench, state: State): void {
  const a = bench.node("a");
  bench.window(a, 1, state);
  const [offsets, outcomes] = [Float64Array.of(0), Uint8Array.of(Outcome.unknown)];
  bench.step(a, { type: "results", pid: 0, offsets, outcomes });
}

function setsAside(bench: Bench, state: State): void {
  const a = bench.node("a");
  bench.window(a, 1, state);
  bench.effect(a, {
    type: "set-aside",
    kind: "dead",
    pid: 0,
    offset: 0,
    reason: "attempts",
    attempts: 1,
    conflict: null,
  });
}

function claims(bench: Bench, generation: number): void {
  const [a, b] = [leader(bench, { partitions: new Map([[0, { ownerGeneration: 3, owner: "c/1" }]]) }), bench.node("b")];
  bench.given(0, b);
  const claim = { pid: 0, generation, offsets: offsetsOf(0) };
  bench.message(a, reportOf(1, { claims: [claim] as unknown as ReportMessage["claims"] }));
}

function commits(bench: Bench, outcome: "committed" | "unknown"): void {
  const a = bench.node("a");
  bench.window(a, 1, State.executing);
  const metadata = "v1|1|1|cell|1|0|9|0|";
  bench.effect(a, { type: "commit", number: 1, generation: 1, commits: [{ pid: 0, position: 0, metadata }] });
  bench.step(a, { type: "commit-result", number: 1, outcome, reason: "" });
  bench.effect(a, executeOf(0, 7));
}

export const ruleCases: readonly Case[] = [
  {
    id: "R1",
    what: "a candidate forgets an epoch",
    bad: (bench) => bench.effect(bench.node("a"), { type: "compete", highestKnownEpoch: 0 }),
    good: (bench) => bench.effect(bench.node("a"), { type: "compete", highestKnownEpoch: 1 }),
  },
  {
    id: "R3",
    what: "a second write of the set before anything is known of the first",
    bad: (bench) => {
      const a = elected(bench);
      bench.effect(a, writes(5));
      bench.step(a, { type: "in-sync-written", epoch: 2, outcome: "unknown", version: 0 });
      bench.effect(a, writes(5));
    },
    good: (bench) => {
      const a = elected(bench);
      bench.effect(a, writes(5));
      bench.step(a, { type: "in-sync-written", epoch: 2, outcome: "unknown", version: 0 });
      bench.step(a, { type: "in-sync-read", epoch: 2, inSync: { incarnations: [], version: 6 } });
      bench.effect(a, writes(6));
    },
  },
  {
    id: "R3",
    what: "a write at another version than the one that is known",
    bad: (bench) => bench.effect(elected(bench), writes(6)),
    good: (bench) => bench.effect(elected(bench), writes(5)),
  },
  {
    id: "R6",
    what: "another record of the task stays clean",
    bad: (bench) => twoOfOneId(bench, 0),
    good: (bench) => twoOfOneId(bench, DIRTY_FLAG),
  },
  {
    id: "R9",
    what: "a lease runs from the answer",
    bad: (bench) => {
      const a = leases(bench, 101);
      bench.message(a, { kind: "ack", epoch: 1, number: 1, leaseMs: 100 });
    },
    good: (bench) => {
      const a = leases(bench, 100);
      bench.message(a, { kind: "ack", epoch: 1, number: 1, leaseMs: 100 });
    },
  },
  {
    id: "R9",
    what: "a lease that begins anew keeps what was granted",
    bad: (bench) => {
      const a = leases(bench, 10);
      bench.pass(20);
      a.core.member.state.lease.until = 100;
      bench.message(a, { kind: "ack", epoch: 1, number: 1, leaseMs: 100 });
    },
    good: (bench) => {
      const a = leases(bench, 10);
      bench.pass(20);
      a.core.member.state.lease.until = 100;
      a.core.member.state.era++;
      bench.message(a, { kind: "ack", epoch: 1, number: 1, leaseMs: 100 });
    },
  },
  {
    id: "R11",
    what: '"unknown" leaves the entry clean',
    bad: (bench) => released(bench, "unknown", 0, 2),
    good: (bench) => released(bench, "unknown", DIRTY_FLAG, 2),
  },
  {
    id: "R11",
    what: "attempts are lost in a release",
    bad: (bench) => released(bench, "refused", 0, 1),
    good: (bench) => released(bench, "refused", 0, 2),
  },
  {
    id: "R12",
    what: "who may still run counts as gone",
    bad: (bench) => {
      const b = bench.node("b");
      leader(bench, { gone: new Set([b.incarnation]) });
    },
    good: (bench) => {
      const b = bench.node("b");
      b.core.member.state.lease.lastUntil = -1e9;
      leader(bench, { gone: new Set([b.incarnation]) });
    },
  },
  {
    id: "R12",
    what: "who came back under this leader's own epoch counts as gone",
    bad: (bench) => leader(bench, { gone: new Set([cameBack(bench, 1)]) }),
    good: (bench) => leader(bench, { gone: new Set([cameBack(bench, 2)]) }),
  },
  {
    id: "R12",
    what: "a death counts before its effects have settled",
    bad: (bench) => {
      const b = bench.node("b");
      bench.tell({ type: "process", what: "killed", node: "b", pid: b.process.pid, detail: "" });
      bench.pass(100);
      leader(bench, { gone: new Set([b.incarnation]) });
    },
    good: (bench) => {
      const b = bench.node("b");
      bench.tell({ type: "process", what: "killed", node: "b", pid: b.process.pid, detail: "" });
      bench.pass(400);
      leader(bench, { gone: new Set([b.incarnation]) });
    },
  },
  {
    id: "R14",
    what: "a seek to where a batch began",
    bad: (bench) => {
      const a = bench.node("a");
      bench.window(a, 3);
      bench.effect(a, { type: "seek", pid: 0, position: 5 });
    },
    good: (bench) => {
      const a = bench.node("a");
      bench.window(a, 3);
      bench.effect(a, { type: "seek", pid: 0, position: 3 });
    },
  },
  {
    id: "R15",
    what: "a start below a ceiling whose commit was not answered",
    bad: (bench) => commits(bench, "unknown"),
    good: (bench) => commits(bench, "committed"),
  },
  {
    id: "R16",
    what: "fetching goes on without a lease",
    bad: (bench) => {
      const a = bench.node("a");
      bench.window(a, 1);
      a.core.member.state.lease.until = 0;
      for (let i = 0; i < 4; i++) bench.step(a, TICK);
    },
    good: (bench) => {
      const a = bench.node("a");
      bench.window(a, 1).paused = true;
      a.core.member.state.lease.until = 0;
      for (let i = 0; i < 4; i++) bench.step(a, TICK);
    },
  },
  {
    id: "R16",
    what: "a draining node starts another task",
    bad: (bench) => {
      const a = bench.node("a");
      a.core.member.state.draining = true;
      bench.effect(a, executeOf(0, 7));
    },
    good: (bench) => bench.effect(bench.node("a"), executeOf(0, 7)),
  },
  {
    id: "R17",
    what: "a lease longer than the leader's own time",
    bad: (bench) => bench.effect(leader(bench), sends({ kind: "ack", epoch: 1, number: 1, leaseMs: 501 })),
    good: (bench) => bench.effect(leader(bench), sends({ kind: "ack", epoch: 1, number: 1, leaseMs: 500 })),
  },
  {
    id: "R19",
    what: "a member with another filter",
    bad: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      Object.defineProperty(b.core.replica.filter, "capacity", { value: 1 });
      bench.set(a, b);
      bench.observer.afterEvent!(null);
    },
    good: (bench) => {
      bench.set(bench.node("a"), bench.node("b"));
      bench.observer.afterEvent!(null);
    },
  },
  {
    id: "R20",
    what: "a task whose run died with its process runs again, unchecked",
    bad: (bench) => ranTwice(bench, () => {}),
    good: (bench) => ranTwice(bench, (b) => bench.check(b, 0, "unknown")),
  },
  {
    id: "R23",
    what: "an unknown end counts as a failure",
    bad: (bench) => ends(bench, State.granted),
    good: (bench) => ends(bench, State.doubtful),
  },
  {
    id: "R23",
    what: "set aside without a record",
    bad: (bench) => {
      const a = bench.node("a");
      bench.window(a, 1, State.dead);
      bench.step(a, { type: "set-aside-result", pid: 0, offset: 0, acknowledged: false });
    },
    good: (bench) => {
      const a = bench.node("a");
      bench.window(a, 1, State.writing);
      bench.step(a, { type: "set-aside-result", pid: 0, offset: 0, acknowledged: false });
    },
  },
  {
    id: "R23",
    what: "dead before the record is written",
    bad: (bench) => setsAside(bench, State.dead),
    good: (bench) => setsAside(bench, State.writing),
  },
  {
    id: "R24",
    what: "a former owner is given a task",
    bad: (bench) => claims(bench, 2),
    good: (bench) => claims(bench, 3),
  },
];
