/**
 * What owners tell about partitions (S12, R7, R15): first reports, facts, acknowledged commits, progress. `from` and W
 * are decided here, and replicated before the owner may commit its anchor.
 */
import type { Incarnation, PartitionId } from "../identity.ts";
import {
  OTHER_CELLS,
  FREE_FLAG,
  DIRTY_FLAG,
  MAYBE_FLAG,
  Phase,
  type CommitNote,
  type FactBatch,
  type PartitionReport,
  type ProgressRow,
  type SeenException,
} from "../messages.ts";
import { offsetAt } from "../offsets.ts";
import { isFinalPhase, type PartitionTable } from "../table.ts";
import type { LeaderState, LostPartition, PartitionFacts, Peer } from "./state.ts";
import { endHeld, type Questions } from "./questions.ts";
import { markSuspects, restoreLost } from "./suspects.ts";

/** The first word of an owner about a partition. Answered, when replicated, with where the cell stands in it. */
export function partitionReported(leader: LeaderState, peer: Peer, report: PartitionReport): void {
  const facts = leader.facts(report.pid);
  // R24: an owner of an older group generation. Generations begin anew with a group, so only who is here counts.
  const owned = facts.owner !== peer.incarnation && leader.connected(facts.owner);
  if (owned && report.generation < facts.ownerGeneration) return;
  facts.owner = peer.incarnation;
  facts.ownerGeneration = report.generation;
  facts.jump = null;
  const table = leader.replica.table.partition(report.pid);
  const lost = restoreLost(leader, report, table);
  const stop = table.from < 0 ? begin(leader, report, table) : goOn(leader, peer, report, table, facts, lost);
  if (lost !== null && (stop === null || stop === "")) markSuspects(leader, report, table, lost);
  if (report.ours && table.from >= 0) leader.recorded.committed(report.pid);
  if (stop === null) return; // answered later, when every held entry has ended
  inform(leader, peer.incarnation, report.pid, report.ownership, stop);
}

function inform(
  leader: LeaderState,
  incarnation: Incarnation,
  pid: PartitionId,
  ownership: number,
  stop: string,
): void {
  const peer = leader.peers.get(incarnation);
  if (peer === undefined) return;
  const table = leader.replica.table.partition(pid);
  const info = { pid, ownership, from: table.from, watermark: table.watermark, top: table.top, stop };
  leader.queue({ kind: "partition", peer: incarnation, connection: peer.connection, info });
}

/** The cell has no record of the partition: the first start (R15c), or a takeover that was asked for. */
function begin(leader: LeaderState, report: PartitionReport, table: PartitionTable): string {
  if (report.hadCommit && report.from === OTHER_CELLS) {
    // Whatever `startAt` says: what that cell had in flight is told by its own ceiling and bitmap, and would not be checked.
    return (
      `takeover refused: committed offset ${report.position} is another cell's: either two cells share this consumer ` +
      `group, then give this one a group of its own (--kafka-group-id); or ZooKeeper's data of the cell was lost, then ` +
      `stop all nodes, put its UUID and epoch back as docs/operating.md tells, and start them`
    );
  }
  if (report.hadCommit && !report.ours && leader.ctx.settings.startAt !== "committed") {
    return (
      `takeover refused: the group has committed offset ${report.position}, which is not Vouch's; ` +
      `expected no committed offset, or all nodes stopped and started with --start-at committed to take the group over`
    );
  }
  const from = report.ours && report.from >= 0 ? report.from : report.position;
  table.restartAt(from);
  table.advance(report.position);
  leader.replica.remember();
  leader.builder.watermark(report.pid, from, table.watermark);
  return "";
}

/** The cell knows the partition. "" to go on, a reason to stop, null when the answer must wait. */
function goOn(
  leader: LeaderState,
  peer: Peer,
  report: PartitionReport,
  table: PartitionTable,
  facts: PartitionFacts,
  lost: LostPartition | null,
): string | null {
  const name = leader.ctx.partitionName(report.pid);
  if (report.position < table.from) {
    return `position ${report.position} lies below ${table.from}, where this cell began to read; start a new dedup epoch to replay`;
  }
  const ours = report.ours && report.from === table.from;
  if (ours) {
    leader.raiseWatermark(report.pid, table, report.position);
    return "";
  }
  if (!report.hadCommit) {
    if (table.watermark > table.from || leader.recorded.has(report.pid)) {
      leader.ctx.alarm(
        "offsets-lost",
        report.pid,
        `${name}: the group's committed offset is gone; [${table.from}, ${table.watermark}) stays valid`,
      );
    }
    if (report.position <= table.watermark) return "";
    // "latest" decides the first start only: the owner goes back to W. What the log no longer has must be passed over.
    if (report.position > report.logStart) return "";
  } else {
    leader.ctx.alarm(
      "foreign-commit",
      report.pid,
      `${name}: committed offset ${report.position} was not written by this cell (watermark ${table.watermark})`,
    );
    if (report.position <= table.watermark) return "";
  }
  const suspects = lost === null ? null : { report, lost };
  facts.jump = { to: report.position, peer: peer.incarnation, ownership: report.ownership, suspects };
  return null;
}

/** R7: a position ahead of W that is not ours begins the partition anew, once every held entry of it has ended. */
export function settleJumps(leader: LeaderState, questions: Questions, now: number): void {
  for (const [pid, facts] of leader.partitions) {
    const { jump } = facts;
    if (jump === null || !leader.mayAct(now)) continue;
    const table = leader.replica.table.partition(pid);
    if (waitsForHeld(leader, questions, pid, table, now)) continue;
    facts.jump = null;
    const skipped = jump.to - table.watermark;
    // A late word of a former owner may have brought W there meanwhile: W never falls.
    if (skipped > 0) {
      leader.ctx.counters.skipped += skipped;
      table.restartAt(jump.to);
      leader.replica.remember();
      leader.builder.watermark(pid, jump.to, jump.to);
      leader.ctx.alarm(
        "foreign-commit",
        pid,
        `${leader.ctx.partitionName(pid)}: ${skipped} offsets were skipped by a commit that is not this cell's; begins anew at ${jump.to}`,
      );
      if (jump.suspects !== null) markSuspects(leader, jump.suspects.report, table, jump.suspects.lost);
    }
    inform(leader, jump.peer, pid, jump.ownership, "");
  }
}

/** Nobody claims these offsets any more, so nobody else asks: holders are told to give back what they do not run. */
function waitsForHeld(
  leader: LeaderState,
  questions: Questions,
  pid: PartitionId,
  table: PartitionTable,
  now: number,
): boolean {
  let waits = false;
  for (let offset = table.watermark; offset < table.top; offset++) {
    if (!table.has(offset) || isFinalPhase(table.phaseOf(offset)) || table.isFree(offset)) continue;
    if (!endHeld(leader, questions, pid, table, offset, true, now)) waits = true;
  }
  return waits;
}

/** Facts of a node about its own tasks: true whatever epoch they come from (R5, R13). */
export function factsReported(leader: LeaderState, peer: Peer, batch: FactBatch): void {
  const table = leader.replica.table.partition(batch.pid);
  const owner = leader.facts(batch.pid).owner;
  const withHashes = batch.hashes.length > 0;
  for (let i = 0; i < batch.offsets.count; i++) {
    const offset = offsetAt(batch.offsets, i);
    if (!table.fits(offset)) continue;
    const known = table.has(offset);
    const slot = table.slot(offset);
    const kept = known && !(withHashes && table.hashes[2 * slot] === 0 && table.hashes[2 * slot + 1] === 0);
    const hi = kept ? table.hashes[2 * slot]! : withHashes ? batch.hashes[2 * i]! : 0;
    const lo = kept ? table.hashes[2 * slot + 1]! : withHashes ? batch.hashes[2 * i + 1]! : 0;
    if (!kept && withHashes) leader.replica.filter.testAndAdd(hi, lo); // as the members do when the delta comes
    if (batch.phase === Phase.executing) {
      if (known && (isFinalPhase(table.phaseOf(offset)) || !table.isFree(offset))) continue;
      const flags = (table.isDirty(offset) ? DIRTY_FLAG : 0) | (table.isMaybe(offset) ? MAYBE_FLAG : 0);
      leader.change(
        batch.pid,
        table,
        offset,
        peer.incarnation,
        Phase.executing,
        flags,
        table.unknownRunsOf(offset),
        table.attemptsOf(offset),
        hi,
        lo,
      );
      continue;
    }
    const phase = table.phaseOf(offset);
    if (known && isFinalPhase(phase) && (phase === Phase.executed || batch.phase !== Phase.executed)) {
      // Final by a bitmap, of a task that nobody could name (R15e): its duplicates find it from now on.
      if (!kept) {
        const holder = batch.phase === phase ? peer.incarnation : table.holderOf(offset);
        const runs = table.unknownRunsOf(offset);
        leader.change(batch.pid, table, offset, holder, phase as Phase, 0, runs, table.attemptsOf(offset), hi, lo);
      }
      continue;
    }
    // What is another's to run by now does not end by the late word of who set it aside before its quarantine was over (R12).
    if (batch.phase !== Phase.executed && table.isHeldByAnother(offset, peer.incarnation)) continue;
    leader.change(
      batch.pid,
      table,
      offset,
      peer.incarnation,
      batch.phase,
      0,
      table.unknownRunsOf(offset),
      table.attemptsOf(offset),
      hi,
      lo,
    );
    if (batch.phase === Phase.executed && owner !== peer.incarnation) leader.ctx.counters.ledgerEntries++; // S7
  }
}

/** An acknowledged commit: the cell has finished everything below it (R14). */
export function commitReported(leader: LeaderState, note: CommitNote): void {
  const table = leader.replica.table.partition(note.pid);
  if (table.from < 0 || note.position < table.from) return;
  leader.recorded.committed(note.pid);
  leader.raiseWatermark(note.pid, table, note.position);
}

export function progressReported(peer: Peer, rows: readonly ProgressRow[]): void {
  for (const row of rows) peer.progress.set(row.pid, row);
}

/** The union (S2): a member's own filter knew a task that was unseen here. Its grant is taken back before its release. */
export function seenReported(leader: LeaderState, exceptions: readonly SeenException[]): void {
  for (const { seq, batch, index } of exceptions) {
    const delta = leader.log.find((logged) => logged.seq === seq);
    const entries = delta?.entries[batch];
    if (entries === undefined || index >= entries.offsets.count) continue;
    const offset = offsetAt(entries.offsets, index);
    const table = leader.replica.table.partition(entries.pid);
    const entry = table.read(offset);
    if (entry === null || entry.stamp !== entries.firstStamp + index || isFinalPhase(entry.phase)) continue;
    leader.ctx.counters.unexpectedSeen++;
    leader.ctx.alarm(
      "unexpected-seen",
      entries.pid,
      `${leader.ctx.partitionName(entries.pid)}: a member's filter knew offset ${offset}, the leader's did not`,
    );
    leader.change(
      entries.pid,
      table,
      offset,
      "",
      Phase.granted,
      FREE_FLAG | DIRTY_FLAG | MAYBE_FLAG,
      entry.unknownRuns,
      entry.attempts,
      entry.hashHi,
      entry.hashLo,
    );
  }
}
