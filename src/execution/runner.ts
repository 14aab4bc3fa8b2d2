/** Carries the core's execution effects out. (Signature first; the body follows.) */
import type { CoreEffect } from "../core/effects.ts";
import type { CheckAnswer } from "../core/events.ts";
import type { PartitionId } from "../core/identity.ts";
import type { TaskProducer, TaskRecord } from "../task-log/task-log.ts";
import type { TaskType } from "./define.ts";

export type ExecuteEffect = Extract<CoreEffect, { type: "execute" }>;
export type CheckEffect = Extract<CoreEffect, { type: "check" }>;
export type SetAsideEffect = Extract<CoreEffect, { type: "set-aside" }>;

export type RunnerLog = (
  level: "info" | "warn" | "error",
  message: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

/** What the runner tells the watchdog, and asks of it. `Watchdog` implements it. */
export interface WorkGuard {
  /** User code runs in this many tasks; in `remainingMs` the first of them must have ended, or the process is killed. */
  work(running: number, remainingMs: number): void;
  /** Starts are allowed before this moment of the monotonic clock. */
  healthyUntil(): number;
}

export interface RunnerOptions {
  /** By topic index: sorted by name, as everywhere. */
  readonly tasks: readonly TaskType[];
  /** Milliseconds of the monotonic clock that the core is given. */
  readonly now: () => number;
  /** The delivered record; null when it is no longer kept (an execute is then "notStarted", a set-aside not acknowledged). */
  readonly record: (pid: PartitionId, offset: number) => TaskRecord | null;
  readonly producer: TaskProducer;
  readonly guard: WorkGuard | null;
  readonly log: RunnerLog;
  // Results. None of these is called from inside a call of the runner: always in a later turn, once a turn and partition.
  readonly onResults: (pid: PartitionId, offsets: Float64Array, outcomes: Uint8Array) => void;
  readonly onCheckResult: (pid: PartitionId, offset: number, stamp: number, answer: CheckAnswer) => void;
  readonly onSetAside: (pid: PartitionId, offset: number, acknowledged: boolean) => void;
}

export interface RunnerApi extends AsyncDisposable {
  /** Starts the handlers now, in this turn. */
  execute(effect: ExecuteEffect): void;
  check(effect: CheckEffect): void;
  setAside(effect: SetAsideEffect): void;
  /** Aborts the signals of all running handlers. */
  abortAll(reason: string): void;
  /** Handlers that have not ended. */
  running(): number;
  /** Resolves when no handler runs any more and every result was handed over. */
  idle(): Promise<void>;
  /** Stops the sweep; starts nothing from now on. Handlers that still run are not waited for. */
  close(): Promise<void>;
}
