/**
 * Starting handlers and taking their ends: the start check before every attempt (R9), attempts and unknown ends (R23),
 * checks and what `onUnknown` decides (R20).
 */
import { Outcome, type CheckAnswer } from "../events.ts";
import type { PartitionId } from "../identity.ts";
import { setAside, writeAside } from "./aside.ts";
import { startAdopted } from "./claims.ts";
import type { MemberState } from "./state.ts";
import { State, type Doubt, type PartitionWindow, type Retained } from "./window.ts";

const offsetsOut: number[] = [];

/** Starts what may start, partition by partition, up to the node's concurrency. */
export function startReady(state: MemberState, now: number): void {
  if (!state.mayStart(now)) return;
  for (const window of state.windowsFrom(state.startTurns++)) {
    let room = state.ctx.settings.concurrency - state.running;
    if (room <= 0) return;
    if (window.stopped !== "" || window.readyHead >= window.ready.length) continue;
    offsetsOut.length = 0;
    while (room > 0 && window.readyHead < window.ready.length) {
      const offset = window.ready.values[window.readyHead++]!;
      if (window.stateOf(offset) !== State.granted || window.retryAt.has(offset)) continue;
      if (window.eras[window.slot(offset)] !== state.era) {
        window.hold(offset);
        state.ctx.counters.heldAgain++;
        continue;
      }
      window.set(offset, State.executing);
      offsetsOut.push(offset);
      room--;
    }
    if (window.readyHead === window.ready.length) {
      window.ready.clear();
      window.readyHead = 0;
    }
    if (offsetsOut.length > 0) execute(state, window);
  }
}

function execute(state: MemberState, window: PartitionWindow): void {
  const count = offsetsOut.length;
  const stamps = new Float64Array(count);
  const attempts = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const slot = window.slot(offsetsOut[i]!);
    stamps[i] = window.stamps[slot]!;
    attempts[i] = window.attempts[slot]! + 1;
  }
  state.running += count;
  state.ctx.counters.started += count;
  state.ctx.emit({
    type: "execute",
    pid: window.pid,
    ownership: window.ownership,
    epoch: state.epoch,
    validUntil: Math.min(state.lease.until, state.watchdogUntil),
    offsets: Float64Array.from(offsetsOut),
    stamps,
    attempts,
  });
}

/** Attempts ended, in the window or for a partition that moved away meanwhile. */
export function takeResults(
  state: MemberState,
  pid: PartitionId,
  offsets: Float64Array,
  outcomes: Uint8Array,
  now: number,
): void {
  const window = state.windows.get(pid);
  for (let i = 0; i < offsets.length; i++) {
    const offset = offsets[i]!;
    const outcome = outcomes[i]! as Outcome;
    state.running--;
    if (isFailure(outcome)) state.ctx.counters.failedAttempts++;
    if (outcome === Outcome.unknown) state.ctx.counters.unknownEnds++;
    if (window !== undefined && window.stateOf(offset) === State.executing) {
      endHere(state, window, offset, outcome, now);
      continue;
    }
    const task = state.retained.get(pid)?.get(offset);
    if (task !== undefined && task.state === State.executing) endElsewhere(state, pid, offset, task, outcome);
  }
}

function endHere(state: MemberState, window: PartitionWindow, offset: number, outcome: Outcome, now: number): void {
  switch (outcome) {
    case Outcome.success:
      state.finish(window, offset, State.executed);
      return;
    case Outcome.notStarted:
      window.hold(offset);
      state.ctx.counters.heldAgain++;
      return;
    case Outcome.unknown:
      state.doubt(window, offset, now, { ranUnknown: true });
      return;
    case Outcome.failure:
      attemptFailed(state, window, offset, now);
      return;
    case Outcome.failedForGood:
      window.attempts[window.slot(offset)]!++;
      setAside(state, window, offset, "dead", "failed-for-good");
      return;
    default:
      outcome satisfies never;
  }
}

/** Nothing happened: the next holder needs no check (R23). */
function isFailure(outcome: Outcome): boolean {
  return outcome === Outcome.failure || outcome === Outcome.failedForGood;
}

/** Retried under its grant with back-off and jitter; after the last attempt it goes to the dead-letter topic. */
function attemptFailed(state: MemberState, window: PartitionWindow, offset: number, now: number): void {
  const topic = state.ctx.topic(window.pid);
  const attempts = ++window.attempts[window.slot(offset)]!;
  if (attempts >= topic.attemptsMax) {
    setAside(state, window, offset, "dead", "attempts");
    return;
  }
  // The grant is of an epoch or lease that is over: held, so that it is asked for again (R10).
  window.set(offset, State.granted);
  const backoff = Math.min(topic.retryBackoffMaxMs, topic.retryBackoffMs * 2 ** (attempts - 1));
  window.retryAt.set(offset, now + backoff * (0.5 + state.ctx.random()));
}

function endElsewhere(state: MemberState, pid: PartitionId, offset: number, task: Retained, outcome: Outcome): void {
  if (outcome === Outcome.success) {
    task.state = State.executed;
    state.report(pid, offset, State.executed);
    state.countFinal(State.executed);
    return;
  }
  task.state = State.held; // unstarted: a revoke is answered "refused" with its attempts, or "unknown" (R23)
  if (isFailure(outcome)) task.attempts++; // failed for good: its new owner hears it from the next attempt
  if (outcome === Outcome.unknown) task.ranUnknown = true;
}

/** Retries, checks and set-aside writes that are due. */
export function tickStarts(state: MemberState, now: number): void {
  for (const window of state.windows.values()) {
    for (const [offset, at] of window.retryAt) {
      if (at > now) continue;
      window.retryAt.delete(offset);
      if (window.stateOf(offset) === State.granted) window.ready.push(offset);
    }
    for (const [offset, aside] of window.setAside) {
      if (aside.retryAt > now || window.stateOf(offset) !== State.writing) continue;
      aside.retryAt = Infinity;
      writeAside(state, window, offset, aside);
    }
  }
}

/** Starts the checks of adopted tasks: the same start check as for a handler, since a check may decide to run. */
export function startChecks(state: MemberState, now: number): void {
  if (state.doubtCount === 0 || !state.mayStart(now)) return;
  for (const window of state.windows.values()) {
    if (window.doubts.size === 0 || window.stopped !== "") continue;
    const topic = state.ctx.topic(window.pid);
    for (const doubt of window.doubts.values()) {
      if (window.stateOf(doubt.offset) !== State.adopted || doubt.checking || doubt.checkAt > now) continue;
      if (!topic.hasCheck) {
        decideByPolicy(state, window, doubt, now);
        continue;
      }
      if (state.checking >= state.ctx.settings.checkConcurrency) return;
      doubt.checking = true;
      doubt.checks++;
      state.checking++;
      state.ctx.counters.checks++;
      state.ctx.emit({
        type: "check",
        pid: window.pid,
        offset: doubt.offset,
        epoch: state.epoch,
        stamp: window.stampOf(doubt.offset),
      });
    }
  }
}

/** A check answered. An answer for another adoption (epoch, lease or ownership changed meanwhile) is void. */
export function takeCheckResult(
  state: MemberState,
  pid: PartitionId,
  offset: number,
  epoch: number,
  stamp: number,
  answer: CheckAnswer,
  now: number,
): void {
  if (epoch !== state.epoch) return; // the sequence began anew: an equal one is another adoption's
  const window = state.windows.get(pid);
  const doubt = window?.doubts.get(offset);
  if (window === undefined || doubt === undefined || !doubt.checking) return;
  if (window.stateOf(offset) !== State.adopted || window.stampOf(offset) !== stamp) return;
  doubt.checking = false;
  doubt.checkSaid = answer;
  state.checking--;
  if (answer === "executed") {
    state.settleDoubt(window, offset, "checkedExecuted", false, now);
    state.finish(window, offset, State.dropped);
    return;
  }
  if (answer === "not-executed") {
    state.settleDoubt(window, offset, "checkedNotExecuted", true, now);
    startAdopted(state, window, offset);
    return;
  }
  doubt.checkAttempts++;
  if (doubt.checkAttempts < state.ctx.settings.checkAttemptsMax) {
    doubt.checkAt =
      now + state.ctx.settings.checkBackoffMs * 2 ** (doubt.checkAttempts - 1) * (0.5 + state.ctx.random());
    return;
  }
  decideByPolicy(state, window, doubt, now);
}

/** No check, or it does not know: the task definition's `onUnknown` (R20). A Bloom bit alone never drops a task. */
function decideByPolicy(state: MemberState, window: PartitionWindow, doubt: Doubt, now: number): void {
  const { onUnknown } = state.ctx.topic(window.pid);
  const { offset, maybe } = doubt;
  state.settleDoubt(window, offset, "byPolicy", onUnknown === "execute", now);
  if (onUnknown === "execute") {
    startAdopted(state, window, offset);
  } else if (onUnknown === "drop" && !maybe) {
    state.finish(window, offset, State.dropped);
  } else {
    setAside(state, window, offset, "parked", maybe ? "maybe-duplicate" : "unknown");
  }
}

/** The write to `<topic>.dead` or `<topic>.parked` was acknowledged, or must be tried again. */
export function takeSetAsideResult(
  state: MemberState,
  pid: PartitionId,
  offset: number,
  acknowledged: boolean,
  now: number,
): void {
  const window = state.windows.get(pid);
  if (window !== undefined && window.stateOf(offset) === State.writing) {
    const aside = window.setAside.get(offset);
    if (aside === undefined) return;
    if (!acknowledged) {
      aside.retryAt = now + 1_000;
      return;
    }
    window.setAside.delete(offset);
    const { kind, reason } = aside;
    const attempts = window.attempts[window.slot(offset)]!;
    state.ends.addSetAside({ ...window.nameOf(offset), kind, reason, attempts, at: now });
    state.finish(window, offset, aside.kind === "dead" ? State.dead : State.parked);
    return;
  }
  const task = state.retained.get(pid)?.get(offset);
  if (task === undefined || task.state !== State.writing) return;
  // Who no longer owns the partition does not write again: a refused write makes it unstarted (R23).
  task.state = acknowledged ? (task.aside?.kind === "parked" ? State.parked : State.dead) : State.held;
  if (acknowledged) {
    if (task.aside !== null) state.ends.addSetAside({ pid, offset, ...task, ...task.aside, at: now });
    state.report(pid, offset, task.state as State);
    state.countFinal(task.state as State);
  }
}
