/** Each checker alone, on a world made by hand: it bites when just its invariant is broken, and is silent when it is kept. */
import { describe, expect, test } from "bun:test";
import type { CoreEvent } from "../../../src/core/events.ts";
import { CHECKED, State } from "../../../src/core/member/window.ts";
import type { SimulationSettings } from "../observer.ts";
import { Bench, type BenchNode, deltaTo, entryOf, executeOf } from "./bench.ts";
import { checkers } from "./index.ts";
import { ruleCases } from "./rule-cases.ts";

interface Case {
  readonly id: string;
  readonly what: string;
  readonly settings?: Partial<SimulationSettings>;
  readonly bad: (bench: Bench) => void;
  readonly good: (bench: Bench) => void;
}

function delivered(offsets: readonly number[], end: number): CoreEvent {
  return {
    type: "delivered",
    batch: {
      pid: 0,
      ownership: 1,
      fetchedFrom: 0,
      nextPosition: end,
      offsets: Float64Array.from(offsets),
      hashes: new Uint32Array(2 * offsets.length),
      ids: null,
      payloads: null,
      leaderEpoch: 0,
      logEnd: end,
    },
  };
}

function assigned(bench: Bench, node: ReturnType<Bench["node"]>): void {
  bench.step(node, { type: "assigned", generation: 1, partitions: [] });
}

/** Generation 5 has a task when the only filter is lost; the next one is told of it, and opens generations up to `end`. */
function forgottenAnew(bench: Bench, end: number): void {
  const event = delivered([0], 1);
  if (event.type !== "delivered") return;
  const named: CoreEvent = { ...event, batch: { ...event.batch, ids: ["x"] } };
  bench.produce("x");
  bench.produce("x");
  const before = bench.node("a");
  before.core.replica.rotate(5);
  bench.step(before, named);
  bench.executed(before, 0);
  const after = bench.node("a");
  bench.step(after, named);
  after.core.replica.rotate(end);
  bench.executed(after, 1);
}

/** The owner is granted offset 2 below its ceiling 3; the ceiling 2 is stored last; the whole set is lost. */
function lostUpTo(bench: Bench, lastBy: (a: BenchNode, b: BenchNode) => BenchNode): void {
  const [a, b] = [bench.node("a"), bench.node("b")];
  for (let i = 0; i < 4; i++) bench.produce();
  bench.window(a, 3, State.executing);
  bench.effect(a, executeOf(2, 7));
  for (const [node, ceiling] of [
    [a, 3],
    [lastBy(a, b), 2],
  ] as const) {
    bench.metadata[0] = `v1|0|1|cell|1|0|${ceiling}|0|`;
    bench.commit(node, 0);
  }
  bench.leads(b, 2, { uncleanStart: true, partitions: new Map([[0, { lostEnd: 2 }]]) });
  bench.step(b, { type: "tick" });
}

function answerOf(status: "pending" | "refused"): Parameters<Bench["effect"]>[1] {
  const item = {
    pid: 0,
    offset: 0,
    stamp: 1,
    status,
    attempts: 0,
    taskId: "",
    idKnown: true,
    payloadHi: 0,
    payloadLo: 0,
  };
  return { type: "send", connection: 1, to: "x/1", message: { kind: "answer", epoch: 1, number: 1, items: [item] } };
}

function aside(bench: Bench): void {
  const node = bench.nodes.get("a") ?? bench.node("a");
  bench.tell({
    type: "set-aside",
    kind: "parked",
    reason: "unknown",
    taskId: bench.taskIdOf(0, 0),
    node: "a",
    pid: node.process.pid,
    partition: 0,
    offset: 0,
  });
}

function commitOf(position: number, { generation = 1, ceiling = 9 } = {}): Parameters<Bench["effect"]>[1] {
  const metadata = `v1|1|1|cell|1|0|${ceiling}|0|`;
  return { type: "commit", number: 1, generation, commits: [{ pid: 0, position, metadata }] };
}

function writeOf(bench: Bench, epoch: number, names: readonly string[]): Parameters<Bench["effect"]>[1] {
  const incarnations = names.map((name) => bench.nodes.get(name)!.incarnation);
  return { type: "write-in-sync", epoch, incarnations, evicted: [], version: bench.inSyncVersion } as never;
}

/** Two copies, the first the leader of epoch 1 whose set they are. */
function cell(bench: Bench): [ReturnType<Bench["node"]>, ReturnType<Bench["node"]>] {
  const [a, b] = [bench.node("a"), bench.node("b")];
  bench.set(a, b);
  bench.leads(a, 1);
  return [a, b];
}

/** A record that a granted to itself in a released delta. */
function released(bench: Bench): [ReturnType<Bench["node"]>, ReturnType<Bench["node"]>] {
  const [a, b] = cell(bench);
  bench.effect(a, { type: "log", level: "info", message: "" });
  bench.effect(a, deltaTo(b, 1, [entryOf(0, a, 1)]));
  (a.core.leader!.state as { released: number }).released = 1;
  bench.step(a, { type: "tick" });
  return [a, b];
}

const cases: readonly Case[] = [
  {
    id: "I1",
    what: "a commit passes a record that nobody executed",
    bad: (bench) => {
      const a = bench.node("a");
      bench.produce();
      bench.commit(a, 1);
    },
    good: (bench) => {
      const a = bench.node("a");
      for (let i = 0; i < 3; i++) bench.produce();
      bench.executed(a, 0);
      bench.commit(a, 1);
      bench.commit(null, 2); // another client's
      bench.check(a, 2, "executed");
      bench.commit(a, 3);
    },
  },
  {
    id: "I2",
    what: "two runs of one record have an effect",
    bad: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce();
      bench.executed(a, 0);
      bench.executed(b, 0);
    },
    good: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce();
      const run = bench.run(a, 0);
      bench.land(run);
      bench.end(run, "failure");
      bench.executed(b, 0);
    },
  },
  {
    id: "I2",
    what: "a check that said so truthfully does not excuse the effect that came before",
    settings: { onUnknown: "execute" },
    bad: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce();
      const run = bench.run(a, 0);
      bench.land(run);
      bench.end(run, "died");
      bench.check(b, 0, "not-executed");
      bench.executed(b, 0);
    },
    good: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce();
      const run = bench.run(a, 0);
      bench.land(run);
      bench.end(run, "died");
      bench.check(b, 0, "unknown"); // then the policy decides
      bench.executed(b, 0);
    },
  },
  {
    id: "I2",
    what: "a filter that begins anew remembers what it is told again as long as any other",
    bad: (bench) => forgottenAnew(bench, 2),
    good: (bench) => forgottenAnew(bench, 3),
  },
  {
    id: "I3",
    what: "two handlers of one task id run on two nodes",
    bad: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce("x");
      bench.produce("x");
      bench.run(a, 0);
      bench.run(b, 1);
    },
    good: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce("x");
      bench.produce("x");
      bench.executed(a, 0);
      bench.run(b, 1);
    },
  },
  {
    id: "I3",
    what: "a process that slept shortly goes on with a handler that runs elsewhere by now",
    bad: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce();
      bench.run(a, 0);
      a.process.stop();
      bench.tell({ type: "process", what: "stopped", node: "a", pid: a.process.pid, detail: "" });
      bench.run(b, 0);
      a.process.state = "running";
      bench.tell({ type: "process", what: "continued", node: "a", pid: a.process.pid, detail: "" });
    },
    good: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce();
      bench.run(a, 0);
      a.process.stop();
      bench.tell({ type: "process", what: "stopped", node: "a", pid: a.process.pid, detail: "" });
      bench.run(b, 0);
      a.core.member.state.lease.lastUntil = -1e9; // it slept past its isolation deadline
      bench.tell({ type: "process", what: "continued", node: "a", pid: a.process.pid, detail: "" });
      a.process.state = "running";
    },
  },
  {
    id: "I4",
    what: "the position moves over a record that was not delivered",
    bad: (bench) => {
      const a = bench.node("a");
      for (let i = 0; i < 3; i++) bench.produce();
      const window = bench.window(a, 0);
      assigned(bench, a);
      window.fetchPosition = 3;
      bench.step(a, delivered([0, 2], 3));
    },
    good: (bench) => {
      const a = bench.node("a");
      for (let i = 0; i < 3; i++) bench.produce();
      (bench.log[0]![1] as { isGap: boolean }).isGap = true;
      const window = bench.window(a, 0);
      assigned(bench, a);
      window.fetchPosition = 3;
      bench.step(a, delivered([0, 2], 3));
    },
  },
  {
    id: "I5",
    what: "at rest a record has no end",
    bad: (bench) => {
      bench.produce();
      bench.observer.atRest!();
    },
    good: (bench) => {
      bench.produce();
      aside(bench);
      bench.observer.atRest!();
    },
  },
  {
    id: "I6",
    what: "two nodes act as leaders of one epoch",
    bad: (bench) => {
      for (const node of [bench.node("a"), bench.node("b")]) {
        bench.leads(node, 2);
        bench.step(node, { type: "tick" });
      }
    },
    good: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.leads(a, 2);
      bench.step(a, { type: "tick" });
      bench.leads(b, 3);
      bench.step(b, { type: "tick" });
      bench.leads(a, 2, { mayAct: () => false }); // past its deadline
      bench.step(a, { type: "tick" });
    },
  },
  {
    id: "I6",
    what: "an epoch falls",
    bad: (bench) => {
      const a = bench.node("a");
      a.core.epoch = 3;
      bench.step(a, { type: "tick" });
      a.core.epoch = 2;
      bench.step(a, { type: "tick" });
    },
    good: (bench) => bench.step(bench.node("a"), { type: "tick" }),
  },
  {
    id: "I7",
    what: "a message of a lower epoch changes what is replicated",
    bad: (bench) => {
      const a = bench.node("a");
      a.core.epoch = 3;
      bench.step(a, { type: "tick" });
      a.core.replica.appliedSeq = 5;
      bench.message(a, { kind: "admitted", epoch: 2 });
    },
    good: (bench) => {
      const a = bench.node("a");
      a.core.epoch = 3;
      bench.step(a, { type: "tick" });
      bench.message(a, { kind: "admitted", epoch: 2 });
    },
  },
  {
    id: "I8",
    what: "another node may start the same task as well",
    bad: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce();
      bench.window(b, 1, State.granted);
      bench.effect(a, executeOf(0, 2));
    },
    good: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce();
      bench.window(b, 1, State.granted);
      b.core.member.state.lease.until = 0;
      bench.effect(a, executeOf(0, 2));
    },
  },
  {
    id: "I8",
    what: "the token of a task does not rise",
    bad: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce();
      bench.effect(a, executeOf(0, 5));
      bench.effect(b, executeOf(0, 4));
    },
    good: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce();
      bench.effect(a, executeOf(0, 5));
      bench.effect(a, executeOf(0, 5, 2)); // another attempt of one grant
      bench.effect(b, executeOf(0, 6));
    },
  },
  {
    id: "I9",
    what: "a start that one copy of the table does not know",
    bad: (bench) => {
      const [a, b] = cell(bench);
      bench.window(a, 1, State.executing);
      bench.given(0, a);
      bench.given(0, b);
      bench.effect(a, executeOf(0, 7));
    },
    good: (bench) => {
      const [a] = cell(bench);
      bench.window(a, 1, State.executing);
      bench.given(0, a);
      bench.effect(a, executeOf(0, 7));
    },
  },
  {
    id: "I9",
    what: "a start after the lease",
    bad: (bench) => {
      const [a] = cell(bench);
      bench.window(a, 1, State.executing);
      bench.given(0, a);
      bench.pass(10);
      a.core.member.state.lease.until = 9;
      bench.effect(a, executeOf(0, 7));
    },
    good: (bench) => void cell(bench),
  },
  {
    id: "I10",
    what: "something is released that a member does not have",
    bad: (bench) => {
      const [a, b] = cell(bench);
      a.core.replica.appliedSeq = 2;
      b.core.replica.appliedSeq = 1;
      bench.leads(a, 1, { released: 2 });
      bench.step(a, { type: "tick" });
    },
    good: (bench) => {
      const [a, b] = cell(bench);
      a.core.replica.appliedSeq = 2;
      b.core.replica.appliedSeq = 2;
      bench.leads(a, 1, { released: 2 });
      bench.step(a, { type: "tick" });
    },
  },
  {
    id: "I10",
    what: "something is released without a member of the written set",
    bad: (bench) => {
      const [a, b] = cell(bench);
      const c = bench.node("c");
      bench.leads(a, 1, { required: () => [a.incarnation, b.incarnation] });
      bench.set(a, b, c);
      bench.step(a, { type: "tick" });
    },
    good: (bench) => {
      const [a] = cell(bench);
      bench.step(a, { type: "tick" });
    },
  },
  {
    id: "I11",
    what: "a joiner that was not synchronised is written into the set",
    bad: (bench) => {
      const [a] = cell(bench);
      bench.node("c").core.replica.appliedEpoch = 0;
      bench.effect(a, writeOf(bench, 1, ["a", "b", "c"]));
    },
    good: (bench) => {
      const [a] = cell(bench);
      bench.node("c");
      bench.effect(a, writeOf(bench, 1, ["a", "b", "c"]));
    },
  },
  {
    id: "I11",
    what: "the set changes and nobody asked for it",
    bad: (bench) => {
      const [a, b] = cell(bench);
      bench.observer.afterEvent!(null);
      bench.set(a, b, bench.node("c"));
      bench.observer.afterEvent!(null);
    },
    good: (bench) => {
      const [a, b] = cell(bench);
      const c = bench.node("c");
      bench.observer.afterEvent!(null);
      bench.effect(a, writeOf(bench, 1, ["a", "b", "c"]));
      bench.set(a, b, c);
      bench.observer.afterEvent!(null);
    },
  },
  {
    id: "I12",
    what: "a new leader does not know what was released",
    bad: (bench) => {
      const [, b] = released(bench);
      bench.leads(b, 2);
      bench.step(b, { type: "tick" });
    },
    good: (bench) => {
      const [a, b] = released(bench);
      bench.given(0, a);
      b.core.replica.filter.add(1, 1);
      bench.leads(b, 2);
      bench.step(b, { type: "tick" });
    },
  },
  {
    id: "I12",
    what: "a new leader's filter does not know a hash that was released",
    bad: (bench) => {
      const [a, b] = released(bench);
      bench.given(0, a);
      bench.leads(b, 2);
      bench.step(b, { type: "tick" });
    },
    good: (bench) => void released(bench),
  },
  {
    id: "I13",
    what: "a write of an older epoch is made",
    bad: (bench) => {
      const [a, b] = cell(bench);
      const c = bench.node("c");
      bench.observer.afterEvent!(null);
      bench.effect(a, writeOf(bench, 1, ["a", "b", "c"]));
      bench.epoch = 2;
      bench.set(a, b, c);
      bench.observer.afterEvent!(null);
    },
    good: (bench) => {
      const [a, b] = cell(bench);
      const c = bench.node("c");
      bench.observer.afterEvent!(null);
      bench.effect(a, writeOf(bench, 1, ["a", "b", "c"]));
      bench.set(a, b, c);
      bench.observer.afterEvent!(null);
    },
  },
  {
    id: "I14",
    what: "the filter of a copy does not know a released entry",
    bad: (bench) => {
      const [a] = released(bench);
      a.core.replica.filter.add(1, 1);
      bench.observer.atRest!();
    },
    good: (bench) => {
      for (const { core } of released(bench)) core.replica.filter.add(1, 1);
      bench.observer.atRest!();
    },
  },
  {
    id: "I15",
    what: "two copies at one sequence differ in an entry",
    bad: (bench) => {
      const [a, b] = cell(bench);
      bench.given(0, a);
      const { table } = b.core.replica;
      table.partition(0).write(0, table.holderIndex(b.incarnation), 1, 7, 0, 0, 0, 1, 1);
      bench.observer.atRest!();
    },
    good: (bench) => {
      const [a] = cell(bench);
      bench.given(0, a);
      bench.observer.atRest!();
    },
  },
  {
    id: "I15",
    what: "a copy has a bit that the leader does not have",
    bad: (bench) => {
      const [, b] = cell(bench);
      b.core.replica.filter.add(3, 4);
      bench.observer.atRest!();
    },
    good: (bench) => {
      const [a, b] = cell(bench);
      a.core.replica.filter.add(3, 4);
      b.core.replica.filter.add(0, 0); // "no hash"
      bench.observer.atRest!();
    },
  },
  {
    id: "I16",
    what: "a member holds a grant that the table gives to somebody else",
    bad: (bench) => {
      const [a, b] = cell(bench);
      bench.window(a, 1, State.granted);
      bench.given(0, b);
      bench.pass(2_000);
      bench.observer.afterEvent!(null);
    },
    good: (bench) => {
      const [a] = cell(bench);
      bench.window(a, 1, State.granted);
      bench.given(0, a);
      bench.pass(2_000);
      bench.observer.afterEvent!(null);
    },
  },
  {
    id: "I17",
    what: "an executed task is forgotten by its executor before the table has it",
    bad: (bench) => {
      const [a] = cell(bench);
      bench.produce();
      bench.window(a, 1, State.dropped);
      bench.executed(a, 0);
      bench.pass(2_000);
      bench.observer.afterEvent!(null);
    },
    good: (bench) => {
      const [a] = cell(bench);
      bench.produce();
      bench.window(a, 1, State.executed);
      bench.executed(a, 0);
      bench.pass(2_000);
      bench.observer.afterEvent!(null);
    },
  },
  {
    id: "I18",
    what: "the watermark lies above what was ever committed",
    bad: (bench) => {
      const [a] = cell(bench);
      bench.commit(a, 2);
      a.core.replica.table.partition(0).advance(3);
      bench.step(a, { type: "tick" });
    },
    good: (bench) => {
      const [a] = cell(bench);
      bench.commit(a, 3);
      a.core.replica.table.partition(0).advance(3);
      bench.step(a, { type: "tick" });
    },
  },
  {
    id: "I18",
    what: "the watermark falls",
    bad: (bench) => {
      const [a] = cell(bench);
      bench.commit(a, 3);
      const table = a.core.replica.table.partition(0);
      table.advance(3);
      bench.step(a, { type: "tick" });
      table.watermark = 1;
      bench.step(a, { type: "tick" });
    },
    good: (bench) => bench.step(cell(bench)[0], { type: "tick" }),
  },
  {
    id: "I19",
    what: "a commit of another generation",
    bad: (bench) => {
      const a = bench.node("a");
      bench.window(a, 1, State.executed);
      bench.effect(a, commitOf(0, { generation: 2 }));
    },
    good: (bench) => {
      const a = bench.node("a");
      bench.window(a, 1, State.executed).committable = 1;
      bench.effect(a, commitOf(1));
    },
  },
  {
    id: "I19",
    what: "a commit above the first unfinished record",
    bad: (bench) => {
      const a = bench.node("a");
      bench.window(a, 2, State.executed).committable = 1;
      bench.effect(a, commitOf(2));
    },
    good: (bench) => void bench.node("a"),
  },
  {
    id: "I20",
    what: "a filter generation is closed before it is full",
    bad: (bench) => {
      const [a] = cell(bench);
      bench.step(a, { type: "tick" });
      a.core.replica.filter.rotate(2);
      bench.step(a, { type: "tick" });
    },
    good: (bench) => {
      const [a] = cell(bench);
      bench.step(a, { type: "tick" });
      const { filter } = a.core.replica;
      for (let i = 1; i < 40_000 && filter.rotationDue(0) === undefined; i++)
        filter.add(Math.imul(i, 0x9e3779b1) >>> 0, Math.imul(i, 0x85ebca6b) >>> 0);
      filter.rotate(2);
      bench.step(a, { type: "tick" });
    },
  },
  {
    id: "I21",
    what: "a doubtful task is attested to",
    bad: (bench) => {
      const a = bench.node("a");
      bench.window(a, 1, State.doubtful);
      bench.effect(a, answerOf("pending"));
    },
    good: (bench) => {
      const a = bench.node("a");
      bench.window(a, 1, State.doubtful);
      bench.effect(a, answerOf("refused"));
    },
  },
  {
    id: "I21",
    what: "an answer that knows nothing frees an entry",
    bad: (bench) => {
      const [a] = cell(bench);
      bench.step(a, { type: "tick" });
      bench.given(0, a, 0x20);
      const item = { pid: 0, offset: 0, stamp: 1, status: "absent" as const, attempts: 0, taskId: "", idKnown: false };
      const items = [{ ...item, payloadHi: 0, payloadLo: 0 }];
      bench.message(a, { kind: "answer", epoch: 1, number: 1, items });
    },
    good: (bench) => {
      const [a] = cell(bench);
      bench.step(a, { type: "tick" });
      bench.given(0, a);
      bench.message(a, { kind: "answer", epoch: 1, number: 1, items: [] });
    },
  },
  {
    id: "I22",
    what: "a check while the task runs",
    bad: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce();
      bench.run(a, 0);
      bench.check(b, 0, "not-executed");
    },
    good: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce();
      bench.executed(a, 0);
      bench.check(b, 0, "executed");
    },
  },
  {
    id: "I22",
    what: "a check before the effects of a dead run have settled",
    bad: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce();
      bench.end(bench.run(a, 0), "died");
      bench.pass(300);
      bench.check(b, 0, "not-executed");
    },
    good: (bench) => {
      const [a, b] = [bench.node("a"), bench.node("b")];
      bench.produce();
      bench.end(bench.run(a, 0), "died");
      bench.pass(400);
      bench.check(b, 0, "not-executed");
    },
  },
  {
    id: "I23",
    what: "a task is parked although nothing had happened",
    settings: { hasCheck: false },
    bad: (bench) => {
      bench.produce();
      aside(bench);
    },
    good: (bench) => {
      const a = bench.node("a");
      bench.produce();
      bench.tell({ type: "fault", kind: "kill", node: "a", detail: "" });
      bench.tell({ type: "process", what: "killed", node: "a", pid: a.process.pid, detail: "" });
      aside(bench);
    },
  },
  {
    id: "I24",
    what: "a record that is its own task id is checked on the word of a bit",
    bad: (bench) => {
      const [a] = cell(bench);
      bench.produce();
      bench.given(0, a, 0x08 | 0x40);
      bench.effect(a, { type: "check", pid: 0, offset: 0, epoch: 1, stamp: 7 });
    },
    good: (bench) => {
      const [a] = cell(bench);
      bench.produce();
      bench.given(0, a, 0x08);
      bench.effect(a, { type: "check", pid: 0, offset: 0, epoch: 1, stamp: 7 });
    },
  },
  {
    id: "I25",
    what: "a start above the stored ceiling",
    bad: (bench) => {
      const [a] = cell(bench);
      bench.window(a, 3, State.executing).ceilingAcked = 2;
      bench.effect(a, executeOf(2, 7));
    },
    good: (bench) => {
      const [a] = cell(bench);
      bench.window(a, 3, State.executing);
      bench.effect(a, executeOf(2, 7));
    },
  },
  {
    id: "I25",
    what: "a ceiling at or below what was granted",
    bad: (bench) => {
      const [a] = cell(bench);
      bench.window(a, 3, State.executing);
      bench.effect(a, executeOf(2, 7));
      bench.effect(a, commitOf(1, { ceiling: 2 }));
    },
    good: (bench) => {
      const [a] = cell(bench);
      bench.window(a, 3, State.executing);
      bench.effect(a, executeOf(2, 7));
      bench.effect(a, commitOf(1, { ceiling: 3 }));
    },
  },
  {
    id: "I25",
    what: "suspects end below what was granted",
    bad: (bench) => lostUpTo(bench, (a) => a),
    good: (bench) => lostUpTo(bench, (_a, b) => b), // by one that was the owner no more, as the log took its commit
  },
  {
    id: "I25",
    what: "a dirty entry starts without its check",
    bad: (bench) => {
      const [a] = cell(bench);
      bench.window(a, 1, State.executing);
      bench.given(0, a, 0x08);
      bench.effect(a, executeOf(0, 7));
    },
    good: (bench) => {
      const [a] = cell(bench);
      bench.window(a, 1, State.executing).flags[0] = CHECKED;
      bench.given(0, a, 0x08);
      bench.effect(a, executeOf(0, 7));
    },
  },
  {
    id: "V1",
    what: "at rest a live node is not in the set",
    bad: (bench) => {
      cell(bench);
      bench.node("c");
      bench.observer.atRest!();
    },
    good: (bench) => {
      cell(bench);
      bench.observer.atRest!();
    },
  },
  {
    id: "V2",
    what: "at rest a record is not committed",
    bad: (bench) => {
      bench.produce();
      bench.observer.atRest!();
    },
    good: (bench) => {
      bench.produce();
      bench.commit(bench.node("a"), 1);
      bench.observer.atRest!();
    },
  },
  {
    id: "V3",
    what: "a partition stands still in a healthy cell",
    bad: (bench) => {
      cell(bench);
      bench.produce();
      bench.pass(1_000_000);
      bench.observer.afterEvent!(null);
    },
    good: (bench) => {
      const [a] = cell(bench);
      bench.produce();
      bench.pass(1_000_000);
      bench.commit(a, 1);
      bench.observer.afterEvent!(null);
    },
  },
  {
    id: "V4",
    what: "a request is answered twice",
    bad: (bench) => {
      const a = bench.node("a");
      bench.effect(a, commitOf(0));
      bench.step(a, { type: "commit-result", number: 1, outcome: "committed", reason: "" });
      bench.step(a, { type: "commit-result", number: 1, outcome: "committed", reason: "" });
    },
    good: (bench) => {
      const a = bench.node("a");
      bench.effect(a, commitOf(0));
      bench.step(a, { type: "commit-result", number: 1, outcome: "committed", reason: "" });
      bench.observer.atRest!();
    },
  },
  {
    id: "V4",
    what: "a request is never answered",
    bad: (bench) => {
      bench.effect(bench.node("a"), commitOf(0));
      bench.observer.atRest!();
    },
    good: (bench) => void bench.node("a"),
  },
  {
    id: "V5",
    what: "elections without a reason",
    bad: (bench) => {
      const a = bench.node("a");
      for (let epoch = 1; epoch < 10; epoch++) bench.tell({ type: "leads", node: "a", pid: a.process.pid, epoch });
      bench.observer.atEnd!();
    },
    good: (bench) => {
      bench.tell({ type: "leads", node: "a", pid: bench.node("a").process.pid, epoch: 1 });
      bench.observer.atEnd!();
    },
  },
  {
    id: "X1",
    what: "more handlers than allowed",
    bad: (bench) => {
      const a = bench.node("a");
      a.core.member.state.running = a.core.ctx.settings.concurrency + 1;
      bench.step(a, { type: "tick" });
    },
    good: (bench) => {
      const a = bench.node("a");
      a.core.member.state.running = a.core.ctx.settings.concurrency;
      bench.step(a, { type: "tick" });
    },
  },
  {
    id: "X2",
    what: "an entry is left in the table at rest",
    bad: (bench) => {
      const [a] = cell(bench);
      bench.given(0, a);
      bench.observer.atRest!();
    },
    good: (bench) => {
      cell(bench);
      bench.observer.atRest!();
    },
  },
  {
    id: "X3",
    what: "a storm of messages without work",
    bad: (bench) => {
      const [a, b] = cell(bench);
      for (let i = 0; i < 3_000; i++) bench.effect(a, deltaTo(b, i, []));
      bench.pass(1_001);
      bench.step(a, { type: "tick" });
    },
    good: (bench) => {
      const [a, b] = cell(bench);
      for (let i = 0; i < 500; i++) bench.effect(a, deltaTo(b, i, []));
      bench.pass(1_001);
      bench.step(a, { type: "tick" });
    },
  },
];

describe("the online checkers", () => {
  for (const { id, what, settings, bad, good } of [...cases, ...ruleCases]) {
    test(`${id}: ${what}`, () => {
      expect(() => bad(new Bench(id, settings))).toThrow(new RegExp(`^${id}: `));
      good(new Bench(id, settings));
    });
  }

  test("every checker is shown to bite", () => {
    const shown = new Set([...cases, ...ruleCases].map(({ id }) => id));
    expect(checkers.map(({ id }) => id).filter((id) => !shown.has(id))).toEqual([]);
    expect(new Set(checkers.map(({ id }) => id)).size).toBe(checkers.length);
  });
});
