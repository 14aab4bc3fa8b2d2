/**
 * The grant table T: per partition a ring of typed arrays over the offsets [W, top), replicated to the in-sync set.
 *
 * Guarantees: exact for every offset at or above the watermark; an entry leaves only when W passes it (R6). It knows
 * nothing of who may change it: only the leader does, everybody else applies its deltas in order.
 *
 * Longer than most files: a slot is eight arrays, and whatever writes, moves or drops one touches them all.
 */
import { compareStamps, type Incarnation, type PartitionId } from "./identity.ts";
import { DIRTY_FLAG, FREE_FLAG, MAYBE_FLAG, Phase, PHASE_MASK, type EntryBatch, type TableRows } from "./messages.ts";
import { NumberList } from "./offsets.ts";

const PRESENT = 0x80;
const AGED = 0x10; // a filter generation was opened since its hash was inserted (R18); of this node alone
const KEPT = PHASE_MASK | DIRTY_FLAG | FREE_FLAG | MAYBE_FLAG;
const SLOTS_MIN = 1_024;
/** Twice the largest span that a partition may have above its committed position (20,000), rounded up. */
export const SLOTS_MAX = 65_536;

/** One entry, copied out; only rare paths read entries this way. */
export interface Entry {
  readonly offset: number;
  readonly holder: Incarnation; // "" when free or final without one
  readonly epoch: number;
  readonly stamp: number;
  readonly phase: Phase;
  readonly dirty: boolean;
  readonly maybe: boolean; // dirty on a Bloom bit alone
  readonly unknownRuns: number;
  readonly attempts: number;
  readonly hashHi: number;
  readonly hashLo: number;
}

export function isFinalPhase(phase: number): boolean {
  return phase >= Phase.executed;
}

/** Interned incarnations: entries store a 16-bit index. Index 0 is "nobody". */
class Holders {
  readonly names: Incarnation[] = [""];
  readonly #index = new Map<Incarnation, number>([["", 0]]);

  indexOf(name: Incarnation): number {
    const known = this.#index.get(name);
    if (known !== undefined) return known;
    const index = this.names.length;
    this.names.push(name);
    this.#index.set(name, index);
    return index;
  }
}

export class PartitionTable {
  from = -1; // -1: this cell has not begun to read the partition
  watermark = 0;
  top = 0; // 1 + the highest offset that has or had an entry
  entries = 0;
  ledger = 0; // entries in phase executed
  meta = new Uint8Array(SLOTS_MIN);
  hashes = new Uint32Array(2 * SLOTS_MIN);
  readonly #holders: Holders;
  readonly #left: NumberList;
  #mask = SLOTS_MIN - 1;
  #holder = new Uint16Array(SLOTS_MIN);
  #epoch = new Uint32Array(SLOTS_MIN);
  #stamp = new Float64Array(SLOTS_MIN);
  #unknownRuns = new Uint8Array(SLOTS_MIN);
  #attempts = new Uint8Array(SLOTS_MIN);

  constructor(holders: Holders, left: NumberList) {
    this.#holders = holders;
    this.#left = left;
  }

  get capacity(): number {
    return this.#mask + 1;
  }

  slot(offset: number): number {
    return offset & this.#mask; // ToInt32 keeps the low 32 bits of any safe integer
  }

  /** Whether the table can hold an entry at this offset at all (R21). */
  fits(offset: number): boolean {
    return offset >= this.watermark && offset - this.watermark < SLOTS_MAX;
  }

  has(offset: number): boolean {
    if (offset < this.watermark || offset >= this.top) return false;
    return (this.meta[offset & this.#mask]! & PRESENT) !== 0;
  }

  /** Phase of the entry, or -1. */
  phaseOf(offset: number): number {
    return this.has(offset) ? this.meta[offset & this.#mask]! & PHASE_MASK : -1;
  }

  isFree(offset: number): boolean {
    return this.has(offset) && (this.meta[offset & this.#mask]! & FREE_FLAG) !== 0;
  }

  /** Whether somebody else was given the task, and has not told its end. */
  isHeldByAnother(offset: number, incarnation: Incarnation): boolean {
    if (!this.has(offset) || this.isFree(offset) || isFinalPhase(this.phaseOf(offset))) return false;
    return this.holderOf(offset) !== incarnation;
  }

  isDirty(offset: number): boolean {
    return this.has(offset) && (this.meta[offset & this.#mask]! & DIRTY_FLAG) !== 0;
  }

  isMaybe(offset: number): boolean {
    return this.has(offset) && (this.meta[offset & this.#mask]! & MAYBE_FLAG) !== 0;
  }

  holderOf(offset: number): Incarnation {
    return this.has(offset) ? this.#holders.names[this.#holder[offset & this.#mask]!]! : "";
  }

  stampOf(offset: number): number {
    return this.has(offset) ? this.#stamp[offset & this.#mask]! : -1;
  }

  epochOf(offset: number): number {
    return this.has(offset) ? this.#epoch[offset & this.#mask]! : -1;
  }

  attemptsOf(offset: number): number {
    return this.has(offset) ? this.#attempts[offset & this.#mask]! : 0;
  }

  unknownRunsOf(offset: number): number {
    return this.has(offset) ? this.#unknownRuns[offset & this.#mask]! : 0;
  }

  read(offset: number): Entry | null {
    if (!this.has(offset)) return null;
    const slot = offset & this.#mask;
    const meta = this.meta[slot]!;
    return {
      offset,
      holder: this.#holders.names[this.#holder[slot]!]!,
      epoch: this.#epoch[slot]!,
      stamp: this.#stamp[slot]!,
      phase: (meta & PHASE_MASK) as Phase,
      dirty: (meta & DIRTY_FLAG) !== 0,
      maybe: (meta & MAYBE_FLAG) !== 0,
      unknownRuns: this.#unknownRuns[slot]!,
      attempts: this.#attempts[slot]!,
      hashHi: this.hashes[2 * slot]!,
      hashLo: this.hashes[2 * slot + 1]!,
    };
  }

  /** Writes an entry; the offset must fit. `phaseByte` is a phase with flag bits; FRESH is not kept. */
  write(
    offset: number,
    holderIndex: number,
    epoch: number,
    stamp: number,
    phaseByte: number,
    unknownRuns: number,
    attempts: number,
    hi: number,
    lo: number,
  ): void {
    this.#grow(offset);
    const slot = offset & this.#mask;
    const before = this.meta[slot]!;
    if ((before & PRESENT) === 0) this.entries++;
    else if ((before & PHASE_MASK) === Phase.executed) this.ledger--;
    if ((phaseByte & PHASE_MASK) === Phase.executed) this.ledger++;
    this.meta[slot] = PRESENT | (phaseByte & KEPT) | (before & AGED);
    this.#holder[slot] = holderIndex;
    this.#epoch[slot] = epoch;
    this.#stamp[slot] = stamp;
    this.#unknownRuns[slot] = unknownRuns;
    this.#attempts[slot] = attempts;
    this.hashes[2 * slot] = hi;
    this.hashes[2 * slot + 1] = lo;
    if (offset >= this.top) this.top = offset + 1;
  }

  /** Moves W up and drops the entries below it. A lower value is ignored (W is monotone). */
  advance(watermark: number): void {
    if (watermark <= this.watermark) return;
    const end = Math.min(watermark, this.top);
    for (let offset = this.watermark; offset < end; offset++) {
      const slot = offset & this.#mask;
      const meta = this.meta[slot]!;
      if (meta === 0) continue;
      this.entries--;
      if ((meta & PHASE_MASK) === Phase.executed) this.ledger--;
      this.meta[slot] = 0;
      if ((meta & AGED) === 0) continue;
      this.#left.push(this.hashes[2 * slot]!);
      this.#left.push(this.hashes[2 * slot + 1]!);
    }
    this.watermark = watermark;
    if (this.top < watermark) this.top = watermark;
  }

  /**
   * Begins the partition anew at `from` (first start, or a foreign jump after every held entry has ended, R7). Entries at
   * or above it stay: W has not passed them.
   */
  restartAt(from: number): void {
    this.advance(Math.max(from, this.watermark));
    if (from < this.watermark) {
      this.meta.fill(0);
      this.entries = 0;
      this.ledger = 0;
      this.watermark = from;
      this.top = from;
    }
    this.from = from;
  }

  /** The filter may soon forget what is here now. */
  age(): void {
    for (let slot = 0; slot < this.meta.length; slot++) if (this.meta[slot] !== 0) this.meta[slot]! |= AGED;
  }

  clear(): void {
    this.meta.fill(0);
    this.entries = 0;
    this.ledger = 0;
    this.top = this.watermark;
  }

  #grow(offset: number): void {
    const need = offset - this.watermark + 1;
    if (need <= this.capacity) return;
    let capacity = this.capacity;
    while (capacity < need) capacity *= 2;
    const old = {
      mask: this.#mask,
      meta: this.meta,
      hashes: this.hashes,
      holder: this.#holder,
      epoch: this.#epoch,
      stamp: this.#stamp,
      unknown: this.#unknownRuns,
      attempts: this.#attempts,
    };
    this.#mask = capacity - 1;
    this.meta = new Uint8Array(capacity);
    this.hashes = new Uint32Array(2 * capacity);
    this.#holder = new Uint16Array(capacity);
    this.#epoch = new Uint32Array(capacity);
    this.#stamp = new Float64Array(capacity);
    this.#unknownRuns = new Uint8Array(capacity);
    this.#attempts = new Uint8Array(capacity);
    for (let at = this.watermark; at < this.top; at++) {
      const from = at & old.mask;
      if (old.meta[from] === 0) continue;
      const to = at & this.#mask;
      this.meta[to] = old.meta[from]!;
      this.hashes[2 * to] = old.hashes[2 * from]!;
      this.hashes[2 * to + 1] = old.hashes[2 * from + 1]!;
      this.#holder[to] = old.holder[from]!;
      this.#epoch[to] = old.epoch[from]!;
      this.#stamp[to] = old.stamp[from]!;
      this.#unknownRuns[to] = old.unknown[from]!;
      this.#attempts[to] = old.attempts[from]!;
    }
  }
}

const NO_PAIRS = new Uint32Array(0);

export class GrantTable {
  readonly partitions = new Map<PartitionId, PartitionTable>();
  readonly #holders = new Holders();
  readonly #left = new NumberList();

  partition(pid: PartitionId): PartitionTable {
    let partition = this.partitions.get(pid);
    if (partition === undefined) {
      partition = new PartitionTable(this.#holders, this.#left);
      this.partitions.set(pid, partition);
    }
    return partition;
  }

  holderIndex(incarnation: Incarnation): number {
    return this.#holders.indexOf(incarnation);
  }

  get entries(): number {
    let sum = 0;
    for (const partition of this.partitions.values()) sum += partition.entries;
    return sum;
  }

  get ledger(): number {
    let sum = 0;
    for (const partition of this.partitions.values()) sum += partition.ledger;
    return sum;
  }

  clear(): void {
    this.partitions.clear();
    this.#left.clear();
  }

  age(): void {
    for (const partition of this.partitions.values()) partition.age();
  }

  /** Hashes of entries that W passed, of which the filter may know nothing any more, as pairs; each is told once. */
  takeLeft(): Uint32Array {
    if (this.#left.length === 0) return NO_PAIRS;
    const pairs = Uint32Array.from(this.#left.values.subarray(0, this.#left.length));
    this.#left.clear();
    return pairs;
  }

  /** Applies the leader's changes in their order. An entry below W is late and left out. */
  apply(batch: EntryBatch, epoch: number): void {
    const partition = this.partition(batch.pid);
    const holder = this.holderIndex(batch.holder);
    const { base, count, deltas } = batch.offsets;
    for (let i = 0; i < count; i++) {
      const offset = deltas.length === 0 ? base + i : base + deltas[i]!;
      if (!partition.fits(offset)) continue;
      const slot = partition.slot(offset);
      const keeps = batch.hashes.length === 0;
      const known = partition.has(offset);
      const hi = keeps ? (known ? partition.hashes[2 * slot]! : 0) : batch.hashes[2 * i]!;
      const lo = keeps ? (known ? partition.hashes[2 * slot + 1]! : 0) : batch.hashes[2 * i + 1]!;
      const unknownRuns = batch.unknownRuns.length === 0 ? 0 : batch.unknownRuns[i]!;
      const attempts = batch.attempts.length === 0 ? 0 : batch.attempts[i]!;
      partition.write(offset, holder, epoch, batch.firstStamp + i, batch.phases[i]!, unknownRuns, attempts, hi, lo);
    }
  }

  /** Every entry of a partition as rows; null when it has none. */
  rows(pid: PartitionId): TableRows | null {
    const partition = this.partitions.get(pid);
    if (partition === undefined || partition.entries === 0) return null;
    const n = partition.entries;
    const holders: Incarnation[] = [];
    const rows = {
      pid,
      offsets: new Float64Array(n),
      holders,
      holderIndex: new Uint16Array(n),
      epochs: new Float64Array(n),
      stamps: new Float64Array(n),
      phases: new Uint8Array(n),
      unknownRuns: new Uint8Array(n),
      attempts: new Uint8Array(n),
      hashes: new Uint32Array(2 * n),
    };
    let i = 0;
    for (let offset = partition.watermark; offset < partition.top; offset++) {
      if (!partition.has(offset)) continue;
      const slot = partition.slot(offset);
      const holder = partition.holderOf(offset);
      let index = holders.indexOf(holder);
      if (index < 0) index = holders.push(holder) - 1;
      rows.offsets[i] = offset;
      rows.holderIndex[i] = index;
      rows.epochs[i] = partition.epochOf(offset);
      rows.stamps[i] = partition.stampOf(offset);
      rows.phases[i] = partition.meta[slot]! & KEPT;
      rows.unknownRuns[i] = partition.unknownRunsOf(offset);
      rows.attempts[i] = partition.attemptsOf(offset);
      rows.hashes[2 * i] = partition.hashes[2 * slot]!;
      rows.hashes[2 * i + 1] = partition.hashes[2 * slot + 1]!;
      i++;
    }
    return rows;
  }

  /** Merges rows of another member of the last set: a final phase beats all, else the highest (epoch, stamp) wins (R5). */
  merge(rows: TableRows): void {
    const partition = this.partition(rows.pid);
    for (let i = 0; i < rows.offsets.length; i++) {
      const offset = rows.offsets[i]!;
      if (!partition.fits(offset)) continue;
      if (partition.has(offset) && !wins(rows, i, partition, offset)) continue;
      const holder = this.holderIndex(rows.holders[rows.holderIndex[i]!] ?? "");
      partition.write(
        offset,
        holder,
        rows.epochs[i]!,
        rows.stamps[i]!,
        rows.phases[i]!,
        rows.unknownRuns[i]!,
        rows.attempts[i]!,
        rows.hashes[2 * i]!,
        rows.hashes[2 * i + 1]!,
      );
      partition.meta[partition.slot(offset)]! |= AGED; // nobody says how old it is
    }
  }
}

/** Whether row i beats the entry that is there. */
function wins(rows: TableRows, i: number, partition: PartitionTable, offset: number): boolean {
  const theirs = isFinalPhase(rows.phases[i]! & PHASE_MASK);
  const ours = isFinalPhase(partition.phaseOf(offset));
  if (theirs !== ours) return theirs;
  return compareStamps(rows.epochs[i]!, rows.stamps[i]!, partition.epochOf(offset), partition.stampOf(offset)) > 0;
}
