/**
 * What this node remembers of doubts that were settled and of records that were set aside, for `task <id>`: the last
 * 10,000 of each, in rings. Nothing here decides anything, and a task that never was doubtful or set aside leaves no trace.
 */
import type { PartitionId } from "../identity.ts";
import type { DoubtsSettled } from "../status.ts";

export const RECENT_ENDS_MAX = 10_000;

/** How a doubt ended: one of the ways that are counted, or by a verdict that had the record parked. */
export type DoubtEnd = keyof DoubtsSettled | "poison" | "conflict";

const DOUBT_ENDS: readonly DoubtEnd[] = [
  "attestedExecuted",
  "waitedForHolder",
  "checkedExecuted",
  "checkedNotExecuted",
  "falsePositive",
  "committed",
  "regranted",
  "byPolicy",
  "poison",
  "conflict",
];

export interface SettledDoubt {
  readonly pid: PartitionId;
  readonly offset: number;
  readonly hashHi: number;
  readonly hashLo: number;
  readonly id: string | null; // null: its delivery key names it
  readonly how: DoubtEnd;
  readonly ran: boolean; // it was given to the handler; false: dropped or parked
  readonly checks: number; // how often the check was asked
  readonly since: number; // when it became doubtful
  readonly at: number; // when it was settled
}

export interface RecordSetAside {
  readonly pid: PartitionId;
  readonly offset: number;
  readonly hashHi: number;
  readonly hashLo: number;
  readonly id: string | null;
  readonly kind: "dead" | "parked";
  readonly reason: string;
  readonly attempts: number;
  readonly at: number; // when the log acknowledged it
}

/** Columns of a ring, allocated at the first doubt: a node that has none pays nothing. */
class DoubtRing {
  readonly pid = new Uint32Array(RECENT_ENDS_MAX);
  readonly offset = new Float64Array(RECENT_ENDS_MAX);
  readonly hash = new Uint32Array(2 * RECENT_ENDS_MAX);
  readonly since = new Float64Array(RECENT_ENDS_MAX);
  readonly at = new Float64Array(RECENT_ENDS_MAX);
  readonly how = new Uint8Array(RECENT_ENDS_MAX); // index into DOUBT_ENDS, plus RAN
  readonly checks = new Uint8Array(RECENT_ENDS_MAX);
  readonly ids: (string | null)[] = [];
}

const RAN = 0x80;

export class RecentEnds {
  #doubts: DoubtRing | null = null;
  #doubtCount = 0; // of all time; the ring holds the last ones
  readonly #asides: RecordSetAside[] = [];
  #asideCount = 0;

  /** How many doubts are remembered. */
  get doubts(): number {
    return Math.min(this.#doubtCount, RECENT_ENDS_MAX);
  }

  addDoubt(doubt: SettledDoubt): void {
    const ring = (this.#doubts ??= new DoubtRing());
    const slot = this.#doubtCount++ % RECENT_ENDS_MAX;
    ring.pid[slot] = doubt.pid;
    ring.offset[slot] = doubt.offset;
    ring.hash[2 * slot] = doubt.hashHi;
    ring.hash[2 * slot + 1] = doubt.hashLo;
    ring.since[slot] = doubt.since;
    ring.at[slot] = doubt.at;
    ring.how[slot] = DOUBT_ENDS.indexOf(doubt.how) | (doubt.ran ? RAN : 0);
    ring.checks[slot] = Math.min(255, doubt.checks);
    ring.ids[slot] = doubt.id;
  }

  addSetAside(record: RecordSetAside): void {
    const { pid, offset, hashHi, hashLo, id, kind, reason, attempts, at } = record;
    const slot = this.#asideCount++ % RECENT_ENDS_MAX;
    this.#asides[slot] = { pid, offset, hashHi, hashLo, id, kind, reason, attempts, at };
  }

  /** The newest of each record that matches, newest first. A hash of two zeros matches none. */
  findDoubts(pid: PartitionId, offset: number, hashHi: number, hashLo: number): SettledDoubt[] {
    const ring = this.#doubts;
    const found: SettledDoubt[] = [];
    if (ring === null) return found;
    const anyHash = hashHi !== 0 || hashLo !== 0;
    for (let back = 1; back <= this.doubts; back++) {
      const slot = (this.#doubtCount - back) % RECENT_ENDS_MAX;
      const isRecord = ring.pid[slot] === pid && ring.offset[slot] === offset;
      const isHash = anyHash && ring.hash[2 * slot] === hashHi && ring.hash[2 * slot + 1] === hashLo;
      if (!isRecord && !isHash) continue;
      const settled = readDoubt(ring, slot);
      if (!found.some((other) => other.pid === settled.pid && other.offset === settled.offset)) found.push(settled);
    }
    return found;
  }

  findSetAside(pid: PartitionId, offset: number, hashHi: number, hashLo: number): RecordSetAside[] {
    const anyHash = hashHi !== 0 || hashLo !== 0;
    const found: RecordSetAside[] = [];
    const count = this.#asides.length;
    for (let back = 1; back <= count; back++) {
      const record = this.#asides[(this.#asideCount - back) % RECENT_ENDS_MAX];
      if (record === undefined) break;
      const isRecord = record.pid === pid && record.offset === offset;
      if (!isRecord && !(anyHash && record.hashHi === hashHi && record.hashLo === hashLo)) continue;
      if (!found.some((other) => other.pid === record.pid && other.offset === record.offset)) found.push(record);
    }
    return found;
  }
}

function readDoubt(ring: DoubtRing, slot: number): SettledDoubt {
  const how = ring.how[slot] ?? 0;
  return {
    pid: ring.pid[slot] ?? 0,
    offset: ring.offset[slot] ?? 0,
    hashHi: ring.hash[2 * slot] ?? 0,
    hashLo: ring.hash[2 * slot + 1] ?? 0,
    id: ring.ids[slot] ?? null,
    how: DOUBT_ENDS[how & ~RAN] ?? "byPolicy",
    ran: (how & RAN) !== 0,
    checks: ring.checks[slot] ?? 0,
    since: ring.since[slot] ?? 0,
    at: ring.at[slot] ?? 0,
  };
}
