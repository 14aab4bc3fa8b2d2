/**
 * Carries the core's execution effects out: starts handlers, asks checks, sets records aside, and brings every outcome
 * back, each exactly once.
 *
 * Guarantees: no handler starts at or after `validUntil` or without a recent answer of the watchdog (R9, R12); an attempt
 * counts as failed only when it threw before its time-out and before any abort, and no `OutcomeUnknown`, else as unknown (R23); a handler counts
 * as running until it really ended, however late. It decides nothing about retries, back-off or policy: the core does.
 *
 * Results never come back inside a call, but in batches, once a turn. Per task there are the handler's own promise and
 * two small objects; no timer (one sweep finds the late ones). A handler that returns no promise costs no turn at all.
 */
import assert from "node:assert/strict";
import type { CoreEffect } from "../core/effects.ts";
import { Outcome } from "../core/events.ts";
import { partitionOf, type PartitionId, topicIndexOf } from "../core/identity.ts";
import type { TaskProducer, TaskRecord } from "../task-log/task-log.ts";
import { Attempt, RecordTask, type RunnerLog } from "./attempt.ts";
import { type CheckCounters, type CheckEffect, Checks } from "./checks.ts";
import type { TaskType } from "./define.ts";
import { FailureLog } from "./failure-log.ts";
import { outcomeOf } from "./outcome-errors.ts";
import { Outbox, type OutboxHandlers } from "./outbox.ts";
import { conflictHeaders, describeSetAside, type SetAsideRequest, SetAsideWriter } from "./set-aside.ts";
import { mayBePromise, whenSettled } from "./settled.ts";

export type { CheckEffect };
export type ExecuteEffect = Extract<CoreEffect, { type: "execute" }>;
export type SetAsideEffect = Extract<CoreEffect, { type: "set-aside" }>;

/** What the runner tells the watchdog, and asks of it. `Watchdog` implements it. */
export interface WorkGuard {
  /** User code runs in this many tasks; in `remainingMs` (Infinity: no limit) the first of them must have ended, or the process is killed. */
  work(running: number, remainingMs: number): void;
  /** The task whose user code is called now, else the one that must end first; for a person who asks why. */
  names?(pid: PartitionId, offset: number, isCheck: boolean): void;
  /** Starts are allowed before this moment of the monotonic clock. */
  healthyUntil(): number;
}

export interface RunnerOptions extends OutboxHandlers {
  /** By topic index: sorted by name, as everywhere. */
  readonly tasks: readonly TaskType[];
  /** Milliseconds of the monotonic clock that the core and the watchdog are given. */
  readonly now: () => number;
  /** The delivered record; null when it is no longer kept (an execute is then "notStarted", a set-aside not acknowledged). */
  readonly record: (pid: PartitionId, offset: number) => TaskRecord | null;
  readonly producer: TaskProducer;
  /** null: nothing kills this process; for tests and simulations only. */
  readonly guard: WorkGuard | null;
  readonly log: RunnerLog;
}

/** What happened since the start; all only rise. */
export interface RunnerCounters extends CheckCounters {
  started: number;
  succeeded: number;
  failed: number;
  unknown: number;
  notStarted: number;
  timedOut: number; // handlers whose time was over
  setAside: number; // acknowledged
  setAsideFailed: number; // writes that were not acknowledged
}

/** In one run of synchronous handlers the watchdog hears at least this often that things move. */
const PUBLISH_INTERVAL_MS = 20;
const SWEEP_MS_MIN = 5;
const SWEEP_MS_MAX = 100;

/** By what the handler threw: the outcome of its attempt, and what the log says of it. */
const ENDS = {
  failed: { outcome: Outcome.failure, message: "an attempt failed" },
  unknown: { outcome: Outcome.unknown, message: "an attempt ended unknown: its handler cannot say what happened" },
  "failed-for-good": { outcome: Outcome.failedForGood, message: "an attempt failed for good: no other is made" },
} as const;
const LATE = { outcome: Outcome.unknown, message: "an attempt ended unknown: it threw after its time" } as const;

interface Lane {
  readonly type: TaskType;
  /** Running attempts in the order of their starts, which is also the order of their deadlines. */
  readonly running: Set<Attempt>;
}

export class Runner implements AsyncDisposable {
  readonly counters: Readonly<RunnerCounters>;
  readonly #count: RunnerCounters;
  readonly #options: RunnerOptions;
  readonly #lanes: readonly Lane[];
  readonly #checks: Checks;
  readonly #failures: FailureLog;
  readonly #outbox: Outbox;
  readonly #writer: SetAsideWriter;
  readonly #sweepMs: number;
  #running = 0;
  #sweep: ReturnType<typeof setInterval> | null = null;
  #publishedAtMs = Number.NEGATIVE_INFINITY;
  #idleWaiters: (() => void)[] = [];
  #closed = false;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#lanes = options.tasks.map((type) => ({ type, running: new Set<Attempt>() }));
    this.#failures = new FailureLog(options.log);
    this.#outbox = new Outbox(options, () => this.#flushed());
    this.#count = {
      started: 0,
      succeeded: 0,
      failed: 0,
      unknown: 0,
      notStarted: 0,
      timedOut: 0,
      checks: 0,
      checksTimedOut: 0,
      checksUseless: 0,
      setAside: 0,
      setAsideFailed: 0,
    };
    this.#checks = new Checks(options.now, options.log, this.#failures, this.#outbox, this.#count);
    this.#writer = new SetAsideWriter(
      options.producer,
      options.log,
      (request, done) => this.#wasSetAside(request, done),
      options.now,
    );
    const shortest = Math.min(...options.tasks.map((type) => Math.min(type.handlerTimeoutMs, type.checkTimeoutMs)));
    this.#sweepMs = Math.max(SWEEP_MS_MIN, Math.min(SWEEP_MS_MAX, shortest / 4));
    this.counters = this.#count;
  }

  /** Starts the handlers now, in this turn; every offset comes back in `onResults`, exactly once. */
  execute(effect: ExecuteEffect): void {
    const { pid, offsets, stamps, attempts, epoch } = effect;
    assert(stamps.length === offsets.length && attempts.length === offsets.length);
    const lane = this.#lane(pid);
    const { type } = lane;
    const partition = partitionOf(pid);
    const results = this.#outbox.partition(pid);
    const until = this.#closed ? Number.NEGATIVE_INFINITY : this.#startsUntil(effect.validUntil);
    let announced = false;
    for (let i = 0; i < offsets.length; i++) {
      const offset = offsets[i]!;
      const now = this.#options.now();
      const record = now < until ? this.#options.record(pid, offset) : null;
      if (record === null) {
        if (now < until) this.#options.log("warn", "a task to execute has no record any more", { pid, offset });
        this.#count.notStarted++;
        results.add(offset, Outcome.notStarted);
        continue;
      }
      // Before each start, so that a handler that blocks the thread is on the watchdog's books.
      if (!announced || now - this.#publishedAtMs >= PUBLISH_INTERVAL_MS) {
        this.#publish(now, type.handlerTimeoutMs + type.abortGraceMs);
        announced = true;
      }
      this.#options.guard?.names?.(pid, offset, false);
      const deadlineMs = now + type.handlerTimeoutMs;
      const killAtMs = deadlineMs + type.abortGraceMs;
      const attempt = new Attempt(
        type,
        pid,
        offset,
        epoch,
        stamps[i]!,
        attempts[i]!,
        deadlineMs,
        killAtMs,
        this.#options.log,
      );
      this.#start(lane, attempt, new RecordTask(type, partition, record));
    }
    this.#publish(this.#options.now(), null);
    this.#outbox.schedule();
  }

  /** Asks the user's check; comes back in `onCheckResult`, at the latest after `checkTimeoutMs` (then: "unknown"). */
  check(effect: CheckEffect): void {
    const { type } = this.#lane(effect.pid);
    const record = this.#closed ? null : this.#options.record(effect.pid, effect.offset);
    this.#publish(this.#options.now(), type.checkTimeoutMs + type.abortGraceMs);
    this.#options.guard?.names?.(effect.pid, effect.offset, true);
    this.#checks.ask(type, effect, record);
    this.#publish(this.#options.now(), null);
    if (this.#checks.size > 0) this.#startSweep();
  }

  /** Writes the record to `<topic>.dead` or `<topic>.parked`; comes back in `onSetAside`. */
  setAside(effect: SetAsideEffect): void {
    const { pid, offset, kind, reason, attempts, conflict } = effect;
    const record = this.#closed ? null : this.#options.record(pid, offset);
    if (record === null) {
      this.#options.log("warn", `a ${kind} record is not kept any more and cannot be written`, { pid, offset });
      this.#count.setAsideFailed++;
      this.#outbox.setAside({ pid, offset, acknowledged: false });
      return;
    }
    const error = this.#failures.errorOf(pid, offset);
    const { topic } = this.#lane(pid).type;
    this.#writer.add({
      kind,
      topic,
      partition: partitionOf(pid),
      pid,
      record,
      reason,
      attempts,
      error,
      conflict: conflict === null ? null : conflictHeaders(this.#lane(conflict.pid).type.topic, conflict),
    });
  }

  /** Aborts the signals of all running handlers; each must then end within its `abortGraceMs`. */
  abortAll(reason: string): void {
    const now = this.#options.now();
    const error = new DOMException(reason, "AbortError");
    for (const { type, running } of this.#lanes) {
      for (const attempt of running) attempt.abort(error, now + type.abortGraceMs);
    }
    this.#publish(now, null);
  }

  /** Why records cannot be set aside at the moment; "" when they can. */
  setAsideTrouble(): string {
    return this.#writer.trouble();
  }

  /** Handlers that have not ended. */
  running(): number {
    return this.#running;
  }

  /** How long this handler has been running, and until it is aborted; null when none runs. Walks all that run. */
  runs(pid: PartitionId, offset: number): { readonly ageMs: number; readonly withinMs: number } | null {
    const { type, running } = this.#lane(pid);
    for (const attempt of running) {
      if (attempt.pid !== pid || attempt.offset !== offset) continue;
      const withinMs = attempt.deadlineMs - this.#options.now();
      return { ageMs: type.handlerTimeoutMs - withinMs, withinMs: Math.max(0, withinMs) };
    }
    return null;
  }

  /** Resolves when no handler and no check runs, nothing is being written, and every result was handed over. */
  async idle(): Promise<void> {
    if (this.#isIdle()) return;
    await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /** From now on nothing is started. Waits for what runs: call `abortAll` before to hurry it. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.idle();
    this.#stopSweep();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #lane(pid: PartitionId): Lane {
    const lane = this.#lanes[topicIndexOf(pid)];
    assert(lane !== undefined, `no task type for partition id ${pid}`);
    return lane;
  }

  #startsUntil(validUntil: number): number {
    return this.#options.guard === null ? validUntil : Math.min(validUntil, this.#options.guard.healthyUntil());
  }

  #start(lane: Lane, attempt: Attempt, task: RecordTask): void {
    this.#count.started++;
    let returned: unknown;
    try {
      returned = lane.type.execute(task, attempt);
    } catch (thrown) {
      this.#failed(attempt, thrown);
      return;
    }
    if (!mayBePromise(returned)) {
      this.#count.succeeded++;
      this.#outbox.partition(attempt.pid).add(attempt.offset, Outcome.success);
      return;
    }
    lane.running.add(attempt);
    this.#running++;
    this.#startSweep();
    whenSettled(
      returned,
      () => {
        this.#ended(lane, attempt);
        this.#count.succeeded++;
        this.#outbox.partition(attempt.pid).add(attempt.offset, Outcome.success);
      },
      (thrown) => {
        this.#ended(lane, attempt);
        this.#failed(attempt, thrown);
      },
    );
  }

  #ended(lane: Lane, attempt: Attempt): void {
    lane.running.delete(attempt);
    this.#running--;
    this.#outbox.schedule();
  }

  /** R23: a failure that came after the abort or after the time-out says nothing certain about the effect. */
  #failed(attempt: Attempt, thrown: unknown): void {
    const now = this.#options.now();
    const certain = !attempt.aborted && now < attempt.deadlineMs;
    const ended = !certain ? LATE : ENDS[outcomeOf(thrown)];
    const error = this.#failures.remember(attempt.pid, attempt.offset, thrown);
    if (ended.outcome === Outcome.unknown) this.#count.unknown++;
    else this.#count.failed++;
    this.#failures.note(now, ended.message, { task: this.#name(attempt), attempt: attempt.attempt, error });
    this.#outbox.partition(attempt.pid).add(attempt.offset, ended.outcome);
  }

  #name(attempt: Attempt): string {
    return `${this.#lane(attempt.pid).type.topic}:${partitionOf(attempt.pid)}:${attempt.offset}`;
  }

  #wasSetAside(request: SetAsideRequest, acknowledged: boolean): void {
    const { pid, record } = request;
    if (acknowledged) {
      this.#count.setAside++;
      const { reason, attempts, error } = request;
      const task = `${request.topic}:${request.partition}:${record.offset}`;
      const fields = { task, reason, attempts, ...(error === "" ? {} : { error }) };
      this.#failures.note(this.#options.now(), describeSetAside(request), fields);
      this.#failures.forget(pid, record.offset);
    } else this.#count.setAsideFailed++;
    this.#outbox.setAside({ pid, offset: record.offset, acknowledged });
  }

  #flushed(): void {
    this.#publish(this.#options.now(), null);
    this.#wakeIdle();
  }

  #isIdle(): boolean {
    return this.#running === 0 && this.#checks.size === 0 && this.#writer.idle() && this.#outbox.empty();
  }

  #wakeIdle(): void {
    if (this.#idleWaiters.length === 0 || !this.#isIdle()) return;
    for (const wake of this.#idleWaiters.splice(0)) wake();
  }

  /** Tells the watchdog what runs. `inlineMs`: user code is about to be called in this turn and may take so long; null: none is. */
  #publish(now: number, inlineMs: number | null): void {
    this.#publishedAtMs = now;
    const { guard } = this.#options;
    if (guard === null) return;
    let remainingMs = inlineMs ?? Number.POSITIVE_INFINITY;
    for (const { running } of this.#lanes) {
      for (const oldest of running) {
        if (oldest.killAtMs - now < remainingMs) {
          remainingMs = oldest.killAtMs - now;
          if (inlineMs === null) guard.names?.(oldest.pid, oldest.offset, false);
        }
        break;
      }
    }
    guard.work(this.#running + (inlineMs === null ? 0 : 1), remainingMs);
  }

  #startSweep(): void {
    this.#sweep ??= setInterval(() => this.#sweepOnce(), this.#sweepMs);
  }

  #stopSweep(): void {
    if (this.#sweep !== null) clearInterval(this.#sweep);
    this.#sweep = null;
  }

  /** Aborts what ran too long. Ends itself when nothing runs, so that an idle node has no timer. */
  #sweepOnce(): void {
    if (this.#running === 0 && this.#checks.size === 0) {
      this.#stopSweep();
      return;
    }
    const now = this.#options.now();
    for (const { type, running } of this.#lanes) {
      for (const attempt of running) {
        if (attempt.deadlineMs > now) break;
        if (attempt.aborted) continue;
        this.#count.timedOut++;
        const message = `the handler ran longer than ${type.handlerTimeoutMs} ms`;
        this.#failures.note(now, `${message}; it is aborted`, { task: this.#name(attempt), attempt: attempt.attempt });
        attempt.abort(new DOMException(message, "TimeoutError"), attempt.killAtMs);
      }
    }
    this.#checks.sweep(now);
    this.#publish(now, null);
  }
}
