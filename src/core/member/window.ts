/**
 * The window of one owned partition: one state byte a delivered offset, from the leader's acknowledged watermark (below
 * it nothing need be remembered, R13) to the fetch position. Typed arrays in a ring; no object a task.
 */
import type { PayloadConflict } from "../effects.ts";
import type { CheckAnswer } from "../events.ts";
import type { PartitionId } from "../identity.ts";
import { NumberList } from "../offsets.ts";
import { bitAt } from "./metadata.ts";

/**
 * Where a task stands at this node:
 * held: delivered, to be asked for (again). asked: its claim is under way. granted: may start (a retry waits in `retryAt`).
 * executing: its handler runs. adopted: to be checked, or its check runs. doubtful: in the doubtful queue.
 * writing: the record is on its way to the dead-letter or parked topic. The rest are final.
 */
export const State = {
  absent: 0, // never delivered: a gap, or not fetched yet
  held: 1,
  asked: 2,
  granted: 3,
  executing: 4,
  adopted: 5,
  doubtful: 6,
  writing: 7,
  executed: 8,
  dropped: 9,
  dead: 10,
  parked: 11,
} as const;
export type State = (typeof State)[keyof typeof State];

export function isFinal(state: number): boolean {
  return state >= State.executed;
}

/** A granted, adopted or asked task may be given up without a trace: its handler does not run. */
export function isUnstarted(state: number): boolean {
  return state < State.executing || state === State.adopted || state === State.doubtful;
}

/** Set on a slot whose task id is not the delivery key. */
export const HAS_ID = 1;
/** Set when this grant was checked: "not executed". */
export const CHECKED = 2;

const SLOTS_MIN = 1_024;
export const WINDOW_SLOTS_MAX = 65_536;

/** A doubt of this node (rare path: an object a doubt is fine). */
export interface Doubt {
  readonly offset: number;
  readonly since: number;
  askAt: number;
  asking: number; // claim number under way, 0 for none
  waited: boolean; // the leader said that somebody may still run it
  verdictLost: boolean;
  ranUnknown: boolean; // my own run of it ended unknown
  maybe: boolean; // adopted on a Bloom bit alone
  checkAttempts: number;
  checkAt: number; // not before
  checking: boolean;
  // For people who ask about the task; nothing is decided by these.
  asks: number; // questions to the leader
  said: number; // its last Verdict, 0 before the first
  saidAt: number;
  checks: number; // how often the check was asked
  checkSaid: CheckAnswer | ""; // its last answer
}

/** What a node keeps of a task when it no longer owns the partition: it runs, or ran, here (R8, R13). */
export interface Retained {
  state: number;
  readonly stamp: number;
  readonly epoch: number;
  attempts: number;
  readonly hashHi: number;
  readonly hashLo: number;
  readonly id: string | null;
  readonly payloadHi: number;
  readonly payloadLo: number;
  ranUnknown: boolean;
  readonly aside: Aside | null; // while it is being written
}

/** Why a record goes to the dead-letter or parked topic. */
export interface Aside {
  readonly kind: "dead" | "parked";
  readonly reason: string;
  readonly conflict: PayloadConflict | null;
}

export class PartitionWindow {
  readonly pid: PartitionId;
  readonly ownership: number;
  readonly generation: number; // group generation
  base: number; // lowest offset kept
  fetchPosition: number;
  committable: number; // first delivered offset that is not final, or the fetch position
  committed: number; // acknowledged to this node in this ownership
  from = -1;
  watermark = 0; // acknowledged by the leader
  ceilingAcked = 0; // offsets below it may be claimed
  ceilingSent = 0;
  ceilingFloor = 0; // the highest that was ever read, sent or told: it never falls
  infoKnown = false; // the leader answered the partition report in this epoch
  reported = false; // the partition report is under way
  /**
   * False after a higher epoch, until a commit in this group generation was acknowledged: only who certainly still owns
   * the partition knows the last reserved ceiling, and a leader whose table was lost takes it from the report (R15). Where
   * nothing of ours was read there is nothing to commit for a proof: the group is joined anew.
   */
  confirmed = true;
  anchored = false; // an acknowledged commit of this ownership carries from and ceiling
  finalsSinceCommit = 0;
  commitFatal = false; // the log refuses its commits for good
  paused = false;
  stopped = ""; // why this partition stands still for a person, or ""
  unreadable = ""; // why nothing behind what was delivered can be read, or ""
  unreadableAt = -1; // the fetch position when the log said so last
  leaderEpoch = -1; // of the last delivered record; of the commit that was read, before the first
  readonly #epochStarts: { readonly offset: number; readonly before: number }[] = []; // where it rose, and what it was
  logEnd = 0;
  logStart = 0;
  hadCommit = false;
  ours = false;
  readFrom = -1;
  /** Another topic's: nothing is committed, and the leader does not hear of it, which may know its namesake by somebody else. */
  replaced = false;
  /** The commit that was read is another cell's: its cluster UUID; "" when it is not. */
  otherCluster = "";
  readFinals: Uint8Array = new Uint8Array(0);
  readPosition = 0;

  claimCursor: number;
  claimedThrough = 0; // for progress
  executedCount = 0;
  openSince = Infinity; // since when the lowest unfinished task is the lowest
  openAt = -1; // its offset
  held = 0;
  granted = 0;
  running = 0;
  writing = 0;
  readonly doubts = new Map<number, Doubt>();
  readonly retryAt = new Map<number, number>();
  readonly setAside = new Map<number, Aside & { retryAt: number }>();
  readonly ready = new NumberList(); // granted offsets in the order of their verdicts
  readyHead = 0;

  #mask = SLOTS_MIN - 1;
  states = new Uint8Array(SLOTS_MIN);
  flags = new Uint8Array(SLOTS_MIN);
  attempts = new Uint8Array(SLOTS_MIN);
  stamps = new Float64Array(SLOTS_MIN);
  eras = new Uint32Array(SLOTS_MIN); // of the grant: rises with each epoch and lease number (R9)
  hashes = new Uint32Array(2 * SLOTS_MIN);
  payloads = new Uint32Array(0); // allocated when a record with an id of its own arrives
  ids: (string | null)[] = [];

  constructor(pid: PartitionId, ownership: number, generation: number, position: number) {
    this.pid = pid;
    this.ownership = ownership;
    this.generation = generation;
    this.base = position;
    this.fetchPosition = position;
    this.committable = position;
    this.committed = position;
    this.claimCursor = position;
    this.readPosition = position;
  }

  slot(offset: number): number {
    return offset & this.#mask;
  }

  covers(offset: number): boolean {
    return offset >= this.base && offset < this.fetchPosition;
  }

  stateOf(offset: number): number {
    return this.covers(offset) ? this.states[offset & this.#mask]! : State.absent;
  }

  stampOf(offset: number): number {
    return this.stamps[offset & this.#mask]!;
  }

  idOf(offset: number): string | null {
    const slot = offset & this.#mask;
    return (this.flags[slot]! & HAS_ID) !== 0 ? (this.ids[slot] ?? null) : null;
  }

  /** Which record a kept offset is, copied out; for rare paths. */
  nameOf(offset: number): Pick<Retained, "hashHi" | "hashLo" | "id"> & { pid: PartitionId; offset: number } {
    const slot = offset & this.#mask;
    const [hashHi, hashLo] = [this.hashes[2 * slot]!, this.hashes[2 * slot + 1]!];
    return { pid: this.pid, offset, hashHi, hashLo, id: this.idOf(offset) };
  }

  /** Records carry the epoch under which they were written: it never falls from one to the next. */
  raiseLeaderEpoch(offset: number, epoch: number): void {
    if (epoch <= this.leaderEpoch) return;
    while (this.#epochStarts.length > 1 && this.#epochStarts[1]!.offset <= this.committed) this.#epochStarts.shift();
    this.#epochStarts.push({ offset, before: this.leaderEpoch });
    this.leaderEpoch = epoch;
  }

  /** Of the last record below a position. A commit carries this one: what its reader fetches first may be older than the last. */
  leaderEpochBelow(position: number): number {
    for (const { offset, before } of this.#epochStarts) if (position <= offset) return before;
    return this.leaderEpoch;
  }

  /** Up to where records follow that are of the epoch below a position; no end where that one is not known. */
  #epochEndAbove(position: number): number {
    for (const { offset, before } of this.#epochStarts) if (position <= offset) return before < 0 ? Infinity : offset;
    return Infinity;
  }

  /** A commit must show that this node still owns the partition; without metadata of ours there is no ceiling to tell. */
  get needsProof(): boolean {
    return !this.confirmed && this.stopped === "" && this.#tellsCeiling;
  }

  /** It was read in a former epoch that nothing of ours is committed: only a join shows whether that is still so. */
  get needsJoin(): boolean {
    return !this.confirmed && this.stopped === "" && !this.#tellsCeiling;
  }

  get #tellsCeiling(): boolean {
    return this.anchored || this.ours;
  }

  /** A higher epoch was accepted. */
  doubtOwnership(): void {
    this.infoKnown = false;
    this.confirmed = this.stopped !== "" && !this.#tellsCeiling; // it granted nothing, and does not begin
  }

  /** Moves a covered task to a state and keeps the counts. */
  set(offset: number, state: State): void {
    const slot = offset & this.#mask;
    this.#count(this.states[slot]!, -1);
    this.#count(state, 1);
    this.states[slot] = state;
  }

  #count(state: number, by: number): void {
    if (state === State.held) this.held += by;
    else if (state === State.granted) this.granted += by;
    else if (state === State.executing) this.running += by;
    else if (state === State.writing) this.writing += by;
  }

  /** Back to held: it will be asked for again. */
  hold(offset: number): void {
    this.set(offset, State.held);
    this.flags[offset & this.#mask]! &= ~CHECKED;
    this.retryAt.delete(offset);
    if (offset < this.claimCursor) this.claimCursor = offset;
  }

  /** Room for a batch up to `nextPosition`; false when the ring would have to grow beyond its limit (R21). */
  reserve(nextPosition: number): boolean {
    const need = nextPosition - this.base;
    if (need > WINDOW_SLOTS_MAX) return false;
    if (need > this.#mask + 1) this.#grow(need);
    return true;
  }

  /** Adds one delivered record; its slot was reserved and is absent. */
  add(offset: number, hi: number, lo: number, id: string | null, payloadHi: number, payloadLo: number): void {
    const slot = offset & this.#mask;
    this.states[slot] = State.held;
    this.held++;
    this.attempts[slot] = 0;
    this.hashes[2 * slot] = hi;
    this.hashes[2 * slot + 1] = lo;
    if (id === null) {
      this.flags[slot] = 0;
      return;
    }
    this.flags[slot] = HAS_ID;
    this.ids[slot] = id;
    if (this.payloads.length === 0) this.payloads = new Uint32Array(2 * (this.#mask + 1));
    this.payloads[2 * slot] = payloadHi;
    this.payloads[2 * slot + 1] = payloadLo;
  }

  /** Moves `committable` over final tasks and gaps. */
  advanceCommittable(): void {
    let at = this.committable;
    while (at < this.fetchPosition) {
      const state = this.states[at & this.#mask]!;
      if (state !== State.absent && state < State.executed) break;
      at++;
    }
    this.committable = at;
  }

  /** Forgets what lies below the leader's acknowledged watermark and below the committed position. */
  forgetBelow(offset: number): void {
    const end = Math.min(offset, this.committed, this.committable);
    for (let at = this.base; at < end; at++) {
      const slot = at & this.#mask;
      this.states[slot] = State.absent;
      if (this.flags[slot] !== 0) this.ids[slot] = null;
      this.flags[slot] = 0;
    }
    if (end > this.base) this.base = end;
  }

  /**
   * Bitmap of final offsets at or above the position, for the commit metadata and the partition report. What is not
   * delivered yet keeps the bits of the commit that this owner began from (R15). All are of the leader epoch that goes with
   * the position: by it whoever reads them asks whether the log still has what they are about (E18).
   */
  finalsAbove(position: number, bytesMax: number): Uint8Array {
    const known = Math.max(this.fetchPosition, this.readPosition + 8 * this.readFinals.length);
    const end = Math.min(known, position + 8 * bytesMax, this.#epochEndAbove(position));
    let last = -1;
    const bits = new Uint8Array(Math.max(0, Math.ceil((end - position) / 8)));
    for (let at = position; at < end; at++) {
      if (!this.#finalAt(at)) continue;
      bits[(at - position) >> 3]! |= 1 << ((at - position) & 7);
      last = at - position;
    }
    return bits.subarray(0, last < 0 ? 0 : (last >> 3) + 1);
  }

  #finalAt(offset: number): boolean {
    if (offset < this.fetchPosition) return this.states[offset & this.#mask]! >= State.executed;
    return bitAt(this.readFinals, offset - this.readPosition);
  }

  /** Once a turn: since when the lowest unfinished task holds up the watermark. */
  watchOldest(now: number): void {
    if (this.committable >= this.fetchPosition) this.openSince = Infinity;
    else if (this.openSince === Infinity || this.openAt !== this.committable) this.openSince = now;
    this.openAt = this.committable;
  }

  #grow(need: number): void {
    let capacity = this.#mask + 1;
    while (capacity < need) capacity *= 2;
    const old = {
      mask: this.#mask,
      states: this.states,
      flags: this.flags,
      attempts: this.attempts,
      stamps: this.stamps,
      eras: this.eras,
      hashes: this.hashes,
      payloads: this.payloads,
      ids: this.ids,
    };
    this.#mask = capacity - 1;
    this.states = new Uint8Array(capacity);
    this.flags = new Uint8Array(capacity);
    this.attempts = new Uint8Array(capacity);
    this.stamps = new Float64Array(capacity);
    this.eras = new Uint32Array(capacity);
    this.hashes = new Uint32Array(2 * capacity);
    if (old.payloads.length > 0) this.payloads = new Uint32Array(2 * capacity);
    this.ids = [];
    for (let at = this.base; at < this.fetchPosition; at++) {
      const from = at & old.mask;
      const to = at & this.#mask;
      this.states[to] = old.states[from]!;
      this.flags[to] = old.flags[from]!;
      this.attempts[to] = old.attempts[from]!;
      this.stamps[to] = old.stamps[from]!;
      this.eras[to] = old.eras[from]!;
      this.hashes[2 * to] = old.hashes[2 * from]!;
      this.hashes[2 * to + 1] = old.hashes[2 * from + 1]!;
      if (old.flags[from] === 0) continue;
      this.ids[to] = old.ids[from] ?? null;
      if (old.payloads.length === 0) continue;
      this.payloads[2 * to] = old.payloads[2 * from]!;
      this.payloads[2 * to + 1] = old.payloads[2 * from + 1]!;
    }
  }
}
