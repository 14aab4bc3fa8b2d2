/** A runner with everything around it faked, and the results that it handed over. */
import type { CheckAnswer } from "../../src/core/events.ts";
import { partitionId } from "../../src/core/identity.ts";
import type { TaskDefinition } from "../../src/execution/define.ts";
import { resolveTasks } from "../../src/execution/resolve.ts";
import { type ExecuteEffect, Runner, type RunnerOptions } from "../../src/execution/runner.ts";
import type { OutgoingRecord, TaskProducer, TaskRecord } from "../../src/task-log/task-log.ts";

export const PID = partitionId(0, 3);

export function record(
  offset: number,
  value: string | null = `{"n":${offset}}`,
  more: Partial<TaskRecord> = {},
): TaskRecord {
  return {
    offset,
    key: new TextEncoder().encode(`k${offset}`),
    value: value === null ? null : new TextEncoder().encode(value),
    headers: {},
    timestampMs: 1_700_000_000_000 + offset,
    ...more,
  };
}

export function executeEffect(offsets: readonly number[], more: Partial<ExecuteEffect> = {}): ExecuteEffect {
  return {
    type: "execute",
    pid: PID,
    ownership: 1,
    epoch: 7,
    validUntil: Number.POSITIVE_INFINITY,
    offsets: Float64Array.from(offsets),
    stamps: Float64Array.from(offsets, (offset) => 1_000 + offset),
    attempts: new Uint8Array(offsets.length).fill(1),
    ...more,
  };
}

export interface Sent {
  readonly topic: string;
  readonly records: readonly OutgoingRecord[];
}

export class FakeProducer implements TaskProducer {
  readonly sent: Sent[] = [];
  /** Throws to refuse a request. */
  guard: (topic: string, records: readonly OutgoingRecord[]) => Promise<void> = async () => undefined;

  async send(topic: string, records: readonly OutgoingRecord[]): Promise<void> {
    await this.guard(topic, records);
    this.sent.push({ topic, records });
  }

  async close(): Promise<void> {}
}

export interface ResultBatch {
  readonly pid: number;
  readonly offsets: readonly number[];
  readonly outcomes: readonly number[];
}

export class Bench implements AsyncDisposable {
  readonly batches: ResultBatch[] = [];
  readonly checks: { offset: number; stamp: number; answer: CheckAnswer }[] = [];
  readonly setAsides: { offset: number; acknowledged: boolean }[] = [];
  readonly lines: { level: string; message: string; fields: Readonly<Record<string, unknown>> }[] = [];
  readonly producer = new FakeProducer();
  readonly runner: Runner;

  async [Symbol.asyncDispose](): Promise<void> {
    await this.runner.close();
  }

  constructor(definition: Partial<TaskDefinition> | TaskDefinition[], more: Partial<RunnerOptions> = {}) {
    const exported = Array.isArray(definition)
      ? definition
      : { topic: "payments", execute: () => undefined, onUnknown: "park", ...definition };
    this.runner = new Runner({
      tasks: resolveTasks([{ name: "test", exported }]),
      now: () => performance.now(),
      record: (_pid, offset) => record(offset),
      producer: this.producer,
      guard: null,
      log: (level, message, fields) => this.lines.push({ level, message, fields }),
      onResults: (pid, offsets, outcomes) =>
        this.batches.push({ pid, offsets: Array.from(offsets), outcomes: Array.from(outcomes) }),
      onCheckResult: (_pid, offset, stamp, answer) => this.checks.push({ offset, stamp, answer }),
      onSetAside: (_pid, offset, acknowledged) => this.setAsides.push({ offset, acknowledged }),
      ...more,
    });
  }

  /** Executes the offsets and returns the outcome of each, in order. */
  async outcomes(offsets: readonly number[], more: Partial<ExecuteEffect> = {}): Promise<number[]> {
    this.runner.execute(executeEffect(offsets, more));
    await this.runner.idle();
    const byOffset = new Map(
      this.batches.flatMap((batch) => batch.offsets.map((offset, i) => [offset, batch.outcomes[i]!] as const)),
    );
    return offsets.map((offset) => byOffset.get(offset)!);
  }
}
