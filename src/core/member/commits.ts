/**
 * Commits (R14, R15a): one attempt, one in flight a node, always in the group generation of the records. Each carries
 * the reserved ceiling written ahead of the claims that need it, and the bitmap of what is final above the position.
 */
import type { CommitEntry } from "../effects.ts";
import type { PartitionId } from "../identity.ts";
import { claimsWaitForCeiling } from "./claims.ts";
import { stopPartition } from "./intake.ts";
import { BITMAP_BYTES_MAX, formatMetadata } from "./metadata.ts";
import type { MemberState } from "./state.ts";
import type { PartitionWindow } from "./window.ts";

interface InFlight {
  readonly number: number;
  readonly generation: number;
  readonly epoch: number; // accepted when it was sent
  readonly last: boolean; // the one of the revoke barrier
  readonly windows: readonly {
    readonly pid: PartitionId;
    readonly ownership: number;
    readonly position: number;
    readonly ceiling: number;
    readonly anchors: boolean; // it carries what the leader told about the partition
  }[];
}

export class Commits {
  readonly #state: MemberState;
  #inFlight: InFlight | null = null;
  #next = 1;
  #lastAt = -Infinity;
  #notBefore = -Infinity; // after one whose outcome is unknown: a log that cannot be reached may say so at once
  #generationOver = false; // a commit was refused: nothing more in this generation (S7)
  #barrier = false;

  constructor(state: MemberState) {
    this.#state = state;
  }

  get busy(): boolean {
    return this.#inFlight !== null;
  }

  /** A new assignment: commits may flow again. */
  assigned(): void {
    this.#generationOver = false;
    this.#barrier = false;
  }

  /** The barrier before a join: one last commit, then `barrierThrough` turns true. */
  beginBarrier(now: number): void {
    this.#barrier = true;
    if (this.#inFlight === null) this.#commit(now, true);
  }

  get barrierThrough(): boolean {
    return this.#barrier && this.#inFlight === null;
  }

  endBarrier(): void {
    this.#barrier = false;
  }

  /** Once a turn: commits when the interval is over, or at once when claims wait for it. */
  tick(now: number): void {
    if (this.#inFlight !== null || this.#generationOver || this.#barrier || this.#state.group !== "in") return;
    const { commitIntervalMs } = this.#state.ctx.settings;
    if (now < this.#notBefore || (now - this.#lastAt < commitIntervalMs && !this.#urgent())) return;
    this.#commit(now, false);
  }

  /** When `tick` wants to be called again. */
  nextAt(): number {
    if (this.#inFlight !== null || this.#generationOver || this.#barrier || this.#state.group !== "in") return Infinity;
    for (const window of this.#state.windows.values()) {
      if (worthCommitting(window, this.#state.ctx.settings.uncommittedSpanMax))
        return Math.max(this.#notBefore, this.#lastAt + this.#state.ctx.settings.commitIntervalMs);
    }
    return Infinity;
  }

  #urgent(): boolean {
    const span = this.#state.ctx.settings.uncommittedSpanMax;
    for (const window of this.#state.windows.values()) {
      if (window.needsProof) return true;
      if (!window.infoKnown || window.stopped !== "") continue;
      if (!window.anchored || raisesCeiling(window, span) || window.committable - window.committed >= span / 4)
        return true;
    }
    return false;
  }

  #commit(now: number, last: boolean): void {
    const state = this.#state;
    const commits: CommitEntry[] = [];
    const sent: InFlight["windows"][number][] = [];
    for (const window of state.windows.values()) {
      if (!worthCommitting(window, this.#state.ctx.settings.uncommittedSpanMax)) continue;
      const position = Math.max(window.committable, window.committed);
      // Nothing is claimed before the leader's answer, and what is reserved besides would be suspect if its table is lost.
      const spanMax = window.infoKnown ? state.ctx.settings.uncommittedSpanMax : 0;
      const ceiling = reserve(window, position, spanMax);
      window.ceilingSent = ceiling;
      window.ceilingFloor = Math.max(window.ceilingFloor, ceiling);
      window.finalsSinceCommit = 0;
      commits.push({ pid: window.pid, position, metadata: metadataOf(state, window, position, ceiling) });
      const anchors = window.infoKnown || window.anchored;
      sent.push({ pid: window.pid, ownership: window.ownership, position, ceiling, anchors });
    }
    if (commits.length === 0) return;
    this.#lastAt = now;
    const { generation, epoch } = state;
    this.#inFlight = { number: this.#next++, generation, epoch, last, windows: sent };
    state.ctx.counters.commits++;
    state.ctx.emit({ type: "commit", number: this.#inFlight.number, generation, commits });
  }

  /** The answer to the commit in flight. Only "committed" counts (R14). */
  result(number: number, outcome: "committed" | "refused" | "unknown" | "fatal", reason: string, now: number): void {
    const inFlight = this.#inFlight;
    if (inFlight === null || inFlight.number !== number) return;
    this.#inFlight = null;
    const { ctx } = this.#state;
    if (outcome === "refused") {
      ctx.counters.commitsRefused++;
      // The executed tasks are in the reports already: the ledger has them (S7). A join may have been faster than the answer.
      if (inFlight.generation === this.#state.generation) this.#generationOver = true;
      ctx.log("info", `commit refused (${reason}): the group rebalances; executed tasks go to the ledger`);
    }
    if (outcome === "unknown") {
      ctx.counters.commitsUnknown++;
      this.#notBefore = now + ctx.settings.commitIntervalMs;
    }
    for (const sent of inFlight.windows) {
      const window = this.#state.windows.get(sent.pid);
      if (window === undefined || window.ownership !== sent.ownership) continue;
      if (outcome === "committed") this.#committed(window, sent.position, sent.ceiling, sent.anchors);
      else window.finalsSinceCommit++; // what its bitmap said is not known to be kept
      if (outcome === "committed" && inFlight.epoch === this.#state.epoch) window.confirmed = true;
      if (outcome !== "fatal") continue;
      window.commitFatal = true;
      stopPartition(this.#state, window, "commit-fatal", `the task log refuses commits: ${reason}`);
    }
    if (this.#barrier && !inFlight.last && outcome === "committed") this.#commit(now, true);
  }

  #committed(window: PartitionWindow, position: number, ceiling: number, anchors: boolean): void {
    const state = this.#state;
    if (anchors) window.anchored = true;
    window.ceilingAcked = Math.max(window.ceilingAcked, ceiling);
    if (position > window.committed) {
      window.committed = position;
      state.ctx.emit({ type: "release-records", pid: window.pid, below: position });
    }
    state.commitNotes.push({ pid: window.pid, ownership: window.ownership, generation: window.generation, position });
    window.forgetBelow(window.watermark);
  }
}

function worthCommitting(window: PartitionWindow, spanMax: number): boolean {
  if (window.commitFatal) return false;
  if (window.stopped !== "" && window.committable === window.committed) return false;
  if (window.needsProof) return true;
  if (!window.infoKnown && !window.anchored) return false; // `from` is not known yet: nothing of ours may be written
  return (
    !window.anchored ||
    window.committable > window.committed ||
    window.finalsSinceCommit > 0 ||
    raisesCeiling(window, spanMax)
  );
}

/** Claims wait for the ceiling and a commit now would raise it: at the full span only finished work does. */
function raisesCeiling(window: PartitionWindow, spanMax: number): boolean {
  if (!claimsWaitForCeiling(window)) return false;
  return reserve(window, Math.max(window.committable, window.committed), spanMax) > window.ceilingAcked;
}

/**
 * The reserved ceiling of the next commit: what is delivered may be claimed, plus as much again as arrives while this
 * commit is under way when the window is moving. Not the maximum: every reserved offset is suspect after a crash.
 */
function reserve(window: PartitionWindow, position: number, spanMax: number): number {
  const arriving =
    window.fetchPosition < window.logEnd ? Math.min(window.logEnd, window.fetchPosition + 4_096) : window.fetchPosition;
  const wanted = Math.min(position + spanMax, arriving);
  return Math.max(wanted, window.ceilingFloor, position);
}

function metadataOf(state: MemberState, window: PartitionWindow, position: number, ceiling: number): string {
  const { settings } = state.ctx;
  return formatMetadata({
    dedupEpoch: settings.dedupEpoch,
    topicGeneration: state.ctx.topic(window.pid).generation,
    clusterUuid: settings.clusterUuid,
    epoch: state.epoch,
    from: window.from < 0 ? window.readFrom : window.from,
    ceiling,
    leaderEpoch: window.leaderEpochBelow(position),
    finals: window.finalsAbove(position, BITMAP_BYTES_MAX),
  });
}
