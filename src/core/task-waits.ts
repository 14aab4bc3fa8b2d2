/** In words, what a task at this node waits for, and for how long at most where that is known. Reads; decides nothing. */
import type { MemberState } from "./member/state.ts";
import { State, type Doubt, type PartitionWindow } from "./member/window.ts";
import { Verdict } from "./messages.ts";

export interface Wait {
  readonly waitsFor: string; // "" for nothing
  readonly withinMs: number | null;
}

/** Of a doubt that is being asked about. */
export const LEADERS_ANSWER = "the leader's answer";
const LEASE_OVER = "an answer of the leader: this node's lease is over";
const CEILING = "a commit that reserves its offset";

const NOTHING: Wait = { waitsFor: "", withinMs: null };

export function waitOf(state: MemberState, window: PartitionWindow, offset: number, now: number): Wait {
  const current = window.stateOf(offset);
  if (current === State.executing) return wait("its handler to end");
  if (current === State.writing) return waitOfWriting(state, window, offset, now);
  if (current >= State.executed) return offset >= window.committed ? wait("its commit") : NOTHING;
  if (window.stopped !== "") return wait(`a person: the partition stands still (${window.stopped})`);
  switch (current) {
    case State.held:
      return wait(hindersClaims(state, window, now) || whyHeld(window, offset));
    case State.asked:
      return wait("the leader's verdict");
    case State.granted:
      return waitOfGranted(state, window, offset, now);
    case State.adopted:
      return waitOfAdopted(state, window.doubts.get(offset), now);
    case State.doubtful:
      return waitOfDoubt(state, window, window.doubts.get(offset), now);
    default:
      return NOTHING;
  }
}

function wait(waitsFor: string, until: number = Infinity, now = 0): Wait {
  return { waitsFor, withinMs: until === Infinity ? null : Math.max(0, until - now) };
}

/** Why this node may do nothing for new tasks now; "" when it may. */
function hinders(state: MemberState, now: number): string {
  if (state.draining) return "another node: this one drains";
  if (state.barrier) return "the end of a rebalance of the consumer group";
  if (!state.admitted) return "this node's place in the in-sync set";
  return state.lease.valid(now) ? "" : LEASE_OVER;
}

/** Why this node may ask for nothing now; "" when it may. */
function hindersClaims(state: MemberState, window: PartitionWindow, now: number): string {
  const any = hinders(state, now);
  if (any !== "") return any;
  if (!state.leaderActive) return LEASE_OVER;
  if (!window.infoKnown) return "what the leader knows about the partition";
  if (!window.anchored) return "the first commit of this node in the partition";
  return "";
}

function whyHeld(window: PartitionWindow, offset: number): string {
  if (offset >= window.ceilingAcked) return CEILING;
  return "its turn to be claimed: tasks before it are being executed";
}

/** Why this node may start nothing now; "" when it may. */
function hindersStarts(state: MemberState, now: number): string {
  const any = hinders(state, now);
  if (any !== "") return any;
  if (now >= state.watchdogUntil) return "this node's watchdog: it has not answered lately";
  return "";
}

function waitOfGranted(state: MemberState, window: PartitionWindow, offset: number, now: number): Wait {
  const retryAt = window.retryAt.get(offset);
  if (retryAt !== undefined) {
    const attempt = window.attempts[window.slot(offset)]! + 1;
    const { attemptsMax } = state.ctx.topic(window.pid);
    return wait(`attempt ${attempt} of ${attemptsMax}, after a back-off`, retryAt, now);
  }
  const { concurrency } = state.ctx.settings;
  const full = state.running >= concurrency ? `a free handler: ${state.running} of ${concurrency} run` : "its start";
  return wait(hindersStarts(state, now) || full);
}

function waitOfAdopted(state: MemberState, doubt: Doubt | undefined, now: number): Wait {
  if (doubt === undefined) return NOTHING;
  if (doubt.checking) return wait("its check to answer");
  const hindered = hindersStarts(state, now);
  if (hindered !== "") return wait(hindered);
  const { checkAttemptsMax, checkConcurrency } = state.ctx.settings;
  if (doubt.checkAt > now) {
    const asked = `check ${doubt.checkAttempts + 1} of ${checkAttemptsMax}: the last one gave no usable answer`;
    return wait(asked, doubt.checkAt, now);
  }
  return wait(`a free check: ${state.checking} of ${checkConcurrency} run`);
}

const SAID: Readonly<Record<number, string>> = {
  [Verdict.wait]: "somebody may still run it",
  [Verdict.doubtful]: "the leader could not decide yet",
  [Verdict.refused]: "the leader takes another node for the partition's owner",
};

function waitOfDoubt(state: MemberState, window: PartitionWindow, doubt: Doubt | undefined, now: number): Wait {
  if (doubt === undefined) return NOTHING;
  const hindered = hindersClaims(state, window, now);
  if (hindered !== "") return wait(hindered);
  if (doubt.offset >= window.ceilingAcked) return wait(CEILING);
  if (doubt.asking !== 0) return wait(LEADERS_ANSWER);
  const said = SAID[doubt.said];
  return wait(said === undefined ? "the leader to be asked" : `the next question: ${said}`, doubt.askAt, now);
}

function waitOfWriting(state: MemberState, window: PartitionWindow, offset: number, now: number): Wait {
  const aside = window.setAside.get(offset);
  const target = `${state.ctx.topic(window.pid).name}.${aside?.kind ?? "parked"}`;
  if (aside === undefined || aside.retryAt === Infinity) return wait(`the log to acknowledge its record in ${target}`);
  return wait(`the next try to write it to ${target}: the last one was not acknowledged`, aside.retryAt, now);
}

/** The same for a task that runs or ran here, and whose partition has moved. */
export function waitOfRetained(current: number, kind: "dead" | "parked" | null): Wait {
  if (current === State.executing) return wait("its handler to end; the partition has moved");
  if (current === State.writing)
    return wait(`the log to acknowledge it as ${kind ?? "parked"}; the partition has moved`);
  if (current >= State.executed) return wait("the commit of the partition's new owner");
  return wait("the partition's new owner to ask for it");
}
