/**
 * One attempt of one handler: the task and the context that user code sees, and what the runner keeps about it.
 * What most handlers never ask for (signal, token, payload, id, logger) is made when it is first read, so that a handler
 * that does not need it does not pay for it.
 */
import { VouchError } from "../errors.ts";
import type { TaskRecord } from "../task-log/task-log.ts";
import type { Task, TaskContext, TaskLogger, TaskType } from "./define.ts";
import { FencingToken } from "./fencing-token.ts";
import { textOf } from "./task-id.ts";

export type LogFields = Readonly<Record<string, unknown>>;
export type RunnerLog = (level: "info" | "warn" | "error", message: string, fields: LogFields) => void;

const UNDECODED = Symbol("not decoded yet");

/** A delivered record as a task. */
export class RecordTask implements Task<unknown> {
  readonly topic: string;
  readonly partition: number;
  readonly #record: TaskRecord;
  readonly #type: TaskType;
  #payload: unknown = UNDECODED;

  constructor(type: TaskType, partition: number, record: TaskRecord) {
    this.topic = type.topic;
    this.partition = partition;
    this.#type = type;
    this.#record = record;
  }

  get offset(): number {
    return this.#record.offset;
  }

  get key(): Uint8Array | null {
    return this.#record.key;
  }

  get value(): Uint8Array | null {
    return this.#record.value;
  }

  get headers(): Readonly<Record<string, Uint8Array>> {
    return this.#record.headers;
  }

  get timestampMs(): number {
    return this.#record.timestampMs;
  }

  get id(): string {
    return this.#type.taskId(this.#record) ?? `${this.topic}:${this.partition}:${this.offset}`;
  }

  get payload(): unknown {
    if (this.#payload === UNDECODED) {
      try {
        this.#payload = this.#type.decode(this.#record);
      } catch (cause) {
        const where = `${this.topic}:${this.partition}:${this.offset}`;
        throw new VouchError("task-module", `the payload of ${where} cannot be decoded`, { cause });
      }
    }
    return this.#payload;
  }

  header(name: string): string | null {
    const value = Object.hasOwn(this.headers, name) ? this.headers[name] : undefined;
    return value === undefined ? null : textOf(value);
  }
}

/** What user code gets beside the task, for an attempt as for a check. */
export class Attempt implements TaskContext {
  readonly pid: number;
  readonly offset: number;
  readonly attempt: number; // 0: a check
  readonly deadlineMs: number; // monotonic: then its signal is aborted
  /** Monotonic: it must have ended by then, or the process goes down. An abort brings it forward. */
  killAtMs: number;
  aborted = false;
  readonly #type: TaskType;
  readonly #epoch: number;
  readonly #sequence: number;
  readonly #write: RunnerLog;
  #reason: DOMException | null = null;
  #controller: AbortController | null = null;

  /** Positions, not objects with names: three literals a task were a quarter of what a no-op task allocated. */
  constructor(
    type: TaskType,
    pid: number,
    offset: number,
    epoch: number,
    sequence: number,
    attempt: number,
    deadlineMs: number,
    killAtMs: number,
    write: RunnerLog,
  ) {
    this.#type = type;
    this.pid = pid;
    this.offset = offset;
    this.attempt = attempt;
    this.#epoch = epoch;
    this.#sequence = sequence;
    this.deadlineMs = deadlineMs;
    this.killAtMs = killAtMs;
    this.#write = write;
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#reason !== null) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  get token(): FencingToken {
    return new FencingToken(this.#epoch, this.#sequence);
  }

  get log(): TaskLogger {
    const fields = { task: `${this.#type.topic}:${this.pid % 65_536}:${this.offset}`, attempt: this.attempt };
    const write = this.#write;
    return {
      info: (message, more) => write("info", message, { ...more, ...fields }),
      warn: (message, more) => write("warn", message, { ...more, ...fields }),
      error: (message, more) => write("error", message, { ...more, ...fields }),
    };
  }

  /** Aborts the signal; from here on only success is certain (R23). Idempotent. */
  abort(reason: DOMException, killAtMs: number): void {
    if (killAtMs < this.killAtMs) this.killAtMs = killAtMs;
    if (this.aborted) return;
    this.aborted = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}
