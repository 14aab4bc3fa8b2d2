/** The log itself: topics of partitions, each a list of records with gaps, a start and an end, and leader epochs. */
import type { TaskRecord } from "../../../src/task-log/task-log.ts";
import type { LogRecordTruth } from "../observer.ts";

/** A record as the log keeps it; delivered as it is. A gap has an offset and is never delivered. */
export interface StoredRecord extends TaskRecord, LogRecordTruth {
  readonly leaderEpoch: number;
}

export interface AppendedRecord {
  readonly key?: Uint8Array | string | null;
  readonly value: Uint8Array | string | null;
  readonly headers?: Readonly<Record<string, Uint8Array | string | undefined>>;
  /** What the truth calls it (LogRecordTruth): default the text of the header "task-id". */
  readonly taskId?: string;
  readonly payload?: number; // default the number that its value is the text of, else 0
}

/** Records of one leader epoch; [position asked for or end of the run before, nextPosition) is covered. */
export interface FetchedRun {
  readonly leaderEpoch: number;
  readonly records: TaskRecord[];
  nextPosition: number;
}

const RECORD_OVERHEAD_BYTES = 70;
const NO_BYTES = new Uint8Array();
const NO_HEADERS: Readonly<Record<string, Uint8Array>> = {};
const decoder = new TextDecoder();
const encoder = new TextEncoder();

export class PartitionLog {
  /** Index is the offset. */
  readonly records: StoredRecord[] = [];
  start = 0;
  leaderEpoch = 0;
  /** Fetches that wait for something to change here. */
  readonly waiting = new Set<() => void>();

  get end(): number {
    return this.records.length;
  }

  append(record: AppendedRecord, timestampMs: number): number {
    const offset = this.records.length;
    const headers = headersOf(record);
    const [key, value] = [bytesOf(record.key), bytesOf(record.value)];
    const taskId = record.taskId ?? decoder.decode(headers["task-id"] ?? NO_BYTES);
    const payload = record.payload ?? (Number(decoder.decode(value ?? NO_BYTES)) || 0);
    const { leaderEpoch } = this;
    this.records.push({ offset, key, value, headers, timestampMs, taskId, payload, isGap: false, leaderEpoch });
    return offset;
  }

  appendGap(timestampMs: number): void {
    const offset = this.records.length;
    const { leaderEpoch } = this;
    const gap = { key: null, value: null, headers: NO_HEADERS, taskId: "", payload: 0, isGap: true };
    this.records.push({ offset, timestampMs, leaderEpoch, ...gap });
  }

  /** Null when the position is not in the log. Always at least one record when there is one. */
  read(position: number, recordsMax: number, bytesMax: number): FetchedRun[] | null {
    if (position < this.start || position > this.end) return null;
    const runs: FetchedRun[] = [];
    let bytes = 0;
    let count = 0;
    for (let at = position; at < this.end && count < recordsMax; at++) {
      const record = this.records[at]!;
      if (!record.isGap) {
        bytes += RECORD_OVERHEAD_BYTES + (record.key?.length ?? 0) + (record.value?.length ?? 0);
        if (bytes > bytesMax && count > 0) break;
        count++;
      }
      let run = runs.at(-1);
      if (run === undefined || run.leaderEpoch !== record.leaderEpoch) {
        run = { leaderEpoch: record.leaderEpoch, records: [], nextPosition: at };
        runs.push(run);
      }
      run.nextPosition = at + 1;
      if (!record.isGap) run.records.push(record);
    }
    return runs;
  }

  /** An unclean election: what lay at `end` and above is gone, and a new leader writes on. */
  truncate(end: number): void {
    this.records.length = Math.min(end, this.records.length);
    this.start = Math.min(this.start, this.records.length);
    this.leaderEpoch++;
    this.wake();
  }

  raiseStart(offset: number): void {
    this.start = Math.max(this.start, Math.min(offset, this.end));
    this.wake();
  }

  /** Deleted, and created again under the same name. */
  recreate(): void {
    this.records.length = 0;
    this.start = 0;
    this.leaderEpoch = 0;
    this.wake();
  }

  wake(): void {
    if (this.waiting.size === 0) return;
    for (const wake of Array.from(this.waiting)) wake(); // one that is served takes itself out
  }
}

export class TopicStore {
  readonly #topics = new Map<string, PartitionLog[]>();
  /** Called when a topic came into being. */
  onCreated: (topic: string) => void = () => undefined;

  create(topic: string, partitions: number): void {
    if (this.#topics.has(topic)) return;
    this.#topics.set(
      topic,
      Array.from({ length: partitions }, () => new PartitionLog()),
    );
    this.onCreated(topic);
  }

  partitions(topic: string): readonly PartitionLog[] {
    return this.#topics.get(topic) ?? [];
  }

  has(topic: string): boolean {
    return this.#topics.has(topic);
  }

  partition(topic: string, partition: number): PartitionLog | undefined {
    return this.#topics.get(topic)?.[partition];
  }
}

export function bytesOf(content: Uint8Array | string | null | undefined): Uint8Array | null {
  if (typeof content === "string") return encoder.encode(content);
  return content ?? null;
}

function headersOf(record: AppendedRecord): Readonly<Record<string, Uint8Array>> {
  if (record.headers === undefined) return NO_HEADERS;
  const headers: Record<string, Uint8Array> = {};
  for (const [name, content] of Object.entries(record.headers)) {
    const bytes = bytesOf(content);
    if (bytes !== null) headers[name] = bytes;
  }
  return headers;
}
