/**
 * Who may still run a handler although the in-sync set no longer names it (R15d). A leader keeps these names in the
 * record beside the set: when the whole set is lost, the next leader must know of them too before it adopts what the
 * lost table may have given to them. A name leaves the list, at the next change of the set, when its incarnation is in the
 * set again, runs nothing more (drained), is proven dead and its effects have settled, or its quarantine at this leader is
 * over. Nothing is written only to shorten the list: a name that stays too long costs a wait, and only then.
 */
import type { Context } from "../context.ts";
import type { Incarnation } from "../identity.ts";
import { quarantineMs } from "../settings.ts";
import { isProvenDead, quarantineEnd } from "./gone.ts";
import type { LeaderState } from "./state.ts";

/** Each start of a whole cell may leave as many names as it has nodes. */
export const EVICTED_MAX = 64;
/** Stands for all names when they are too many: nobody proves its death, so the quarantine is waited for. */
export const ANYBODY = "*";

/** How long after its last word nothing of an incarnation runs or has an effect any more, of any topic (R12). */
export function longestQuarantineMs(ctx: Context): number {
  return quarantineMs(ctx.settings) + settleMs(ctx);
}

/** The longest that an effect may take to land, of any topic. */
function settleMs(ctx: Context): number {
  return Math.max(...ctx.settings.topics.map((topic) => topic.effectSettleMs), 0);
}

/** Its death is proven, and long enough ago for the effects of every topic. */
export function isDead(leader: LeaderState, incarnation: Incarnation, now: number): boolean {
  return isProvenDead(leader, incarnation, settleMs(leader.ctx), now);
}

/** What the record says beside the set `next`. */
export function evictedBeside(leader: LeaderState, next: readonly Incarnation[], now: number): Incarnation[] {
  const names = new Set([...leader.evicted, ...(leader.active ? leader.inSync : leader.lastSet)]);
  const stays = (incarnation: Incarnation): boolean => !next.includes(incarnation) && mayRun(leader, incarnation, now);
  const known = [...leader.peers.keys(), ...leader.lastFrame.keys()];
  const anybody =
    names.delete(ANYBODY) && (now < leader.activatedAt + longestQuarantineMs(leader.ctx) || known.some(stays));
  const left = [...names].filter(stays);
  return anybody || left.length > EVICTED_MAX ? [ANYBODY] : left;
}

function mayRun(leader: LeaderState, incarnation: Incarnation, now: number): boolean {
  const peer = leader.peers.get(incarnation);
  if (peer !== undefined) return !peer.runsNothing;
  if (isDead(leader, incarnation, now)) return false;
  return now < quarantineEnd(leader, incarnation, settleMs(leader.ctx));
}
