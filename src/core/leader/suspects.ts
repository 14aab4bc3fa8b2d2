/**
 * Suspects (R15c-e): offsets that a former leader may have granted and that no table tells about, because the whole last
 * in-sync set was lost. A partition is in that state while T has no `from` for it although the cell began to read it;
 * T, its `from` and the suspect entries are replicated, so a later leader goes on where this one stopped.
 *
 * A suspect is an entry that is executing without a holder, dirty; it has no hash until its record is asked for. What the
 * bitmap of the commit says is final has none either, until its record is delivered: it may have duplicates all the same.
 */
import { partitionId, type PartitionId } from "../identity.ts";
import { DIRTY_FLAG, FREE_FLAG, Phase, type PartitionReport } from "../messages.ts";
import { isFinalPhase, type PartitionTable } from "../table.ts";
import { isDead, longestQuarantineMs } from "./evicted.ts";
import type { LeaderState, LostPartition, PartitionFacts } from "./state.ts";

/** Called with the first report about a partition; null when T knows it, or when the cell never began to read it. */
export function restoreLost(leader: LeaderState, report: PartitionReport, table: PartitionTable): LostPartition | null {
  if (table.from >= 0) return null;
  const stored = leader.persisted.get(report.pid);
  if (stored === undefined && !report.ours) return null;
  let gone = false;
  if (stored !== undefined) {
    leader.persisted.delete(report.pid);
    table.restartAt(stored.from);
    table.advance(stored.watermark);
    leader.replica.remember(); // a node may have told what it ran there before anybody owned it
    leader.builder.watermark(report.pid, stored.from, stored.watermark);
    gone = !report.hadCommit || !report.ours || report.position < stored.watermark;
  }
  return {
    clean: leader.startedClean && report.ours && report.position === table.watermark,
    ceiling: Math.min(report.logEnd, gone ? report.logEnd : report.ceiling), // nothing above the log's end was granted
  };
}

/** R15d: everything from W to the ceiling that has no final bit becomes a suspect. */
export function markSuspects(
  leader: LeaderState,
  report: PartitionReport,
  table: PartitionTable,
  lost: LostPartition,
): void {
  if (lost.clean) return;
  leader.uncleanStart = true;
  leader.suspectsNamed = false;
  const facts = leader.facts(report.pid);
  facts.suspectAt = table.watermark;
  facts.suspectEnd = lost.ceiling;
  facts.lostEnd = lost.ceiling;
  const bits = report.ours ? report.finals : NO_BITS;
  for (let i = 0; i < bits.length * 8; i++) {
    const offset = report.position + i;
    if ((bits[i >> 3]! & (1 << (i & 7))) === 0 || !table.fits(offset)) continue;
    if (table.has(offset) && isFinalPhase(table.phaseOf(offset))) continue;
    leader.change(report.pid, table, offset, "", Phase.executed, 0, 0, 0, 0, 0);
  }
  for (let offset = table.watermark; offset < lost.ceiling; offset++) {
    if (table.has(offset) || !table.fits(offset)) continue;
    leader.change(report.pid, table, offset, "", Phase.executing, FREE_FLAG | DIRTY_FLAG, 0, 0, 0, 0);
  }
}

const NO_BITS = new Uint8Array(0);

export function isSuspect(table: PartitionTable, offset: number): boolean {
  return table.isFree(offset) && table.phaseOf(offset) === Phase.executing;
}

/**
 * R15e: the suspect's record was delivered: its hash enters the entry and B, so that its duplicates find it. So does that of
 * one that is final without a name: who told that it is may have died before it told which task that is.
 */
export function nameSuspect(
  leader: LeaderState,
  pid: PartitionId,
  table: PartitionTable,
  offset: number,
  hi: number,
  lo: number,
): void {
  const slot = table.slot(offset);
  const unmarked = isUnmarked(table, leader.facts(pid), offset);
  const phase = table.phaseOf(offset) as Phase;
  const isFinal = table.has(offset) && isFinalPhase(phase) && isUnnamed(table, offset);
  if (!unmarked && !isFinal && !isSuspect(table, offset)) return;
  if (!unmarked && table.hashes[2 * slot] === hi && table.hashes[2 * slot + 1] === lo) return;
  leader.replica.filter.testAndAdd(hi, lo);
  const runs = table.unknownRunsOf(offset);
  const attempts = table.attemptsOf(offset);
  if (isFinal) {
    leader.change(pid, table, offset, table.holderOf(offset), phase, 0, runs, attempts, hi, lo);
    return;
  }
  leader.change(pid, table, offset, "", Phase.executing, FREE_FLAG | DIRTY_FLAG, runs, attempts, hi, lo);
}

/** R15e: a task id that is not its delivery key may be one of the suspects that were not asked for yet. */
export function suspectsOutstanding(leader: LeaderState): boolean {
  if (!leader.uncleanStart || leader.suspectsNamed) return false;
  if (unreported(leader)) return true;
  for (const [pid, facts] of leader.partitions) {
    if (facts.suspectAt < facts.suspectEnd && unnamedLeft(leader.replica.table.partition(pid), facts)) return true;
  }
  leader.suspectsNamed = true;
  return false;
}

/**
 * Whether there is a partition of which T knows nothing: its owner has not reported its ceiling since the table was lost.
 * One that was reported and still has no `from` is not this cell's (its takeover was refused): it granted nothing there.
 */
function unreported(leader: LeaderState): boolean {
  const { partitions } = leader.replica.table;
  const unknown = (pid: PartitionId): boolean =>
    (partitions.get(pid)?.from ?? -1) < 0 && (leader.partitions.get(pid)?.ownerGeneration ?? -1) < 0;
  return leader.ctx.settings.topics.some((topic, index) => {
    for (let i = 0; i < topic.partitions; i++) if (unknown(partitionId(index, i))) return true;
    return false;
  });
}

/** Moves the cursor over suspects that have their hash, or an end; they never lose either. */
function unnamedLeft(table: PartitionTable, facts: PartitionFacts): boolean {
  while (
    facts.suspectAt < facts.suspectEnd &&
    !isUnnamed(table, facts.suspectAt) &&
    !isUnmarked(table, facts, facts.suspectAt)
  )
    facts.suspectAt++;
  return facts.suspectAt < facts.suspectEnd;
}

/** Too far above W for the table when the suspects were found: its entry is made when it is asked for. */
function isUnmarked(table: PartitionTable, facts: PartitionFacts, offset: number): boolean {
  return offset < facts.lostEnd && offset >= table.watermark && !table.has(offset);
}

function isUnnamed(table: PartitionTable, offset: number): boolean {
  if (!table.has(offset)) return false;
  const slot = table.slot(offset);
  return table.hashes[2 * slot] === 0 && table.hashes[2 * slot + 1] === 0;
}

/** At activation: suspects that a leader before this one found, and partitions that it never heard of. */
export function inheritSuspects(leader: LeaderState): void {
  if (leader.lastSet.length > 0 && !leader.startedClean && unreported(leader)) leader.uncleanStart = true;
  for (const [pid, table] of leader.replica.table.partitions) {
    for (let offset = table.watermark; offset < table.top; offset++) {
      if (!isUnnamed(table, offset)) continue;
      const facts = leader.facts(pid);
      facts.suspectAt = Math.min(facts.suspectAt, offset);
      facts.suspectEnd = offset + 1;
      leader.uncleanStart = true;
    }
  }
}

/**
 * R15d: after the quarantine counted from activation, or earlier when nobody is left that the lost table may have given
 * them to: every incarnation of the last set is proven dead, and so is who was evicted from it shortly before, or it has
 * told what it runs.
 */
export function suspectsMayBeAdopted(leader: LeaderState, now: number): boolean {
  for (const peer of leader.peers.values()) if (!peer.factsComplete) return false;
  if (now >= leader.activatedAt + longestQuarantineMs(leader.ctx)) return true;
  if (leader.lastSet.length === 0) return false;
  return (
    leader.lastSet.every((incarnation) => isDead(leader, incarnation, now)) &&
    leader.lastEvicted.every((incarnation) => leader.connected(incarnation) || isDead(leader, incarnation, now))
  );
}
