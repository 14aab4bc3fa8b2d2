/** A world made by hand, for one checker at a time: real cores whose state a test sets as it likes, and events that it writes. */
import type { CoreEffect } from "../../../src/core/effects.ts";
import type { CoreEvent } from "../../../src/core/events.ts";
import type { EntryBatch, PeerMessage } from "../../../src/core/messages.ts";
import { PartitionWindow, State } from "../../../src/core/member/window.ts";
import { NodeCore } from "../../../src/core/node.ts";
import { offsetsOf, settingsOf } from "../../core/support.ts";
import type { HistoryEvent } from "../history.ts";
import type { LogRecordTruth, Observer, Run, SimulatedNode, SimulationSettings, World } from "../observer.ts";
import { Random } from "../random.ts";
import { swarmSettings } from "../swarm.ts";
import { SimulatedProcess, VirtualTime } from "../virtual-time.ts";
import { checkers } from "./index.ts";

const random = new Random(1);

export type BenchNode = SimulatedNode & { readonly core: NodeCore };

/** Omits `at` of every kind of event. */
type Told = HistoryEvent extends infer E ? (E extends HistoryEvent ? Omit<E, "at"> : never) : never;

export class Bench implements World {
  readonly seed = 1;
  now = 0;
  settings: SimulationSettings = {
    ...swarmSettings(new Random(3)),
    nodes: 3,
    partitions: 1,
    minInSync: 2,
    singleNode: false,
    hasCheck: true,
    checkIsTruthful: true,
    onUnknown: "park",
    headerIds: 0,
    effectSettleMs: 400,
    filterGenerations: 2,
  };
  readonly nodes = new Map<string, BenchNode>();
  readonly runs: Run[] = [];
  readonly runsByTask = new Map<string, Run[]>();
  readonly log: LogRecordTruth[][] = [[]];
  readonly committed: (number | null)[] = [null];
  readonly metadata: string[] = [""];
  readonly logStart: number[] = [0];
  readonly owner: (string | null)[] = [null];
  groupGeneration = 1;
  epoch = 1;
  inSync: readonly string[] = [];
  inSyncVersion = 1;
  leader: World["leader"] = null;
  readonly events: HistoryEvent[] = [];
  quiet = false;
  readonly time = new VirtualTime(random);
  readonly observer: Observer;
  readonly #effects = new Map<string, number>();
  #checks = 0;

  constructor(id: string, settings: Partial<SimulationSettings> = {}) {
    this.settings = { ...this.settings, ...settings };
    this.observer = checkers.find((checker) => checker.id === id)!.create(this);
  }

  taskIdOf(partition: number, offset: number): string {
    const id = this.log[partition]?.[offset]?.taskId ?? "";
    return id === "" ? `tasks:${partition}:${offset}` : id;
  }

  effects(taskId: string): number {
    return this.#effects.get(taskId) ?? 0;
  }

  linked(): boolean {
    return true;
  }

  reachesCoordinator(): boolean {
    return true;
  }

  reachesLog(): boolean {
    return true;
  }

  // --- what a test does

  /** Time passes; the clocks of the processes go with it. */
  pass(ms: number): void {
    this.time.advance(ms);
    this.now = this.time.now;
  }

  tell(event: Told): void {
    const full = { at: this.now, ...event } as HistoryEvent;
    this.events.push(full);
    this.observer.onHistory?.(full);
  }

  step(node: SimulatedNode, event: CoreEvent, effects: readonly CoreEffect[] = []): void {
    this.observer.onStep?.(node, event, [...effects], node.process.monotonicMs());
  }

  effect(node: SimulatedNode, effect: CoreEffect): void {
    this.step(node, { type: "tick" }, [effect]);
  }

  message(node: SimulatedNode, message: PeerMessage): void {
    this.step(node, { type: "message", connection: 1, to: node.incarnation, message });
  }

  /** A live member with a valid lease and an empty, complete replica of epoch 1. */
  node(name: string): BenchNode {
    const process = new SimulatedProcess(this.time, { name, pid: 100 + this.nodes.size, host: "host", random });
    const core = new NodeCore(settingsOf(name), () => 0.5);
    const node = { name, process, incarnation: core.incarnation, core };
    this.nodes.set(name, node);
    core.epoch = 1;
    core.role = "member";
    core.replica.appliedEpoch = 1;
    const { state } = core.member;
    Object.assign(state, {
      epoch: 1,
      admitted: true,
      group: "in",
      generation: 1,
      ownership: 1,
      watchdogUntil: Infinity,
    });
    Object.assign(state.lease, { until: 1e9, lastUntil: 1e9 });
    this.tell({ type: "process", what: "started", node: name, pid: process.pid, detail: core.incarnation });
    return node;
  }

  /** The members of the set, as written. */
  set(...nodes: readonly SimulatedNode[]): void {
    this.inSync = nodes.map(({ incarnation }) => incarnation);
    this.inSyncVersion++;
  }

  /** Makes it the active leader of its epoch; `more` takes the place of parts of its state. */
  leads(node: BenchNode, epoch: number, more: Record<string, unknown> = {}): void {
    node.core.epoch = epoch;
    const state = {
      epoch,
      active: true,
      mayAct: () => true,
      gone: new Set(),
      inSync: this.inSync,
      lastSet: this.inSync,
      required: () => this.inSync,
      released: 0,
      seq: 0,
      stamp: 0,
      uncleanStart: false,
      partitions: new Map(),
      log: [],
      waiters: new Map(),
      unknownSince: new Map(),
      pending: [],
      pendingHead: 0,
      builder: { empty: true },
      replica: node.core.replica,
      ...more,
    };
    node.core.leader = { state } as unknown as NodeCore["leader"];
  }

  /** The node owns partition 0 and holds delivered records [0, count), all in one state. */
  window(node: BenchNode, count: number, state: State = State.held): PartitionWindow {
    const window = new PartitionWindow(0, 1, 1, 0);
    window.fetchPosition = count;
    for (let offset = 0; offset < count; offset++) {
      window.add(offset, 1, offset + 1, null, 0, 0);
      window.set(offset, state);
      window.eras[window.slot(offset)] = node.core.member.state.era;
    }
    window.ceilingAcked = count;
    node.core.member.state.windows.set(0, window);
    this.owner[0] = node.name;
    return window;
  }

  /** Every copy of the table says that the record is this node's. */
  given(offset: number, holder: SimulatedNode, phase = 0): void {
    for (const { core } of this.nodes.values()) {
      const { table } = core.replica;
      table.partition(0).from = 0;
      table.partition(0).write(offset, table.holderIndex(holder.incarnation), 1, 7, phase, 0, 0, 1, offset + 1);
    }
  }

  produce(taskId = ""): number {
    const offset = this.log[0]!.push({ taskId, payload: 1, isGap: false }) - 1;
    this.tell({ type: "produced", partition: 0, offset, taskId: this.taskIdOf(0, offset), payload: 1 });
    return offset;
  }

  run(node: SimulatedNode, offset: number, more: Partial<Run> = {}): Run {
    const run: Run = {
      number: this.runs.length + 1,
      node: node.name,
      pid: node.process.pid,
      partition: 0,
      offset,
      taskId: this.taskIdOf(0, offset),
      epoch: 1,
      stamp: this.runs.length + 1,
      attempt: 1,
      startedAt: this.now,
      endedAt: Infinity,
      effectAt: Infinity,
      outcome: "running",
      ...more,
    };
    this.runs.push(run);
    const { number, taskId, pid, epoch, stamp, attempt } = run;
    this.runsByTask.set(taskId, [...(this.runsByTask.get(taskId) ?? []), run]);
    this.tell({
      type: "handler-start",
      run: number,
      taskId,
      node: node.name,
      pid,
      partition: 0,
      offset,
      epoch,
      stamp,
      attempt,
    });
    return run;
  }

  land(run: Run): void {
    run.effectAt = this.now;
    this.#effects.set(run.taskId, this.effects(run.taskId) + 1);
    this.tell({ type: "effect", run: run.number, taskId: run.taskId });
  }

  end(run: Run, outcome: "success" | "failure" | "unknown" | "died"): void {
    run.endedAt = this.now;
    run.outcome = outcome;
    this.tell({ type: "handler-end", run: run.number, outcome: outcome === "unknown" ? "hang-ended" : outcome });
  }

  /** A run from its start to its end, with its effect. */
  executed(node: SimulatedNode, offset: number): Run {
    const run = this.run(node, offset);
    this.land(run);
    this.pass(1);
    this.end(run, "success");
    return run;
  }

  check(node: SimulatedNode, offset: number, answer: "executed" | "not-executed" | "unknown"): void {
    const check = ++this.#checks;
    const taskId = this.taskIdOf(0, offset);
    this.tell({ type: "check-start", check, taskId, node: node.name, pid: node.process.pid, partition: 0, offset });
    this.tell({ type: "check-end", check, answer, truth: this.effects(taskId) > 0 });
  }

  commit(node: SimulatedNode | null, position: number): void {
    this.tell({ type: "committed", node: node?.name ?? "", partition: 0, position, before: this.committed[0]! });
    this.committed[0] = position;
  }
}

/** A delta that gives one record to one node. */
export function entryOf(offset: number, holder: SimulatedNode, stamp: number): EntryBatch {
  return {
    pid: 0,
    offsets: offsetsOf(offset),
    holder: holder.incarnation,
    firstStamp: stamp,
    phases: Uint8Array.of(0),
    unknownRuns: new Uint8Array(0),
    attempts: new Uint8Array(0),
    hashes: Uint32Array.of(1, offset + 1),
  };
}

export function executeOf(offset: number, stamp: number, attempt = 1): CoreEffect {
  return {
    type: "execute",
    pid: 0,
    ownership: 1,
    epoch: 1,
    validUntil: Infinity,
    offsets: Float64Array.of(offset),
    stamps: Float64Array.of(stamp),
    attempts: Uint8Array.of(attempt),
  };
}

export function deltaTo(to: SimulatedNode, seq: number, entries: readonly EntryBatch[]): CoreEffect {
  const delta = { epoch: 1, seq, rotateTo: 0, entries, watermarks: [] };
  return { type: "send", connection: 2, to: to.incarnation, message: { kind: "delta", epoch: 1, delta } };
}
