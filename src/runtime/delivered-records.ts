/**
 * The delivered records of one partition that the core may still execute, check or set aside, as the batches in which they
 * came: nothing is copied. Follows the core's fetch position, so that it holds exactly what the core accepts (R14).
 *
 * Guarantees: a record is found until `release` passed it or a seek went below it. Bounded by the core's span, since the core
 * pauses a partition at it.
 */
import type { TaskRecord } from "../task-log/task-log.ts";

interface Batch {
  readonly fetchedFrom: number;
  readonly nextPosition: number;
  readonly records: readonly TaskRecord[]; // rising offsets from fetchedFrom on; after a seek some may lie at nextPosition or above
}

export class DeliveredRecords {
  readonly ownership: number;
  /** Ascending and continuous; a seek may have shortened the last one's claim. */
  #batches: Batch[] = [];
  #position: number;

  constructor(ownership: number, position: number) {
    this.ownership = ownership;
    this.#position = position;
  }

  get position(): number {
    return this.#position;
  }

  get batchCount(): number {
    return this.#batches.length;
  }

  /** Keeps a batch that continues the fetch position; another one is discarded by the core, too. */
  add(fetchedFrom: number, nextPosition: number, records: readonly TaskRecord[]): void {
    if (fetchedFrom !== this.#position) return;
    this.#position = nextPosition;
    if (records.length > 0) this.#batches.push({ fetchedFrom, nextPosition, records });
  }

  /** The core set the position: what lies at or above it comes again. */
  seek(position: number): void {
    this.#position = position;
    while (this.#batches.length > 0 && this.#batches.at(-1)!.fetchedFrom >= position) this.#batches.pop();
    const last = this.#batches.at(-1);
    if (last === undefined || last.nextPosition <= position) return;
    this.#batches[this.#batches.length - 1] = { ...last, nextPosition: position };
  }

  /** Records below are not needed any more; kept to the end of their batch. */
  release(below: number): void {
    let gone = 0;
    while (gone < this.#batches.length && this.#batches[gone]!.nextPosition <= below) gone++;
    if (gone > 0) this.#batches.splice(0, gone);
  }

  get(offset: number): TaskRecord | null {
    const batches = this.#batches;
    let low = 0;
    let high = batches.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const batch = batches[middle]!;
      if (offset < batch.fetchedFrom) high = middle - 1;
      else if (offset >= batch.nextPosition) low = middle + 1;
      else return findRecord(batch.records, offset);
    }
    return null;
  }
}

function findRecord(records: readonly TaskRecord[], offset: number): TaskRecord | null {
  // Offsets are mostly without gaps, so the index can be computed.
  const guess = records[offset - (records[0]?.offset ?? offset)];
  if (guess?.offset === offset) return guess;
  let low = 0;
  let high = records.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const found = records[middle]!;
    if (found.offset === offset) return found;
    if (found.offset < offset) low = middle + 1;
    else high = middle - 1;
  }
  return null;
}
