/** What only the leader can say about one record, for `task <id>`. Reads; decides nothing. */
import type { PartitionId } from "../identity.ts";
import type { LeaderView } from "../task-view.ts";
import { isFinalPhase } from "../table.ts";
import { longestQuarantineMs } from "./evicted.ts";
import { quarantineEnd } from "./gone.ts";
import type { Questions } from "./questions.ts";
import type { LeaderState } from "./state.ts";
import { isSuspect, suspectsMayBeAdopted } from "./suspects.ts";

export function lookAsLeader(
  leader: LeaderState,
  questions: Questions,
  pid: PartitionId,
  offset: number,
  now: number,
): LeaderView {
  // Not by `partition`, which would make one for whatever is asked for.
  const table = leader.replica.table.partitions.get(pid);
  const held = table !== undefined && table.has(offset) && !isFinalPhase(table.phaseOf(offset));
  const holder = held ? table.holderOf(offset) : "";
  const key = `${pid}:${offset}`;
  const settleMs = leader.ctx.topic(pid).effectSettleMs;
  const silent = holder !== "" && !leader.connected(holder);
  const provenAt = leader.provenDead.get(holder);
  const quarantineOver = silent ? quarantineEnd(leader, holder, settleMs) : 0;
  const goneAt = provenAt === undefined ? quarantineOver : Math.min(quarantineOver, provenAt + settleMs);
  const unknownSince = leader.unknownSince.get(key);
  const suspect = table !== undefined && isSuspect(table, offset) && !suspectsMayBeAdopted(leader, now);
  const suspectMs = leader.activatedAt + longestQuarantineMs(leader.ctx) - now;
  return {
    owner: leader.partitions.get(pid)?.owner ?? "",
    holderStanding: holder === "" ? "" : !silent ? "connected" : provenAt === undefined ? "silent" : "dead",
    goneInMs: silent ? Math.max(0, goneAt - now) : suspect ? Math.max(0, suspectMs) : null,
    attestation: holder === "" ? "" : questions.lastWord(pid, offset),
    settlesInMs: unknownSince === undefined ? null : Math.max(0, unknownSince + settleMs - now),
    suspect,
    behind: [...leader.required()].filter((incarnation) => (leader.peers.get(incarnation)?.applied ?? -1) < leader.seq),
    waiters: [...(leader.waiters.get(key)?.keys() ?? [])],
  };
}
