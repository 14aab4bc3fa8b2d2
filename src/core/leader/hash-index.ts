/**
 * From a task hash to the table entries that carry it; only the leader keeps one (built at activation). Open addressing
 * without deletions: a reference whose entry has left the table, or carries another hash, is dead and is skipped.
 * Rebuilt from the table at load 0.6. A hash is evidence of nothing by itself: ids are compared before anything is dropped.
 */
import type { PartitionId } from "../identity.ts";
import type { GrantTable, PartitionTable } from "../table.ts";

const SLOTS_MIN = 4_096;
const LOAD_MAX = 0.6;

export interface EntryRef {
  readonly pid: PartitionId;
  readonly offset: number;
}

export class HashIndex {
  readonly #table: GrantTable;
  readonly #pids: PartitionId[] = [];
  readonly #pidIndex = new Map<PartitionId, number>();
  #mask = SLOTS_MIN - 1;
  #used = 0;
  /** Per slot: the low hash word, the low 32 bits of the offset. */
  #words = new Uint32Array(2 * SLOTS_MIN);
  /** Per slot: 1 + index of the partition, 0 when empty. */
  #partition = new Uint16Array(SLOTS_MIN);

  constructor(table: GrantTable) {
    this.#table = table;
  }

  add(pid: PartitionId, offset: number, hi: number, lo: number): void {
    if (this.#used >= (this.#mask + 1) * LOAD_MAX) this.rebuild();
    let slot = mix(hi, lo) & this.#mask;
    while (this.#partition[slot] !== 0) slot = (slot + 1) & this.#mask;
    this.#partition[slot] = 1 + this.#indexOf(pid);
    this.#words[2 * slot] = lo;
    this.#words[2 * slot + 1] = offset >>> 0;
    this.#used++;
  }

  /** Whether an entry other than (pid, offset) carries this hash. */
  hasOther(hi: number, lo: number, pid: PartitionId, offset: number): boolean {
    for (let slot = mix(hi, lo) & this.#mask; this.#partition[slot] !== 0; slot = (slot + 1) & this.#mask) {
      if (this.#words[2 * slot] !== lo) continue;
      const at = this.#resolve(slot, hi, lo);
      if (at >= 0 && !(at === offset && this.#pids[this.#partition[slot]! - 1] === pid)) return true;
    }
    return false;
  }

  /** Every other entry with this hash, each once. */
  others(hi: number, lo: number, pid: PartitionId, offset: number): EntryRef[] {
    const found: EntryRef[] = [];
    for (let slot = mix(hi, lo) & this.#mask; this.#partition[slot] !== 0; slot = (slot + 1) & this.#mask) {
      if (this.#words[2 * slot] !== lo) continue;
      const at = this.#resolve(slot, hi, lo);
      const other = this.#pids[this.#partition[slot]! - 1]!;
      if (at < 0 || (at === offset && other === pid)) continue;
      if (!found.some((ref) => ref.pid === other && ref.offset === at)) found.push({ pid: other, offset: at });
    }
    return found;
  }

  rebuild(): void {
    const entries = this.#table.entries;
    let slots = SLOTS_MIN;
    while (slots * LOAD_MAX < 2 * entries + 1) slots *= 2;
    this.#mask = slots - 1;
    this.#used = 0;
    this.#words = new Uint32Array(2 * slots);
    this.#partition = new Uint16Array(slots);
    for (const [pid, partition] of this.#table.partitions) this.#addPartition(pid, partition);
  }

  #addPartition(pid: PartitionId, partition: PartitionTable): void {
    for (let offset = partition.watermark; offset < partition.top; offset++) {
      if (!partition.has(offset)) continue;
      const slot = partition.slot(offset);
      const hi = partition.hashes[2 * slot]!;
      const lo = partition.hashes[2 * slot + 1]!;
      if (hi !== 0 || lo !== 0) this.add(pid, offset, hi, lo); // zero: not known (R15), and all in one slot's chain
    }
  }

  /** The offset that a slot refers to, or -1 when its entry is gone or carries another hash. */
  #resolve(slot: number, hi: number, lo: number): number {
    const partition = this.#table.partitions.get(this.#pids[this.#partition[slot]! - 1]!);
    if (partition === undefined) return -1;
    const distance = (this.#words[2 * slot + 1]! - (partition.watermark >>> 0)) >>> 0;
    const offset = partition.watermark + distance;
    if (!partition.has(offset)) return -1;
    const at = partition.slot(offset);
    return partition.hashes[2 * at] === hi && partition.hashes[2 * at + 1] === lo ? offset : -1;
  }

  #indexOf(pid: PartitionId): number {
    const known = this.#pidIndex.get(pid);
    if (known !== undefined) return known;
    const index = this.#pids.push(pid) - 1;
    this.#pidIndex.set(pid, index);
    return index;
  }
}

function mix(hi: number, lo: number): number {
  return Math.imul(hi ^ (lo >>> 15), 0x9e3779b1) ^ lo;
}
