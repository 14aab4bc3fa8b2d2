/**
 * The judge. From the record of effects and the list of produced task ids it counts what happened; it knows nothing of
 * nodes, counters or protocols. Pure.
 */
import type { EffectLine } from "./effect-record.ts";

export interface Judgement {
  /** Distinct tasks produced. */
  readonly tasks: number;
  /** Distinct tasks with an effect. */
  readonly executed: number;
  /** Distinct tasks with more than one effect. */
  readonly executedTwice: number;
  /** Distinct tasks without any effect. */
  readonly lost: number;
  /** Effects of tasks that nobody produced: the record is not of this run. */
  readonly foreign: number;
  /** Effects without a start before them by the same process: a line is missing. */
  readonly withoutStart: number;
  /** Starts with an older token than an earlier start of the same task had (guarantee G1 forbids it). */
  readonly tokensFell: number;
  readonly starts: number;
  /** A few of the ids behind each number above, for whoever has to find out why. */
  readonly examples: Readonly<
    Record<"executedTwice" | "lost" | "foreign" | "withoutStart" | "tokensFell", readonly string[]>
  >;
}

const EXAMPLES_MAX = 10;

interface Seen {
  effects: number;
  highestToken: string;
  readonly startedBy: Set<number>; // pids
}

/** Judges all lines, in the order of the file. */
export function judge(lines: Iterable<EffectLine>, producedIds: Iterable<string>): Judgement {
  const produced = new Set(producedIds);
  const seen = new Map<string, Seen>();
  const foreign: string[] = [];
  const withoutStart: string[] = [];
  const tokensFell: string[] = [];
  let starts = 0;
  for (const { kind, taskId, pid, token } of lines) {
    const task = seen.get(taskId) ?? { effects: 0, highestToken: "", startedBy: new Set() };
    seen.set(taskId, task);
    if (kind === "start") {
      starts++;
      task.startedBy.add(pid);
      if (token < task.highestToken) tokensFell.push(taskId);
      else task.highestToken = token;
    } else {
      task.effects++;
      if (!produced.has(taskId)) foreign.push(taskId);
      if (!task.startedBy.has(pid)) withoutStart.push(taskId);
    }
  }
  const withEffects = (atLeast: number): string[] =>
    [...produced].filter((id) => (seen.get(id)?.effects ?? 0) >= atLeast);
  const twice = withEffects(2);
  const executed = new Set(withEffects(1));
  const lost = [...produced].filter((id) => !executed.has(id));
  return {
    tasks: produced.size,
    executed: executed.size,
    executedTwice: twice.length,
    lost: lost.length,
    foreign: foreign.length,
    withoutStart: withoutStart.length,
    tokensFell: tokensFell.length,
    starts,
    examples: {
      executedTwice: twice.slice(0, EXAMPLES_MAX),
      lost: lost.slice(0, EXAMPLES_MAX),
      foreign: foreign.slice(0, EXAMPLES_MAX),
      withoutStart: withoutStart.slice(0, EXAMPLES_MAX),
      tokensFell: tokensFell.slice(0, EXAMPLES_MAX),
    },
  };
}

/** Starts without an effect so far, by process: what each of them is executing, as the record has it. */
export class OpenStarts {
  readonly #byPid = new Map<number, Set<string>>();
  #effects = 0;

  take(lines: Iterable<EffectLine>): void {
    for (const { kind, taskId, pid } of lines) {
      let open = this.#byPid.get(pid);
      if (open === undefined) this.#byPid.set(pid, (open = new Set()));
      if (kind === "start") open.add(taskId);
      else {
        this.#effects++;
        open.delete(taskId);
      }
    }
  }

  /** Effects in the record, repeated ones included. */
  get effects(): number {
    return this.#effects;
  }

  of(pid: number): ReadonlySet<string> {
    return this.#byPid.get(pid) ?? new Set();
  }
}

/** Doubts by how they were settled, over all nodes. */
export interface DoubtCounts {
  readonly attestedExecuted: number;
  readonly waitedForHolder: number;
  readonly checkedExecuted: number;
  readonly checkedNotExecuted: number;
  readonly falsePositive: number;
  readonly committed: number;
  readonly regranted: number;
  readonly byPolicy: number;
}

export interface FaultCounts {
  readonly nodesAdded: number;
  readonly nodesKilled: number;
  /** Tasks that the killed nodes were executing, from the record: starts without an effect. */
  readonly executingAtKill: number;
}

/** What a complete and undamaged record must show, whatever the faults; "" free of complaints. One sentence each. */
export function complaints(judgement: Judgement, malformedLines: number): string[] {
  const { examples } = judgement;
  const found = [
    complaint(judgement.tasks === 0 ? 1 : 0, "no task was produced", []),
    complaint(judgement.lost, "produced task(s) without an effect (lost)", examples.lost),
    complaint(judgement.executedTwice, "task(s) executed twice", examples.executedTwice),
    complaint(judgement.tokensFell, "start(s) with an older fencing token than a start before", examples.tokensFell),
    complaint(judgement.foreign, "effect(s) of tasks that were not produced", examples.foreign),
    complaint(judgement.withoutStart, "effect(s) without a start", examples.withoutStart),
    complaint(malformedLines, "damaged line(s) in the record", []),
  ];
  return found.filter((text) => text !== "");
}

/** What is missing for the faults to have been any: a proof without them proves nothing about them. */
export function faultComplaints(faults: FaultCounts, doubts: DoubtCounts): string[] {
  const missing: readonly (readonly [boolean, string])[] = [
    [faults.nodesAdded === 0, "no node was added"],
    [faults.nodesKilled === 0, "no node was killed"],
    [faults.executingAtKill === 0, "the killed node was executing nothing"],
    [
      doubts.attestedExecuted + doubts.waitedForHolder === 0,
      "no doubt was settled by attestation or by waiting for a holder",
    ],
    [doubts.checkedExecuted + doubts.checkedNotExecuted === 0, "no doubt was settled by a check"],
  ];
  return missing.filter(([isMissing]) => isMissing).map(([, words]) => words);
}

function complaint(count: number, words: string, ids: readonly string[]): string {
  if (count === 0) return "";
  const shown = ids.length === 0 ? "" : `: ${ids.join(" ")}${count > ids.length ? " …" : ""}`;
  return `${count} ${words}${shown}`;
}
