/** One chaos run as a plan sees it: who lives, who leads, what runs where, and waiting for any of it. */
import { setTimeout as sleep } from "node:timers/promises";
import { EffectReader, type EffectLine } from "../../src/cli/demo/effect-record.ts";
import { judge, OpenStarts, type Judgement } from "../../src/cli/demo/proof.ts";
import type { NodeStatus } from "../../src/ops/node-status.ts";
import type { ChaosCell, ChaosFiles, ChaosNode } from "./cell.ts";
import type { Feeder } from "./feeder.ts";

export interface ChaosRunOptions {
  readonly cell: ChaosCell;
  readonly feeder: Feeder;
  readonly files: ChaosFiles;
  readonly tasks: number;
  readonly say: (message: string) => void;
  readonly deadlineMs: number;
}

const SAMPLE_EVERY_MS = 400;
/** Looking for the moment to kill: handlers are short. */
const WATCH_EVERY_MS = 2;
const SHOW_EVERY_MS = 5_000;

export class ChaosRun implements Disposable {
  readonly cell: ChaosCell;
  readonly feeder: Feeder;
  readonly tasks: number;
  readonly say: (message: string) => void;
  /** Handlers that ran on killed nodes when they were killed: starts without an effect in the record. */
  executingAtKill = 0;
  readonly #reader: EffectReader;
  readonly #lines: EffectLine[] = [];
  readonly #open = new OpenStarts();
  readonly #done = new Set<string>();
  readonly #started = new Map<number, number>(); // by pid
  readonly #incarnations = new Map<number, string>(); // by pid, as last answered
  readonly #deadline: number;
  #sampled: ReadonlyMap<string, NodeStatus> = new Map();
  #sampledAt = Number.NEGATIVE_INFINITY;
  #shownAt = Number.NEGATIVE_INFINITY;

  constructor(options: ChaosRunOptions) {
    this.cell = options.cell;
    this.feeder = options.feeder;
    this.tasks = options.tasks;
    this.say = options.say;
    this.#deadline = performance.now() + options.deadlineMs;
    this.#reader = new EffectReader(options.files.record);
  }

  /** Distinct tasks with an effect. */
  get done(): number {
    return this.#done.size;
  }

  status(node: ChaosNode): NodeStatus | undefined {
    return this.#sampled.get(node.name);
  }

  leader(): ChaosNode | null {
    return this.cell.alive.find((node) => this.status(node)?.core.leaderStatus?.active === true) ?? null;
  }

  isMember(node: ChaosNode): boolean {
    return this.status(node)?.core.member === true;
  }

  /** The leader counts this life of the node among those whose acknowledgement every decision needs. */
  isInSync(node: ChaosNode): boolean {
    const leader = this.leader();
    const inSync = leader === null ? [] : (this.status(leader)?.core.leaderStatus?.inSync ?? []);
    const incarnation = this.#incarnations.get(node.pid);
    return incarnation !== undefined && inSync.includes(incarnation);
  }

  /** Handlers that were started in this process, by the record. */
  started(node: ChaosNode): number {
    return this.#started.get(node.pid) ?? 0;
  }

  /** Handlers that run in this process, by the record. */
  running(node: ChaosNode): number {
    return this.#open.of(node.pid).size;
  }

  /** Waits until the condition holds. @throws Error naming what was waited for, when the run's time is over. */
  async until(what: string, condition: () => boolean, everyMs = 100): Promise<void> {
    for (;;) {
      this.#read();
      if (condition()) return;
      if (performance.now() > this.#deadline) throw new Error(`the time of the run is over: waited for ${what}`);
      this.cell.assertNobodyEnded();
      this.feeder.assertWorks();
      await this.#sample();
      await sleep(everyMs);
    }
  }

  /** Kills the node that `choose` names, with kill -9, in a moment in which handlers run on it by the record. */
  async killWhileRunning(what: string, choose: () => ChaosNode | null, runningMin: number): Promise<ChaosNode> {
    let chosen: ChaosNode | null = null;
    const found = (): boolean => {
      chosen = choose();
      return chosen !== null && this.running(chosen) >= runningMin;
    };
    await this.until(`${runningMin} handlers on ${what}`, found, WATCH_EVERY_MS);
    const node = chosen as ChaosNode | null;
    if (node === null) throw new Error("unreachable: the condition held");
    await node.kill();
    this.#read();
    const running = this.running(node);
    this.executingAtKill += running;
    this.say(`kill -9 of ${what}, ${node.name} (pid ${node.pid}), while ${running} handlers ran on it`);
    return node;
  }

  /** Nothing is delivered and unsettled on any living node. */
  isQuiet(): boolean {
    return this.cell.alive.every((node) => {
      const core = this.status(node)?.core;
      return core !== undefined && core.inFlight === 0 && core.doubtful === 0;
    });
  }

  /** Offsets below the committed positions, by the owners' word. */
  get committed(): number {
    const partitions = this.cell.alive.flatMap((node) => this.status(node)?.core.partitions ?? []);
    return partitions.reduce((sum, { position }) => sum + position, 0);
  }

  judge(producedIds: readonly string[]): { judgement: Judgement; malformed: number } {
    this.#read();
    const malformed = this.#reader.malformed + (this.#reader.unfinished === "" ? 0 : 1);
    return { judgement: judge(this.#lines, producedIds), malformed };
  }

  /** A line about where everything is. */
  show(): void {
    const parts = this.cell.alive.map((node) => {
      const core = this.status(node)?.core;
      if (core === undefined) return `${node.name} ?`;
      const owned = core.partitions.length;
      return `${node.name} ${core.role} e${core.epoch} p${owned} run${core.running} fl${core.inFlight} doubt${core.doubtful}`;
    });
    this.say(`${this.done} of ${this.tasks} effects, ${this.feeder.fed} fed   ${parts.join(" | ")}`);
  }

  [Symbol.dispose](): void {
    this.#reader[Symbol.dispose]();
  }

  async #sample(): Promise<void> {
    const now = performance.now();
    if (now - this.#sampledAt < SAMPLE_EVERY_MS) return;
    this.#sampledAt = now;
    this.#sampled = await this.cell.sample();
    for (const { pid, core } of this.#sampled.values()) this.#incarnations.set(pid, core.incarnation);
    if (now - this.#shownAt < SHOW_EVERY_MS) return;
    this.#shownAt = now;
    this.show();
  }

  #read(): void {
    const lines = this.#reader.readNew();
    this.#open.take(lines);
    for (const line of lines) {
      this.#lines.push(line);
      if (line.kind === "effect") this.#done.add(line.taskId);
      else this.#started.set(line.pid, (this.#started.get(line.pid) ?? 0) + 1);
    }
  }
}
