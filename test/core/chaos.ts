/**
 * A cell under random faults, from one seed: what the chaos test drives and how it judges the end. The faults stay within
 * the bounds that G2 states (pauses shorter than the quarantine, else the watchdog kills the process that wakes).
 */
import { Cell, type CellNode, type Run } from "../support/cell.ts";

/** A double of two records with one task id that the rules allow: the filter no longer knew the first (R15, R18). */
export interface Excused {
  readonly taskId: string;
  readonly why: "unclean start" | "filter window";
}

export type Story = { readonly steps: readonly string[]; readonly excused: readonly Excused[]; readonly cell: Cell };

const STEPS = 25;
const STEP_MS_MAX = 3_000;
const WATCH_MS = 250;
const RECOVERY_MS_MAX = 200_000;
/** Below lease + grace: a node that sleeps longer is killed by its watchdog when it wakes (R12). */
const PAUSE_MS_MAX = 14_500;
const EFFECT_SETTLE_MS = 2_000;
/** A duplicate names one of so many last task ids; they mostly fit into the small filter's window. */
const RECENT_IDS = 40;

export function generator(seed: number): () => number {
  let state = (Math.imul(seed, 7_919) + 13) >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** One fault: `run` returns what it did, or null when it does not apply now. */
interface Fault {
  readonly weight: number;
  readonly run: () => string | null;
}

export class Chaos {
  readonly cell: Cell;
  readonly #random: () => number;
  readonly #names: readonly string[];
  readonly #faults: readonly Fault[];
  readonly #steps: string[] = [];
  readonly #dead = new Set<string>();
  readonly #paused = new Map<string, number>(); // since
  readonly #cut = new Set<string>();
  readonly #cutFromPeers = new Set<string>();
  readonly #draining = new Set<string>();
  readonly #hanging: Run[] = [];
  readonly #committed: number[];
  readonly #windowLostAt: number[] = []; // times of unclean starts
  readonly #windowAlarms = new WeakMap<CellNode, number>();
  #ids = 0;
  #commitTrouble = 0;
  #setTrouble = 0;
  #checkTrouble = 0;

  constructor(seed: number) {
    const random = generator(seed);
    this.#random = random;
    this.#names = ["a", "b", "c", "d"].slice(0, 3 + Math.floor(random() * 2));
    const small = { generations: 2, capacityPerGeneration: 100, falsePositiveRate: 0.2, seed: 3 };
    this.cell = new Cell({
      nodes: this.#names,
      partitions: 1 + Math.floor(random() * 4),
      settings: random() < 0.3 ? { filter: small } : {},
    });
    this.#committed = this.cell.log.map(() => 0);
    this.cell.handler = (run) => this.#handle(run);
    this.cell.commitOutcome = () => this.#endCommit();
    this.cell.inSyncOutcome = () => this.#oneOf(this.#setTrouble, ["unknown-applied", "unknown-lost"], "normal");
    const truth = this.cell.check;
    this.cell.check = (taskId, node) => this.#oneOf(this.#checkTrouble, ["unknown"], truth(taskId, node));
    this.#faults = this.#table();
  }

  /** The whole run: faults, recovery, and the judgement. @throws Error with the story. */
  run(): Story {
    try {
      this.cell.until("a leader votes", () => this.cell.activeLeader() !== null);
      for (let step = 0; step < STEPS; step++) {
        this.#produce();
        this.#fault();
        this.#advance(Math.floor(this.#random() * STEP_MS_MAX));
      }
      this.#recover();
      return { steps: this.#steps, excused: this.#judge(), cell: this.cell };
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : String(error)}\n${this.#steps.join("\n")}`, {
        cause: error,
      });
    }
  }

  // --- load

  #produce(): void {
    for (let partition = 0; partition < this.cell.log.length; partition++) {
      for (let n = Math.floor(this.#random() * 20); n > 0; n--) this.cell.produce(partition, this.#taskId());
    }
  }

  /** Two in five records name their task; of those one in five names a task that may have been named before. */
  #taskId(): string | null {
    if (this.#random() >= 0.4) return null;
    if (this.#ids > 0 && this.#random() < 0.2)
      return `id${Math.max(0, this.#ids - 1 - Math.floor(this.#random() * RECENT_IDS))}`;
    return `id${this.#ids++}`;
  }

  #handle(run: Run): ReturnType<Cell["handler"]> {
    const length = this.#random();
    const end = this.#random();
    if (end < 0.004) {
      this.#hanging.push(run);
      this.cell.after(1_000 + this.#random() * 4_000, () => this.#endHanging(run));
      return { ms: 0, outcome: "hang" };
    }
    const ms = length < 0.8 ? 1 + this.#random() * 20 : 100 + this.#random() * (length < 0.95 ? 800 : 5_900);
    return { ms, outcome: end < 0.03 ? "failure" : "success" };
  }

  /** handlerTimeoutMs: the run ends unknown; its effect happened, will happen shortly, or never. */
  #endHanging(run: Run): void {
    if (run.endedAt !== Infinity) return;
    this.cell.end(run, "unknown", this.#random() < 0.4);
    this.#lateEffect(run);
  }

  /** An effect may land until effectSettleMs after its run became impossible (R12). */
  #lateEffect(run: Run): void {
    if (run.effect || this.#random() < 0.6) return;
    this.cell.after(this.#random() * (EFFECT_SETTLE_MS - 1), () => (run.effect = true));
  }

  // --- faults

  #table(): readonly Fault[] {
    return [
      { weight: 12, run: () => this.#crash() },
      { weight: 14, run: () => this.#restart() },
      { weight: 11, run: () => this.#pause() },
      { weight: 16, run: () => this.#resume() },
      { weight: 9, run: () => this.#cutOff() },
      { weight: 14, run: () => this.#heal() },
      { weight: 10, run: () => this.#move() },
      { weight: 6, run: () => this.#dropLinks() },
      { weight: 5, run: () => this.#drain() },
      { weight: 8, run: () => this.#trouble() },
      { weight: 2, run: () => this.#powerLoss() },
      { weight: 2, run: () => this.#stopCell() },
      { weight: 6, run: () => "nothing" },
    ];
  }

  #fault(): void {
    let at = this.#random() * this.#faults.reduce((sum, { weight }) => sum + weight, 0);
    const fault = this.#faults.find(({ weight }) => (at -= weight) < 0) ?? this.#faults[0]!;
    const done = fault.run();
    if (done !== null) this.#steps.push(`${this.cell.now} ${done}`);
  }

  #healthy(): string[] {
    return this.#names.filter(
      (name) =>
        !this.#dead.has(name) &&
        !this.#paused.has(name) &&
        !this.#cut.has(name) &&
        !this.#cutFromPeers.has(name) &&
        !this.#draining.has(name),
    );
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)]!;
  }

  #victim(): string | null {
    const healthy = this.#healthy();
    return healthy.length > 2 ? this.#pick(healthy) : null;
  }

  #oneOf<T extends string>(trouble: number, bad: readonly T[], good: T): T {
    return trouble > 0 && this.#random() < trouble ? this.#pick(bad) : good;
  }

  /** A commit is refused because the group rebalances (S7): the join follows. */
  #endCommit(): ReturnType<Cell["commitOutcome"]> {
    const outcome = this.#oneOf(this.#commitTrouble, ["lost", "refused", "unknown"], "committed");
    if (outcome === "refused") this.cell.after(50, () => this.cell.rebalance(true));
    return outcome;
  }

  #crash(): string | null {
    const victim = this.#victim();
    if (victim === null) return null;
    this.#kill(victim);
    return `crash ${victim}`;
  }

  #kill(victim: string, { asleep = false } = {}): void {
    const running = this.cell.runs.filter((run) => run.node === victim && run.endedAt === Infinity);
    this.cell.crash(victim, { effect: !asleep && this.#random() < 0.5 });
    if (!asleep) for (const run of running) this.#lateEffect(run);
    this.#dead.add(victim);
    this.#draining.delete(victim);
    const { incarnation } = this.cell.node(victim);
    if (this.#random() < 0.5)
      this.cell.after(100 + this.#random() * 500, () => {
        if (this.cell.node(victim).incarnation === incarnation) this.cell.proveDeath(victim);
      });
  }

  #restart(): string | null {
    const name = [...this.#dead][0];
    if (name === undefined) return null;
    this.#dead.delete(name);
    this.cell.start(name);
    return `start ${name}`;
  }

  #pause(): string | null {
    const victim = this.#victim();
    if (victim === null) return null;
    this.cell.pause(victim);
    this.#paused.set(victim, this.cell.now);
    return `pause ${victim}`;
  }

  #resume(): string | null {
    const name = [...this.#paused.keys()][0];
    if (name === undefined) return null;
    const slept = this.cell.now - this.#paused.get(name)!;
    this.#paused.delete(name);
    if (slept > PAUSE_MS_MAX) {
      this.#kill(name, { asleep: true });
      return `wake ${name} after ${slept}: its watchdog kills it`;
    }
    this.cell.resume(name);
    return `wake ${name} after ${slept}`;
  }

  #cutOff(): string | null {
    const victim = this.#victim();
    if (victim === null) return null;
    if (this.#random() < 0.5) {
      this.cell.cut(victim);
      this.#cut.add(victim);
      return `cut ${victim}`;
    }
    this.cell.cutPeers(victim);
    this.#cutFromPeers.add(victim);
    return `cut ${victim} from its peers`;
  }

  #heal(): string | null {
    const name = [...this.#cut, ...this.#cutFromPeers][0];
    if (name === undefined) return null;
    if (this.#cut.delete(name)) this.cell.heal(name);
    if (this.#cutFromPeers.delete(name)) this.cell.healPeers(name);
    return `heal ${name}`;
  }

  #move(): string | null {
    const members = this.#healthy().filter((name) => this.cell.node(name).inGroup);
    if (members.length === 0) return null;
    const to = this.#pick(members);
    const partition = Math.floor(this.#random() * this.cell.log.length);
    this.cell.move(partition, to);
    return `move ${partition} to ${to}`;
  }

  #dropLinks(): string | null {
    const healthy = this.#healthy();
    if (healthy.length === 0) return null;
    const name = this.#pick(healthy);
    this.cell.dropLinks(name);
    return `drop the links of ${name}`;
  }

  #drain(): string | null {
    const victim = this.#victim();
    if (victim === null) return null;
    this.cell.tell(victim, { type: "drain" });
    this.#draining.add(victim);
    return `drain ${victim}`;
  }

  /** For a while commits, in-sync writes or checks end badly. */
  #trouble(): string {
    const ms = 500 + this.#random() * 4_000;
    const which = this.#pick(["commits", "in-sync writes", "checks"] as const);
    const level = 0.3 + 0.6 * this.#random();
    const set = (value: number) => {
      if (which === "commits") this.#commitTrouble = value;
      else if (which === "checks") this.#checkTrouble = value;
      else this.#setTrouble = value;
    };
    set(level);
    this.cell.after(ms, () => set(0));
    return `trouble with ${which} for ${Math.floor(ms)} ms`;
  }

  /** Every node dies at once; all come back: nothing is left but the commits and what the coordinator keeps (R15). */
  #powerLoss(): string | null {
    const alive = this.#alive();
    for (const name of alive) this.#kill(name, { asleep: this.#paused.delete(name) });
    return `power loss: ${alive.join(", ")}`;
  }

  /** Every node is told to drain: the last ones write the clean mark (R22). */
  #stopCell(): string | null {
    const healthy = this.#healthy();
    for (const name of healthy) {
      this.cell.tell(name, { type: "drain" });
      this.#draining.add(name);
    }
    return `stop ${healthy.join(", ")}`;
  }

  #alive(): string[] {
    return this.#names.filter((name) => this.cell.node(name).alive && !this.#cut.has(name));
  }

  #recover(): void {
    this.#steps.push(`${this.cell.now} recovery`);
    while (this.#resume() !== null);
    while (this.#heal() !== null);
    const end = this.cell.now + RECOVERY_MS_MAX;
    while (!this.#everythingCommitted()) {
      while (this.#restart() !== null); // also who drained meanwhile
      if (this.cell.now >= end) throw new Error(`not everything is committed\n${this.cell.describe()}`);
      this.#advance(WATCH_MS);
    }
  }

  #everythingCommitted(): boolean {
    return this.cell.log.every((records, partition) => (this.cell.committed[partition] ?? 0) >= records.length);
  }

  // --- watching

  #advance(ms: number): void {
    for (let left = ms; left > 0; left -= WATCH_MS) {
      this.cell.advance(Math.min(left, WATCH_MS));
      this.#observe();
    }
  }

  /** A drained node comes back; unclean starts are noted; a commit says that its tasks are decided. */
  #observe(): void {
    for (const name of this.#draining) {
      if (this.cell.node(name).alive) continue;
      this.#draining.delete(name);
      this.#dead.add(name);
    }
    for (const node of this.cell.nodes.values()) {
      const lost = node.alarms.filter((alarm) => alarm.startsWith("filter-window")).length;
      if (lost > (this.#windowAlarms.get(node) ?? 0)) this.#windowLostAt.push(this.cell.now);
      this.#windowAlarms.set(node, lost);
    }
    this.cell.committed.forEach((position, partition) => this.#checkCommitted(partition, position ?? 0));
  }

  /** G0: an offset is committed only after its task was executed, or a check or policy decided otherwise. */
  #checkCommitted(partition: number, position: number): void {
    for (let offset = this.#committed[partition]!; offset < position; offset++) {
      const id = this.cell.taskIdOf(partition, offset);
      const aside = this.cell.setAside.some((row) => row.partition === partition && row.offset === offset);
      if (!aside && this.cell.effects(id) === 0)
        throw new Error(`${partition}:${offset} (${id}) is committed and was never executed\n${this.#storyOf(id)}`);
    }
    this.#committed[partition] = Math.max(this.#committed[partition]!, position);
  }

  // --- the judge

  #judge(): Excused[] {
    const excused: Excused[] = [];
    const byId = Map.groupBy(this.cell.runs, (run) => run.taskId);
    for (const [id, runs] of byId) {
      this.#judgeTokens(id, runs);
      const effects = runs.filter((run) => run.effect);
      for (let i = 1; i < effects.length; i++) {
        const why = this.#excuse(effects[i - 1]!, effects[i]!);
        if (why === null) throw new Error(`${id} has ${effects.length} effects\n${this.#storyOf(id)}`);
        excused.push({ taskId: id, why });
      }
    }
    return excused;
  }

  /** G1: later tokens are larger; only a retry under the same grant has the same. */
  #judgeTokens(id: string, runs: readonly Run[]): void {
    const last = new Map<string, Run>();
    for (const run of runs) {
      const key = `${run.partition}:${run.offset}`;
      const before = last.get(key);
      last.set(key, run);
      if (before === undefined) continue;
      const order = run.token[0] - before.token[0] || run.token[1] - before.token[1];
      const retry = order === 0 && run.attempt > before.attempt && run.node === before.node;
      if (order <= 0 && !retry) throw new Error(`the token of ${key} (${id}) did not rise\n${this.#storyOf(id)}`);
    }
  }

  #excuse(first: Run, second: Run): Excused["why"] | null {
    if (first.partition === second.partition && first.offset === second.offset) return null;
    if (this.#windowLostAt.some((at) => at >= first.startedAt && at - WATCH_MS <= second.startedAt))
      return "unclean start";
    const { capacityPerGeneration } = this.cell.settings(first.node).filter;
    // The filter took the id when the record was first given, which may be long before the first run that we see.
    const given = this.cell.runsOf(first.partition, first.offset)[0]!;
    return this.#changesBetween(given, second) >= capacityPerGeneration / 2 ? "filter window" : null;
  }

  /** Changes of T between two grants; a task makes at least one, so the filter took no more keys than that. */
  #changesBetween(first: Run, second: Run): number {
    const [epoch, stamp] = first.token;
    if (second.token[0] === epoch) return second.token[1] - stamp;
    const last = Math.max(...this.cell.runs.filter((run) => run.token[0] === epoch).map((run) => run.token[1]));
    return last - stamp + second.token[1];
  }

  #storyOf(id: string): string {
    const runs = this.cell.runs.filter((run) => run.taskId === id).map((run) => JSON.stringify(run));
    const checks = this.cell.checks
      .filter((check) => this.cell.taskIdOf(check.partition, check.offset) === id)
      .map((check) => `check ${JSON.stringify(check)}`);
    return [...runs, ...checks].join("\n");
  }
}
