/**
 * Claims and doubts out, verdicts in (S2, S3, R6). A claim is a range of held offsets with their 8-byte hashes; a doubt
 * is asked again with its full id, in pages, in offset order.
 *
 * Longer than most files: what is asked and what is answered change the same states, and are read together.
 */
import type { PartitionId } from "../identity.ts";
import type { PayloadConflict } from "../effects.ts";
import { gives, Verdict, type ClaimBatch, type DoubtPage, type PartitionInfo, type VerdictBatch } from "../messages.ts";
import { NumberList, offsetAt, packOffsets } from "../offsets.ts";
import { conflictOf, setAside } from "./aside.ts";
import { claimRoom, guessedClaimRoom, isGuessed } from "./claim-room.ts";
import { beginAt, idIsKey, settleBelowWatermark, stopPartition } from "./intake.ts";
import type { MemberState, Outstanding } from "./state.ts";
import { CHECKED, State, type Doubt, type PartitionWindow } from "./window.ts";

const scratch = new NumberList();
const NO_BYTES = new Uint8Array(0);
const NO_WORDS = new Uint32Array(0);

/** Whether anything could be claimed now; cheap, asked every turn. */
export function hasClaims(state: MemberState): boolean {
  if (!mayClaim(state) || claimRoom(state) <= 0) return false;
  const guessedRoom = guessedClaimRoom(state);
  for (const window of state.windows.values()) {
    if (!claimable(window) || (guessedRoom <= 0 && isGuessed(state, window))) continue;
    if (nextHeld(window) < Math.min(window.fetchPosition, window.ceilingAcked)) return true;
  }
  return false;
}

function mayClaim(state: MemberState): boolean {
  return state.admitted && state.leaderActive && !state.barrier && !state.draining;
}

function claimable(window: PartitionWindow): boolean {
  return window.anchored && window.infoKnown && window.stopped === "" && window.held > 0;
}

/** Moves the cursor to the lowest held offset and returns it (or the fetch position). */
function nextHeld(window: PartitionWindow): number {
  let at = Math.max(window.claimCursor, window.base);
  while (at < window.fetchPosition && window.states[window.slot(at)] !== State.held) at++;
  window.claimCursor = at;
  return at;
}

/** A held task waits for the reserved ceiling: commit at once (R15a). */
export function claimsWaitForCeiling(window: PartitionWindow): boolean {
  return (
    window.infoKnown &&
    window.stopped === "" &&
    window.held > 0 &&
    nextHeld(window) < window.fetchPosition &&
    nextHeld(window) >= window.ceilingAcked
  );
}

export function takeClaims(state: MemberState, now: number): ClaimBatch[] {
  const batches: ClaimBatch[] = [];
  if (!mayClaim(state)) return batches;
  let room = claimRoom(state);
  let guessedRoom = room > 0 ? guessedClaimRoom(state) : 0;
  for (const window of state.windowsFrom(state.claimTurns++)) {
    if (room <= 0) break;
    const guessed = guessedRoom < Infinity && isGuessed(state, window);
    const most = guessed ? Math.min(room, guessedRoom) : room;
    if (most <= 0 || !claimable(window)) continue;
    const batch = claimWindow(state, window, most, now);
    if (batch === null) continue;
    batches.push(batch);
    room -= batch.offsets.count;
    if (guessed) guessedRoom -= batch.offsets.count;
  }
  return batches;
}

function claimWindow(state: MemberState, window: PartitionWindow, room: number, now: number): ClaimBatch | null {
  scratch.clear();
  const end = Math.min(window.fetchPosition, window.ceilingAcked);
  let at = nextHeld(window);
  for (; at < end && scratch.length < room; at++) {
    if (window.states[window.slot(at)] !== State.held) continue;
    window.set(at, State.asked);
    scratch.push(at);
  }
  window.claimCursor = at;
  const count = scratch.length;
  if (count === 0) return null;
  if (at > window.claimedThrough) window.claimedThrough = at;
  const offsets = packOffsets(scratch.values, 0, count);
  const question = describe(window, count);
  const number = state.nextClaim++;
  state.claims.set(number, { pid: window.pid, ownership: window.ownership, offsets, doubts: false, askedAt: now });
  state.ctx.counters.claimed += count;
  return { number, pid: window.pid, ownership: window.ownership, generation: window.generation, offsets, ...question };
}

/** Hashes and kinds of the offsets in `scratch`. */
function describe(window: PartitionWindow, count: number): { hashes: Uint32Array; idIsKey: Uint8Array } {
  const hashes = new Uint32Array(2 * count);
  let withIds = false;
  for (let i = 0; i < count; i++) {
    const slot = window.slot(scratch.values[i]!);
    hashes[2 * i] = window.hashes[2 * slot]!;
    hashes[2 * i + 1] = window.hashes[2 * slot + 1]!;
    if (!idIsKey(window, scratch.values[i]!)) withIds = true;
  }
  if (!withIds) return { hashes, idIsKey: NO_BYTES };
  const kinds = new Uint8Array(count);
  for (let i = 0; i < count; i++) kinds[i] = idIsKey(window, scratch.values[i]!) ? 1 : 0;
  return { hashes, idIsKey: kinds };
}

export function nextDoubtAt(state: MemberState): number {
  let next = Infinity;
  if (!mayClaim(state) || state.doubtCount === 0) return next;
  for (const window of state.windows.values()) {
    if (!asksDoubts(window)) continue;
    for (const doubt of window.doubts.values()) if (askable(window, doubt) && doubt.askAt < next) next = doubt.askAt;
  }
  return next;
}

function asksDoubts(window: PartitionWindow): boolean {
  return window.doubts.size > 0 && window.anchored && window.infoKnown && window.stopped === "";
}

function askable(window: PartitionWindow, doubt: Doubt): boolean {
  return (
    doubt.asking === 0 &&
    window.states[window.slot(doubt.offset)] === State.doubtful &&
    doubt.offset < window.ceilingAcked
  );
}

/** Due doubts as pages, in offset order. */
export function takeDoubts(state: MemberState, now: number): DoubtPage[] {
  const pages: DoubtPage[] = [];
  if (!mayClaim(state) || state.doubtCount === 0) return pages;
  const perWindow: { readonly window: PartitionWindow; readonly due: Doubt[] }[] = [];
  for (const window of state.windows.values()) {
    if (!asksDoubts(window)) continue;
    const due = [...window.doubts.values()].filter((doubt) => doubt.askAt <= now && askable(window, doubt));
    if (due.length > 0) perWindow.push({ window, due: due.sort(longestDue) });
  }
  perWindow.sort((a, b) => longestDue(a.due[0]!, b.due[0]!));
  let room = state.ctx.settings.doubtPageMax;
  for (const { window, due } of perWindow) {
    if (room <= 0) break;
    const asked = due.slice(0, room).sort((a, b) => a.offset - b.offset);
    pages.push(doubtPage(state, window, asked, now));
    room -= asked.length;
  }
  return pages;
}

/** Who waits longest is asked first: what was just told to wait may wait for one that was never asked (R15e). */
function longestDue(a: Doubt, b: Doubt): number {
  return a.askAt - b.askAt || a.offset - b.offset;
}

function doubtPage(state: MemberState, window: PartitionWindow, doubts: readonly Doubt[], now: number): DoubtPage {
  const number = state.nextClaim++;
  scratch.clear();
  for (const doubt of doubts) {
    doubt.asking = number;
    doubt.asks++;
    scratch.push(doubt.offset);
  }
  const count = doubts.length;
  const offsets = packOffsets(scratch.values, 0, count);
  const question = describe(window, count);
  const payloads = window.payloads.length === 0 ? NO_WORDS : new Uint32Array(2 * count);
  const ranUnknown = new Uint8Array(count);
  const ids: string[] = [];
  doubts.forEach((doubt, i) => {
    const slot = window.slot(doubt.offset);
    ids.push(window.idOf(doubt.offset) ?? "");
    ranUnknown[i] = doubt.ranUnknown ? 1 : 0;
    if (payloads.length === 0) return;
    payloads[2 * i] = window.payloads[2 * slot]!;
    payloads[2 * i + 1] = window.payloads[2 * slot + 1]!;
  });
  state.claims.set(number, { pid: window.pid, ownership: window.ownership, offsets, doubts: true, askedAt: now });
  return {
    number,
    pid: window.pid,
    ownership: window.ownership,
    generation: window.generation,
    offsets,
    ...question,
    ids,
    payloads,
    ranUnknown,
  };
}

/** The leader's answer to one claim or page. Verdicts for another ownership, or refused meanwhile, are ignored. */
export function applyVerdicts(state: MemberState, batch: VerdictBatch, now: number): void {
  const outstanding = state.claims.get(batch.number);
  state.claims.delete(batch.number);
  if (outstanding !== undefined) state.ctx.verdictTimes.observe(now - outstanding.askedAt);
  const window = state.windows.get(batch.pid);
  if (
    outstanding === undefined ||
    window === undefined ||
    window.ownership !== batch.ownership ||
    outstanding.pid !== batch.pid
  ) {
    state.ctx.counters.staleVerdicts += batch.results.length;
    return;
  }
  let given = 0;
  let conflicts = 0;
  const count = Math.min(outstanding.offsets.count, batch.results.length);
  for (let i = 0; i < count; i++) {
    const offset = offsetAt(outstanding.offsets, i);
    const verdict = batch.results[i]! as Verdict;
    const isGiven = gives(verdict);
    const stamp = isGiven ? batch.stamps[given]! : 0;
    const attempts = isGiven && batch.attempts.length > 0 ? batch.attempts[given]! : 0;
    if (isGiven) given++;
    const conflict = verdict === Verdict.conflict ? conflictOf(window, offset, batch.conflicts, conflicts++) : null;
    applyVerdict(state, window, outstanding, offset, verdict, stamp, attempts, conflict, batch.number, now);
  }
}

function applyVerdict(
  state: MemberState,
  window: PartitionWindow,
  outstanding: Outstanding,
  offset: number,
  verdict: Verdict,
  stamp: number,
  attempts: number,
  conflict: PayloadConflict | null,
  number: number,
  now: number,
): void {
  const doubt = window.doubts.get(offset);
  const expected = outstanding.doubts
    ? doubt?.asking === number && window.stateOf(offset) === State.doubtful
    : window.stateOf(offset) === State.asked;
  if (!expected) {
    state.ctx.counters.staleVerdicts++;
    return;
  }
  if (doubt !== undefined) {
    doubt.asking = 0;
    doubt.said = verdict;
    doubt.saidAt = now;
  }
  if (stamp > 0 && stamp <= (state.refusedThrough.get(window.pid) ?? 0)) {
    state.ctx.counters.staleVerdicts++; // R11: refused while the verdict was in flight
    if (doubt === undefined) window.hold(offset);
    return;
  }
  const slot = window.slot(offset);
  if (attempts > window.attempts[slot]!) window.attempts[slot] = attempts;
  switch (verdict) {
    case Verdict.granted:
      if (doubt !== undefined) state.settleDoubt(window, offset, whyRegranted(doubt), true, now);
      grant(state, window, offset, stamp);
      return;
    case Verdict.adopted:
    case Verdict.adoptedMaybe:
      adopt(state, window, offset, stamp, verdict === Verdict.adoptedMaybe, now);
      return;
    case Verdict.committed:
      if (doubt === undefined) settleBelowWatermark(state, window, offset, now);
      else {
        state.settleDoubt(window, offset, "committed", false, now);
        state.finish(window, offset, State.dropped);
      }
      return;
    case Verdict.executed:
      state.settleDoubt(window, offset, doubt?.waited ? "waitedForHolder" : "attestedExecuted", false, now);
      state.finish(window, offset, State.dropped);
      return;
    case Verdict.poison:
      state.settleDoubt(window, offset, "poison", false, now);
      setAside(state, window, offset, "parked", "poison");
      return;
    case Verdict.conflict:
      state.settleDoubt(window, offset, "conflict", false, now);
      setAside(state, window, offset, "parked", "conflict", conflict);
      return;
    case Verdict.refused:
      if (doubt === undefined) state.doubt(window, offset, now, { verdictLost: true });
      askLater(window, offset, now + state.ctx.settings.doubtIntervalMs);
      return;
    case Verdict.wait:
      if (doubt !== undefined) doubt.waited = true;
      askLater(window, offset, now + state.ctx.settings.doubtIntervalMs);
      return;
    case Verdict.doubtful:
      if (doubt === undefined) state.doubt(window, offset, now, {});
      else askLater(window, offset, now + state.ctx.settings.doubtIntervalMs);
      return;
    default:
      verdict satisfies never;
  }
}

function askLater(window: PartitionWindow, offset: number, at: number): void {
  const doubt = window.doubts.get(offset);
  if (doubt !== undefined) doubt.askAt = at;
}

function whyRegranted(doubt: Doubt): "waitedForHolder" | "regranted" | "falsePositive" {
  if (doubt.waited) return "waitedForHolder";
  return doubt.verdictLost ? "regranted" : "falsePositive";
}

/** The task may start; `starts.ts` takes it from the ready list. */
export function grant(state: MemberState, window: PartitionWindow, offset: number, stamp: number): void {
  state.endDoubt(window, offset);
  window.set(offset, State.granted);
  window.stamps[window.slot(offset)] = stamp;
  window.eras[window.slot(offset)] = state.era;
  window.ready.push(offset);
  state.ctx.counters.granted++;
}

function adopt(
  state: MemberState,
  window: PartitionWindow,
  offset: number,
  stamp: number,
  maybe: boolean,
  now: number,
): void {
  const doubt = window.doubts.get(offset);
  if (doubt === undefined) {
    state.doubt(window, offset, now, {}); // a claim is never answered with an adoption; ask as a doubt
    return;
  }
  window.set(offset, State.adopted);
  window.stamps[window.slot(offset)] = stamp;
  doubt.maybe = maybe;
  doubt.ranUnknown = false; // the leader has counted that run; the next report of one must be another's
  doubt.checkAt = now;
}

/** After a check that said "not executed", or by policy: the adoption becomes startable. */
export function startAdopted(state: MemberState, window: PartitionWindow, offset: number): void {
  const stamp = window.stampOf(offset);
  grant(state, window, offset, stamp);
  window.flags[window.slot(offset)]! |= CHECKED;
}

/** The leader knows this partition now (R15): claims may begin once the anchor is committed. */
export function partitionInfo(state: MemberState, info: PartitionInfo): void {
  const window = state.windows.get(info.pid);
  if (window === undefined || window.ownership !== info.ownership) return;
  window.reported = false;
  if (info.stop !== "") {
    stopPartition(
      state,
      window,
      info.stop.startsWith("takeover") ? "takeover-refused" : "position-below-from",
      info.stop.startsWith("takeover") && window.otherCluster !== ""
        ? `${info.stop} (its commit names cluster ${window.otherCluster}, this cell is ${state.ctx.settings.clusterUuid})`
        : info.stop,
    );
    return;
  }
  const lost = !window.hadCommit && !window.anchored && window.readPosition > info.watermark;
  if (lost && window.stopped !== "") return; // it stands still where it is, and may not commit past what it has not read
  takeInfo(lost ? beginAt(state, window, info.watermark) : window, info);
  state.watermarkAcknowledged(info.pid, info.watermark);
}

function takeInfo(window: PartitionWindow, info: PartitionInfo): void {
  window.infoKnown = true;
  window.from = info.from;
  window.ceilingFloor = Math.max(window.ceilingFloor, info.top);
}

export function nudge(state: MemberState, pids: readonly PartitionId[], now: number): void {
  for (const pid of pids) {
    const window = state.windows.get(pid);
    if (window === undefined) continue;
    for (const doubt of window.doubts.values()) if (doubt.askAt > now) doubt.askAt = now;
  }
}
