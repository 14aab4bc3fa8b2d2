/**
 * Collects the leader's changes of one turn into one delta. Changes are kept in their order; neighbours that share
 * partition and holder share a batch, so that a claim of a thousand tasks is one batch of typed arrays.
 */
import type { Incarnation, PartitionId } from "../identity.ts";
import type { Delta, EntryBatch, WatermarkRow } from "../messages.ts";
import { NumberList, packOffsets } from "../offsets.ts";

/** Entries in one batch; keeps a delta's frame far below its limit. */
export const ENTRIES_PER_BATCH_MAX = 4_096;

export class DeltaBuilder {
  #entries: EntryBatch[] = [];
  readonly #watermarks = new Map<PartitionId, WatermarkRow>();
  #rotateTo = 0;
  #size = 0;
  #open: { pid: PartitionId; holder: Incarnation; withHashes: boolean; firstStamp: number } | null = null;
  readonly #offsets = new NumberList();
  readonly #phases = new NumberList();
  readonly #unknownRuns = new NumberList();
  readonly #attempts = new NumberList();
  readonly #hashes = new NumberList();
  #anyCounts = false;

  get empty(): boolean {
    return this.#open === null && this.#entries.length === 0 && this.#watermarks.size === 0 && this.#rotateTo === 0;
  }

  /** Entries so far; the leader flushes before a delta gets too large for a frame. */
  get size(): number {
    return this.#size;
  }

  /** Index of the batch that the next change of this kind joins or opens, for SeenException and verdicts. */
  change(
    pid: PartitionId,
    holder: Incarnation,
    offset: number,
    stamp: number,
    phaseByte: number,
    unknownRuns: number,
    attempts: number,
    hi: number,
    lo: number,
    withHashes: boolean,
  ): void {
    const open = this.#open;
    const joins =
      open !== null &&
      open.pid === pid &&
      open.holder === holder &&
      open.withHashes === withHashes &&
      stamp === open.firstStamp + this.#offsets.length &&
      offset > this.#offsets.values[this.#offsets.length - 1]! &&
      this.#offsets.length < ENTRIES_PER_BATCH_MAX;
    if (!joins) {
      this.#close();
      this.#open = { pid, holder, withHashes, firstStamp: stamp };
    }
    this.#offsets.push(offset);
    this.#phases.push(phaseByte);
    this.#unknownRuns.push(unknownRuns);
    this.#attempts.push(attempts);
    if (unknownRuns !== 0 || attempts !== 0) this.#anyCounts = true;
    if (withHashes) {
      this.#hashes.push(hi);
      this.#hashes.push(lo);
    }
    this.#size++;
  }

  watermark(pid: PartitionId, from: number, watermark: number): void {
    this.#watermarks.set(pid, { pid, from, watermark });
  }

  rotate(generation: number): void {
    this.#close();
    this.#rotateTo = generation;
  }

  take(epoch: number, seq: number): Delta {
    this.#close();
    const delta: Delta = {
      epoch,
      seq,
      rotateTo: this.#rotateTo,
      entries: this.#entries,
      watermarks: [...this.#watermarks.values()],
    };
    this.#entries = [];
    this.#watermarks.clear();
    this.#rotateTo = 0;
    this.#size = 0;
    return delta;
  }

  #close(): void {
    const open = this.#open;
    if (open === null) return;
    const n = this.#offsets.length;
    this.#entries.push({
      pid: open.pid,
      offsets: packOffsets(this.#offsets.values, 0, n),
      holder: open.holder,
      firstStamp: open.firstStamp,
      phases: Uint8Array.from(this.#phases.values.subarray(0, n)),
      unknownRuns: this.#anyCounts ? Uint8Array.from(this.#unknownRuns.values.subarray(0, n)) : EMPTY_BYTES,
      attempts: this.#anyCounts ? Uint8Array.from(this.#attempts.values.subarray(0, n)) : EMPTY_BYTES,
      hashes: open.withHashes ? Uint32Array.from(this.#hashes.values.subarray(0, this.#hashes.length)) : EMPTY_WORDS,
    });
    this.#offsets.clear();
    this.#phases.clear();
    this.#unknownRuns.clear();
    this.#attempts.clear();
    this.#hashes.clear();
    this.#anyCounts = false;
    this.#open = null;
  }
}

const EMPTY_BYTES = new Uint8Array(0);
const EMPTY_WORDS = new Uint32Array(0);
