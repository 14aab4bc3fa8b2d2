/** What the judge of the history reads out of it, and what it reports. */
import type { HistoryEvent, HistoryEventOf } from "./history.ts";
import type { SimulationSettings } from "./observer.ts";

export interface HistoryViolation {
  readonly invariant: "H1" | "H2" | "H3" | "H4" | "H5" | "H6" | "H7";
  readonly message: string;
  readonly at: number;
}

export interface HistoryReport {
  readonly violations: readonly HistoryViolation[];
  /** Records, as in Jepsen's total queue. */
  readonly produced: number;
  readonly executed: number; // records whose task had an effect
  readonly dropped: number; // records without one that a check or a policy decided, or that were set aside
  readonly lost: number;
  readonly unexpected: number; // effects of tasks that nobody produced
  readonly duplicated: number; // effects beyond the first of each task
  readonly recovered: number; // tasks whose run died or ended unknown, and that had an effect or a decision all the same
  /** Allowed doubles by their reason. */
  readonly excused: Readonly<Record<string, number>>;
  readonly leaders: number;
  readonly checks: number;
}

export interface SeenRun {
  readonly number: number;
  readonly taskId: string;
  readonly partition: number;
  readonly offset: number;
  readonly node: string;
  readonly pid: number;
  readonly epoch: number;
  readonly stamp: number;
  readonly attempt: number;
  readonly startedAt: number;
  endedAt: number;
  effectAt: number;
  outcome: HistoryEventOf<"handler-end">["outcome"] | "running";
  slept: boolean; // its process was stopped past the isolation deadline
}

export interface SeenCheck {
  readonly taskId: string;
  readonly record: string;
  readonly at: number;
  answer: HistoryEventOf<"check-end">["answer"] | "none";
  truth: boolean;
}

export interface Produced {
  readonly taskId: string;
  readonly offset: number;
}

export function tellRun(run: SeenRun): string {
  const { number, node, pid, partition, offset, epoch, stamp, attempt, startedAt, endedAt, outcome } = run;
  return `run ${number} (${partition}:${offset} on ${node}, process ${pid}, token ${epoch}-${stamp}, attempt ${attempt}, ${startedAt} to ${endedAt}: ${outcome})`;
}

/** Alarms that leave a partition to a person. */
export const STOPS = new Set(["position-below-from", "out-of-range", "truncated", "commit-fatal", "takeover-refused"]);
export const DRIFT = 0.98; // two clocks, 1 % each

/** Tasks with a run that did not end well and that ended well all the same. */
export function countRecovered(
  byTask: ReadonlyMap<string, readonly SeenRun[]>,
  ended: (taskId: string) => boolean,
): number {
  let recovered = 0;
  for (const [taskId, runs] of byTask)
    if (ended(taskId) && runs.some((run) => run.outcome === "died" || run.outcome === "hang-ended")) recovered++;
  return recovered;
}

/** Keys are counted by stamps of handlers' grants, which are seen only where a handler started: an estimate, so with slack. */
const WINDOW_SLACK = 0.5;

/** Offsets that the cell committed meanwhile: what W passes may be put into the filter once more (R18). */
function passedBetween(events: readonly HistoryEvent[], from: number, to: number): number {
  let passed = 0;
  for (const event of events) {
    if (event.type !== "committed" || event.node === "" || event.at < from || event.at > to) continue;
    passed += Math.max(0, event.position - (event.before ?? 0));
  }
  return passed;
}

/** A filter keeps at least all but one of its generations; each key that it took was a change of the table, which has a stamp. */
export function isOutsideWindow(
  { filterCapacity, filterGenerations }: SimulationSettings,
  events: readonly HistoryEvent[],
  runs: ReadonlyMap<number, SeenRun>,
  first: SeenRun,
  second: SeenRun,
): boolean {
  // The filter took the id when the record was first given, which may be long before the run that had the effect.
  const isGiven = ({ partition, offset }: SeenRun): boolean => partition === first.partition && offset === first.offset;
  const given = runs.values().find(isGiven) ?? first;
  const highest = new Map<number, number>();
  for (const run of runs.values()) highest.set(run.epoch, Math.max(highest.get(run.epoch) ?? 0, run.stamp));
  let changes = passedBetween(events, given.startedAt, second.startedAt);
  for (const [epoch, stamp] of highest) {
    if (epoch < given.epoch || epoch > second.epoch) continue;
    changes += (epoch === second.epoch ? second.stamp : stamp) - (epoch === given.epoch ? given.stamp : 0);
  }
  return changes >= Math.max(1, filterGenerations - 1) * filterCapacity * WINDOW_SLACK;
}

/** Whether one of these partitions holds a record of this task. */
export function namesTask(
  produced: readonly (ReadonlyMap<number, { readonly taskId: string }> | undefined)[],
  partitions: ReadonlySet<number>,
  taskId: string,
): boolean {
  for (const partition of partitions)
    for (const record of produced[partition]?.values() ?? []) if (record.taskId === taskId) return true;
  return false;
}
