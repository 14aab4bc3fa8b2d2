/** How far ahead of its handlers a node claims: far enough that none waits for a vote, no further, since it is in doubt after a crash. */
import type { TopicSettings } from "../settings.ts";
import type { MemberState } from "./state.ts";
import type { PartitionWindow } from "./window.ts";

/**
 * How many tasks may be claimed now. Each that is claimed and not started is a check after a crash of this node (nobody can
 * tell it from one that ran), so only enough are claimed ahead that handlers never wait for a vote: two full claims, or
 * what the handlers take four times at once. Asked for by halves: not a claim for every handler that ends.
 */
export function claimRoom(state: MemberState): number {
  const { claimBatchMax, concurrency } = state.ctx.settings;
  const aheadMax = Math.max(2 * claimBatchMax, 4 * concurrency);
  const ahead = claimedAhead(state, () => true);
  return ahead > aheadMax / 2 ? 0 : Math.min(claimBatchMax, aheadMax - ahead);
}

/**
 * Where there is no check, each task that was claimed and not started would after a crash be parked or dropped like one that
 * may have run. So of these no more are claimed than can start now (and one, so that other topics cannot starve them).
 */
export function guessedClaimRoom(state: MemberState): number {
  if (!state.ctx.settings.topics.some(decidedUnchecked)) return Infinity;
  const mayStartNow = Math.max(1, state.ctx.settings.concurrency - state.running);
  return mayStartNow - claimedAhead(state, (window) => isGuessed(state, window));
}

export function isGuessed(state: MemberState, window: PartitionWindow): boolean {
  return decidedUnchecked(state.ctx.topic(window.pid));
}

function decidedUnchecked({ hasCheck, onUnknown }: TopicSettings): boolean {
  return !hasCheck && onUnknown !== "execute";
}

/** Granted and not started, or asked for. What stands still for a person starts never, and is not ahead of anything. */
function claimedAhead(state: MemberState, counts: (window: PartitionWindow) => boolean): number {
  let ahead = 0;
  for (const window of state.windows.values()) {
    if (window.stopped === "" && counts(window)) ahead += window.ready.length - window.readyHead;
  }
  for (const { doubts, pid, offsets } of state.claims.values()) {
    const window = doubts ? undefined : state.windows.get(pid);
    if (window?.stopped === "" && counts(window)) ahead += offsets.count;
  }
  return ahead;
}
