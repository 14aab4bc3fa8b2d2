/**
 * One simulated cell: nodes in processes, a network, ZooKeeper and Kafka, and the world that knows the truth about all of them.
 * It does what it is told (start, kill, stop, cut); what is told when is decided by the fault plan and the workload.
 */
import { coordinatorOf } from "./surroundings.ts";
import { decodeEpoch, decodeInSync, decodeLeader } from "../../src/coordinator/records.ts";
import type { CoreEffect } from "../../src/core/effects.ts";
import type { CoreEvent } from "../../src/core/events.ts";
import { incarnationOf, partitionOf } from "../../src/core/identity.ts";
import { describeError } from "../../src/errors.ts";
import { nodeConfig } from "../../src/config/node-config.ts";
import type { NodeConfig } from "../../src/config/option-table.ts";
import type { TaskType } from "../../src/execution/define.ts";
import { resolveTasks } from "../../src/execution/resolve.ts";
import type { ProcessState } from "../../src/runtime/process-identity.ts";
import { Dispatch } from "./dispatch.ts";
import { withMachine } from "./globals.ts";
import { Handlers, TOPIC, type Behaviour } from "./handlers.ts";
import { History, Violation, type FaultKind } from "./history.ts";
import { SimulatedNetwork } from "./network.ts";
import type {
  LogRecordTruth,
  Observer,
  ObserverFactory,
  Run,
  SimulatedNode,
  SimulationSettings,
  World,
} from "./observer.ts";
import type { Random } from "./random.ts";
import { NodeInProcess } from "./simulated-node.ts";
import { SimulatedKafka } from "./task-log/kafka.ts";
import { SimulatedProcess, VirtualTime } from "./virtual-time.ts";
import { watchdogThreads } from "./watchdog-thread.ts";
import { SimulatedZooKeeper } from "./zookeeper/ensemble.ts";

export const CELL = "cell";

export interface SimulationOptions {
  readonly seed: number;
  readonly random: Random;
  readonly settings: SimulationSettings;
  readonly behaviour: Behaviour;
  readonly observers: readonly ObserverFactory[];
  /** The nodes' own log lines go into the history, too. */
  readonly withNotes: boolean;
}

export class Simulation implements World {
  readonly seed: number;
  readonly settings: SimulationSettings;
  readonly random: Random;
  readonly time: VirtualTime;
  readonly history = new History();
  readonly network: SimulatedNetwork;
  readonly zookeeper: SimulatedZooKeeper;
  readonly kafka: SimulatedKafka;
  readonly handlers: Handlers;
  readonly nodes = new Map<string, NodeInProcess>();
  readonly names: readonly string[];
  /** By partition: the highest position that a node of this cell has committed. */
  readonly highestCommit: number[] = [];
  quiet = false;
  /** Why the run must end. */
  failure: Violation | null = null;
  elections = 0;
  /** Every start of every node, for its counters. */
  readonly #started: NodeInProcess[] = [];
  readonly #observers: readonly Observer[];
  readonly #dispatch: Dispatch;
  readonly #processes = new Map<number, SimulatedProcess>();
  readonly #withNotes: boolean;
  readonly #tasks: readonly TaskType[];
  readonly #cutFromCoordinator = new Set<string>();
  readonly #cutFromLog = new Set<string>();
  readonly #leading = new Map<string, number>(); // incarnation -> epoch in which it was seen to lead
  readonly #overrides = new Map<string, Partial<NodeConfig>>();
  /** Told of every step before its effects are carried out: faults that come at a moment of the protocol. */
  onMoment: ((node: SimulatedNode, event: CoreEvent, effects: readonly CoreEffect[]) => void) | null = null;
  #pids = 100;

  constructor(options: SimulationOptions) {
    const { random, settings } = options;
    this.seed = options.seed;
    this.settings = settings;
    this.random = random;
    this.#withNotes = options.withNotes;
    this.names = ["a", "b", "c", "d", "e", "f", "g"].slice(0, settings.nodes);
    this.time = new VirtualTime(random.split("time"));
    this.network = new SimulatedNetwork(this.time, random.split("network"));
    this.network.settings.latencyMs = settings.latencyMs;
    this.zookeeper = new SimulatedZooKeeper(this.time, random.split("zookeeper"));
    this.zookeeper.reaches = (process) => !this.#cutFromCoordinator.has(process.name);
    this.kafka = new SimulatedKafka(this.time, random.split("kafka"), {
      topic: TOPIC,
      partitions: settings.partitions,
    });
    this.kafka.reaches = (process) => !this.#cutFromLog.has(process.name);
    this.handlers = new Handlers(this.time, this.history, settings, options.behaviour);
    this.#tasks = resolveTasks([{ name: "simulation", exported: this.handlers.definition() }]);
    this.#observers = options.observers.map((create) => create(this));
    this.#dispatch = new Dispatch(this.#observers);
    this.#wire();
  }

  #wire(): void {
    const { history, kafka } = this;
    const dispatch = this.#dispatch;
    history.onEvent((event) => {
      try {
        dispatch.history(event);
      } catch (error) {
        this.#failed(error);
      }
    });
    this.time.onEvent = (process) => {
      try {
        dispatch.after(process, this.time.now);
      } catch (error) {
        this.#failed(error);
      }
    };
    kafka.onCommitted = ({ node, partition, position, before }) => {
      if (node !== "") this.highestCommit[partition] = Math.max(this.highestCommit[partition] ?? 0, position);
      history.add({ type: "committed", at: this.now, node, partition, position, before });
    };
    kafka.onSetAside = ({ process, kind, partition, offset, reason }) =>
      history.add({
        type: "set-aside",
        at: this.now,
        node: process.name,
        pid: process.pid,
        kind,
        partition,
        offset,
        reason,
        taskId: this.taskIdOf(partition, offset),
      });
  }

  /** Runs something under this simulation's machine; everything that touches nodes must be inside. */
  within<T>(run: () => T): T {
    const Worker = watchdogThreads(this.time, (process, verdict) => this.#bite(process, verdict));
    const listen = (options: never): unknown => this.network.listen(options);
    const connect = (options: never): unknown => this.network.connect(options);
    return withMachine({ time: this.time, listen, connect, Worker }, run);
  }

  // --- time

  get now(): number {
    return this.time.now;
  }

  /** Runs so much longer. @throws Violation */
  advance(ms: number): void {
    const end = this.time.now + ms;
    while (this.time.step(end)) if (this.failure !== null) throw this.failure;
    this.time.now = end;
    if (this.failure !== null) throw this.failure;
  }

  /** Runs until the condition holds, looked at every so many ms; false when it did not within the limit. */
  until(condition: () => boolean, limitMs: number, everyMs = 50): boolean {
    for (const end = this.now + limitMs; this.now < end;) {
      if (condition()) return true;
      this.advance(Math.min(everyMs, end - this.now));
    }
    return condition();
  }

  fail(violation: Violation): void {
    if (this.failure !== null) return;
    this.failure = violation;
    this.history.add({
      type: "violation",
      at: this.now,
      invariant: violation.invariant,
      message: violation.message,
    });
  }

  #failed(error: unknown): void {
    this.fail(error instanceof Violation ? error : new Violation("checker", describeStack(error)));
  }

  atRest(): void {
    for (const observer of this.#observers) observer.atRest?.();
  }

  atEnd(): void {
    for (const observer of this.#observers) observer.atEnd?.();
  }

  // --- nodes

  isAlive(name: string): boolean {
    const state = this.nodes.get(name)?.process.state;
    return state !== undefined && state !== "dead";
  }

  processOf(name: string): SimulatedProcess {
    return this.#node(name).process;
  }

  #node(name: string): NodeInProcess {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  /** Options of one node's next starts that differ from the cell's. */
  configure(name: string, overrides: Partial<NodeConfig>): void {
    this.#overrides.set(name, { ...this.#overrides.get(name), ...overrides });
  }

  /** A new process; the node must not be alive. */
  start(name: string): void {
    if (this.isAlive(name)) throw new Error(`${name} is alive`);
    const pid = ++this.#pids;
    const random = this.random.split(`process ${pid}`);
    const host = this.settings.oneHost ? "host" : `host-${name}`;
    const process = new SimulatedProcess(this.time, { name, pid, host, random });
    if (this.settings.drifts) process.drift = 1 + (random.next() - 0.5) * 0.018;
    this.#processes.set(pid, process);
    const node = new NodeInProcess(process);
    this.nodes.set(name, node);
    this.#started.push(node);
    this.history.add({ type: "process", at: this.now, node: name, pid, what: "started", detail: node.incarnation });
    const config = this.#config(name);
    process.enter(() =>
      node.start({
        config,
        tasks: this.#tasks,
        coordinator: coordinatorOf(this.zookeeper, process, config),
        taskLog: this.kafka.taskLogOf(process),
        readProcess: (other, host) => this.#readProcess(other, host),
        onStep: (stepped, event, effects, now) => this.#onStep(stepped, event, effects, now),
        onNote: (_, message) => this.#onNote(process, message),
        onExit: (_, reason) => this.#onExit(process, reason),
        onCrash: (_, error) => this.fail(new Violation("crash", `${name}: ${describeStack(error)}`)),
      }),
    );
  }

  /** SIGKILL. */
  kill(name: string, why = "SIGKILL"): void {
    const { process } = this.#node(name);
    if (process.state === "dead") return;
    this.#gone(process, "killed", why);
  }

  #gone(process: SimulatedProcess, what: "killed" | "exited", detail: string): void {
    process.kill();
    this.history.add({ type: "process", at: this.now, node: process.name, pid: process.pid, what, detail });
    this.handlers.died(process);
  }

  /** SIGSTOP. */
  stop(name: string): void {
    const { process } = this.#node(name);
    if (process.state !== "running") return;
    process.stop();
    this.history.add({ type: "process", at: this.now, node: name, pid: process.pid, what: "stopped", detail: "" });
  }

  /** SIGCONT. */
  continue(name: string): void {
    const { process } = this.#node(name);
    if (process.state !== "stopped") return;
    this.history.add({ type: "process", at: this.now, node: name, pid: process.pid, what: "continued", detail: "" });
    process.continue();
  }

  /** SIGTERM. */
  drain(name: string): void {
    if (this.isAlive(name)) this.#node(name).drain();
  }

  setReach(name: string, what: "coordinator" | "log", reaches: boolean): void {
    const cut = what === "coordinator" ? this.#cutFromCoordinator : this.#cutFromLog;
    if (reaches) cut.delete(name);
    else cut.add(name);
  }

  fault(kind: FaultKind, node: string, detail = ""): void {
    this.history.add({ type: "fault", at: this.now, kind, node, detail });
  }

  healed(kind: FaultKind, node: string, detail = ""): void {
    this.history.add({ type: "heal", at: this.now, kind, node, detail });
  }

  #config(name: string): NodeConfig {
    const { settings } = this;
    return nodeConfig({
      ...configOf(settings),
      nodeId: name,
      ...this.#overrides.get(name),
    });
  }

  #readProcess(pid: number, host: string): ProcessState {
    const process = this.#processes.get(pid);
    if (process === undefined || process.host !== host || process.state === "dead") return null;
    return { startTime: String(pid), zombie: false };
  }

  #bite(process: SimulatedProcess, verdict: string): void {
    if (process.state !== "dead") this.#gone(process, "killed", `watchdog: ${verdict}`);
  }

  #onExit(process: SimulatedProcess, reason: string): void {
    if (process.state !== "dead") this.#gone(process, "exited", reason);
  }

  #onNote(process: SimulatedProcess, message: string): void {
    if (!this.#withNotes) return;
    this.history.add({ type: "note", at: this.now, node: process.name, pid: process.pid, message });
  }

  #onStep(node: SimulatedNode, event: CoreEvent, effects: readonly CoreEffect[], now: number): void {
    for (const effect of effects) if (effect.type === "role" || effect.type === "alarm") this.#tell(node, effect);
    const { leader } = node.core!;
    if (leader?.state.active === true && this.#leading.get(node.incarnation) !== leader.state.epoch) {
      this.#leading.set(node.incarnation, leader.state.epoch);
      this.elections++;
      this.history.add({
        type: "leads",
        at: this.now,
        node: node.name,
        pid: node.process.pid,
        epoch: leader.state.epoch,
      });
    }
    try {
      this.#dispatch.step(node, event, effects, now);
    } catch (error) {
      this.#failed(error);
    }
    this.onMoment?.(node, event, effects);
  }

  #tell(node: SimulatedNode, effect: CoreEffect): void {
    const who = { at: this.now, node: node.name, pid: node.process.pid };
    if (effect.type === "role") this.history.add({ type: "role", ...who, role: effect.role, epoch: effect.epoch });
    else if (effect.type === "alarm") {
      const { code, message } = effect;
      this.history.add({
        type: "alarm",
        ...who,
        code,
        message,
        partition: effect.pid < 0 ? -1 : partitionOf(effect.pid),
      });
    }
  }

  /** Over all starts of all nodes, by how they were settled. */
  allDoubts(): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const { core } of this.#started)
      for (const [outcome, count] of Object.entries(core?.ctx.settled ?? {}))
        sums[outcome] = (sums[outcome] ?? 0) + count;
    return sums;
  }

  // --- the truth

  produce(partition: number, taskId: string | null, payload: number): number {
    const headers = taskId === null ? {} : { "task-id": taskId };
    const offset = this.kafka.append(partition, { key: null, value: String(payload), headers });
    this.history.add({
      type: "produced",
      at: this.now,
      partition,
      offset,
      taskId: this.taskIdOf(partition, offset),
      payload,
    });
    return offset;
  }

  get runs(): readonly Run[] {
    return this.handlers.runs;
  }

  get runsByTask(): ReadonlyMap<string, readonly Run[]> {
    return this.handlers.runsByTask;
  }

  get log(): readonly (readonly LogRecordTruth[])[] {
    return this.kafka.log;
  }

  get committed(): readonly (number | null)[] {
    return this.kafka.committed;
  }

  get metadata(): readonly string[] {
    return this.kafka.metadata;
  }

  get logStart(): readonly number[] {
    return this.kafka.logStart;
  }

  get owner(): readonly (string | null)[] {
    return this.kafka.owner;
  }

  get groupGeneration(): number {
    return this.kafka.generation;
  }

  get events(): History["events"] {
    return this.history.events;
  }

  get epoch(): number {
    return decodeEpoch(this.#read("epoch")) ?? 0;
  }

  get inSync(): readonly string[] {
    return decodeInSync(this.#read("in-sync"))?.incarnations ?? [];
  }

  get inSyncVersion(): number {
    return this.zookeeper.versionOf(`/vouch/${CELL}/in-sync`);
  }

  get leader(): World["leader"] {
    const text = this.#read("leader");
    const leader = text === "" ? null : decodeLeader(text);
    return leader === null ? null : { incarnation: incarnationOf(leader.nodeId, leader.bootId), epoch: leader.epoch };
  }

  #read(name: string): string {
    return this.zookeeper.read(`/vouch/${CELL}/${name}`) ?? "";
  }

  taskIdOf(partition: number, offset: number): string {
    const named = this.kafka.log[partition]?.[offset]?.taskId ?? "";
    return named === "" ? `${TOPIC}:${partition}:${offset}` : named;
  }

  effects(taskId: string): number {
    return this.handlers.effects(taskId);
  }

  linked(a: string, b: string): boolean {
    return this.network.isOpen(a, b);
  }

  reachesCoordinator(node: string): boolean {
    return !this.#cutFromCoordinator.has(node) && this.zookeeper.hasQuorum;
  }

  reachesLog(node: string): boolean {
    return !this.#cutFromLog.has(node);
  }
}

/** The options of every node of the cell. */
export function configOf(settings: SimulationSettings): Partial<NodeConfig> {
  return {
    ...settings.timing,
    cell: CELL,
    zookeeper: "simulated:2181",
    kafkaBrokers: ["simulated:9092"],
    peerListen: { host: "127.0.0.1", port: 0 },
    httpListen: null,
    minInSync: settings.minInSync,
    singleNode: settings.singleNode,
    effectSettleMs: settings.effectSettleMs,
    attemptsMax: settings.attemptsMax,
    filterCapacity: settings.filterCapacity,
    filterGenerations: settings.filterGenerations,
    filterFalsePositiveRate: settings.filterFalsePositiveRate,
    startAt: settings.startAt,
    concurrency: settings.concurrency,
    uncommittedSpanMax: settings.spanMax,
    claimBatchMax: Math.min(1_024, settings.spanMax),
    checkConcurrency: settings.checkConcurrency,
    deltaLogMax: settings.deltaLogMax,
  };
}

function describeStack(error: unknown): string {
  return error instanceof Error ? `${describeError(error)}\n${error.stack ?? ""}` : String(error);
}
