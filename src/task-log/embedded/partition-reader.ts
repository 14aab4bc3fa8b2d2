/**
 * Reads the assigned partitions in turns and hands batches over. Each batch begins where the last one of its partition
 * ended or where `seek` said, so that [fetchedFrom, nextPosition) of successive batches has no gap and no overlap.
 */

import { VouchError } from "../../errors.ts";
import type {
  Assignment,
  ConsumerHandlers,
  ConsumerOptions,
  PartitionPosition,
  PartitionProblem,
} from "../task-log.ts";
import type { FetchedRecords, RecordStore } from "./record-store.ts";

/** The embedded log is never truncated, so that every record belongs to the same leader epoch. */
const leaderEpoch = 0;

interface Cursor {
  readonly topic: string;
  readonly partition: number;
  position: number;
  paused: boolean;
}

export class PartitionReader {
  readonly #options: ConsumerOptions;
  readonly #handlers: ConsumerHandlers;
  #cursors = new Map<string, Cursor>();
  #lateChanges: (() => void)[] | null = null; // asked for while onAssign was running
  #generation = 0;
  #seenVersion = -1;
  #mayHaveMore = false;

  constructor(options: ConsumerOptions, handlers: ConsumerHandlers) {
    this.#options = options;
    this.#handlers = handlers;
  }

  /** An assignment is being taken over: what `change` is asked for from now on is done after `begin`. */
  expect(): void {
    this.#lateChanges = [];
  }

  /** @throws VouchError "configuration" when an assigned partition has no position */
  begin(assignment: Assignment, positions: readonly PartitionPosition[]): void {
    const byName = new Map(positions.map((given) => [nameOf(given.topic, given.partition), given]));
    this.#cursors = new Map();
    for (const { topic, partition } of assignment.partitions) {
      const given = byName.get(nameOf(topic, partition));
      if (given === undefined || !Number.isSafeInteger(given.position)) {
        throw new VouchError("configuration", `onAssign returned no position for ${topic} partition ${partition}`);
      }
      const { position, paused } = given;
      this.#cursors.set(nameOf(topic, partition), { topic, partition, position, paused });
    }
    this.#generation = assignment.generation;
    this.#mayHaveMore = true;
    const lateChanges = this.#lateChanges ?? [];
    this.#lateChanges = null;
    for (const change of lateChanges) change();
  }

  /** Nothing is read until the next `begin`. */
  end(): void {
    this.#cursors = new Map();
    this.#lateChanges = null;
  }

  /** For a partition that is not assigned this does nothing, as `onAssign` will say anew where and whether to read. */
  change(topic: string, partition: number, change: { readonly paused?: boolean; readonly position?: number }): void {
    if (this.#lateChanges !== null) {
      this.#lateChanges.push(() => this.change(topic, partition, change));
      return;
    }
    const cursor = this.#cursors.get(nameOf(topic, partition));
    if (cursor === undefined) return;
    if (change.paused !== undefined) cursor.paused = change.paused;
    if (change.position !== undefined) cursor.position = change.position;
    this.#mayHaveMore = true;
  }

  /** Reads each partition once; true when a batch was handed over. Ends early when `interrupted`. */
  async round(store: RecordStore, interrupted: () => boolean): Promise<boolean> {
    const version = await store.version();
    if (version === this.#seenVersion && !this.#mayHaveMore) return false;
    this.#mayHaveMore = false;
    let delivered = false;
    for (const cursor of this.#cursors.values()) {
      if (interrupted()) {
        this.#mayHaveMore = true;
        return delivered;
      }
      if (cursor.paused) continue;
      const fetchedFrom = cursor.position;
      const found = await store.fetch(cursor.topic, cursor.partition, fetchedFrom, this.#options.maxBytesPerPartition);
      // Somebody may have paused or sought it while the database was busy.
      if (cursor.paused || cursor.position !== fetchedFrom || interrupted()) {
        this.#mayHaveMore = true;
        continue;
      }
      if (!this.#deliver(cursor, found)) continue;
      delivered = true;
      this.#mayHaveMore = true;
      await yieldToEvents();
    }
    this.#seenVersion = version;
    return delivered;
  }

  #deliver(cursor: Cursor, found: FetchedRecords | null): boolean {
    if (found === null) return this.#report(cursor, "missing-topic");
    if (cursor.position < found.logStart || cursor.position > found.logEnd) return this.#report(cursor, "out-of-range");
    const last = found.records.at(-1);
    if (last === undefined) return false;
    const fetchedFrom = cursor.position;
    cursor.position = last.offset + 1;
    this.#handlers.onBatch({
      topic: cursor.topic,
      partition: cursor.partition,
      generation: this.#generation,
      fetchedFrom,
      nextPosition: cursor.position,
      leaderEpoch,
      logEnd: found.logEnd,
      records: found.records,
    });
    return true;
  }

  #report(cursor: Cursor, problem: PartitionProblem): false {
    cursor.paused = true;
    this.#handlers.onProblem(cursor.topic, cursor.partition, problem);
    return false;
  }
}

function nameOf(topic: string, partition: number): string {
  return `${topic}#${partition}`;
}

/** Sockets and timers of the process come first between two batches. */
function yieldToEvents(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
