/**
 * What the leader knows in one epoch: its peers, the in-sync set, the delta under construction and what waits for its
 * acknowledgement. All changes of T go through `change`, so that each is replicated and wakes who waits for it.
 */
import type { Context } from "../context.ts";
import { nodeIdOf, type Incarnation, type PartitionId } from "../identity.ts";
import {
  DIRTY_FLAG,
  FREE_FLAG,
  FRESH_FLAG,
  MAYBE_FLAG,
  type Delta,
  type Offsets,
  type PartitionInfo,
  type PartitionReport,
  type PeerMessage,
  Phase,
  type ProgressRow,
  type WatermarkRow,
} from "../messages.ts";
import type { Replica } from "../replica.ts";
import { isFinalPhase, type PartitionTable } from "../table.ts";
import { DeltaBuilder } from "./delta-builder.ts";
import { HashIndex } from "./hash-index.ts";
import { LastRuns } from "./last-runs.ts";
import { Recorded } from "./recorded.ts";

export interface Peer {
  readonly incarnation: Incarnation;
  readonly connection: number; // SELF for the leader itself
  /** attached: connected, not in sync. syncing: a state transfer is under way. synced: acknowledges deltas. */
  standing: "attached" | "syncing" | "synced";
  applied: number; // cumulative acknowledgement, of this epoch
  syncSeq: number; // the sequence its last state transfer contains
  readonly stateEpoch: number; // epoch of the complete state that it held when it attached; 0 for none
  merged: boolean; // its state went into ours (activation)
  lastFrameAt: number;
  behindSince: number; // Infinity while nothing is outstanding
  draining: boolean;
  runsNothing: boolean;
  goesAfter: number; // draining: sequence of the delta that holds the last of what it told or gave back
  holdsNothing: boolean; // it runs nothing, and the table gives it nothing any more
  factsComplete: boolean;
  readonly progress: Map<PartitionId, ProgressRow>;
}

export const SELF = -1;
const WAITERS_MAX = 65_536;
const WAITED_OUTCOMES_MAX = 65_536;

/** A verdict batch that waits for the acknowledgement of the delta that it rests on. */
export interface PendingVerdicts {
  readonly kind: "verdicts";
  readonly peer: Incarnation;
  readonly connection: number;
  readonly number: number;
  readonly pid: PartitionId;
  readonly ownership: number;
  readonly offsets: Offsets;
  readonly results: Uint8Array;
  readonly stamps: Float64Array; // one a given task, in order
  readonly attempts: Uint8Array;
  readonly conflicts: Float64Array;
}

export type Pending =
  | PendingVerdicts
  | {
      readonly kind: "partition";
      readonly peer: Incarnation;
      readonly connection: number;
      readonly info: PartitionInfo;
    }
  | { readonly kind: "watermark"; readonly row: WatermarkRow };

/** A position ahead of W that is not ours (R7). */
export interface Jump {
  readonly to: number;
  readonly peer: Incarnation;
  readonly ownership: number;
  readonly suspects: { readonly report: PartitionReport; readonly lost: LostPartition } | null; // its table was lost besides
}

/** Where the cell stood in a partition whose table was lost, and how much of it is suspect. */
export interface LostPartition {
  readonly clean: boolean; // the last stop was clean and the position is the one that it left
  readonly ceiling: number;
}

/** Facts about a partition that only the leader keeps. */
export interface PartitionFacts {
  owner: Incarnation; // who reported it last, with the highest group generation
  ownerGeneration: number;
  suspectAt: number; // suspects below it are all named (R15)
  lostEnd: number; // a table that was lost may have granted what lies below it
  suspectEnd: number; // no suspect at or above it
  jump: Jump | null; // a foreign commit waits for held entries
}

export class LeaderState {
  readonly ctx: Context;
  readonly replica: Replica;
  readonly index: HashIndex;
  readonly epoch: number;
  readonly activationBegan: number;
  readonly send: (connection: number, to: Incarnation, message: PeerMessage) => void;
  activatedAt = Infinity;
  deadline: number; // of the coordinator: past it this leader does nothing (R17)

  readonly peers = new Map<Incarnation, Peer>();
  registered = new Set<Incarnation>(); // member nodes in the coordinator
  inSync: readonly Incarnation[] = [];
  inSyncVersion = 0;
  pendingSet: readonly Incarnation[] | null = null; // sent, outcome not known
  lastSet: readonly Incarnation[] = [];
  evicted: readonly Incarnation[] = []; // beside the set in the record: may still run (R15d)
  pendingEvicted: readonly Incarnation[] = []; // beside the set that was sent
  lastEvicted: readonly Incarnation[] = []; // beside the last set
  uncleanStart = false; // R15: a table was lost, and there may be suspects that are not named yet
  /** `from` and W as the coordinator keeps them, of partitions whose table was lost and whose owner has not reported. */
  readonly persisted = new Map<PartitionId, WatermarkRow>();
  readonly recorded = new Recorded();
  suspectsNamed = false; // every suspect was asked for: task ids may be granted again (R15e)
  startedClean = false; // the last set is gone, and the last stop was clean

  readonly partitions = new Map<PartitionId, PartitionFacts>();
  readonly lastFrame = new Map<Incarnation, number>(); // of peers that left, for the quarantine
  readonly provenDead = new Map<Incarnation, number>();
  readonly gone = new Set<Incarnation>(); // counted as gone: refused until synchronised anew
  readonly unknownSince = new Map<string, number>(); // asker's own unknown end, by entry
  readonly waiters = new Map<string, Map<Incarnation, Set<PartitionId>>>();
  readonly lastRuns = new LastRuns();
  /** Entries that executed while somebody waited for them: W may pass them before that one asks again (R6). */
  readonly waitedOutcomes = new Set<string>();
  readonly nudges = new Map<Incarnation, Set<PartitionId>>();

  seq = 0; // of the last delta
  stamp = 0; // of the last change
  released = 0; // highest sequence acknowledged by all who must
  readonly builder = new DeltaBuilder();
  log: Delta[] = []; // deltas that were not released, for a member that reconnects
  readonly pending: { readonly seq: number; readonly what: Pending }[] = [];
  pendingHead = 0;

  constructor(
    ctx: Context,
    replica: Replica,
    epoch: number,
    now: number,
    deadline: number,
    send: (connection: number, to: Incarnation, message: PeerMessage) => void,
  ) {
    this.ctx = ctx;
    this.replica = replica;
    this.epoch = epoch;
    this.activationBegan = now;
    this.deadline = deadline;
    this.send = send;
    this.index = new HashIndex(replica.table);
  }

  get active(): boolean {
    return this.activatedAt !== Infinity;
  }

  /** Whether this leader may decide anything now (R17). */
  mayAct(now: number): boolean {
    return this.active && now < this.deadline;
  }

  facts(pid: PartitionId): PartitionFacts {
    let facts = this.partitions.get(pid);
    if (facts === undefined) {
      facts = {
        owner: "",
        ownerGeneration: -1,
        suspectAt: Infinity,
        lostEnd: 0,
        suspectEnd: 0,
        jump: null,
      };
      this.partitions.set(pid, facts);
    }
    return facts;
  }

  connected(incarnation: Incarnation): boolean {
    return this.peers.has(incarnation);
  }

  sendTo(incarnation: Incarnation, message: PeerMessage): void {
    const peer = this.peers.get(incarnation);
    if (peer !== undefined) this.send(peer.connection, incarnation, message);
  }

  /**
   * One change of T: written here, replicated with the delta of this turn. `flags` may hold DIRTY, FREE and FRESH.
   * Returns the entry's stamp.
   */
  change(
    pid: PartitionId,
    table: PartitionTable,
    offset: number,
    holder: Incarnation,
    phase: Phase,
    flags: number,
    unknownRuns: number,
    attempts: number,
    hi: number,
    lo: number,
  ): number {
    const slot = table.slot(offset);
    const known = table.has(offset) && table.hashes[2 * slot] === hi && table.hashes[2 * slot + 1] === lo;
    const stamp = ++this.stamp;
    const phaseByte = phase | flags;
    const withHashes = !known || (flags & FRESH_FLAG) !== 0;
    table.write(
      offset,
      this.replica.table.holderIndex(holder),
      this.epoch,
      stamp,
      phaseByte,
      unknownRuns,
      attempts,
      hi,
      lo,
    );
    if (!known && (hi !== 0 || lo !== 0)) this.index.add(pid, offset, hi, lo);
    this.builder.change(pid, holder, offset, stamp, phaseByte, unknownRuns, attempts, hi, lo, withHashes);
    // A next unknown end of this task waits for its own effects to settle.
    if (holder === "" || isFinalPhase(phase)) this.unknownSince.delete(`${pid}:${offset}`);
    if (this.waiters.size > 0 && (isFinalPhase(phase) || (flags & FREE_FLAG) !== 0)) this.#ended(pid, offset, phase);
    return stamp;
  }

  /** Makes an entry free; a release keeps `dirty` and the counts (R6). */
  free(
    pid: PartitionId,
    table: PartitionTable,
    offset: number,
    change: { dirty: boolean; unknownRun: boolean; attempts?: number },
  ): void {
    const entry = table.read(offset);
    if (entry === null || isFinalPhase(entry.phase)) return;
    const dirty = entry.dirty || change.dirty;
    const maybe = entry.maybe && !change.dirty ? MAYBE_FLAG : 0;
    const unknownRuns = Math.min(255, entry.unknownRuns + (change.unknownRun ? 1 : 0));
    const attempts = Math.max(entry.attempts, change.attempts ?? 0);
    this.change(
      pid,
      table,
      offset,
      "",
      0,
      FREE_FLAG | maybe | (dirty ? DIRTY_FLAG : 0),
      unknownRuns,
      attempts,
      entry.hashHi,
      entry.hashLo,
    );
  }

  /** What the coordinator is to keep: a partition that nobody reported yet keeps its row. */
  watermarkRows(): WatermarkRow[] {
    const rows = this.replica.watermarkRows().filter(({ pid }) => this.recorded.names(pid));
    const known = new Set(rows.map((row) => row.pid));
    for (const row of this.persisted.values()) if (!known.has(row.pid)) rows.push(row);
    return rows;
  }

  /** The asker waits for this entry; when it ends or becomes free it is told (S8). */
  waitFor(pid: PartitionId, offset: number, asker: Incarnation, askerPid: PartitionId): void {
    const key = `${pid}:${offset}`;
    let byPeer = this.waiters.get(key);
    if (byPeer === undefined) {
      if (this.waiters.size >= WAITERS_MAX) this.waiters.clear(); // they ask again by themselves
      byPeer = new Map();
      this.waiters.set(key, byPeer);
    }
    const pids = byPeer.get(asker);
    if (pids === undefined) byPeer.set(asker, new Set([askerPid]));
    else pids.add(askerPid);
  }

  #ended(pid: PartitionId, offset: number, phase: Phase): void {
    const key = `${pid}:${offset}`;
    if (!this.wake(key) || phase !== Phase.executed) return;
    if (this.waitedOutcomes.size >= WAITED_OUTCOMES_MAX) this.waitedOutcomes.clear(); // their duplicates are checked
    this.waitedOutcomes.add(key);
  }

  /** Who waits for this entry is told to ask again; false when nobody does. */
  wake(key: string): boolean {
    const byPeer = this.waiters.get(key);
    if (byPeer === undefined) return false;
    this.waiters.delete(key);
    for (const [peer, pids] of byPeer) this.nudge(peer, pids);
    return true;
  }

  nudge(peer: Incarnation, pids: Iterable<PartitionId>): void {
    const known = this.nudges.get(peer) ?? new Set<PartitionId>();
    for (const pid of pids) known.add(pid);
    this.nudges.set(peer, known);
  }

  /** Raises W; replicated, and told to all when the in-sync set has it (R7, R13). */
  raiseWatermark(pid: PartitionId, table: PartitionTable, watermark: number): void {
    if (watermark <= table.watermark) return;
    table.advance(watermark);
    this.replica.remember();
    this.builder.watermark(pid, table.from, watermark);
    this.queue({ kind: "watermark", row: { pid, from: table.from, watermark } });
  }

  /** Who was away while W rose would keep what it executed below it until the next rise. */
  tellWatermarks(): void {
    for (const row of this.replica.watermarkRows()) this.queue({ kind: "watermark", row });
  }

  /** Released when the delta of this turn is acknowledged by all who must, and nothing of a partition before it is recorded. */
  queue(what: Pending): void {
    if (this.recorded.holds(what, ({ peer, connection }) => this.peers.get(peer)?.connection === connection)) return;
    this.pending.push({ seq: this.builder.empty ? this.seq : this.seq + 1, what });
  }

  /** Sends the changes of this turn to everybody who acknowledges or learns. */
  flush(now: number): void {
    if (!this.builder.empty) {
      const delta = this.builder.take(this.epoch, ++this.seq);
      this.replica.appliedEpoch = this.epoch;
      this.replica.appliedSeq = this.seq;
      this.log.push(delta);
      if (this.log.length > this.ctx.settings.deltaLogMax) {
        this.log.splice(0, this.log.length - this.ctx.settings.deltaLogMax);
        this.ctx.limit("deltaLogMax");
      }
      for (const peer of this.peers.values()) {
        if (peer.connection === SELF) {
          peer.applied = this.seq;
          continue;
        }
        if (peer.standing === "attached") continue;
        if (peer.behindSince === Infinity) peer.behindSince = now;
        this.send(peer.connection, peer.incarnation, { kind: "delta", epoch: this.epoch, delta });
      }
    }
    for (const [incarnation, pids] of this.nudges) {
      this.sendTo(incarnation, { kind: "nudge", epoch: this.epoch, pids: [...pids] });
    }
    this.nudges.clear();
  }

  /**
   * Every member has what was released (R3), and states at least that when it reconnects: nobody may resume from before
   * it, and a member's own filter is asked about a delta only until it acknowledges it.
   */
  forgetReleased(): void {
    const first = this.log[0]?.seq ?? Infinity;
    if (first <= this.released) this.log.splice(0, this.released - first + 1);
  }

  /** Who must acknowledge a release now: the union of old and new set while a change is under way (R3). */
  *required(): Generator<Incarnation, void, undefined> {
    yield* this.inSync;
    if (this.pendingSet === null) return;
    for (const incarnation of this.pendingSet) if (!this.inSync.includes(incarnation)) yield incarnation;
  }

  /** The highest sequence that all who must have acknowledged; -1 when the set is too small to release anything. */
  acknowledgedByAll(): number {
    const { minInSync } = this.ctx.settings;
    if (this.inSync.length < minInSync) return -1;
    if (this.pendingSet !== null && this.pendingSet.length < minInSync) return -1;
    let lowest = this.seq;
    for (const incarnation of this.required()) {
      const peer = this.peers.get(incarnation);
      if (peer === undefined || peer.standing !== "synced") return this.released;
      if (peer.applied < lowest) lowest = peer.applied;
    }
    return lowest;
  }

  /** A set without older incarnations of the same node. */
  withMember(set: readonly Incarnation[], joiner: Incarnation): Incarnation[] {
    return [...set.filter((incarnation) => nodeIdOf(incarnation) !== nodeIdOf(joiner)), joiner];
  }
}
