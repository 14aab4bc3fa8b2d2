/**
 * One node's core: roles, epochs, the link to the leader, and the leader itself when this node leads. Pure and
 * deterministic: an event and the time in, effects out; the same events give the same effects.
 *
 * Roles. observer: knows no leader. candidate: competes. activating: won, merges and pushes, does not vote. leader.
 * learner: receives state. member: in the in-sync set, may claim. suspended: lease over, starts and fetches nothing.
 * isolated: left the consumer group. draining: finishes and leaves. stopped: the end.
 *
 * Longer than most files: every event and every message comes in here, and only here roles, epochs and links change together.
 */
import { Context } from "./context.ts";
import type { CoreEffect, Role } from "./effects.ts";
import type { CoreEvent, InSyncState, WatermarksState } from "./events.ts";
import { nodeIdOf, type Incarnation } from "./identity.ts";
import { Leader } from "./leader/leader.ts";
import { SELF } from "./leader/state.ts";
import { Member } from "./member/member.ts";
import { highestEpoch } from "./member/metadata.ts";
import type { AttachMessage, PeerMessage, RefusedMessage, StateChunkMessage } from "./messages.ts";
import { Replica } from "./replica.ts";
import type { CoreSettings } from "./settings.ts";
import type { CoreStatus } from "./status.ts";
import { describeNode } from "./node-status.ts";

const REDIAL_MS = 100;
/** A leader that does not take us (another parameter set, say) is asked ever more rarely. */
const REDIAL_MAX_MS = 2_000;
const DIAL_TIMEOUT_MS = 3_000;
const COMPETE_AGAIN_MS = 500;
const RESIGN_AGAIN_MS = 1_000;
/** Turns of messages to itself within one step; more would mean a loop in the protocol. */
const LOOP_MAX = 1_000;
/** Proofs of death kept for a leadership of this node; the oldest goes first: its tasks then wait for the quarantine. */
const DEATHS_MAX = 1_024;

interface Link {
  readonly peer: Incarnation;
  readonly connection: number; // 0 while dialling
  readonly since: number;
  welcomed: boolean;
}

export class NodeCore {
  readonly ctx: Context;
  readonly replica: Replica;
  readonly member: Member;
  leader: Leader | null = null;
  epoch = 0; // the highest accepted; never falls
  role: Role = "observer";
  waitingFor = "the coordinator";
  leaderKnown: { readonly incarnation: Incarnation; readonly epoch: number } | null = null;

  readonly #connections = new Map<number, Incarnation>();
  #link: Link | null = null;
  #redialAt = 0;
  #dialsInVain = 0;
  #members: readonly Incarnation[] = [];
  #coordinatorDeadline = 0;
  #session: "connected" | "suspended" | "lost" = "lost";
  #leaderHeard = false; // the coordinator said whether there is a leader
  #competeAt = Infinity;
  #competing = false;
  #competeNotBefore = 0; // after a resignation
  #resignAgainAt = 0;
  #noLeaderSince: number;
  #drainBegan = Infinity;
  /** When this node proved which death (R12): who leads next needs it for the tasks of the leader that died. */
  readonly #deaths = new Map<Incarnation, number>();
  #loop: { readonly toLeader: boolean; readonly message: PeerMessage }[] = [];

  constructor(settings: CoreSettings, random: () => number, now = 0) {
    this.ctx = new Context(settings, random);
    this.replica = new Replica(settings.filter);
    this.member = new Member(this.ctx, this.replica.table, now, (message) => this.#toLeader(message));
    this.#noLeaderSince = now;
  }

  get incarnation(): Incarnation {
    return this.ctx.incarnation;
  }

  /**
   * Handles one event at one time. The effects are to be carried out in order; the list is the caller's. `more`: another
   * event follows at once, and the turn (what is due, the delta, reports, what may be released) waits for it, so that
   * what comes together is answered together. The caller bounds how many follow.
   */
  step(event: CoreEvent, now: number, more = false): readonly CoreEffect[] {
    if (this.role !== "stopped") {
      this.#handle(event, now);
      // A leader that was just told that it is none must not settle one claim more.
      if (!more || (this.leader !== null && this.leader.over !== "")) this.#turn(now);
    }
    const effects = this.ctx.effects;
    this.ctx.effects = [];
    return effects;
  }

  status(now: number): CoreStatus {
    return describeNode(this, now);
  }

  #handle(event: CoreEvent, now: number): void {
    switch (event.type) {
      case "tick":
        return;
      case "connected":
        this.#connected(event.connection, event.peer, event.outgoing, now);
        return;
      case "disconnected":
        this.#disconnected(event.connection, now);
        return;
      case "dial-failed":
        if (this.#link?.peer === event.peer && this.#link.connection === 0) this.#dropLink(now);
        return;
      case "message":
        this.#message(event.connection, event.to, event.message, now);
        return;
      case "session":
        this.#session = event.state;
        if (event.state === "lost") {
          this.#leaderHeard = false;
          this.#competeAt = Infinity;
          this.#depose(now, "the coordinator session is lost");
        }
        return;
      case "coordinator-deadline":
        this.#coordinatorDeadline = event.at;
        this.leader?.coordinator(event, now);
        return;
      case "members":
        this.#members = event.members;
        this.leader?.coordinator(event, now);
        return;
      case "leader":
        this.#leaderChanged(event.leader, now);
        return;
      case "election":
        this.#election(event, now);
        return;
      case "in-sync-read":
        if (event.epoch === 0) this.#lastSetRead(event.inSync, now);
        else this.leader?.coordinator(event, now);
        return;
      case "death-proven":
        this.#deathProven(event.incarnation, now);
        this.leader?.coordinator(event, now);
        return;
      case "in-sync-written":
      case "watermarks-written":
        this.leader?.coordinator(event, now);
        return;
      case "drain":
        if (this.#drainBegan === Infinity) this.#drainBegan = now;
        this.member.handle(event, now);
        return;
      case "assigned":
        this.member.handle(event, now);
        // The coordinator may have been put back to an old state: tokens must rise all the same.
        this.#acceptEpoch(highestEpoch(event.partitions, this.ctx.settings.clusterUuid), now);
        return;
      case "revoked":
      case "delivered":
      case "commit-result":
      case "partition-problem":
      case "group-left":
      case "results":
      case "check-result":
      case "set-aside-result":
      case "watchdog":
      case "clock-jump":
        this.member.handle(event, now);
        return;
      default:
        event satisfies never;
    }
  }

  // --- links

  #connected(connection: number, peer: Incarnation, outgoing: boolean, now: number): void {
    this.#connections.set(connection, peer);
    if (!outgoing) return; // it says "attach" next
    const link = this.#link;
    if (link === null || link.peer !== peer || link.connection !== 0) {
      this.ctx.emit({ type: "disconnect", connection, reason: "no longer wanted" });
      return;
    }
    this.#link = { peer, connection, since: now, welcomed: false };
    const { appliedEpoch, appliedSeq } = this.replica;
    this.#send(connection, peer, {
      kind: "attach",
      epoch: this.epoch,
      appliedEpoch,
      appliedSeq,
      draining: this.member.state.draining,
    });
  }

  #disconnected(connection: number, now: number): void {
    const peer = this.#connections.get(connection);
    this.#connections.delete(connection);
    if (peer !== undefined) this.leader?.detached(peer, connection, now);
    if (this.#link?.connection === connection) this.#dropLink(now);
  }

  #dropLink(now: number): void {
    const link = this.#link;
    if (link === null) return;
    this.#link = null;
    const backoffMs = Math.min(REDIAL_MAX_MS, REDIAL_MS * 2 ** this.#dialsInVain);
    this.#redialAt = now + backoffMs * (0.5 + this.ctx.random());
    if (!link.welcomed) this.#dialsInVain = Math.min(this.#dialsInVain + 1, 10);
    if (link.connection === 0) return;
    if (this.#connections.has(link.connection))
      this.ctx.emit({ type: "disconnect", connection: link.connection, reason: "link dropped" });
    this.member.detach(now);
  }

  /** Keeps the one link: to the leader that the coordinator names. */
  #keepLink(now: number): void {
    const wanted = this.leaderKnown?.incarnation ?? "";
    const link = this.#link;
    if (link !== null && wanted !== "" && link.peer !== wanted) this.#dropLink(now);
    if (link !== null && link.connection === 0 && now - link.since >= DIAL_TIMEOUT_MS) this.#dropLink(now);
    if (this.#link !== null || wanted === "" || wanted === this.incarnation || now < this.#redialAt) return;
    this.#link = { peer: wanted, connection: 0, since: now, welcomed: false };
    this.ctx.emit({ type: "dial", peer: wanted });
  }

  #send(connection: number, to: Incarnation, message: PeerMessage): void {
    this.ctx.emit({ type: "send", connection, to, message });
  }

  /** The member speaks to its leader: over the link, or in this process when it leads itself. */
  #toLeader(message: PeerMessage): void {
    if (this.leader !== null) this.#loop.push({ toLeader: true, message });
    else if (this.#link !== null && this.#link.connection !== 0)
      this.#send(this.#link.connection, this.#link.peer, message);
  }

  #leaderSends(connection: number, to: Incarnation, message: PeerMessage): void {
    if (connection === SELF) this.#loop.push({ toLeader: false, message });
    else this.#send(connection, to, message);
  }

  // --- messages

  #message(connection: number, to: Incarnation, message: PeerMessage, now: number): void {
    const from = this.#connections.get(connection);
    if (from === undefined) return;
    if (to !== this.incarnation) {
      this.#refuse(connection, from, "wrong-incarnation"); // R2
      return;
    }
    if (message.kind === "refused") {
      this.#refused(connection, message, now);
    } else if (message.kind === "attach") {
      this.#attach(connection, from, message, now);
    } else if (this.#link?.connection === connection) {
      this.#fromLeader(connection, from, message, now);
    } else {
      this.#fromPeer(connection, from, message, now);
    }
  }

  #refuse(connection: number, to: Incarnation, reason: RefusedMessage["reason"]): void {
    this.ctx.counters.refusedMessages++;
    this.#send(connection, to, { kind: "refused", epoch: this.epoch, reason });
  }

  #attach(connection: number, from: Incarnation, message: AttachMessage, now: number): void {
    if (message.epoch > this.epoch) this.#acceptEpoch(message.epoch, now); // deposes us, if we led (R1)
    if (this.leader === null) {
      this.#refuse(connection, from, "not-leader");
      return;
    }
    this.leader.attached(connection, from, message, now);
  }

  /** To this node as leader: reports, answers, state chunks of a merge. */
  #fromPeer(connection: number, from: Incarnation, message: PeerMessage, now: number): void {
    if (message.epoch > this.epoch) this.#acceptEpoch(message.epoch, now);
    if (this.leader === null) this.#refuse(connection, from, "not-leader");
    else if (message.epoch < this.leader.state.epoch) this.#refuse(connection, from, "stale-epoch");
    else this.leader.receive(connection, from, message, now);
  }

  /** From the leader that this node is linked to (R1: lower epochs are refused with mine, higher ones accepted). */
  #fromLeader(connection: number, from: Incarnation, message: PeerMessage, now: number): void {
    if (message.epoch < this.epoch) {
      this.#refuse(connection, from, "stale-epoch");
      return;
    }
    if (message.epoch > this.epoch) this.#acceptEpoch(message.epoch, now);
    switch (message.kind) {
      case "welcome":
        if (this.#link !== null) this.#link.welcomed = true;
        this.#dialsInVain = 0;
        this.member.attach(message.active, message.member);
        return;
      case "delta":
        this.#delta(message.delta, now);
        return;
      case "state-chunk":
        if (message.purpose === "sync") this.#syncChunk(message, now);
        return;
      case "state-request":
        for (const chunk of this.replica.chunks(this.epoch, "merge", this.replica.appliedSeq, false))
          this.#send(connection, from, chunk);
        return;
      default:
        this.member.receive(message, now);
    }
  }

  #delta(delta: Parameters<Replica["apply"]>[0], now: number): void {
    const { replica } = this;
    if (delta.epoch !== replica.appliedEpoch || delta.seq <= replica.appliedSeq) return; // a resend never tests again
    if (delta.seq !== replica.appliedSeq + 1) {
      this.ctx.log("warn", `delta ${delta.seq} after ${replica.appliedSeq}: attaching anew`);
      this.#dropLink(now);
      return;
    }
    const seen = replica.apply(delta);
    this.member.applied(replica.appliedEpoch, replica.appliedSeq, seen);
  }

  /** The leader's state replaces ours, or is added to it where ours went into it (R5). */
  #syncChunk(chunk: StateChunkMessage, now: number): void {
    if (chunk.first && chunk.replace) this.replica.clear();
    // Nothing of what was here may be acknowledged any more.
    if (chunk.first && this.replica.appliedEpoch === 0) this.member.applied(0, 0, []);
    const refusal = this.replica.addChunk(chunk);
    if (refusal !== "") {
      this.replica.appliedEpoch = 0; // incomplete until a sync goes through
      this.member.applied(0, 0, []);
      this.ctx.counters.refusedMessages++;
      this.ctx.log("warn", `a state chunk was refused (${refusal}): attaching anew`);
      this.#dropLink(now);
      return;
    }
    if (!chunk.last) return;
    this.replica.appliedEpoch = chunk.epoch;
    this.replica.appliedSeq = chunk.seq;
    this.ctx.counters.syncs++;
    this.member.applied(chunk.epoch, chunk.seq, []);
  }

  #refused(connection: number, message: RefusedMessage, now: number): void {
    if (message.epoch > this.epoch) this.#acceptEpoch(message.epoch, now);
    if (this.#link?.connection !== connection) return;
    if (message.reason === "drained" && this.#drainBegan !== Infinity) this.#stop(true, "drained");
    else this.#dropLink(now);
  }

  /** R1, R10: higher wins; a leader of a lower epoch deposes itself at once. */
  #acceptEpoch(epoch: number, now: number): void {
    if (epoch <= this.epoch) return;
    this.epoch = epoch;
    if (this.leader !== null && this.leader.state.epoch < epoch) this.#depose(now, `epoch ${epoch} exists`);
    this.member.acceptEpoch(epoch, now);
    const link = this.#link; // the relation survives when it is this link that told us
    if (link !== null && link.welcomed) this.member.attach(false, false);
  }

  // --- leadership

  #leaderChanged(leader: { readonly incarnation: Incarnation; readonly epoch: number } | null, now: number): void {
    this.#leaderHeard = true;
    if (leader?.incarnation !== this.leaderKnown?.incarnation) this.#dialsInVain = 0;
    if (leader === null && this.leaderKnown !== null) this.#noLeaderSince = now;
    this.leaderKnown = leader;
    if (leader === null) {
      if (this.leader !== null) this.#depose(now, "the leader node is gone");
      this.ctx.emit({ type: "read-in-sync", epoch: 0 }); // who is of the last set may compete at once
      return;
    }
    this.#competeAt = Infinity;
    this.#noLeaderSince = now;
    if (leader.incarnation !== this.incarnation) {
      if (this.leader !== null && leader.epoch > this.leader.state.epoch)
        this.#depose(now, `${leader.incarnation} leads epoch ${leader.epoch}`);
    } else if (this.leader === null) {
      this.#competeAt = Math.max(now, this.#competeNotBefore); // ours, with an unknown outcome: asking again tells the epoch
    }
  }

  /** R4: candidates outside the last set wait a lease before they compete. */
  #lastSetRead(inSync: InSyncState | null, now: number): void {
    if (this.leaderKnown !== null || this.leader !== null) return;
    if (inSync === null) {
      this.ctx.emit({ type: "read-in-sync", epoch: 0 });
      return;
    }
    const { leaseMs, electionBackoffMs, heartbeatMs } = this.ctx.settings;
    const informed = inSync.incarnations.includes(this.incarnation) && this.replica.appliedEpoch > 0;
    const unequal = inSync.incarnations.length > 0 && !informed ? leaseMs : 0;
    const waitMs = Math.max(unequal, this.member.state.draining ? 2 * heartbeatMs : 0);
    this.#competeAt = Math.max(this.#competeNotBefore, now + waitMs + electionBackoffMs * this.ctx.random());
  }

  /**
   * A leader's node in the coordinator lives as long as its owner's session: when a resignation did not get through, or
   * another epoch ended this leadership, nobody could ever lead again.
   */
  #giveNodeBack(now: number): void {
    const { leaderKnown } = this;
    if (this.leader !== null || leaderKnown?.incarnation !== this.incarnation || leaderKnown.epoch > this.epoch) return;
    if (now < this.#resignAgainAt || this.#session !== "connected") return;
    this.#resignAgainAt = now + RESIGN_AGAIN_MS;
    this.ctx.emit({ type: "resign", epoch: leaderKnown.epoch });
  }

  #compete(now: number): void {
    if (
      this.#competing ||
      now < this.#competeAt ||
      now < this.#competeNotBefore ||
      this.leader !== null ||
      this.#session !== "connected" ||
      !this.#leaderHeard
    )
      return;
    this.#competing = true;
    this.#competeAt = Infinity;
    this.ctx.emit({ type: "compete", highestKnownEpoch: this.epoch });
  }

  #election(event: Extract<CoreEvent, { type: "election" }>, now: number): void {
    this.#competing = false;
    if (event.outcome === "won") {
      this.#lead(event.epoch, event.inSync, event.watermarks, now);
    } else if (this.leaderKnown === null || this.leaderKnown.incarnation === this.incarnation) {
      this.#competeAt = now + COMPETE_AGAIN_MS * (0.5 + this.ctx.random());
    }
  }

  #lead(epoch: number, inSync: InSyncState, watermarks: WatermarksState, now: number): void {
    if (epoch <= this.epoch || this.#session !== "connected") {
      this.ctx.emit({ type: "resign", epoch }); // won for a session or epoch that is over
      return;
    }
    this.#competeAt = Infinity; // the coordinator may have named us before it told the outcome
    this.#dropLink(now);
    this.#acceptEpoch(epoch, now);
    this.ctx.counters.elections++;
    this.ctx.log(
      "info",
      `${nodeIdOf(this.incarnation)} leads epoch ${epoch}; last in-sync set: ${inSync.incarnations.join(", ") || "none"}`,
    );
    const send = (connection: number, to: Incarnation, message: PeerMessage) =>
      this.#leaderSends(connection, to, message);
    this.leader = new Leader(
      this.ctx,
      this.replica,
      epoch,
      inSync,
      watermarks,
      this.#noLeaderSince,
      this.#coordinatorDeadline,
      now,
      send,
    );
    this.leader.coordinator({ type: "members", members: this.#members }, now);
    for (const [incarnation, provenAt] of this.#deaths) this.leader.state.provenDead.set(incarnation, provenAt);
    this.member.attach(false, false);
  }

  #deathProven(incarnation: Incarnation, now: number): void {
    if (this.#deaths.has(incarnation)) return;
    const [oldest] = this.#deaths.keys();
    if (oldest !== undefined && this.#deaths.size >= DEATHS_MAX) this.#deaths.delete(oldest);
    this.#deaths.set(incarnation, now);
  }

  #depose(now: number, why: string): void {
    if (this.leader === null) return;
    this.ctx.log("warn", `${nodeIdOf(this.incarnation)} no longer leads epoch ${this.leader.state.epoch}: ${why}`);
    for (const peer of this.leader.state.peers.values()) {
      if (peer.connection !== SELF)
        this.ctx.emit({ type: "disconnect", connection: peer.connection, reason: "deposed" });
    }
    const complete = this.leader.state.active || this.leader.activation.selfMerged;
    this.leader = null;
    this.#resignAgainAt = now + RESIGN_AGAIN_MS;
    this.#loop = [];
    this.member.detach(now);
    // A state that was complete before the merge still is: merging only adds. Any other half merged state is nobody's (R5).
    if (!complete) this.replica.appliedEpoch = 0;
  }

  #resign(now: number, why: string): void {
    if (this.leader === null) return;
    const { epoch } = this.leader.state;
    this.#depose(now, why);
    const { leaseMs, electionBackoffMs } = this.ctx.settings;
    this.#competeNotBefore = now + 2 * leaseMs + electionBackoffMs * this.ctx.random();
    this.ctx.emit({ type: "resign", epoch });
  }

  // --- the turn

  #turn(now: number): void {
    this.#keepLink(now);
    this.#giveNodeBack(now);
    this.#compete(now);
    this.member.turn(now);
    this.leader?.turn(now);
    for (let i = 0; this.#loop.length > 0 && i < LOOP_MAX; i++) {
      const loop = this.#loop;
      this.#loop = [];
      for (const { toLeader, message } of loop) this.#deliverLocally(toLeader, message, now);
      this.member.turn(now);
      this.leader?.turn(now);
    }
    if (this.#loop.length > 0) this.ctx.limit("messagesToItself"); // they go on in the next step
    this.#afterTurn(now);
  }

  /** Messages of this node to itself: the same path, without a link. */
  #deliverLocally(toLeader: boolean, message: PeerMessage, now: number): void {
    if (this.leader === null || message.epoch !== this.epoch) return;
    if (toLeader) this.leader.receive(SELF, this.incarnation, message, now);
    else this.member.receive(message, now);
  }

  #afterTurn(now: number): void {
    const { leader } = this;
    if (leader !== null && leader.over === "fenced") this.#depose(now, leader.overReason);
    else if (leader !== null && leader.over === "resign") this.#resign(now, leader.overReason);
    this.#drain(now);
    this.waitingFor = this.#describeWait();
    const role = this.#currentRole(now);
    if (role === this.role || this.role === "stopped") return;
    this.role = role;
    this.ctx.emit({ type: "role", role, epoch: this.epoch });
  }

  /** R22: a draining leader first lets another lead; the last ones write the clean mark. */
  #drain(now: number): void {
    if (this.#drainBegan === Infinity || this.role === "stopped") return;
    const { leader } = this;
    const told = now - this.#drainBegan >= this.ctx.settings.heartbeatMs; // by then we know who else drains
    if (told && leader !== null && leader.state.active && leader.hasSuccessor) this.#resign(now, "draining");
    if (this.leader?.stopWritten === true && this.leader.state.peers.size === 1) {
      this.ctx.emit({ type: "resign", epoch: this.leader.state.epoch });
      this.#stop(true, "drained");
      return;
    }
    const nobodyElse = this.#members.every((member) => member === this.incarnation);
    if (
      nobodyElse &&
      this.member.drained &&
      this.leader?.state.active !== true &&
      now - this.#drainBegan >= this.ctx.settings.heartbeatMs
    ) {
      this.#stop(true, "drained; nobody is left to tell");
      return;
    }
    // Never given a lease, so nothing was ever started or granted here, and no leader listens.
    const stranger = this.member.state.lease.number === 0 && this.#link?.welcomed !== true;
    if (stranger && this.leader === null && this.member.drained) {
      this.#stop(true, "drained; it was in no cell yet");
      return;
    }
    const alone = this.leader === null && this.#link === null && this.leaderKnown === null;
    const waited = now - this.#drainBegan;
    if (
      this.member.drained &&
      alone &&
      waited >= 2 * this.ctx.settings.leaseMs &&
      this.member.state.retained.size === 0
    ) {
      this.#stop(true, "drained; no leader to tell");
    } else if (waited >= this.ctx.settings.drainTimeoutMs) {
      this.#stop(this.member.drained, `drainTimeoutMs (${this.ctx.settings.drainTimeoutMs}) is over`);
    }
  }

  #stop(clean: boolean, reason: string): void {
    if (this.role === "stopped") return;
    if (this.leader !== null) this.#depose(0, reason);
    this.role = "stopped";
    this.ctx.emit({ type: "role", role: "stopped", epoch: this.epoch });
    this.ctx.emit({ type: "stopped", clean, reason });
  }

  #currentRole(now: number): Role {
    const { state } = this.member;
    if (this.#drainBegan !== Infinity) return "draining";
    if (this.leader !== null) return this.leader.state.active ? "leader" : "activating";
    if (
      state.group === "out" &&
      now - state.lease.lastUntil >= this.ctx.settings.isolateAfterMs &&
      this.epoch > 0 &&
      !state.admitted
    )
      return "isolated";
    if (state.admitted) return state.lease.valid(now) ? "member" : "suspended";
    if (this.#link?.welcomed === true) return "learner";
    if (this.leaderKnown === null && (this.#competing || this.#competeAt !== Infinity)) return "candidate";
    if (this.epoch > 0 && state.group !== "out") return "suspended";
    return "observer";
  }

  #describeWait(): string {
    if (this.leader !== null)
      return this.leader.state.active ? "" : this.leader.activation.waitingFor || "the last in-sync set";
    if (this.member.state.admitted) return "";
    if (this.#session !== "connected") return "the coordinator";
    if (this.leaderKnown === null) return "an election";
    return this.#link?.welcomed === true
      ? "synchronisation with the leader"
      : `a link to the leader ${nodeIdOf(this.leaderKnown.incarnation)}`;
  }
}
