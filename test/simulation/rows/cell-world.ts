/**
 * The hand-driven cell of the scenario scripts, seen as a simulation's world: so that a test can drive real cores into exactly the state
 * that a row names, and see whether the row's counter takes it. What happened between two steps is told at the next one.
 */
import type { CoreEvent } from "../../../src/core/events.ts";
import { Cell, type CellNode } from "../../support/cell.ts";
import { History, type FaultKind } from "../history.ts";
import type { Run, SimulatedNode, SimulationSettings, World } from "../observer.ts";
import { Random } from "../random.ts";
import { SimulatedProcess, VirtualTime } from "../virtual-time.ts";
import { RowCoverage } from "./index.ts";
import type { Row } from "./tracker.ts";

type OutcomeOfRun = "success" | "failure" | "hang-ended" | "died";

class CellWorld {
  readonly cell: Cell;
  readonly time = new VirtualTime(new Random(1));
  readonly history = new History();
  readonly nodes = new Map<string, SimulatedNode>();
  readonly runs: Run[] = [];
  readonly runsByTask = new Map<string, Run[]>();
  committed: (number | null)[];
  owner: (string | null)[];
  coverage: RowCoverage | null = null;
  #checks = 0;
  #setAside = 0;
  #pids = 0;
  readonly #ended = new Set<number>();
  readonly #runningChecks: {
    readonly check: number;
    readonly pid: number;
    readonly offset: number;
    readonly node: string;
  }[] = [];

  constructor(cell: Cell) {
    this.cell = cell;
    this.committed = [...cell.committed];
    this.owner = [...cell.assignment];
  }

  get now(): number {
    return this.cell.now;
  }

  /** Everything that changed since the last look, as history. */
  look(): void {
    const { cell } = this;
    this.time.now = cell.now;
    for (const node of cell.nodes.values())
      if (this.nodes.get(node.name)?.incarnation !== node.incarnation) this.#adopt(node);
    this.#lookAtStarts();
    for (const node of cell.nodes.values()) this.#processOf(node);
    this.owner = cell.assignment;
    this.#lookAtEnds();
    for (; this.#checks < cell.checks.length; this.#checks++) this.#checkStarted(this.#checks);
    for (; this.#setAside < cell.setAside.length; this.#setAside++) {
      const { kind, partition, offset, reason } = cell.setAside[this.#setAside]!;
      const taskId = cell.taskIdOf(partition, offset);
      const how = kind as "dead" | "parked";
      this.history.add({
        type: "set-aside",
        at: this.now,
        node: "",
        pid: 0,
        kind: how,
        reason,
        partition,
        offset,
        taskId,
      });
    }
    cell.committed.forEach((position, partition) => {
      const before = this.committed[partition]!;
      if (position === before) return;
      this.committed[partition] = position;
      const node = cell.assignment[partition] ?? "";
      if (position !== null) this.history.add({ type: "committed", at: this.now, node, partition, position, before });
    });
  }

  #adopt(node: CellNode): void {
    const pid = ++this.#pids;
    const before = this.time.now;
    this.time.now = 0; // the cell's cores count from its beginning
    const process = new SimulatedProcess(this.time, { name: node.name, pid, host: "host", random: new Random(pid) });
    this.time.now = before;
    const simulated: SimulatedNode = { name: node.name, process, incarnation: node.incarnation, core: node.core };
    this.nodes.set(node.name, simulated);
    this.history.add({ type: "process", at: this.now, node: node.name, pid, what: "started", detail: "" });
    const step = node.core.step.bind(node.core);
    node.core.step = (event: CoreEvent, now: number, more?: boolean) => {
      this.look();
      if (event.type === "check-result") this.#checkEnded(node.name, event);
      const effects = step(event, now, more);
      this.coverage!.onStep(simulated, event, effects);
      this.coverage!.afterEvent();
      return effects;
    };
  }

  #processOf({ name, alive, paused, stoppedReason }: CellNode): void {
    const { process } = this.nodes.get(name)!;
    const who = { type: "process" as const, at: this.now, node: name, pid: process.pid, detail: stoppedReason };
    if (!alive && process.state !== "dead") {
      process.kill();
      this.history.add({ ...who, what: stoppedReason === "" ? "killed" : "exited" });
    } else if (paused && process.state === "running") {
      process.stop();
      this.history.add({ ...who, what: "stopped" });
    } else if (!paused && process.state === "stopped") {
      process.state = "running";
      this.history.add({ ...who, what: "continued" });
    }
  }

  #lookAtStarts(): void {
    const { cell, runs } = this;
    for (let i = runs.length; i < cell.runs.length; i++) {
      const run = cell.runs[i]!;
      const { node, partition, offset, taskId, token, attempt } = run;
      const number = i + 1;
      const { pid } = this.nodes.get(node)!.process;
      const [epoch, stamp] = token;
      const seen: Run = {
        ...run,
        number,
        pid,
        epoch,
        stamp,
        effectAt: Infinity,
        endedAt: Infinity,
        outcome: "running",
      };
      runs.push(seen);
      const ofTask = this.runsByTask.get(taskId);
      if (ofTask === undefined) this.runsByTask.set(taskId, [seen]);
      else ofTask.push(seen);
      const where = { partition, offset, taskId, epoch, stamp, attempt };
      this.history.add({ type: "handler-start", at: this.now, run: number, node, pid, ...where });
    }
  }

  #lookAtEnds(): void {
    const { cell, runs } = this;
    for (let i = 0; i < cell.runs.length; i++) {
      const run = cell.runs[i]!;
      const number = i + 1;
      if (run.endedAt === Infinity || this.#ended.has(number)) continue;
      this.#ended.add(number);
      runs[i]!.endedAt = run.endedAt;
      runs[i]!.outcome = run.outcome;
      const outcome: OutcomeOfRun = run.outcome === "unknown" ? "hang-ended" : (run.outcome as OutcomeOfRun);
      this.history.add({ type: "handler-end", at: this.now, run: number, outcome });
    }
  }

  #checkStarted(index: number): void {
    const { node, partition, offset, at } = this.cell.checks[index]!;
    const { pid } = this.nodes.get(node)!.process;
    const taskId = this.cell.taskIdOf(partition, offset);
    this.#runningChecks.push({ check: index + 1, pid: partition, offset, node });
    this.history.add({ type: "check-start", at, check: index + 1, node, pid, partition, offset, taskId });
  }

  #checkEnded(node: string, { pid, offset, answer }: Extract<CoreEvent, { type: "check-result" }>): void {
    const index = this.#runningChecks.findIndex(
      (each) => each.node === node && each.pid === pid && each.offset === offset,
    );
    if (index < 0) return;
    const [{ check } = { check: 0 }] = this.#runningChecks.splice(index, 1);
    const truth = this.effects(this.cell.taskIdOf(pid, offset)) > 0;
    this.history.add({ type: "check-end", at: this.now, check, answer, truth });
  }

  effects(taskId: string): number {
    return this.cell.effects(taskId);
  }

  asWorld(): World {
    const { cell } = this;
    const settings = {
      nodes: cell.nodes.size,
      minInSync: 2,
      hasCheck: cell.options.hasCheck ?? true,
      effectSettleMs: 2_000,
      filterGenerations: cell.options.settings?.filter?.generations ?? 4,
      checkConcurrency: 16,
      timing: { leaseMs: 3_000, sessionMs: 6_000 },
    } as unknown as SimulationSettings;
    const links = (a: string, b: string): boolean =>
      !cell.node(a).cutFromPeers && !cell.node(b).cutFromPeers && !cell.isSplit(a, b);
    const view = {
      settings,
      taskIdOf: (partition: number, offset: number) => cell.taskIdOf(partition, offset),
      effects: (taskId: string) => this.effects(taskId),
      linked: links,
      reachesCoordinator: (name: string) => !cell.node(name).cutFromCoordinator && !cell.coordinatorDown,
      reachesLog: (name: string) => !cell.node(name).deaf,
      nodes: this.nodes,
      runs: this.runs,
      runsByTask: this.runsByTask,
      log: cell.log,
      logStart: cell.log.map(() => cell.logStart),
      quiet: false,
      seed: 1,
    };
    const live: PropertyDescriptorMap = {
      now: { get: () => this.now },
      committed: { get: () => this.committed },
      owner: { get: () => this.owner },
      groupGeneration: { get: () => cell.groupGeneration },
      epoch: { get: () => cell.epoch },
      inSync: { get: () => cell.inSync.incarnations },
      inSyncVersion: { get: () => cell.inSync.version },
      events: { get: () => this.history.events },
      leader: {
        get: () => {
          const name = cell.leaderName();
          return name === null ? null : { incarnation: cell.node(name).incarnation, epoch: cell.epoch };
        },
      },
    };
    return Object.defineProperties(view, live) as unknown as World;
  }
}

export interface WatchedCell {
  readonly cell: Cell;
  readonly coverage: RowCoverage;
  /** A fault that a core cannot see. */
  fault(kind: FaultKind, node: string): void;
}

/** Builds a cell with row counters over it from its first moment on: a script's stage is set before the script has its cell. */
export function watched(build: () => Cell, only: readonly Row[]): WatchedCell {
  const until = Reflect.get(Cell.prototype, "until") as (this: Cell, ...args: Parameters<Cell["until"]>) => void;
  let world: CellWorld | null = null;
  Cell.prototype.until = function (this: Cell, ...args) {
    world ??= attach(this, only);
    until.apply(this, args);
  };
  try {
    const cell = build();
    const { coverage, history } = world!;
    return {
      cell,
      coverage: coverage!,
      fault: (kind, node) => history.add({ type: "fault", at: cell.now, kind, node, detail: "" }),
    };
  } finally {
    Cell.prototype.until = until;
  }
}

function attach(cell: Cell, only: readonly Row[]): CellWorld {
  const world = new CellWorld(cell);
  const coverage = new RowCoverage(world.asWorld(), undefined, only);
  world.coverage = coverage;
  world.history.onEvent((event) => coverage.onHistory(event));
  world.look();
  const start = cell.start.bind(cell);
  cell.start = (name) => {
    const node = start(name);
    world.look();
    return node;
  };
  return world;
}
