/**
 * The user's checks: asked with a time limit, answered exactly once. Whatever is not one of the three words (an error, a
 * time-out, nonsense) counts as "unknown" and leaves a log line; an answer after the time-out is ignored.
 */
import type { CoreEffect } from "../core/effects.ts";
import type { CheckAnswer } from "../core/events.ts";
import { partitionOf } from "../core/identity.ts";
import type { TaskRecord } from "../task-log/task-log.ts";
import { Attempt, RecordTask, type RunnerLog } from "./attempt.ts";
import type { TaskType } from "./define.ts";
import type { FailureLog } from "./failure-log.ts";
import type { Outbox } from "./outbox.ts";
import { mayBePromise, whenSettled } from "./settled.ts";

export type CheckEffect = Extract<CoreEffect, { type: "check" }>;

export interface CheckCounters {
  checks: number;
  checksTimedOut: number;
  checksUseless: number; // threw, or answered something else than the three words
}

interface RunningCheck {
  readonly type: TaskType;
  readonly attempt: Attempt;
  readonly effect: CheckEffect;
}

export class Checks {
  readonly #now: () => number;
  readonly #log: RunnerLog;
  readonly #failures: FailureLog;
  readonly #outbox: Outbox;
  readonly #count: CheckCounters;
  readonly #running = new Set<RunningCheck>();

  constructor(now: () => number, log: RunnerLog, failures: FailureLog, outbox: Outbox, count: CheckCounters) {
    this.#now = now;
    this.#log = log;
    this.#failures = failures;
    this.#outbox = outbox;
    this.#count = count;
  }

  /** Checks that have neither answered nor run out of time. */
  get size(): number {
    return this.#running.size;
  }

  /** Calls the check; `record` null: it cannot be asked. */
  ask(type: TaskType, effect: CheckEffect, record: TaskRecord | null): void {
    const deadlineMs = this.#now() + type.checkTimeoutMs;
    const { pid, offset, epoch, stamp } = effect;
    // Never a reason to kill the process: a check that hangs holds nothing up but its own answer.
    const killAtMs = Number.POSITIVE_INFINITY;
    const attempt = new Attempt(type, pid, offset, epoch, stamp, 0, deadlineMs, killAtMs, this.#log);
    const running = { type, attempt, effect };
    this.#running.add(running);
    if (type.check === null || record === null) {
      this.#end(
        running,
        "unknown",
        type.check === null ? "this task type has none" : "its record is not kept any more",
      );
      return;
    }
    this.#count.checks++;
    let answer: unknown;
    try {
      answer = type.check(new RecordTask(type, partitionOf(effect.pid), record), running.attempt);
    } catch (thrown) {
      this.#threw(running, thrown);
      return;
    }
    if (!mayBePromise(answer)) {
      this.#answered(running, answer);
      return;
    }
    whenSettled(
      answer,
      (value) => this.#answered(running, value),
      (thrown) => this.#threw(running, thrown),
    );
  }

  /** Gives up on checks whose time is over. */
  sweep(now: number): void {
    for (const running of this.#running) {
      if (running.attempt.deadlineMs > now) continue;
      const message = `it ran longer than ${running.type.checkTimeoutMs} ms (--check-timeout-ms)`;
      this.#count.checksTimedOut++;
      this.#end(running, "unknown", message);
      running.attempt.abort(
        new DOMException(`the check is over: ${message}`, "TimeoutError"),
        Number.POSITIVE_INFINITY,
      );
    }
  }

  #answered(running: RunningCheck, answer: unknown): void {
    if (answer === "executed" || answer === "not-executed" || answer === "unknown") {
      this.#end(running, answer, "");
      return;
    }
    if (this.#running.has(running)) this.#count.checksUseless++;
    const shown = typeof answer === "string" ? JSON.stringify(answer.slice(0, 60)) : typeof answer;
    this.#end(running, "unknown", `it answered ${shown}, expected "executed", "not-executed" or "unknown"`);
  }

  #threw(running: RunningCheck, thrown: unknown): void {
    if (!this.#running.has(running)) return; // after its time-out
    this.#count.checksUseless++;
    const error = this.#failures.remember(running.effect.pid, running.effect.offset, thrown);
    this.#end(running, "unknown", `it threw: ${error}`);
  }

  #end(running: RunningCheck, answer: CheckAnswer, problem: string): void {
    if (!this.#running.delete(running)) return;
    const { pid, offset, epoch, stamp } = running.effect;
    if (problem !== "") {
      const task = `${running.type.topic}:${partitionOf(pid)}:${offset}`;
      this.#failures.note(this.#now(), `a check counts as "unknown": ${problem}`, { task });
    }
    this.#outbox.check({ pid, offset, epoch, stamp, answer });
  }
}
