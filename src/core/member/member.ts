/**
 * The member: one node's work for the cell, whoever leads. It owns the windows, the lease and the reports; the node
 * (`node.ts`) tells it which leader it has. Everything it says to the leader goes through one report message, pipelined.
 *
 * Longer than most files: the report gathers what every part of the member has to say, and the turn is their order.
 */
import type { Context } from "../context.ts";
import type { CoreEvent } from "../events.ts";
import type { PeerMessage, PartitionReport, ProgressRow, ReportMessage, SeenException } from "../messages.ts";
import { answer } from "./answers.ts";
import { applyVerdicts, hasClaims, nextDoubtAt, nudge, partitionInfo, takeClaims, takeDoubts } from "./claims.ts";
import { Commits } from "./commits.ts";
import { assign, deliver, partitionProblem, resumePartitions, setSuspended } from "./intake.ts";
import { BITMAP_BYTES_MAX } from "./metadata.ts";
import { startChecks, startReady, takeCheckResult, takeResults, takeSetAsideResult, tickStarts } from "./starts.ts";
import type { GrantTable } from "../table.ts";
import { MemberState } from "./state.ts";
import type { PartitionWindow } from "./window.ts";

const FACT_BATCHES_PER_REPORT = 8;
const PROGRESS_INTERVAL_MS = 500;

export class Member {
  readonly state: MemberState;
  readonly commits: Commits;
  readonly #ctx: Context;
  readonly #send: (message: PeerMessage) => void;
  #attached = false; // the leader welcomed us on this connection
  #nextReport = 1;
  #lastReportAt = -Infinity;
  #lastProgressAt = -Infinity;
  #pendingSince = Infinity;
  #finishedSince = Infinity; // since when finished tasks wait for their report
  #appliedDirty = false;
  #appliedEpoch = 0;
  #appliedSeq = 0;
  #seen: SeenException[] = [];
  #isolationAborted = false;
  #runsNothingSaid = false;
  #leftGroupAt = -Infinity;

  constructor(ctx: Context, table: GrantTable, now: number, send: (message: PeerMessage) => void) {
    this.#ctx = ctx;
    this.#send = send;
    this.state = new MemberState(ctx, table, now);
    this.commits = new Commits(this.state);
  }

  // --- the relation to a leader, told by the node

  /** R10: a higher epoch was accepted. */
  acceptEpoch(epoch: number, now: number): void {
    const { state } = this;
    state.epoch = epoch;
    state.lease.end();
    state.refusedThrough.clear();
    this.detach(now);
    state.voidUnstarted(now);
    for (const window of state.windows.values()) window.doubtOwnership();
  }

  /** The leader welcomed this node on a new connection. */
  attach(active: boolean, member: boolean): void {
    this.#attached = true;
    this.#appliedDirty = true;
    this.#runsNothingSaid = false;
    this.#lastReportAt = -Infinity;
    if (active) this.#leaderIsActive();
    if (member) this.admit();
  }

  #leaderIsActive(): void {
    if (this.state.leaderActive) return;
    this.state.leaderActive = true;
    this.state.queueAllFacts();
  }

  /** In the in-sync set of an active leader: may claim. */
  admit(): void {
    const { state } = this;
    this.#leaderIsActive();
    if (state.admitted) return;
    state.admitted = true;
    state.partitionReports = [];
    for (const window of state.windows.values()) this.#queuePartitionReport(window);
    this.#joinGroup();
  }

  #joinGroup(): void {
    const { state } = this;
    if (state.group !== "out" || state.draining) return;
    state.group = "joining";
    state.joinEpoch = state.epoch;
    this.#ctx.emit({ type: "join-group" });
  }

  /** Isolated while the link stayed, or let in again before the group was left: nothing else brings it back (S9). */
  #rejoinGroup(now: number): void {
    const { state } = this;
    if (!state.admitted || !state.lease.valid(now)) return;
    if (now - this.#leftGroupAt >= this.#ctx.settings.heartbeatMs) this.#joinGroup();
  }

  /** The leader took nothing from some reports: what they said is said again. Their questions are asked again. */
  #tellAgain(now: number): void {
    const { state } = this;
    state.loseVerdicts(now);
    if (state.leaderActive) state.queueAllFacts();
    state.partitionReports = [];
    for (const window of state.windows.values()) {
      if (!window.infoKnown) window.reported = false;
      if (state.admitted) this.#queuePartitionReport(window);
      if (!window.anchored) continue;
      const { pid, ownership, generation, committed } = window;
      state.commitNotes.push({ pid, ownership, generation, position: committed });
    }
  }

  /** The connection to the leader broke, or the leader let go of this node. */
  detach(now: number): void {
    const { state } = this;
    this.#attached = false;
    state.admitted = false;
    state.leaderActive = false;
    state.factsComplete = false;
    state.lease.forgetReports();
    state.loseVerdicts(now);
    for (const window of state.windows.values()) {
      window.infoKnown = false;
      window.reported = false;
    }
  }

  /** Deltas were applied; acknowledged with the next report. */
  applied(epoch: number, seq: number, seen: readonly SeenException[]): void {
    this.#appliedEpoch = epoch;
    this.#appliedSeq = seq;
    this.#appliedDirty = true;
    for (const exception of seen) this.#seen.push(exception);
  }

  get isolationDeadline(): number {
    return this.state.lease.lastUntil + this.#ctx.settings.isolationGraceMs;
  }

  // --- events

  handle(event: CoreEvent, now: number): void {
    const { state } = this;
    switch (event.type) {
      case "revoked":
        state.barrier = true;
        state.joinEpoch = state.epoch;
        this.commits.beginBarrier(now);
        this.#barrierThrough();
        return;
      case "assigned":
        this.commits.assigned();
        assign(state, event.generation, event.partitions);
        if (state.admitted) for (const window of state.windows.values()) this.#queuePartitionReport(window);
        return;
      case "delivered":
        deliver(state, event.batch, now);
        return;
      case "commit-result":
        this.commits.result(event.number, event.outcome, event.reason, now);
        if (state.admitted) for (const window of state.windows.values()) this.#queuePartitionReport(window);
        this.#barrierThrough();
        return;
      case "partition-problem":
        partitionProblem(state, event.pid, event.problem, event.detail);
        return;
      case "group-left":
        state.group = "out";
        this.#leftGroupAt = now;
        state.barrier = false;
        state.retainAll();
        return;
      case "results":
        takeResults(state, event.pid, event.offsets, event.outcomes, now);
        return;
      case "check-result":
        takeCheckResult(state, event.pid, event.offset, event.epoch, event.stamp, event.answer, now);
        return;
      case "set-aside-result":
        takeSetAsideResult(state, event.pid, event.offset, event.acknowledged, now);
        return;
      case "watchdog":
        state.watchdogUntil = event.healthyUntil;
        return;
      case "clock-jump":
        state.lease.clockJumped(now);
        return;
      case "drain":
        state.draining = true;
        this.#appliedDirty = true; // the leader hears of it at once, so that it does not leave the leadership to us
        for (const window of state.windows.values()) this.#ctx.emit({ type: "pause", pid: window.pid });
        return;
      default:
        return;
    }
  }

  #barrierThrough(): void {
    if (!this.state.barrier || !this.commits.barrierThrough) return;
    this.commits.endBarrier();
    this.state.retainAll();
    this.#ctx.emit({ type: "revoke-done" });
  }

  /** A message of the leader of the accepted epoch. */
  receive(message: PeerMessage, now: number): void {
    const { state } = this;
    switch (message.kind) {
      case "ack":
        if (state.lease.acknowledged(message.number, message.leaseMs, now) === "new") {
          state.voidUnstarted(now);
          this.#isolationAborted = false;
        }
        if (state.lease.takeSkipped()) this.#tellAgain(now);
        return;
      case "verdicts":
        for (const batch of message.batches) applyVerdicts(state, batch, now);
        return;
      case "watermarks":
        for (const row of message.rows) state.watermarkAcknowledged(row.pid, row.watermark);
        return;
      case "partitions":
        for (const info of message.partitions) partitionInfo(state, info);
        return;
      case "question":
        this.#send({
          kind: "answer",
          epoch: state.epoch,
          number: message.number,
          items: message.items.map((item) => answer(state, item, now)),
        });
        return;
      case "nudge":
        nudge(state, message.pids, now);
        return;
      case "admitted":
        this.admit();
        return;
      default:
        return;
    }
  }

  /** End of a turn: starts, checks, commits, reports; whatever is due now. */
  turn(now: number): void {
    const { state } = this;
    setSuspended(state, !state.lease.valid(now) || !state.admitted);
    resumePartitions(state);
    this.#rejoinGroup(now);
    for (const window of state.windows.values()) window.watchOldest(now);
    tickStarts(state, now);
    startReady(state, now);
    startChecks(state, now);
    this.commits.tick(now);
    this.#joinAnew();
    this.#isolation(now);
    this.#drain();
    this.#report(now);
  }

  /** R15c: that a partition was never begun is told to a leader only by who read it in that leader's epoch. */
  #joinAnew(): void {
    const { state } = this;
    if (state.group !== "in" || state.barrier) return;
    if (![...state.windows.values()].some((window) => window.needsJoin)) return;
    state.group = "leaving";
    this.#ctx.log(
      "info",
      "a partition that nobody had begun may have been begun by another node: joining the group anew",
    );
    this.#ctx.emit({ type: "leave-group" });
  }

  /** S9, R12, R16: cut off from the leader, this node stops its handlers and later leaves the group. */
  #isolation(now: number): void {
    const { state } = this;
    const { lastUntil } = state.lease;
    if (now < lastUntil) return;
    if (state.running > 0 && !this.#isolationAborted && now >= this.isolationDeadline) {
      this.#isolationAborted = true;
      this.#ctx.emit({ type: "abort-all", reason: "cut off from the leader for longer than lease and grace" });
    }
    if ((state.group === "in" || state.group === "joining") && now - lastUntil >= this.#ctx.settings.isolateAfterMs) {
      state.group = "leaving";
      this.#ctx.log("warn", "isolated: no leader answered for isolateAfterMs; leaving the consumer group");
      this.#ctx.emit({ type: "leave-group" });
    }
  }

  /** R22: finish what runs, commit, leave the group; then this node runs nothing more. */
  #drain(): void {
    const { state } = this;
    if (!state.draining || state.running > 0 || this.commits.busy) return;
    if (state.group === "in" || state.group === "joining") {
      state.group = "leaving";
      this.#ctx.emit({ type: "leave-group" });
    }
  }

  get drained(): boolean {
    const { state } = this;
    return (
      state.draining &&
      !state.writesAnything() &&
      state.group === "out" &&
      state.running === 0 &&
      !state.hasFinished() &&
      state.factQueue.length === 0
    );
  }

  #queuePartitionReport(window: PartitionWindow): void {
    const { state } = this;
    if (window.reported || window.infoKnown || !window.confirmed || window.replaced) return;
    window.reported = true;
    const report: PartitionReport = {
      pid: window.pid,
      ownership: window.ownership,
      generation: window.generation,
      position: window.committed,
      ours: window.ours || window.anchored,
      hadCommit: window.hadCommit || window.anchored,
      from: window.anchored ? window.from : window.readFrom,
      ceiling: window.ceilingFloor,
      finals: window.finalsAbove(window.committed, BITMAP_BYTES_MAX),
      logStart: window.logStart,
      logEnd: window.logEnd,
      leaderEpoch: window.leaderEpochBelow(window.committed),
    };
    state.partitionReports.push(report);
  }

  /** When the member wants its next turn at the latest. */
  nextAt(now: number): number {
    const { state } = this;
    let next = Math.min(this.#lastReportAt + this.#ctx.settings.heartbeatMs, this.commits.nextAt(), nextDoubtAt(state));
    for (const window of state.windows.values()) {
      for (const at of window.retryAt.values()) next = Math.min(next, at);
    }
    return Math.max(now, next);
  }

  #report(now: number): void {
    const { state } = this;
    const { settings } = this.#ctx;
    if (!this.#attached) return;
    const free = state.lease.inFlight < settings.reportsInFlightMax;
    const heartbeat = now - this.#lastReportAt >= settings.heartbeatMs;
    if (!free && !heartbeat) return; // reports that are never answered must not stop the heartbeat
    if (!heartbeat && !this.#somethingToSay(now)) return;
    if (
      state.lease.inFlight > 0 &&
      !heartbeat &&
      !this.#appliedDirty &&
      now < this.#pendingSince + settings.batchDelayMs
    ) {
      if (this.#pendingSince === Infinity) this.#pendingSince = now;
      if (now < this.#pendingSince + settings.batchDelayMs) return;
    }
    this.#pendingSince = Infinity;
    this.#sendReport(now);
  }

  #somethingToSay(now: number): boolean {
    const { state } = this;
    if (this.#appliedDirty || this.#seen.length > 0) return true;
    if (
      state.leaderActive &&
      (state.commitNotes.length > 0 || state.factQueue.length > 0 || !state.factsComplete || this.#finishedDue(now))
    )
      return true;
    if (state.admitted && state.partitionReports.length > 0) return true;
    if (state.leaderActive && this.drained && !this.#runsNothingSaid) return true;
    return hasClaims(state) || nextDoubtAt(state) <= now;
  }

  /**
   * Finished tasks travel in company, since each report costs every node of the cell a turn: at once when nothing runs or
   * when another node may wait for one, else when there are as many as in a claim or the first waited `batchDelayMs`.
   */
  #finishedDue(now: number): boolean {
    const { state } = this;
    let count = 0;
    for (const lists of state.finished.values()) for (const list of lists) count += list.length;
    if (count === 0) {
      this.#finishedSince = Infinity;
      return false;
    }
    if (this.#finishedSince === Infinity) this.#finishedSince = now;
    const { claimBatchMax, batchDelayMs } = this.#ctx.settings;
    if (state.running === 0 || state.retained.size > 0 || state.draining || count >= claimBatchMax) return true;
    return now - this.#finishedSince >= batchDelayMs;
  }

  #sendReport(now: number): void {
    const { state } = this;
    this.#finishedSince = Infinity;
    const active = state.leaderActive;
    const progress = active && now - this.#lastProgressAt >= PROGRESS_INTERVAL_MS;
    if (progress) this.#lastProgressAt = now;
    const facts = active ? state.factQueue.splice(0, FACT_BATCHES_PER_REPORT) : [];
    const finished = active ? [...facts, ...state.takeFinished()] : [];
    if (active && state.factQueue.length === 0) state.factsComplete = true;
    const runsNothing = this.drained && active;
    if (runsNothing) this.#runsNothingSaid = true;
    const report: ReportMessage = {
      kind: "report",
      epoch: state.epoch,
      number: this.#nextReport++,
      appliedEpoch: this.#appliedEpoch,
      appliedSeq: this.#appliedSeq,
      seen: this.#seen,
      claims: takeClaims(state, now),
      doubts: takeDoubts(state, now),
      finished,
      commits: active ? state.commitNotes : [],
      partitions: state.admitted ? state.partitionReports : [],
      progress: progress ? this.#progress() : [],
      factsComplete: state.factsComplete,
      draining: state.draining,
      runsNothing,
    };
    this.#seen = [];
    this.#appliedDirty = false;
    if (active) state.commitNotes = [];
    if (state.admitted) state.partitionReports = [];
    this.#lastReportAt = now;
    state.lease.sent(report.number, now);
    this.#send(report);
  }

  #progress(): ProgressRow[] {
    const rows: ProgressRow[] = [];
    for (const window of this.state.windows.values()) {
      rows.push({
        pid: window.pid,
        generation: window.generation,
        delivered: window.fetchPosition,
        claimed: window.claimedThrough,
        executed: window.executedCount,
        committed: window.committed,
      });
    }
    return rows;
  }
}
