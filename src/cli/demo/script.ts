/** What happens in the demo, in order: nodes start, a node is added, the leader is killed, all work ends, the judge counts. */
import { setTimeout as sleep } from "node:timers/promises";
import { VouchError } from "../../errors.ts";
import type { NodeStatus } from "../../ops/node-status.ts";
import type { CellFiles, DemoCell, DemoNode } from "./cell.ts";
import { EffectReader, type EffectLine } from "./effect-record.ts";
import type { DemoPlan, DemoTask } from "./plan.ts";
import type { Progress } from "./progress.ts";
import { complaints, faultComplaints, judge, OpenStarts } from "./proof.ts";
import type { DemoResult } from "./report.ts";

export interface ScriptOptions {
  readonly cell: DemoCell;
  readonly files: CellFiles;
  readonly plan: DemoPlan;
  readonly nodes: number;
  readonly faults: boolean;
  /** Writes tasks into the demo's topic; resolves when they are all there. */
  readonly feed: (tasks: readonly DemoTask[]) => Promise<void>;
  readonly progress: Progress;
  /** When the demo began, of `performance.now()`. */
  readonly startedAt: number;
}

/** The leader is killed while at least so many handlers run on it. */
const RUNNING_AT_KILL_MIN = 3;
const SAMPLE_EVERY_MS = 100;
/** Looking for the moment to kill: handlers are short. */
const WATCH_EVERY_MS = 2;
/** Everything but the drain must be over by then; what is not done counts as lost. */
const DEADLINE_MS = 50_000;
const DRAIN_MS = 6_000;

export async function runScript(options: ScriptOptions): Promise<DemoResult> {
  using script = new Script(options);
  return await script.run(); // awaited here: the record must stay open until it is judged
}

class Script implements Disposable {
  readonly #options: ScriptOptions;
  readonly #reader: EffectReader;
  readonly #lines: EffectLine[] = [];
  readonly #open = new OpenStarts();
  readonly #done = new Set<string>(); // task ids with an effect
  readonly #notes: string[] = [];
  #sampled: ReadonlyMap<string, NodeStatus> = new Map();
  #nodesAdded = 0;
  #nodesKilled = 0;
  #executingAtKill = 0;

  constructor(options: ScriptOptions) {
    this.#options = options;
    this.#reader = new EffectReader(options.files.record);
  }

  async run(): Promise<DemoResult> {
    const { cell, nodes, plan, faults, feed, progress } = this.#options;
    await feed(plan.tasks.slice(0, plan.firstWave));
    for (let count = 0; count < nodes; count++) cell.start();
    await this.#until(() => this.#done.size >= plan.addNodeAtEffects);
    if (faults) await this.#addNode();
    await feed(plan.tasks.slice(plan.firstWave));
    if (faults) {
      await this.#until(() => this.#done.size >= plan.killLeaderAtEffects);
      await this.#killLeader();
    }
    await this.#until(() => this.#done.size >= plan.tasks.length);
    // Only when nothing is in flight anywhere can no second run come any more.
    await this.#until(() => this.#isSettled());
    progress.say("all settled; draining the nodes");
    for (const name of await cell.drain(DRAIN_MS))
      this.#notes.push(`${name} did not drain within ${DRAIN_MS} ms: see its log`);
    return this.#result();
  }

  [Symbol.dispose](): void {
    this.#reader[Symbol.dispose]();
  }

  /** Samples the nodes and reads the record until the condition holds or the time is over. @returns whether it holds */
  async #until(condition: () => boolean): Promise<boolean> {
    while (this.#inTime()) {
      this.#read();
      if (condition()) return true;
      this.#assertSomebodyLives();
      this.#sampled = await this.#options.cell.sample();
      this.#show();
      if (condition()) return true;
      await sleep(SAMPLE_EVERY_MS);
    }
    return false;
  }

  async #addNode(): Promise<void> {
    const { cell, progress } = this.#options;
    const node = cell.start();
    progress.say(`started one more node, ${node.name}, after ${this.#done.size} effects`);
    if (await this.#until(() => this.#sampled.get(node.name)?.core.member === true)) {
      this.#nodesAdded++;
      progress.say(`${node.name} is in the in-sync set`);
    }
  }

  /** Waits for a moment at which the leader is executing, by the record, and kills it in that moment. */
  async #killLeader(): Promise<void> {
    const { cell, plan, progress } = this.#options;
    let sampleAt = 0;
    while (this.#inTime() && this.#done.size < plan.tasks.length) {
      if (performance.now() >= sampleAt) {
        this.#sampled = await cell.sample();
        this.#show();
        sampleAt = performance.now() + SAMPLE_EVERY_MS;
      }
      const leader = this.#leader();
      this.#read();
      if (leader !== null && this.#open.of(leader.pid).size >= RUNNING_AT_KILL_MIN) {
        leader.kill("SIGKILL");
        await leader.exited;
        this.#read();
        this.#nodesKilled++;
        this.#executingAtKill = this.#open.of(leader.pid).size;
        progress.say(`killed the leader, ${leader.name} (kill -9), while ${this.#executingAtKill} handlers ran on it`);
        return;
      }
      await sleep(WATCH_EVERY_MS);
    }
  }

  #leader(): DemoNode | null {
    for (const node of this.#options.cell.alive()) {
      if (this.#sampled.get(node.name)?.core.leaderStatus?.active === true) return node;
    }
    return null;
  }

  /** All living nodes say that nothing is in flight, and every partition is read and committed to its end. */
  #isSettled(): boolean {
    const { cell } = this.#options;
    const statuses = cell.alive().map((node) => this.#sampled.get(node.name));
    const quiet = statuses.every(
      (status) => status !== undefined && status.core.inFlight === 0 && status.core.doubtful === 0,
    );
    const partitions = statuses.flatMap((status) => status?.core.partitions ?? []);
    const committed = partitions.reduce((sum, partition) => sum + partition.position, 0);
    return quiet && committed >= this.#options.plan.tasks.length;
  }

  #read(): void {
    const lines = this.#reader.readNew();
    this.#open.take(lines);
    for (const line of lines) {
      this.#lines.push(line);
      if (line.kind === "effect") this.#done.add(line.taskId);
    }
  }

  #show(): void {
    const leader = this.#leader();
    const statuses = [...this.#sampled.values()];
    this.#options.progress.show({
      effects: this.#done.size,
      nodes: this.#options.cell.alive().length,
      leader: leader?.name ?? "",
      epoch: Math.max(0, ...statuses.map((status) => status.core.epoch)),
      doubtful: statuses.reduce((sum, status) => sum + status.core.doubtful, 0),
    });
  }

  #inTime(): boolean {
    return performance.now() - this.#options.startedAt < DEADLINE_MS;
  }

  /** @throws VouchError when a node ended that nobody killed: waiting for the deadline would tell nothing more. */
  #assertSomebodyLives(): void {
    const { cell, files } = this.#options;
    const ended = cell.nodes.find((node) => node.exitCode !== null && node.exitCode !== 0);
    if (ended === undefined) return;
    throw new VouchError(
      "closed",
      `${ended.name} ended with exit code ${ended.exitCode}: see ${ended.log} (files in ${files.dataDir})`,
    );
  }

  #result(): DemoResult {
    const { cell, plan, faults, startedAt } = this.#options;
    this.#read();
    const judgement = judge(
      this.#lines,
      plan.tasks.map((task) => task.id),
    );
    const doubts = cell.doubts();
    const faultCounts = {
      nodesAdded: this.#nodesAdded,
      nodesKilled: this.#nodesKilled,
      executingAtKill: this.#executingAtKill,
    };
    const { tasks, executed, executedTwice, lost, starts } = judgement;
    return {
      tasks,
      executed,
      executedTwice,
      lost,
      starts,
      ...faultCounts,
      doubts,
      seconds: Number(((performance.now() - startedAt) / 1_000).toFixed(1)),
      complaints: [
        ...complaints(judgement, this.#reader.malformed + (this.#reader.unfinished === "" ? 0 : 1)),
        ...(faults ? faultComplaints(faultCounts, doubts) : []),
      ],
      notes: this.#notes,
    };
  }
}
