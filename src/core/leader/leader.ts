/**
 * The leader of one epoch. It votes only when active and before the coordinator's deadline; everything that it decides
 * is replicated to the in-sync set before anybody hears of it. Deposed, it is thrown away as a whole: a new epoch
 * begins with a new one.
 *
 * Longer than most files: whatever a leader is told enters here, and each arm hands it to the file that decides.
 */
import type { Context } from "../context.ts";
import type { CoreEvent, InSyncState, WatermarksState } from "../events.ts";
import type { Incarnation, PartitionId } from "../identity.ts";
import type { AttachMessage, PeerMessage, RefusedMessage, ReportMessage, StateChunkMessage } from "../messages.ts";
import type { Replica } from "../replica.ts";
import type { LeaderStatus } from "../status.ts";
import type { LeaderView } from "../task-view.ts";
import { isFinalPhase } from "../table.ts";
import { Activation, sendState } from "./activation.ts";
import { changeInSync, resolveUnknown, setWritten } from "./in-sync.ts";
import {
  commitReported,
  factsReported,
  partitionReported,
  progressReported,
  seenReported,
  settleJumps,
} from "./partitions.ts";
import { Questions, stampHere } from "./questions.ts";
import { release } from "./release.ts";
import { settleClaims, settleDoubts } from "./settle.ts";
import { lookAsLeader } from "./look.ts";
import { LeaderState, SELF, type Peer } from "./state.ts";
import { inheritSuspects } from "./suspects.ts";

/** A turn's delta is sent early when it reaches this many entries, so that it stays far below a frame's limit. */
const DELTA_ENTRIES_MAX = 16_384;
const DRAIN_QUESTIONS_MAX = 1_024;
/** A coordinator that cannot be reached answers at once. */
const MARK_AGAIN_MS = 250;

export class Leader {
  readonly state: LeaderState;
  readonly activation: Activation;
  readonly #ctx: Context;
  readonly #questions = new Questions();
  readonly #disconnectedAt = new Map<Incarnation, number>();
  #quorumSince: number;
  #watermarksWrittenAt: number;
  #watermarksPending = false;
  #recordAgainAt = -Infinity;
  #cleanStop: "no" | "writing" | "written" = "no";
  #markAgainAt = Infinity;
  /** Set when this leader must give up: "fenced" by a newer epoch, "resign" to let another take over. */
  over: "" | "fenced" | "resign" = "";
  overReason = "";

  constructor(
    ctx: Context,
    replica: Replica,
    epoch: number,
    inSync: InSyncState,
    watermarks: WatermarksState,
    noLeaderSince: number,
    deadline: number,
    now: number,
    send: (connection: number, to: Incarnation, message: PeerMessage) => void,
  ) {
    this.#ctx = ctx;
    const complete = replica.appliedEpoch;
    this.state = new LeaderState(ctx, replica, epoch, now, deadline, send);
    this.state.peers.set(ctx.incarnation, newPeer(ctx.incarnation, SELF, complete, now));
    this.activation = new Activation(this.state, inSync, watermarks, noLeaderSince, now);
    this.#quorumSince = now;
    this.#watermarksWrittenAt = now;
  }

  // --- peers

  attached(connection: number, incarnation: Incarnation, message: AttachMessage, now: number): void {
    const leader = this.state;
    leader.flush(now);
    const peer = newPeer(incarnation, connection, message.appliedEpoch, now);
    peer.draining = message.draining;
    leader.peers.set(incarnation, peer);
    this.#disconnectedAt.delete(incarnation);
    leader.gone.delete(incarnation);
    const first = leader.log[0]?.seq ?? leader.seq + 1;
    const listed = leader.inSync.includes(incarnation);
    const resumes =
      leader.active &&
      message.appliedEpoch === leader.epoch &&
      message.appliedSeq >= first - 1 &&
      message.appliedSeq <= leader.seq;
    const { epoch } = leader;
    leader.send(connection, incarnation, {
      kind: "welcome",
      epoch,
      active: leader.active,
      resumeSeq: resumes ? message.appliedSeq : -1,
      member: resumes && listed,
    });
    if (!leader.active) return; // activation asks for its state and pushes
    if (!resumes) {
      // One that counts as a copy must not lose what it has: what this epoch told it is a part of what is sent.
      sendState(leader, peer, !(listed && message.appliedEpoch === epoch));
      return;
    }
    leader.tellWatermarks();
    peer.standing = "synced";
    peer.applied = message.appliedSeq;
    for (const delta of leader.log) {
      if (delta.seq > message.appliedSeq) leader.send(connection, incarnation, { kind: "delta", epoch, delta });
    }
    if (peer.applied < leader.seq) peer.behindSince = now;
  }

  detached(incarnation: Incarnation, connection: number, now: number): void {
    const peer = this.state.peers.get(incarnation);
    if (peer === undefined || peer.connection !== connection) return;
    this.state.peers.delete(incarnation);
    this.state.lastFrame.set(incarnation, peer.lastFrameAt);
    this.#disconnectedAt.set(incarnation, now);
    this.#questions.disconnected(incarnation);
  }

  #dismiss(incarnation: Incarnation, reason: RefusedMessage["reason"], now: number): void {
    const peer = this.state.peers.get(incarnation);
    if (peer === undefined || peer.connection === SELF) return;
    this.state.send(peer.connection, incarnation, { kind: "refused", epoch: this.state.epoch, reason });
    this.#ctx.emit({ type: "disconnect", connection: peer.connection, reason });
    this.detached(incarnation, peer.connection, now);
  }

  // --- messages

  receive(connection: number, from: Incarnation, message: PeerMessage, now: number): void {
    const peer = this.state.peers.get(from);
    if (peer === undefined || peer.connection !== connection) return;
    switch (message.kind) {
      case "report":
        this.#report(peer, message, now);
        break;
      case "answer":
        if (this.state.mayAct(now)) this.#questions.answered(this.state, peer, message.items, now);
        break;
      case "state-chunk":
        this.#stateChunk(peer, message, now);
        break;
      default:
        this.#ctx.counters.refusedMessages++;
    }
    peer.lastFrameAt = now; // when it was processed: the quarantine counts from here (R12)
  }

  #stateChunk(peer: Peer, chunk: StateChunkMessage, now: number): void {
    if (chunk.purpose !== "merge" || this.activation.phase === "active") return;
    if (!this.state.lastSet.includes(peer.incarnation) || peer.stateEpoch === 0) return; // R5
    if (this.activation.phase !== "merging") return; // too late: it gets the pushed state instead
    const refusal = this.state.replica.addChunk(chunk);
    if (refusal !== "") {
      this.#ctx.log("warn", `a state chunk of ${peer.incarnation} was refused: ${refusal}`);
      this.#dismiss(peer.incarnation, "evicted", now);
      return;
    }
    if (chunk.last) this.activation.merged(peer);
  }

  /** Acknowledged on receipt, unless this leader's own right to lead is over (R17). */
  #report(peer: Peer, report: ReportMessage, now: number): void {
    const leader = this.state;
    const remaining = leader.deadline - now;
    if (remaining <= 0) return;
    const leaseMs = Math.min(this.#ctx.settings.leaseMs, remaining);
    leader.send(peer.connection, peer.incarnation, {
      kind: "ack",
      epoch: leader.epoch,
      number: report.number,
      leaseMs,
    });
    if (report.seen.length > 0) seenReported(leader, report.seen);
    this.#acknowledged(peer, report, now);
    peer.draining = report.draining;
    if (!leader.mayAct(now)) return;
    peer.factsComplete = report.factsComplete;
    peer.runsNothing = report.runsNothing || peer.runsNothing;
    for (const batch of report.finished) factsReported(leader, peer, batch);
    for (const note of report.commits) commitReported(leader, note);
    for (const partition of report.partitions) partitionReported(leader, peer, partition);
    progressReported(peer, report.progress);
    if (leader.inSync.includes(peer.incarnation)) {
      for (const claim of report.claims) settleClaims(leader, peer, claim);
      for (const page of report.doubts) settleDoubts(leader, this.#questions, peer, page, now);
    }
    if (leader.builder.size >= DELTA_ENTRIES_MAX) leader.flush(now);
  }

  #acknowledged(peer: Peer, report: ReportMessage, now: number): void {
    const leader = this.state;
    if (report.appliedEpoch !== leader.epoch || report.appliedSeq > leader.seq) return;
    if (peer.standing === "syncing" && report.appliedSeq >= peer.syncSeq) {
      peer.standing = "synced";
      // It did not leave the set for it, so no change of the set will tell it that it may claim.
      if (leader.inSync.includes(peer.incarnation))
        leader.sendTo(peer.incarnation, { kind: "admitted", epoch: leader.epoch });
    }
    if (peer.standing !== "synced") return;
    if (report.appliedSeq > peer.applied) {
      peer.applied = report.appliedSeq;
      peer.behindSince = now;
    }
    if (peer.applied >= leader.seq) peer.behindSince = Infinity;
  }

  // --- coordinator

  coordinator(event: CoreEvent, now: number): void {
    switch (event.type) {
      case "members":
        this.state.registered = new Set(event.members);
        return;
      case "coordinator-deadline":
        this.state.deadline = event.at;
        return;
      case "death-proven":
        if (!this.state.provenDead.has(event.incarnation)) this.state.provenDead.set(event.incarnation, now);
        this.#deathWakes(event.incarnation);
        return;
      case "in-sync-written":
        if (event.epoch === this.state.epoch) this.#inSyncWritten(event.outcome, event.version, now);
        return;
      case "in-sync-read":
        if (event.epoch === this.state.epoch) this.#inSyncRead(event.inSync, now);
        return;
      case "watermarks-written":
        if (event.epoch === this.state.epoch) this.#watermarksWritten(event.outcome, now);
        return;
      default:
        return;
    }
  }

  /** S8: who waits for a node that went offline hears of it; it asks again when the effects have settled. */
  #deathWakes(incarnation: Incarnation): void {
    for (const peer of this.state.peers.values()) {
      if (peer.incarnation !== incarnation)
        this.state.nudge(peer.incarnation, this.state.replica.table.partitions.keys());
    }
  }

  #inSyncWritten(outcome: "written" | "conflict" | "fenced" | "unknown", version: number, now: number): void {
    if (outcome === "fenced") {
      this.#giveUp("fenced", "a newer epoch exists");
    } else if (outcome === "written") {
      this.#setKnown(version, now);
    } else if (this.activation.phase === "writing") {
      this.activation.reread();
    } else {
      this.#ctx.emit({ type: "read-in-sync", epoch: this.state.epoch });
    }
  }

  #inSyncRead(inSync: InSyncState | null, now: number): void {
    if (inSync === null) {
      if (this.activation.phase === "reading" || this.state.pendingSet !== null)
        this.#ctx.emit({ type: "read-in-sync", epoch: this.state.epoch });
      return;
    }
    if (this.activation.phase === "reading") {
      if (this.activation.read(inSync) === "written") this.#setKnown(inSync.version, now);
      return;
    }
    if (this.state.pendingSet === null) return;
    const found = resolveUnknown(this.state, inSync);
    if (found === "new") this.#setKnown(inSync.version, now);
    if (found === "foreign") this.#giveUp("fenced", "the in-sync record was written by somebody else");
  }

  /** The set is known to be written: who is in it may claim; the first one activates this leader (R4 step 5). */
  #setKnown(version: number, now: number): void {
    const leader = this.state;
    const first = this.activation.phase === "writing" || this.activation.phase === "reading";
    const { joined, left } = setWritten(leader, version);
    if (first) this.#activate(now);
    for (const incarnation of joined) leader.sendTo(incarnation, { kind: "admitted", epoch: leader.epoch });
    if (joined.length > 0) leader.tellWatermarks();
    for (const incarnation of left)
      this.#dismiss(incarnation, leader.peers.get(incarnation)?.runsNothing === true ? "drained" : "evicted", now);
    this.#ctx.log("info", `in-sync set: ${leader.inSync.join(", ")} (epoch ${leader.epoch})`);
  }

  #activate(now: number): void {
    const leader = this.state;
    this.activation.phase = "active";
    leader.activatedAt = now;
    leader.released = leader.seq;
    leader.replica.appliedEpoch = leader.epoch;
    leader.replica.appliedSeq = leader.seq;
    const self = leader.peers.get(this.#ctx.incarnation);
    if (self !== undefined) self.applied = leader.seq;
    leader.index.rebuild();
    inheritSuspects(leader);
    this.#quorumSince = now;
    // Whoever came during the activation and is not in the set is synchronised like any joiner.
    for (const peer of leader.peers.values()) {
      if (peer.standing === "attached") {
        leader.send(peer.connection, peer.incarnation, {
          kind: "welcome",
          epoch: leader.epoch,
          active: true,
          resumeSeq: -1,
          member: false,
        });
        sendState(leader, peer, true);
      } else if (!leader.inSync.includes(peer.incarnation)) {
        leader.send(peer.connection, peer.incarnation, {
          kind: "welcome",
          epoch: leader.epoch,
          active: true,
          resumeSeq: -1,
          member: false,
        });
      }
    }
  }

  #watermarksWritten(outcome: "written" | "fenced" | "unknown", now: number): void {
    this.#watermarksPending = false;
    if (outcome === "fenced") {
      this.#giveUp("fenced", "a newer epoch exists");
      return;
    }
    const marking = this.activation.phase === "marking";
    if (outcome === "unknown" && (marking || this.#cleanStop === "writing")) {
      this.#markAgainAt = now + MARK_AGAIN_MS; // what the mark says now must be known before anything is given
      return;
    }
    if (marking) {
      this.activation.marked(now);
      return;
    }
    if (outcome === "unknown") this.#recordAgainAt = now + MARK_AGAIN_MS;
    else for (const held of this.state.recorded.written()) this.state.queue(held);
    this.#watermarksWrittenAt = now;
    if (this.#cleanStop === "writing") this.#cleanStop = "written";
  }

  #markAgain(now: number): void {
    if (now < this.#markAgainAt) return;
    this.#markAgainAt = Infinity;
    this.#writeWatermarks(this.#cleanStop === "writing" && nothingToForget(this.state));
  }

  #writeWatermarks(clean: boolean): void {
    const { epoch, recorded } = this.state;
    recorded.writes();
    this.#ctx.emit({ type: "write-watermarks", epoch, clean, partitions: this.state.watermarkRows() });
  }

  #giveUp(how: "fenced" | "resign", why: string): void {
    if (this.over !== "") return;
    this.over = how;
    this.overReason = why;
  }

  // --- time

  /** End of a turn: what is due, then the delta, the questions and what may be released. */
  turn(now: number): void {
    const leader = this.state;
    this.#markAgain(now);
    if (this.activation.phase !== "active") {
      this.activation.tick(now);
      if (this.activation.phase === "failed") this.#giveUp("resign", this.activation.failure);
      return;
    }
    if (leader.mayAct(now)) {
      settleJumps(leader, this.#questions, now);
      this.#rotateFilter(now);
      this.#drainPeers(now);
      // Nobody may be given anything after a clean mark.
      if (this.#cleanStop === "no") changeInSync(leader, this.#disconnectedAt, now);
      this.#checkQuorum(now);
      this.#persistWatermarks(now);
    }
    leader.flush(now);
    this.#questions.flush(leader);
    release(leader, now);
  }

  #rotateFilter(now: number): void {
    const { filter } = this.state.replica;
    if (filter.rotationDue(0) !== "capacity") return;
    this.state.flush(now);
    const next = filter.openGenerationId + 1;
    this.state.replica.rotate(next);
    this.state.builder.rotate(next);
  }

  /** R17: a leader that no longer has enough live members lets somebody else try, if there is anybody. */
  #checkQuorum(now: number): void {
    const leader = this.state;
    const { minInSync, checkQuorumMs, leaseMs } = this.#ctx.settings;
    let live = 0;
    for (const peer of leader.peers.values()) if (peer.connection === SELF || now - peer.lastFrameAt < leaseMs) live++;
    if (live >= minInSync) {
      this.#quorumSince = now;
      return;
    }
    const another = [...leader.registered].some((incarnation) => incarnation !== this.#ctx.incarnation);
    if (now - this.#quorumSince >= checkQuorumMs && another)
      this.#giveUp("resign", `fewer than ${minInSync} live members for ${checkQuorumMs} ms`);
  }

  #persistWatermarks(now: number): void {
    if (this.#watermarksPending || this.#cleanStop !== "no") return;
    const isDue = now - this.#watermarksWrittenAt >= this.#ctx.settings.watermarkPersistMs;
    // R15c: what is given in a partition that was just begun waits for it.
    const isMissing = this.state.recorded.isDue && now >= this.#recordAgainAt;
    if (!isDue && !isMissing) return;
    this.#watermarksPending = true;
    this.#writeWatermarks(false);
  }

  /** R22, R11: a peer that runs nothing more gives back what it holds; out of the set, it may go. */
  #drainPeers(now: number): void {
    const leader = this.state;
    for (const peer of leader.peers.values()) {
      if (!peer.draining || !peer.runsNothing) continue;
      if (this.#askForHeld(peer, now)) peer.goesAfter = Infinity;
      else if (peer.goesAfter === Infinity) peer.goesAfter = leader.builder.empty ? leader.seq : leader.seq + 1;
      peer.holdsNothing = leader.released >= peer.goesAfter; // what it told and gave back is replicated
      if (peer.holdsNothing && !leader.inSync.includes(peer.incarnation) && leader.pendingSet === null)
        this.#dismiss(peer.incarnation, "drained", now);
    }
    this.#drainAll();
  }

  /** Revokes what the table still gives to a draining peer; true while there is any. */
  #askForHeld(peer: Peer, now: number): boolean {
    let asked = 0;
    for (const [pid, table] of this.state.replica.table.partitions) {
      for (let offset = table.watermark; offset < table.top && asked < DRAIN_QUESTIONS_MAX; offset++) {
        if (!table.has(offset) || isFinalPhase(table.phaseOf(offset)) || table.holderOf(offset) !== peer.incarnation)
          continue;
        this.#questions.ask(
          this.state,
          peer.incarnation,
          { pid, offset, stamp: stampHere(this.state, table, offset), revoke: true },
          now,
        );
        asked++;
      }
    }
    return asked > 0;
  }

  /** All members drain: when nothing is left that a clean start would forget, the clean mark is written. */
  #drainAll(): void {
    const leader = this.state;
    const peers = [...leader.peers.values()];
    if (this.#cleanStop === "written") {
      for (const peer of peers)
        if (peer.connection !== SELF) this.#dismiss(peer.incarnation, "drained", leader.activatedAt);
      return;
    }
    if (this.#cleanStop !== "no" || !peers.every((peer) => peer.draining && peer.runsNothing && peer.holdsNothing))
      return;
    if (leader.inSync.some((incarnation) => !leader.peers.has(incarnation))) return;
    if (leader.pendingHead < leader.pending.length || this.#watermarksPending) return;
    this.#cleanStop = "writing";
    this.#writeWatermarks(nothingToForget(leader));
  }

  /** This node itself may stop: everybody drains and the last watermarks are written. */
  get stopWritten(): boolean {
    return this.#cleanStop === "written";
  }

  /** Whether another member could take over from a draining leader. */
  get hasSuccessor(): boolean {
    for (const peer of this.state.peers.values())
      if (peer.connection !== SELF && !peer.draining && peer.standing === "synced") return true;
    return false;
  }

  /** For `task <id>`; null while this leader does not vote yet. */
  look(pid: PartitionId, offset: number, now: number): LeaderView | null {
    return this.state.active ? lookAsLeader(this.state, this.#questions, pid, offset, now) : null;
  }

  status(): LeaderStatus {
    const leader = this.state;
    return {
      epoch: leader.epoch,
      active: leader.active,
      inSync: leader.inSync,
      changePending: leader.pendingSet !== null,
      peers: [...leader.peers.values()].map((peer) => ({
        incarnation: peer.incarnation,
        connected: true,
        standing: peer.draining
          ? ("draining" as const)
          : leader.inSync.includes(peer.incarnation)
            ? ("member" as const)
            : ("learner" as const),
        lag: peer.connection === SELF ? 0 : leader.seq - peer.applied,
        progress: [...peer.progress.values()],
      })),
      tableEntries: leader.replica.table.entries,
      ledger: leader.replica.table.ledger,
      deltaSeq: leader.seq,
    };
  }
}

function nothingToForget(leader: LeaderState): boolean {
  if (leader.uncleanStart && leader.persisted.size > 0) return false;
  for (const table of leader.replica.table.partitions.values()) {
    for (let offset = table.watermark; offset < table.top; offset++) {
      const entry = table.read(offset);
      if (entry !== null && (entry.dirty || entry.holder !== "" || isFinalPhase(entry.phase) || entry.attempts > 0))
        return false;
    }
  }
  return true;
}

function newPeer(incarnation: Incarnation, connection: number, stateEpoch: number, now: number): Peer {
  return {
    incarnation,
    connection,
    standing: "attached",
    applied: 0,
    syncSeq: 0,
    stateEpoch,
    merged: false,
    lastFrameAt: now,
    behindSince: Infinity,
    draining: false,
    runsNothing: false,
    holdsNothing: false,
    goesAfter: Infinity,
    factsComplete: false,
    progress: new Map(),
  };
}
