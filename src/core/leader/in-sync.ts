/**
 * Changes of the in-sync set (R3): at most one under way, written only through the coordinator at the version that this
 * leader knows. From when it is sent until its outcome is known every release needs the union of both sets.
 */
import type { Incarnation } from "../identity.ts";
import type { InSyncState } from "../events.ts";
import { evictedBeside } from "./evicted.ts";
import { SELF, type LeaderState, type Peer } from "./state.ts";

/** A disconnected member holds up every vote; a link that comes back at once must not cost a full sync. */
const RECONNECT_MS = 300;

/** Decides on the next change, if one is due. */
export function changeInSync(leader: LeaderState, disconnectedAt: ReadonlyMap<Incarnation, number>, now: number): void {
  if (!leader.mayAct(now) || leader.pendingSet !== null) return;
  const { minInSync } = leader.ctx.settings;
  const stay = leader.inSync.filter((incarnation) => !mustLeave(leader, disconnectedAt, incarnation, now));
  let next: Incarnation[] = stay;
  for (const peer of leader.peers.values()) {
    if (joins(leader, peer, now) && !next.includes(peer.incarnation)) next = leader.withMember(next, peer.incarnation);
  }
  if (next.length < minInSync) {
    // Too few are left: a dead one is replaced in the same write by a joiner, or nobody leaves.
    next = [...leader.inSync];
    for (const peer of leader.peers.values())
      if (joins(leader, peer, now) && !next.includes(peer.incarnation))
        next = leader.withMember(next, peer.incarnation);
  }
  if (sameSet(next, leader.inSync)) return;
  writeSet(leader, next, now);
}

/** Sends a set to the coordinator; from now on it counts beside the old one. */
export function writeSet(leader: LeaderState, next: readonly Incarnation[], now: number): void {
  const evicted = evictedBeside(leader, next, now);
  leader.pendingSet = next;
  leader.pendingEvicted = evicted;
  const { epoch, inSyncVersion: version } = leader;
  leader.ctx.emit({ type: "write-in-sync", epoch, incarnations: next, evicted, version });
}

/**
 * A late peer has all that was released, since nothing is released without a member's acknowledgement: so that alone
 * would put a stopped member back into the set in the very write that is to remove it.
 */
function joins(leader: LeaderState, peer: Peer, now: number): boolean {
  return peer.standing === "synced" && !peer.draining && peer.applied >= leader.released && !isLate(leader, peer, now);
}

/** It owes an acknowledgement, or any sign of life, for too long. The leader itself is never late. */
function isLate(leader: LeaderState, peer: Peer, now: number): boolean {
  if (peer.connection === SELF) return false;
  const { inSyncEvictionMs, heartbeatMs } = leader.ctx.settings;
  if (peer.applied < leader.seq && now - peer.behindSince >= inSyncEvictionMs) return true;
  return now - peer.lastFrameAt >= inSyncEvictionMs + heartbeatMs;
}

function mustLeave(
  leader: LeaderState,
  disconnectedAt: ReadonlyMap<Incarnation, number>,
  incarnation: Incarnation,
  now: number,
): boolean {
  const { inSyncEvictionMs, minInSync } = leader.ctx.settings;
  const peer = leader.peers.get(incarnation);
  if (peer === undefined) {
    const since = disconnectedAt.get(incarnation) ?? leader.activatedAt;
    const blocks = leader.pendingHead < leader.pending.length;
    return now - since >= (blocks ? RECONNECT_MS : inSyncEvictionMs);
  }
  if (peer.connection === SELF) return false;
  if (peer.draining) return peer.holdsNothing && leader.inSync.length > minInSync; // R22
  return isLate(leader, peer, now);
}

export function sameSet(a: readonly Incarnation[], b: readonly Incarnation[]): boolean {
  return a.length === b.length && a.every((incarnation) => b.includes(incarnation));
}

/** The change is known to have been made. Returns who joined and who left. */
export function setWritten(leader: LeaderState, version: number): { joined: Incarnation[]; left: Incarnation[] } {
  const before = leader.inSync;
  const next = leader.pendingSet ?? before;
  leader.inSync = next;
  if (leader.pendingSet !== null) leader.evicted = leader.pendingEvicted;
  leader.inSyncVersion = version;
  leader.pendingSet = null;
  return {
    joined: next.filter((incarnation) => !before.includes(incarnation)),
    left: before.filter((incarnation) => !next.includes(incarnation)),
  };
}

/**
 * After an unknown outcome the record was read again: it holds the old set or the new one; anything else means that
 * somebody else wrote it, and this leader is over. True: settled.
 */
export function resolveUnknown(leader: LeaderState, read: InSyncState): "new" | "old" | "foreign" {
  if (leader.pendingSet !== null && sameSet(read.incarnations, leader.pendingSet)) return "new";
  if (sameSet(read.incarnations, leader.inSync)) {
    leader.pendingSet = null;
    leader.inSyncVersion = read.version;
    return "old";
  }
  return "foreign";
}
