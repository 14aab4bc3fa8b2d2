/**
 * The truth of one node about itself, shared by the member's parts: windows of owned partitions, tasks that run or ran
 * here for partitions that moved away, the lease, and what must be told to the leader.
 */
import type { Context } from "../context.ts";
import type { PartitionId } from "../identity.ts";
import { Phase, type CommitNote, type FactBatch, type Offsets, type PartitionReport } from "../messages.ts";
import { NumberList, offsetAt, packOffsets } from "../offsets.ts";
import type { GrantTable } from "../table.ts";
import { Lease } from "./lease.ts";
import { type DoubtEnd, RecentEnds } from "./recent-ends.ts";
import { isFinal, isUnstarted, State, type Doubt, type PartitionWindow, type Retained } from "./window.ts";

/** A claim or page of doubts whose verdict is outstanding. */
export interface Outstanding {
  readonly pid: PartitionId;
  readonly ownership: number;
  readonly offsets: Offsets;
  readonly doubts: boolean;
  readonly askedAt: number;
}

/** Final phases as they are reported, with the state that means them. */
export const FINAL_PHASES: readonly { readonly state: State; readonly phase: Phase }[] = [
  { state: State.executed, phase: Phase.executed },
  { state: State.dropped, phase: Phase.dropped },
  { state: State.dead, phase: Phase.dead },
  { state: State.parked, phase: Phase.parked },
];

const FACTS_PER_BATCH_MAX = 4_096;
/** Facts in one report: about 5 bytes each, far below a frame's limit. */
const FINISHED_PER_REPORT_MAX = 32_768;
const NO_HASHES = new Uint32Array(0);

export class MemberState {
  readonly ctx: Context;
  /** This node's copy of the grant table: what it says of others may be late. */
  readonly table: GrantTable;
  readonly lease: Lease;
  readonly ends = new RecentEnds();
  readonly windows = new Map<PartitionId, PartitionWindow>();
  readonly retained = new Map<PartitionId, Map<number, Retained>>();
  readonly claims = new Map<number, Outstanding>();
  /** Highest sequence of this epoch that was refused, a partition: verdicts up to it are ignored (R11). */
  readonly refusedThrough = new Map<PartitionId, number>();
  readonly finished = new Map<PartitionId, NumberList[]>();
  factQueue: FactBatch[] = [];
  factsComplete = false;
  commitNotes: CommitNote[] = [];
  partitionReports: PartitionReport[] = [];

  epoch = 0;
  era = 1; // rises with each epoch and lease number: grants of an older era are void
  admitted = false; // in the in-sync set, by the leader's word
  leaderActive = false;
  barrier = false; // a join is under way: nothing starts, nothing is claimed
  group: "out" | "joining" | "in" | "leaving" = "out";
  generation = -1;
  joinEpoch = 0; // accepted when the present join began: what was read in it is not older
  ownership = 0;
  startTurns = 0; // each begins with the next window
  claimTurns = 0;
  running = 0;
  checking = 0;
  doubtCount = 0;
  nextClaim = 1;
  draining = false;
  paused = false; // suspended: every partition is paused
  watchdogUntil = 0;

  constructor(ctx: Context, table: GrantTable, now: number) {
    this.ctx = ctx;
    this.table = table;
    this.lease = new Lease(now);
  }

  /** All windows, beginning with another one each turn: a partition with a backlog must not starve the others. */
  windowsFrom(turn: number): PartitionWindow[] {
    const windows = [...this.windows.values()];
    const first = turn % Math.max(1, windows.length);
    return first === 0 ? windows : [...windows.slice(first), ...windows.slice(0, first)];
  }

  /** How long the oldest question waits for its verdicts; 0 when none is under way. */
  oldestAskMs(now: number): number {
    for (const { askedAt } of this.claims.values()) return now - askedAt; // in the order of their questions
    return 0;
  }

  /** The node's half of the start check (R9); ownership is checked a task at a time. */
  mayStart(now: number): boolean {
    return this.admitted && !this.barrier && !this.draining && this.lease.valid(now) && now < this.watchdogUntil;
  }

  /** A task reaches its final state here. */
  finish(window: PartitionWindow, offset: number, state: State): void {
    window.set(offset, state);
    window.finalsSinceCommit++;
    window.retryAt.delete(offset);
    this.report(window.pid, offset, state);
    this.countFinal(state);
    if (state === State.executed) window.executedCount++;
    if (offset === window.committable) window.advanceCommittable();
  }

  countFinal(state: State): void {
    const counters = this.ctx.counters;
    if (state === State.executed) counters.executed++;
    else if (state === State.dropped) counters.dropped++;
    else if (state === State.dead) counters.dead++;
    else counters.parked++;
  }

  /** Queues a final state for the next report. */
  report(pid: PartitionId, offset: number, state: State): void {
    let lists = this.finished.get(pid);
    if (lists === undefined) {
      lists = FINAL_PHASES.map(() => new NumberList());
      this.finished.set(pid, lists);
    }
    lists[state - State.executed]!.push(offset);
  }

  /** What became final since the last report, as batches. */
  takeFinished(): FactBatch[] {
    const batches: FactBatch[] = [];
    let room = FINISHED_PER_REPORT_MAX;
    for (const [pid, lists] of this.finished) {
      for (let kind = 0; kind < lists.length; kind++) {
        const list = lists[kind]!;
        if (list.length === 0) continue;
        if (room <= 0) return batches; // the rest goes with the next report
        room -= list.length;
        const sorted = list.values.subarray(0, list.length).sort();
        for (let begin = 0; begin < list.length; begin += FACTS_PER_BATCH_MAX) {
          const end = Math.min(list.length, begin + FACTS_PER_BATCH_MAX);
          batches.push({
            pid,
            phase: FINAL_PHASES[kind]!.phase,
            offsets: packOffsets(sorted, begin, end),
            hashes: NO_HASHES,
          });
        }
        list.clear();
      }
    }
    return batches;
  }

  hasFinished(): boolean {
    for (const lists of this.finished.values()) for (const list of lists) if (list.length > 0) return true;
    return false;
  }

  /** Every fact above W once more, with hashes: for a leader that has not heard them (R5, R13). */
  queueAllFacts(): void {
    this.factQueue = [];
    this.factsComplete = false;
    for (const lists of this.finished.values()) for (const list of lists) list.clear();
    for (const window of this.windows.values()) {
      for (const { state, phase } of [...FINAL_PHASES, { state: State.executing, phase: Phase.executing }]) {
        this.#queueWindowFacts(window, state, phase);
      }
    }
    for (const [pid, tasks] of this.retained) {
      for (const { state, phase } of [...FINAL_PHASES, { state: State.executing, phase: Phase.executing }]) {
        const offsets = [...tasks.keys()].filter((offset) => tasks.get(offset)!.state === state).sort((a, b) => a - b);
        this.#queueFacts(pid, phase, offsets, (offset) => [tasks.get(offset)!.hashHi, tasks.get(offset)!.hashLo]);
      }
    }
  }

  /** Final by the bitmap of the commit that was read: after an unclean start nobody else can tell the leader which tasks they are. */
  nameFinals(window: PartitionWindow, offsets: readonly number[]): void {
    this.#queueFacts(window.pid, Phase.dropped, offsets, (offset) => {
      const slot = window.slot(offset);
      return [window.hashes[2 * slot]!, window.hashes[2 * slot + 1]!];
    });
  }

  #queueWindowFacts(window: PartitionWindow, state: State, phase: Phase): void {
    const offsets: number[] = [];
    for (let at = window.base; at < window.fetchPosition; at++) {
      if (window.states[window.slot(at)] === state) offsets.push(at);
    }
    this.#queueFacts(window.pid, phase, offsets, (offset) => {
      const slot = window.slot(offset);
      return [window.hashes[2 * slot]!, window.hashes[2 * slot + 1]!];
    });
  }

  #queueFacts(
    pid: PartitionId,
    phase: Phase,
    offsets: readonly number[],
    hashOf: (offset: number) => readonly [number, number],
  ): void {
    for (let begin = 0; begin < offsets.length; begin += FACTS_PER_BATCH_MAX) {
      const end = Math.min(offsets.length, begin + FACTS_PER_BATCH_MAX);
      const hashes = new Uint32Array(2 * (end - begin));
      for (let i = begin; i < end; i++) hashes.set(hashOf(offsets[i]!), 2 * (i - begin));
      this.factQueue.push({ pid, phase, offsets: packOffsets(offsets, begin, end), hashes });
    }
  }

  /** Into the doubtful queue (S3); it is asked again at once. */
  doubt(
    window: PartitionWindow,
    offset: number,
    now: number,
    why: { verdictLost?: boolean; ranUnknown?: boolean },
  ): void {
    window.set(offset, State.doubtful);
    window.retryAt.delete(offset);
    const known = window.doubts.get(offset);
    if (known !== undefined) {
      known.asking = 0;
      known.askAt = now;
      if (known.checking) this.checking--; // the answer of the check under way is void
      known.checking = false;
      known.verdictLost ||= why.verdictLost ?? false;
      known.ranUnknown ||= why.ranUnknown ?? false;
      return;
    }
    window.doubts.set(offset, {
      offset,
      since: now,
      askAt: now,
      asking: 0,
      waited: false,
      verdictLost: why.verdictLost ?? false,
      ranUnknown: why.ranUnknown ?? false,
      maybe: false,
      checkAttempts: 0,
      checkAt: 0,
      checking: false,
      asks: 0,
      said: 0,
      saidAt: 0,
      checks: 0,
      checkSaid: "",
    });
    this.doubtCount++;
    this.ctx.counters.doubts++;
    if (this.doubtCount > this.ctx.settings.doubtfulMax) this.ctx.limit("doubtfulMax");
  }

  /** Without those of partitions that stand still for a person: they would hold up all others for as long. */
  doubtCountToSettle(): number {
    let count = this.doubtCount;
    if (count > 0) for (const window of this.windows.values()) if (window.stopped !== "") count -= window.doubts.size;
    return count;
  }

  /** A doubt has its answer: `ran` when the task goes on to its handler. */
  settleDoubt(window: PartitionWindow, offset: number, how: DoubtEnd, ran: boolean, now: number): void {
    if (how !== "poison" && how !== "conflict") this.ctx.settled[how]++;
    const doubt = this.endDoubt(window, offset);
    if (doubt === undefined) return;
    const { since, checks } = doubt;
    this.ends.addDoubt({ ...window.nameOf(offset), how, ran, checks, since, at: now });
  }

  endDoubt(window: PartitionWindow, offset: number): Doubt | undefined {
    const doubt = window.doubts.get(offset);
    if (doubt === undefined) return undefined;
    window.doubts.delete(offset);
    this.doubtCount--;
    if (doubt.checking) this.checking--;
    return doubt;
  }

  /**
   * R10: at a higher epoch or a new lease number every granted or adopted, unstarted task goes back to held, and every
   * task whose verdict was outstanding goes to the doubtful queue, marked "verdict lost".
   */
  voidUnstarted(now: number): void {
    this.era++;
    for (const window of this.windows.values()) {
      for (let at = window.committable; at < window.fetchPosition; at++) {
        const state = window.states[window.slot(at)]!;
        if (state === State.granted) {
          window.hold(at);
          this.ctx.counters.heldAgain++;
        } else if (state === State.adopted) {
          this.doubt(window, at, now, {});
          this.ctx.counters.heldAgain++;
        } else if (state === State.asked) {
          this.doubt(window, at, now, { verdictLost: true });
          this.ctx.counters.verdictsLost++;
        }
      }
      for (const doubt of window.doubts.values()) {
        doubt.asking = 0;
        doubt.askAt = now;
        if (doubt.checking) {
          doubt.checking = false;
          this.checking--;
        }
      }
      window.ready.clear();
      window.readyHead = 0;
    }
    this.claims.clear();
  }

  /** The asks of this connection will not be answered any more (the link broke, the epoch stays). */
  loseVerdicts(now: number): void {
    for (const outstanding of this.claims.values()) {
      const window = this.windows.get(outstanding.pid);
      if (window === undefined || window.ownership !== outstanding.ownership) continue;
      for (let i = 0; i < outstanding.offsets.count; i++) {
        const offset = offsetAt(outstanding.offsets, i);
        const doubt = window.doubts.get(offset);
        if (doubt !== undefined) doubt.asking = 0;
        if (window.stateOf(offset) !== State.asked) continue;
        this.doubt(window, offset, now, { verdictLost: true });
        this.ctx.counters.verdictsLost++;
      }
    }
    this.claims.clear();
  }

  /** Moves what runs or ran here out of the windows before a join, and drops every unstarted copy (R8, R14). */
  retainAll(): void {
    for (const window of this.windows.values()) this.retain(window);
    this.windows.clear();
    this.claims.clear();
    this.partitionReports = [];
  }

  /** The same for one window; the caller puts another in its place. */
  retain(window: PartitionWindow): void {
    this.#retain(window);
    for (const doubt of window.doubts.values()) {
      this.doubtCount--;
      if (doubt.checking) this.checking--;
    }
  }

  #retain(window: PartitionWindow): void {
    const kept = this.retained.get(window.pid) ?? new Map<number, Retained>();
    for (let at = window.base; at < window.fetchPosition; at++) {
      const slot = window.slot(at);
      const aside = window.setAside.get(at) ?? null;
      // A write that was refused and waits to be tried again is not under way: nobody would try it here any more (R23).
      const refused = window.states[slot] === State.writing && aside?.retryAt !== Infinity;
      const state = refused ? State.held : window.states[slot]!;
      const attempts = window.attempts[slot]!;
      const ranUnknown = window.doubts.get(at)?.ranUnknown ?? false;
      if (state === State.absent || (isUnstarted(state) && attempts === 0 && !ranUnknown)) continue;
      // W may have passed it by another owner's commit, and is not told again (R13).
      if (at < window.watermark && (isFinal(state) || isUnstarted(state))) continue;
      kept.set(at, {
        state: isUnstarted(state) ? State.held : state,
        stamp: window.stamps[slot]!,
        epoch: this.epoch,
        attempts,
        hashHi: window.hashes[2 * slot]!,
        hashLo: window.hashes[2 * slot + 1]!,
        id: window.idOf(at),
        payloadHi: window.payloads.length === 0 ? 0 : window.payloads[2 * slot]!,
        payloadLo: window.payloads.length === 0 ? 0 : window.payloads[2 * slot + 1]!,
        ranUnknown,
        aside,
      });
    }
    if (kept.size > 0) this.retained.set(window.pid, kept);
  }

  /** The leader's acknowledged W passed them: facts below it may be forgotten (R13). */
  watermarkAcknowledged(pid: PartitionId, watermark: number): void {
    const window = this.windows.get(pid);
    if (window !== undefined && watermark > window.watermark) {
      window.watermark = watermark;
      window.forgetBelow(watermark);
    }
    const tasks = this.retained.get(pid);
    if (tasks === undefined) return;
    for (const [offset, task] of tasks) {
      if (offset < watermark && (isFinal(task.state) || isUnstarted(task.state))) tasks.delete(offset);
    }
    if (tasks.size === 0) this.retained.delete(pid);
  }

  /** A record is on its way to the dead-letter or parked topic. */
  writesAnything(): boolean {
    for (const window of this.windows.values()) if (window.writing > 0) return true;
    for (const tasks of this.retained.values())
      for (const task of tasks.values()) if (task.state === State.writing) return true;
    return false;
  }
}
