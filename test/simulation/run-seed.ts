/** One seed, from its first draw to its verdict. */
import { quarantineMs } from "../../src/core/settings.ts";
import { Simulation } from "./simulation.ts";
import { describeFault, planFaults } from "./fault-plan.ts";
import { Faults } from "./faults.ts";
import { partitionOf } from "../../src/core/identity.ts";
import { Violation, type HistoryEvent } from "./history.ts";
import { checkHistory } from "./history-checker.ts";
import { checkers } from "./checkers/index.ts";
import { namesSuspects, waitsForOne } from "./checkers/stopped.ts";
import type { ObserverFactory } from "./observer.ts";
import { rowObservers } from "./rows/index.ts";
import { Random } from "./random.ts";
import type { SeedOptions, SeedResult, SeedViolation } from "./seed-result.ts";
import { swarmSettings } from "./swarm.ts";
import { Workload } from "./workload.ts";
import { loadKeyHash } from "../../native-ish/key-hash.ts";

/** The run under way: what is thrown where nobody catches it would be the end of a real process. */
let running: Simulation | null = null;

/** What is loaded once a process and then kept; to be awaited before the first seed. */
export async function prepare(): Promise<void> {
  await loadKeyHash();
  process.on("uncaughtException", (error) => running?.fail(new Violation("crash", error.stack ?? String(error))));
}

/** What other clients and people do to the group or the log. */
const MEDDLING: readonly string[] = [
  "foreign-commit",
  "offsets-lost",
  "truncation",
  "retention",
  "topic-recreated",
  "fatal-commit",
  "coordinator-wipe",
  "replay",
];

/** Longest time from the last fault to rest, in quarantines of the cell. */
const REST_QUARANTINES_MAX = 60;

export function runSeed(seed: number, options: SeedOptions = {}): SeedResult {
  const random = new Random(seed);
  const settings = { ...swarmSettings(random.split("swarm")), ...options.overrides };
  const plan = planFaults(random.split("faults"), settings).filter(
    ({ index }) => options.faultsOnly === undefined || options.faultsOnly.includes(index),
  );
  const workload = new Workload(random.split("workload"), settings, options.tasksMax ?? Infinity);
  const rows = new Set<string>();
  const observers: ObserverFactory[] = [
    ...checkers.filter(({ id }) => options.without?.includes(id) !== true).map(({ create }) => create),
    ...rowObservers((row) => rows.add(row)),
  ];
  const simulation = new Simulation({
    seed,
    random,
    settings,
    behaviour: workload,
    observers,
    withNotes: options.withHistory === true,
  });
  const faults = new Faults(simulation, workload, plan);
  running = simulation;
  const violation = simulation.within(() => judge(simulation, workload, faults, options));
  running = null;
  const { history } = simulation;
  return {
    seed,
    violation,
    hash: history.hash(),
    virtualMs: simulation.now,
    faultMs: Math.min(settings.faultMs, simulation.now),
    tasks: new Set(simulation.runs.map(({ partition, offset }) => `${partition}:${offset}`)).size,
    runs: simulation.runs.length,
    faults: faults.counts,
    elections: simulation.elections,
    doubts: simulation.allDoubts(),
    rows: [...rows].sort(),
    nodes: settings.nodes,
    events: simulation.time.events,
    settings,
    plan: plan.map(describeFault),
    ...(options.withHistory === true ? { history: history.events } : {}),
  };
}

function judge(simulation: Simulation, workload: Workload, faults: Faults, options: SeedOptions): SeedViolation | null {
  try {
    live(simulation, workload, faults);
    const report = checkHistory(simulation.settings, simulation.history.events);
    const first = report.violations.find(({ invariant }) => options.without?.includes(invariant) !== true);
    if (first !== undefined) simulation.fail(new Violation(first.invariant, first.message));
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    simulation.fail(error);
  }
  const { failure } = simulation;
  if (failure === null) return null;
  return { invariant: failure.invariant, message: failure.message, at: simulation.now };
}

function live(simulation: Simulation, workload: Workload, faults: Faults): void {
  const { settings } = simulation;
  const { timing } = settings;
  workload.schedule(simulation);
  for (const name of simulation.names) simulation.start(name);
  simulation.until(() => simulation.now >= faults.endsAt, settings.faultMs, 500);
  if (faults.endsAt < Infinity) return;
  faults.heal();
  workload.calm = true;
  simulation.quiet = true;
  simulation.history.add({ type: "quiet", at: simulation.now });
  const limitMs = REST_QUARANTINES_MAX * quarantineMs(timing);
  const settledAt = simulation.now + settleMs(simulation, faults);
  // Long enough for the last commits and watermarks to be told; a partition that stood still may yet find another owner, or its suspects
  // the end of their quarantine, and go on.
  const stillMs = 3 * timing.heartbeatMs + timing.commitIntervalMs;
  const hasWorked = watchForWork(simulation);
  let restsSince = Infinity;
  const rested = simulation.until(
    () => {
      faults.restartDead(); // also who was still draining
      const worked = hasWorked();
      if (simulation.now < settledAt || !isAtRest(simulation)) restsSince = Infinity;
      else if (restsSince === Infinity || worked) restsSince = simulation.now;
      return simulation.now >= restsSince + stillMs;
    },
    limitMs + stillMs,
    200,
  );
  if (!rested) throw new Violation("V2", `not at rest ${limitMs} ms after the last fault\n${describe(simulation)}`);
  simulation.atRest();
  simulation.atEnd();
}

/** The last faults have an aftermath: a session that ends only now, a commit whose answer never comes. */
function settleMs({ settings, kafka }: Simulation, { counts }: Faults): number {
  const unanswered = ["commit-trouble", "cut-log", "cut-all", "slow-log", "set-aside-trouble"].some(
    (kind) => (counts[kind] ?? 0) > 0,
  );
  return Math.max(1.5 * settings.timing.sessionMs, unanswered ? kafka.settings.commitTimeoutMs : 0);
}

const WORK: ReadonlySet<HistoryEvent["type"]> = new Set(["handler-start", "handler-end", "check-start", "check-end"]);

/** Has a handler or a check begun or ended since the last question? */
function watchForWork({ history }: Simulation): () => boolean {
  let read = 0;
  return () => {
    const { events } = history;
    let worked = false;
    for (; read < events.length; read++) worked ||= WORK.has(events[read]!.type);
    return worked;
  };
}

/** Everything that was delivered is committed, one leader votes, and everybody is in its in-sync set. */
function isAtRest(simulation: Simulation): boolean {
  const { log, nodes, names } = simulation;
  // What the cell committed counts, also when the group's offsets were lost afterwards: nothing would make it commit again.
  const committed = simulation.highestCommit;
  for (let partition = 0; partition < log.length; partition++) {
    const records = log[partition]!;
    let end = records.length;
    while (end > 0 && records[end - 1]!.isGap) end--;
    if ((committed[partition] ?? 0) < end && !isStopped(simulation, partition)) return false;
  }
  if (simulation.runs.some(({ endedAt }) => endedAt === Infinity)) return false;
  const { owner, groupGeneration } = simulation;
  // No join is under way: every partition is read under the present generation.
  for (let partition = 0; partition < log.length; partition++) {
    const windows = nodes.get(owner[partition] ?? "")?.core?.member.state.windows;
    const window = windows?.values().find(({ pid }) => partitionOf(pid) === partition);
    if (window?.generation !== groupGeneration) return false;
    // Who joined after the offsets were lost goes over it again: suspects wait for the quarantine (R15d).
    if (window.committable < window.fetchPosition && !isStopped(simulation, partition)) return false;
  }
  const leaders = names.filter((name) => nodes.get(name)?.core?.leader?.state.active === true);
  if (leaders.length !== 1) return false;
  return names.every((name) => nodes.get(name)?.core?.member.state.admitted === true);
}

/** Stopped with an alarm, because somebody moved its offsets or cut its log: a person must say how it goes on (R7). */
function isStopped(simulation: Simulation, partition: number): boolean {
  const { names, nodes, history } = simulation;
  if (!history.events.some((event) => event.type === "fault" && MEDDLING.includes(event.kind))) return false;
  const stopped = new Set<number>();
  for (const name of names)
    for (const window of nodes.get(name)?.core?.member.state.windows.values() ?? [])
      if (window.stopped !== "") stopped.add(partitionOf(window.pid));
  // Or another one is, and what it had in flight before an unclean start is not named yet (R15e), or is the same task.
  return (
    stopped.has(partition) ||
    (stopped.size > 0 && (namesSuspects(simulation) || waitsForOne(simulation, stopped, partition)))
  );
}

function describe(simulation: Simulation): string {
  const lines = simulation.names.map((name) => {
    const node = simulation.nodes.get(name);
    const core = node?.core;
    if (core === null || core === undefined) return `${name} ${node?.process.state ?? "absent"}, not registered`;
    const status = core.status(node!.process.monotonicMs());
    return `${name} ${node!.process.state} ${status.role} e${status.epoch} member=${status.member} doubtful=${status.doubtful} running=${status.running} waits="${status.waitingFor}" ${JSON.stringify(status.partitions)}`;
  });
  const { committed, log, owner, inSync, leader } = simulation;
  return [
    `leader=${leader?.incarnation ?? "none"} inSync=${inSync.join(",")} committed=${committed.join(",")} of ${log.map((records) => records.length).join(",")} owners=${owner.join(",")}`,
    ...lines,
  ].join("\n");
}
