/**
 * Activation (R4): from a won election to the first vote, in this order: merge the state of the last in-sync set, push
 * the merged state to a new set, then write that set, and only then vote. Every step waits; none skips.
 */
import type { InSyncState, WatermarksState } from "../events.ts";
import { nodeIdOf, type Incarnation } from "../identity.ts";
import { writeSet } from "./in-sync.ts";
import { SELF, type LeaderState, type Peer } from "./state.ts";

export type ActivationPhase = "merging" | "pushing" | "marking" | "writing" | "reading" | "active" | "failed";

export class Activation {
  phase: ActivationPhase = "merging";
  failure = "";
  readonly #leader: LeaderState;
  readonly #watermarks: WatermarksState;
  readonly #noLeaderSince: number;
  readonly #began: number;
  #chosen: Incarnation[] = [];
  #restored = false;
  waitingFor = "";

  constructor(
    leader: LeaderState,
    inSync: InSyncState,
    watermarks: WatermarksState,
    noLeaderSince: number,
    now: number,
  ) {
    this.#leader = leader;
    this.#watermarks = watermarks;
    this.#noLeaderSince = noLeaderSince;
    this.#began = now;
    this.#takeRecord(inSync);
    this.#mergeSelf();
  }

  #takeRecord({ incarnations, evicted = [], version }: InSyncState): void {
    const leader = this.#leader;
    leader.lastSet = incarnations;
    leader.lastEvicted = evicted;
    leader.evicted = evicted;
    leader.inSyncVersion = version;
  }

  /** This node counts as merged when it is of the last set and holds a complete state. */
  #mergeSelf(): void {
    const leader = this.#leader;
    const self = leader.peers.get(leader.ctx.incarnation);
    if (self === undefined) return;
    const complete = leader.replica.appliedEpoch > 0;
    if (complete && leader.lastSet.includes(self.incarnation)) self.merged = true;
    else leader.replica.clear(); // R5: nothing of a node outside the last set is taken for the cell's state
  }

  /** A node that is there and cannot be reached is another matter than one that nobody has started. */
  #whatToDo(): string {
    const { registered, peers } = this.#leader;
    const apart = [...registered].filter((incarnation) => !peers.has(incarnation)).map(nodeIdOf);
    if (apart.length === 0) return "start another, or --single-node on all";
    return `no link from ${apart.join(", ")}: can it reach this node's --peer-listen, or its --advertise-host?`;
  }

  /** Whether this node itself is of the last set and was complete when it was elected. */
  get selfMerged(): boolean {
    return this.#leader.peers.get(this.#leader.ctx.incarnation)?.merged === true;
  }

  /** The last state chunk of a peer arrived: its table and bits are in ours. */
  merged(peer: Peer): void {
    peer.merged = true;
    this.#requested.delete(peer.incarnation);
  }

  readonly #requested = new Set<Incarnation>();

  tick(now: number): void {
    if (this.phase === "merging") this.#merge(now);
    if (this.phase === "pushing") this.#push(now);
  }

  /** Step 2: ask every connected member of the last set for its state. */
  #merge(now: number): void {
    const leader = this.#leader;
    for (const peer of leader.peers.values()) {
      if (peer.connection === SELF || peer.merged || peer.stateEpoch === 0 || this.#requested.has(peer.incarnation))
        continue;
      if (!leader.lastSet.includes(peer.incarnation)) continue;
      this.#requested.add(peer.incarnation);
      leader.send(peer.connection, peer.incarnation, { kind: "state-request", epoch: leader.epoch });
    }
    if (leader.lastSet.length === 0 || this.#everyoneMerged()) {
      this.#choose(now);
      return;
    }
    const waited = now - this.#began >= leader.ctx.settings.syncMaxMs;
    if (!waited) return;
    if (this.#anyMerged()) this.#choose(now);
    else this.#withoutLastSet(now);
  }

  #anyMerged(): boolean {
    for (const peer of this.#leader.peers.values()) if (peer.merged) return true;
    return false;
  }

  /**
   * This start knows nothing, and now one is here that knows everything. Our state over its own would be taken for the cell's
   * when we die before the new set is written.
   */
  #lastSetIsBack(): boolean {
    const { peers, lastSet } = this.#leader;
    if (this.#anyMerged()) return false;
    return lastSet.some((incarnation) => (peers.get(incarnation)?.stateEpoch ?? 0) > 0);
  }

  /** Every member of the last set that is registered has given its state. */
  #everyoneMerged(): boolean {
    const leader = this.#leader;
    if (!this.#anyMerged()) return false;
    return leader.lastSet.every(
      (incarnation) => leader.peers.get(incarnation)?.merged === true || !leader.registered.has(incarnation),
    );
  }

  /** No state of the last set can be had: resign while one may still come, else start clean or unclean (R15). */
  #withoutLastSet(now: number): void {
    const leader = this.#leader;
    const someoneRegistered = leader.lastSet.some(
      (incarnation) => leader.registered.has(incarnation) && incarnation !== leader.ctx.incarnation,
    );
    if (someoneRegistered && now - this.#noLeaderSince < leader.ctx.settings.uncleanStartAfterMs) {
      this.phase = "failed";
      this.failure =
        "a member of the last in-sync set is registered but cannot be reached: leaving the leadership to it";
      return;
    }
    leader.startedClean = this.#watermarks.clean;
    leader.uncleanStart = !this.#watermarks.clean;
    leader.ctx.log(
      "warn",
      `every member of the last in-sync set is gone: ${leader.uncleanStart ? "unclean" : "clean"} start`,
    );
    leader.ctx.alarm(
      "filter-window",
      -1,
      "the Bloom filter begins anew, since all its holders were down: redelivered records are recognised all the same, but another record with a task id of before this start counts as a new task, and runs",
    );
    this.#choose(now);
  }

  /**
   * Watermarks that were persisted are a lower bound of what the cell has finished. Where T knows nothing of the
   * partition its table was lost: the row waits for the owner's first report (R15).
   */
  #restoreWatermarks(): void {
    if (this.#restored) return;
    this.#restored = true;
    const leader = this.#leader;
    leader.recorded.read(this.#watermarks.partitions.map(({ pid }) => pid));
    for (const { pid, from, watermark } of this.#watermarks.partitions) {
      const table = leader.replica.table.partition(pid);
      if (table.from < 0) leader.persisted.set(pid, { pid, from, watermark });
      else if (from > table.from) table.restartAt(from);
      if (table.from === from) table.advance(watermark);
    }
    leader.replica.remember();
  }

  /** Step 3: a new set of reachable incarnations, each of which gets the merged state. */
  #choose(now: number): void {
    this.#restoreWatermarks();
    this.phase = "pushing";
    this.#chosen = [];
    this.#push(now);
  }

  #push(now: number): void {
    const leader = this.#leader;
    if (this.#lastSetIsBack()) {
      this.phase = "failed";
      this.failure = "a member of the last in-sync set is back: what it knows must not be overwritten";
      return;
    }
    const { minInSync, inSyncEvictionMs } = leader.ctx.settings;
    // One that fell silent with its link up would be waited for until the link is closed for it.
    const silent = (peer: Peer): boolean => peer.connection !== SELF && now - peer.lastFrameAt >= inSyncEvictionMs;
    const lost = this.#chosen.some((incarnation) => {
      const peer = leader.peers.get(incarnation);
      return peer === undefined || (peer.standing !== "synced" && silent(peer));
    });
    if (this.#chosen.length === 0 || lost) {
      const staying = [...leader.peers.values()].filter((peer) => !peer.draining && !silent(peer));
      const reachable = staying.length >= minInSync ? staying : [...leader.peers.values()];
      const allHere = [...leader.registered].every((incarnation) => leader.peers.has(incarnation));
      const patient = !allHere && now - this.#began < leader.ctx.settings.syncMaxMs;
      if (reachable.length < minInSync || patient) {
        const missing = minInSync - reachable.length;
        this.waitingFor =
          missing > 0
            ? `waiting for ${missing} more ${missing === 1 ? "node" : "nodes"} (min-in-sync ${minInSync}); ${this.#whatToDo()}`
            : "waiting for registered nodes to connect";
        return;
      }
      this.waitingFor = "";
      this.#chosen = reachable.map((peer) => peer.incarnation);
    }
    for (const incarnation of this.#chosen) this.#pushTo(leader.peers.get(incarnation)!);
    if (this.#chosen.every((incarnation) => leader.peers.get(incarnation)?.standing === "synced")) {
      this.phase = "marking"; // the clean mark goes before the first vote (R15b)
      leader.ctx.emit({
        type: "write-watermarks",
        epoch: leader.epoch,
        clean: false,
        partitions: leader.watermarkRows(),
      });
    }
  }

  #pushTo(peer: Peer): void {
    const leader = this.#leader;
    if (peer.standing !== "attached") return;
    if (peer.connection === SELF) {
      peer.standing = "synced";
      return;
    }
    // A member whose state was merged keeps what it has while ours is added: should we die now, it still is complete.
    const replace = !(peer.merged && leader.lastSet.includes(peer.incarnation));
    sendState(leader, peer, replace);
  }

  /** Step 4: only now the set is written, at the version read after the election. */
  marked(now: number): void {
    if (this.phase !== "marking") return;
    const leader = this.#leader;
    if (this.#chosen.some((incarnation) => !leader.peers.has(incarnation))) {
      this.phase = "pushing";
      return;
    }
    this.phase = "writing";
    writeSet(leader, this.#chosen, now);
  }

  /** On a conflict, or an unknown outcome, the record is read again: back to step 1 unless it is ours. */
  reread(): void {
    this.phase = "reading";
    this.#leader.ctx.emit({ type: "read-in-sync", epoch: this.#leader.epoch });
  }

  read(inSync: InSyncState): "written" | "again" {
    const leader = this.#leader;
    const chosen = this.#chosen;
    if (
      inSync.incarnations.length === chosen.length &&
      chosen.every((incarnation) => inSync.incarnations.includes(incarnation)) &&
      inSync.version > leader.inSyncVersion
    ) {
      return "written";
    }
    leader.pendingSet = null;
    this.#takeRecord(inSync);
    this.phase = "merging";
    // Who came meanwhile may add to the state: all are pushed to again, and only this push counts as acknowledged.
    leader.seq++;
    for (const peer of leader.peers.values()) if (peer.connection !== SELF) peer.standing = "attached";
    return "again";
  }
}

/** The whole state to one peer; deltas after it follow on the same ordered link. */
export function sendState(leader: LeaderState, peer: Peer, replace: boolean): void {
  peer.standing = "syncing";
  peer.syncSeq = leader.seq;
  for (const chunk of leader.replica.chunks(leader.epoch, "sync", leader.seq, replace)) {
    leader.send(peer.connection, peer.incarnation, chunk);
  }
}
