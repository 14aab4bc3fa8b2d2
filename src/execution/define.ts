/**
 * What a user writes: task definitions. `defineTasks` only gives them their types; whether a definition is usable is
 * decided by `resolveTasks` (resolve.ts), which sees all of them at once and so can report every violation together.
 */
import type { CheckAnswer } from "../core/events.ts";
import type { OnUnknown } from "../core/settings.ts";
import type { TaskRecord } from "../task-log/task-log.ts";
import type { FencingToken } from "./fencing-token.ts";

/** One task as a handler sees it. `payload` and `id` are computed when first read. */
export interface Task<T> {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: Readonly<Record<string, Uint8Array>>;
  readonly timestampMs: number;
  /** The task id, or `topic:partition:offset` when the record names none. */
  readonly id: string;
  /** The decoded value. Reading it throws what `decode` throws; the attempt then fails like any other. */
  readonly payload: T;
  /** A header as UTF-8 text; null when the record has none of this name. */
  header(name: string): string | null;
}

export interface TaskLogger {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export interface TaskContext {
  /**
   * Aborted when `handlerTimeoutMs` passed or when this node lost its cell. A handler must end within `abortGraceMs` of it,
   * or the process is killed. An attempt that throws after it is "unknown", never "failed".
   */
  readonly signal: AbortSignal;
  /** Give it to the sink: a sink that refuses older tokens cannot be written twice. */
  readonly token: FencingToken;
  /** 1 for the first attempt under this grant's history; 0 in a check. */
  readonly attempt: number;
  readonly log: TaskLogger;
}

/** Which text names the task: a header, the record's key, or what a function says. No text: the record's own position. */
export type TaskIdRule =
  "key" | { readonly header: string } | ((record: TaskRecord) => string | Uint8Array | null | undefined);

/** One topic's tasks. Times are milliseconds; a value that is left out is the node's default. */
export interface TaskDefinition<T = unknown> {
  readonly topic: string;
  /** Default: `{ header: "task-id" }`. */
  readonly taskId?: TaskIdRule;
  /** Turns the record into `task.payload`, at its first use. Default: the value as JSON. */
  decode?(record: TaskRecord): T;
  /**
   * Does the task. Throwing (or rejecting) reports failure: nothing happened that must not happen again, so it is tried
   * again. `OutcomeUnknown` says that it may have happened, `FailedForGood` that no further attempt is to be made.
   */
  execute(task: Task<T>, context: TaskContext): unknown;
  /** Was this task done? Anything but a clear answer (an error, a time-out) counts as "unknown". */
  check?(task: Task<T>, context: TaskContext): CheckAnswer | PromiseLike<CheckAnswer>;
  /** What happens to a task of which nobody can say whether it ran. There is no default. */
  readonly onUnknown: OnUnknown;
  readonly attemptsMax?: number;
  readonly retryBackoffMs?: number;
  readonly retryBackoffMaxMs?: number;
  readonly handlerTimeoutMs?: number;
  readonly abortGraceMs?: number;
  readonly checkTimeoutMs?: number;
  /** An effect of a run may land this long after the run's death. */
  readonly effectSettleMs?: number;
}

/** What a task module exports by default. */
export type Tasks = TaskDefinition | readonly TaskDefinition[];

/** Gives a task definition its types and returns it unchanged. A module exports one, or an array of them. */
export function defineTasks<T = unknown>(definition: TaskDefinition<T>): TaskDefinition<T> {
  return definition;
}

/** What a definition gets where it is silent. */
export interface TaskDefaults {
  readonly attemptsMax: number;
  readonly retryBackoffMs: number;
  readonly retryBackoffMaxMs: number;
  readonly handlerTimeoutMs: number;
  readonly abortGraceMs: number;
  readonly checkTimeoutMs: number;
  readonly effectSettleMs: number;
}

/** A usable definition: everything filled in and checked. */
export interface TaskType extends TaskDefaults {
  readonly topic: string;
  readonly onUnknown: OnUnknown;
  /** The task id that the record names; null when it names none. Never throws. */
  readonly taskId: (record: TaskRecord) => string | null;
  readonly decode: (record: TaskRecord) => unknown;
  readonly execute: (task: Task<unknown>, context: TaskContext) => unknown;
  readonly check: ((task: Task<unknown>, context: TaskContext) => unknown) | null;
}
