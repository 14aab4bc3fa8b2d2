/** Failed attempts on their way to the log and to the dead-letter headers, both bounded: a failing sink fails every task. */
import type { PartitionId } from "../core/identity.ts";
import { describeError } from "../errors.ts";
import type { LogFields, RunnerLog } from "./attempt.ts";

const LINES_MAX = 10; // in each window
const WINDOW_MS = 1_000;
const REMEMBERED_MAX = 2_000; // last errors, by record
const ERROR_LENGTH_MAX = 500;

export class FailureLog {
  readonly #log: RunnerLog;
  readonly #lastErrors = new Map<string, string>();
  #windowFromMs = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #suppressed = 0;

  constructor(log: RunnerLog) {
    this.#log = log;
  }

  /** An attempt or a check that did not go well. */
  note(nowMs: number, message: string, fields: LogFields): void {
    if (nowMs - this.#windowFromMs >= WINDOW_MS) {
      this.#windowFromMs = nowMs;
      this.#lines = 0;
    }
    if (this.#lines >= LINES_MAX) {
      this.#suppressed++;
      return;
    }
    this.#lines++;
    const more = this.#suppressed === 0 ? {} : { suppressedBefore: this.#suppressed };
    this.#suppressed = 0;
    this.#log("warn", message, { ...fields, ...more });
  }

  /** Keeps the error for the headers of a dead letter. @returns the text, cut to its limit */
  remember(pid: PartitionId, offset: number, thrown: unknown): string {
    const error = cut(describeError(thrown));
    const key = `${pid}:${offset}`;
    this.#lastErrors.delete(key); // so that it becomes the newest
    this.#lastErrors.set(key, error);
    if (this.#lastErrors.size > REMEMBERED_MAX) {
      for (const oldest of this.#lastErrors.keys()) {
        this.#lastErrors.delete(oldest);
        break;
      }
    }
    return error;
  }

  /** The last error of this record on this node, "" when none is remembered. */
  errorOf(pid: PartitionId, offset: number): string {
    return this.#lastErrors.get(`${pid}:${offset}`) ?? "";
  }

  forget(pid: PartitionId, offset: number): void {
    this.#lastErrors.delete(`${pid}:${offset}`);
  }
}

function cut(text: string): string {
  return text.length > ERROR_LENGTH_MAX ? `${text.slice(0, ERROR_LENGTH_MAX - 3)}...` : text;
}
