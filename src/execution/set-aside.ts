/**
 * Writes dead and parked records to `<topic>.dead` and `<topic>.parked`, with what happened in the headers. One write per
 * target topic is under way; whatever is asked for meanwhile goes with the next. Not acknowledged means: perhaps written.
 * The caller asks again, and `vouch-origin` is the key against duplicates.
 */
import type { PayloadConflict } from "../core/effects.ts";
import { partitionOf, type PartitionId } from "../core/identity.ts";
import { describeError, VouchError } from "../errors.ts";
import type { OutgoingRecord, TaskProducer, TaskRecord } from "../task-log/task-log.ts";
import type { RunnerLog } from "./attempt.ts";

/** Bounds one request to the log; records are at most the log's own maximum each. */
const BATCH_RECORDS_MAX = 200;
const BATCH_BYTES_MAX = 512 * 1_024;

export const SetAsideHeader = {
  reason: "vouch-reason",
  attempts: "vouch-attempts",
  origin: "vouch-origin", // topic:partition:offset
  error: "vouch-error", // the last failure seen by this node, when it saw one
  // Of a conflict: the payload hashes of this record and of the one with its task id that executed, and where that one is.
  payloadHash: "vouch-payload-hash",
  conflictPayloadHash: "vouch-conflict-payload-hash",
  conflictOrigin: "vouch-conflict-origin",
} as const;

/** Another record of this task id, with another payload, executed. Hashes as 16 hexadecimal digits. */
export interface SetAsideConflict {
  readonly origin: string; // topic:partition:offset
  readonly payloadHash: string;
  readonly ownPayloadHash: string;
}

/** Of a conflict as the core has it; `topic` is that of the record which executed. */
export function conflictHeaders(topic: string, conflict: PayloadConflict): SetAsideConflict {
  const { pid, offset, payloadHi, payloadLo, ownHi, ownLo } = conflict;
  const hex = (...words: number[]): string => words.map((word) => word.toString(16).padStart(8, "0")).join("");
  return {
    origin: `${topic}:${partitionOf(pid)}:${offset}`,
    payloadHash: hex(payloadHi, payloadLo),
    ownPayloadHash: hex(ownHi, ownLo),
  };
}

/** What a person is told about each reason. */
const REASONS: Readonly<Record<string, string>> = {
  attempts: "every attempt failed",
  "failed-for-good": "its handler said that no attempt can succeed",
  poison: "its runs took their process down, or did not end when they were told to",
  unknown: "nobody can say whether it ran",
  "maybe-duplicate": "its task id was seen before, and nobody can say whether it ran",
  conflict: "its task id was executed with another payload",
};

/** One line about a record that was set aside. */
export function describeSetAside({ kind, topic, reason, conflict = null }: SetAsideRequest): string {
  const first = conflict === null ? "" : ` (${conflict.origin})`;
  return `a task is ${kind}: ${REASONS[reason] ?? reason}${first}; its record is in ${targetOf({ topic, kind })}`;
}

/** A refused write is asked for again after a second; one that was not was given up. */
const TRIED_AGAIN_MS = 5_000;

/** A write that waits longer for its answer is told of: the producer repeats it for some seconds before it fails. */
const ANSWER_MS = 3_000;
const CONSEQUENCE = "the commits of the partitions of its records wait for it";

const seconds = (ms: number): string => `${Math.round(ms / 1_000)} s`;

interface Trouble {
  readonly sinceMs: number;
  failedAtMs: number;
  error: string;
}

export interface SetAsideRequest {
  readonly kind: "dead" | "parked";
  readonly topic: string;
  readonly partition: number;
  readonly pid: PartitionId;
  readonly record: TaskRecord;
  readonly reason: string;
  readonly attempts: number;
  readonly error: string; // "" when none is known
  readonly conflict?: SetAsideConflict | null;
}

export class SetAsideWriter {
  readonly #producer: TaskProducer;
  readonly #log: RunnerLog;
  readonly #onDone: (request: SetAsideRequest, acknowledged: boolean) => void;
  readonly #now: () => number;
  readonly #waiting = new Map<string, SetAsideRequest[]>();
  /** Since when the write that is under way has been waiting for its answer. */
  readonly #writing = new Map<string, number>();
  readonly #troubles = new Map<string, Trouble>();

  /** `now`: milliseconds on a clock that only goes forward. */
  constructor(
    producer: TaskProducer,
    log: RunnerLog,
    onDone: (request: SetAsideRequest, acknowledged: boolean) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#producer = producer;
    this.#log = log;
    this.#onDone = onDone;
    this.#now = now;
  }

  /** Which topics do not take records at the moment, why, and what waits for it; "" when all is well. */
  trouble(): string {
    const now = this.#now();
    const texts: string[] = [];
    for (const [target, sinceMs] of this.#writing) {
      const waitedMs = now - sinceMs;
      if (this.#troubles.has(target) || waitedMs < ANSWER_MS) continue;
      texts.push(`${target}: no answer to a write for ${seconds(waitedMs)}; ${CONSEQUENCE}`);
    }
    for (const [target, { sinceMs, failedAtMs, error }] of this.#troubles) {
      // Whoever lost the partition asks no more: what was not tried again is another node's trouble.
      if (!this.#writing.has(target) && now - failedAtMs > TRIED_AGAIN_MS) continue;
      texts.push(`${target} takes no records, for ${seconds(now - sinceMs)}; ${CONSEQUENCE}: ${error}`);
    }
    return texts.join("; ");
  }

  /** Ends in exactly one `onDone`. */
  add(request: SetAsideRequest): void {
    const target = targetOf(request);
    const waiting = this.#waiting.get(target);
    if (waiting === undefined) this.#waiting.set(target, [request]);
    else waiting.push(request);
    if (this.#writing.has(target)) return;
    this.#writing.set(target, this.#now());
    // In a microtask, so that all requests of this turn go together.
    queueMicrotask(() => void this.#writeAll(target));
  }

  /** Nothing is being written. */
  idle(): boolean {
    return this.#writing.size === 0;
  }

  async #writeAll(target: string): Promise<void> {
    for (let batch = this.#take(target); batch.length > 0; batch = this.#take(target)) {
      await this.#write(target, batch);
    }
    this.#writing.delete(target);
  }

  #take(target: string): SetAsideRequest[] {
    const waiting = this.#waiting.get(target) ?? [];
    let bytes = 0;
    let count = 0;
    while (count < waiting.length && count < BATCH_RECORDS_MAX) {
      const { key, value } = waiting[count]!.record;
      bytes += (key?.length ?? 0) + (value?.length ?? 0);
      if (count > 0 && bytes > BATCH_BYTES_MAX) break;
      count++;
    }
    const batch = waiting.splice(0, count);
    if (waiting.length === 0) this.#waiting.delete(target);
    return batch;
  }

  #failed(target: string, records: number, error: string): void {
    const now = this.#now();
    const trouble = this.#troubles.get(target);
    // One that ended without a success: the partition went to another node meanwhile, and came back.
    const goesOn = trouble !== undefined && now - trouble.failedAtMs <= 2 * TRIED_AGAIN_MS;
    this.#troubles.set(target, { sinceMs: goesOn ? trouble.sinceMs : now, failedAtMs: now, error });
    const fields = { topic: target, records, error, ...(goesOn ? {} : { alarm: "set-aside-refused" }) };
    this.#log(goesOn ? "warn" : "error", `could not write to ${target}; it will be tried again`, fields);
  }

  async #write(target: string, batch: readonly SetAsideRequest[]): Promise<void> {
    this.#writing.set(target, this.#now());
    try {
      await this.#producer.send(target, batch.map(outgoing));
    } catch (thrown) {
      // A record that the log will never take must not keep its neighbours from being set aside.
      if (batch.length > 1 && thrown instanceof VouchError && !thrown.retriable) {
        for (const request of batch) await this.#write(target, [request]);
        return;
      }
      this.#failed(target, batch.length, describeError(thrown));
      for (const request of batch) this.#onDone(request, false);
      return;
    }
    if (this.#troubles.delete(target)) this.#log("info", `${target} takes records again`, {});
    for (const request of batch) this.#onDone(request, true);
  }
}

function targetOf({ topic, kind }: Pick<SetAsideRequest, "topic" | "kind">): string {
  return `${topic}.${kind}`;
}

function outgoing(request: SetAsideRequest): OutgoingRecord {
  const { record } = request;
  const headers: Record<string, Uint8Array | string> = {
    ...record.headers,
    [SetAsideHeader.reason]: request.reason,
    [SetAsideHeader.attempts]: String(request.attempts),
    [SetAsideHeader.origin]: `${request.topic}:${request.partition}:${record.offset}`,
  };
  // A record that was redriven may still carry the error and the conflict of its former life.
  const { error, payloadHash, conflictPayloadHash, conflictOrigin } = SetAsideHeader;
  for (const name of [error, payloadHash, conflictPayloadHash, conflictOrigin]) delete headers[name];
  if (request.error !== "") headers[error] = request.error;
  const { conflict = null } = request;
  if (conflict !== null) {
    headers[payloadHash] = conflict.ownPayloadHash;
    headers[conflictPayloadHash] = conflict.payloadHash;
    headers[conflictOrigin] = conflict.origin;
  }
  return { key: record.key, value: record.value, headers };
}
