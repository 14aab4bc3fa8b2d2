/** R12: what is known of an incarnation that is silent. Whoever asks says how long effects may take to settle. */
import type { Incarnation } from "../identity.ts";
import { quarantineMs } from "../settings.ts";
import type { LeaderState } from "./state.ts";

/** Its death is proven, and long enough ago. */
export function isProvenDead(leader: LeaderState, incarnation: Incarnation, settleMs: number, now: number): boolean {
  const provenAt = leader.provenDead.get(incarnation);
  return provenAt !== undefined && now >= provenAt + settleMs;
}

/**
 * From when on nothing of it runs or has an effect any more, counted from the later of its last frame processed here and
 * this leader's activation; Infinity while this leader is not active.
 */
export function quarantineEnd(leader: LeaderState, incarnation: Incarnation, settleMs: number): number {
  const heard = Math.max(leader.lastFrame.get(incarnation) ?? -Infinity, leader.activatedAt);
  return heard + quarantineMs(leader.ctx.settings) + settleMs;
}
