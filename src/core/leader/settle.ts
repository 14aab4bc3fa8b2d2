/**
 * Settle (R6): the one procedure that answers claims and doubts, one key and one task hash at a time. Nothing here
 * waits: what cannot be decided now is answered "wait" or "doubtful" and asked again; what was decided is in the table
 * before the next question is looked at.
 *
 * Longer than most files: the steps of R6 are one decision, and are to be read in their order.
 */
import type { PartitionId } from "../identity.ts";
import {
  gives,
  DIRTY_FLAG,
  FREE_FLAG,
  FRESH_FLAG,
  MAYBE_FLAG,
  Phase,
  Verdict,
  type ClaimBatch,
  type DoubtPage,
} from "../messages.ts";
import { offsetAt } from "../offsets.ts";
import { isFinalPhase, type Entry, type PartitionTable } from "../table.ts";
import { endHeld, type KnownId, type Questions, stampHere } from "./questions.ts";
import type { LeaderState, PartitionFacts, Peer } from "./state.ts";
import { isSuspect, nameSuspect, suspectsMayBeAdopted, suspectsOutstanding } from "./suspects.ts";

/** Scratch of one batch; grown, never shrunk. */
let freshPairs = new Uint32Array(2 * 4_096);
let freshIndex = new Uint32Array(4_096);
let freshSeen = new Uint8Array(4_096);

function reserveScratch(count: number): void {
  if (freshIndex.length >= count) return;
  freshPairs = new Uint32Array(2 * count);
  freshIndex = new Uint32Array(count);
  freshSeen = new Uint8Array(count);
}

/** A claim reaches a grant at once, or is answered "doubtful" (S3). */
export function settleClaims(leader: LeaderState, peer: Peer, claim: ClaimBatch): void {
  const { count } = claim.offsets;
  const results = new Uint8Array(count).fill(Verdict.doubtful);
  const stamps = new Float64Array(count);
  const attempts = new Uint8Array(count);
  let anyAttempts = false;
  const facts = leader.facts(claim.pid);
  const table = leader.replica.table.partition(claim.pid);
  if (refusesClaim(facts, peer, claim) || table.from < 0) {
    results.fill(Verdict.refused);
  } else {
    const fresh = classify(leader, peer, claim, table, results);
    testFresh(leader, peer, claim, table, fresh, results);
  }
  let given = 0;
  for (let i = 0; i < count; i++) {
    if (results[i] !== Verdict.granted) continue;
    const offset = offsetAt(claim.offsets, i);
    stamps[given] = table.stampOf(offset);
    attempts[given] = table.attemptsOf(offset);
    if (attempts[given]! > 0) anyAttempts = true;
    given++;
  }
  const tried = anyAttempts ? attempts.subarray(0, given) : NO_BYTES;
  answer(leader, peer, claim, results, stamps.subarray(0, given), tried, NO_WORDS);
}

const NO_BYTES = new Uint8Array(0);
const NO_WORDS = new Float64Array(0);
/** Of the page that is being settled: `CONFLICT_WORDS` for each of its conflicts. */
const conflictWords: number[] = [];

function answer(
  leader: LeaderState,
  peer: Peer,
  claim: ClaimBatch | DoubtPage,
  results: Uint8Array,
  stamps: Float64Array,
  attempts: Uint8Array,
  conflicts: Float64Array,
): void {
  const { number, pid, ownership, offsets } = claim;
  leader.queue({
    kind: "verdicts",
    peer: peer.incarnation,
    connection: peer.connection,
    number,
    pid,
    ownership,
    offsets,
    results,
    stamps,
    attempts,
    conflicts,
  });
}

/** R24: a claim of a lower group generation than a connected owner reports is not answered with anything. */
function refusesClaim(facts: PartitionFacts, peer: Peer, claim: ClaimBatch | DoubtPage): boolean {
  return (
    claim.generation < facts.ownerGeneration ||
    (facts.owner !== peer.incarnation && claim.generation === facts.ownerGeneration)
  );
}

/** Everything that needs no filter; returns how many tasks are left in the scratch for it. */
function classify(
  leader: LeaderState,
  peer: Peer,
  claim: ClaimBatch,
  table: PartitionTable,
  results: Uint8Array,
): number {
  const { hashes, idIsKey } = claim;
  const { settings } = leader.ctx;
  const count = claim.offsets.count;
  reserveScratch(count);
  let room = settings.tableSlotsMax - leader.replica.table.entries;
  const facts = leader.facts(claim.pid);
  let fresh = 0;
  for (let i = 0; i < count; i++) {
    const offset = offsetAt(claim.offsets, i);
    if (offset < table.watermark) {
      results[i] = offset >= table.from ? Verdict.committed : Verdict.refused;
      continue;
    }
    if (!table.fits(offset) || room <= 0) {
      leader.ctx.limit("tableSlotsMax");
      continue;
    }
    const hi = hashes[2 * i]!;
    const lo = hashes[2 * i + 1]!;
    if (table.has(offset)) {
      if (grantsAgain(leader, peer, claim.pid, table, offset, hi, lo)) results[i] = Verdict.granted;
      continue;
    }
    if (offset < facts.lostEnd || leader.index.hasOther(hi, lo, claim.pid, offset)) continue;
    if (idIsKey.length > 0 && idIsKey[i] === 0 && suspectsOutstanding(leader)) continue;
    freshPairs[2 * fresh] = hi;
    freshPairs[2 * fresh + 1] = lo;
    freshIndex[fresh++] = i;
    room--;
  }
  return fresh;
}

/** The asker's own unstarted clean grant, or a free and clean entry that shares its id with no other: given anew. */
function grantsAgain(
  leader: LeaderState,
  peer: Peer,
  pid: PartitionId,
  table: PartitionTable,
  offset: number,
  hi: number,
  lo: number,
): boolean {
  const phase = table.phaseOf(offset);
  if (isFinalPhase(phase) || table.isDirty(offset)) return false;
  const free = table.isFree(offset);
  if (!free && table.holderOf(offset) !== peer.incarnation) return false;
  if (free && leader.index.hasOther(hi, lo, pid, offset)) return false;
  give(leader, peer, pid, table, offset, hi, lo, 0);
  return true;
}

/** The filter decides about tasks without an entry: unseen ones are granted, the rest are doubtful. */
function testFresh(
  leader: LeaderState,
  peer: Peer,
  claim: ClaimBatch,
  table: PartitionTable,
  fresh: number,
  results: Uint8Array,
): void {
  if (fresh === 0) return;
  leader.replica.filter.testAndAddMany(freshPairs.subarray(0, 2 * fresh), freshSeen);
  for (let j = 0; j < fresh; j++) {
    if (freshSeen[j] !== 0) continue;
    const i = freshIndex[j]!;
    give(
      leader,
      peer,
      claim.pid,
      table,
      offsetAt(claim.offsets, i),
      freshPairs[2 * j]!,
      freshPairs[2 * j + 1]!,
      FRESH_FLAG,
    );
    results[i] = Verdict.granted;
  }
}

/**
 * The task is the peer's, under a new stamp. Every other entry of the hash becomes dirty: a run of another record with
 * this task id may exist from now on. That mark is never exact evidence (R20): 64 bits may be another task's, and who was
 * given a task need not run it. Two records of one id that marked each other would both be dropped, and nothing have run.
 */
function give(
  leader: LeaderState,
  peer: Peer,
  pid: PartitionId,
  table: PartitionTable,
  offset: number,
  hi: number,
  lo: number,
  flags: number,
): number {
  const dirty = (table.isDirty(offset) ? DIRTY_FLAG : 0) | (table.isMaybe(offset) ? MAYBE_FLAG : 0);
  const unknownRuns = table.unknownRunsOf(offset);
  const attempts = table.attemptsOf(offset);
  const stamp = leader.change(
    pid,
    table,
    offset,
    peer.incarnation,
    Phase.granted,
    flags | dirty,
    unknownRuns,
    attempts,
    hi,
    lo,
  );
  if (!leader.index.hasOther(hi, lo, pid, offset)) return stamp;
  for (const other of leader.index.others(hi, lo, pid, offset)) {
    const otherTable = leader.replica.table.partition(other.pid);
    const entry = otherTable.read(other.offset);
    if (entry === null || entry.dirty || isFinalPhase(entry.phase)) continue;
    const keep = DIRTY_FLAG | MAYBE_FLAG | (entry.holder === "" ? FREE_FLAG : 0);
    leader.change(
      other.pid,
      otherTable,
      other.offset,
      entry.holder,
      entry.phase,
      keep,
      entry.unknownRuns,
      entry.attempts,
      entry.hashHi,
      entry.hashLo,
    );
  }
  return stamp;
}

/** Doubts, with their full ids: the whole of R6. */
export function settleDoubts(
  leader: LeaderState,
  questions: Questions,
  peer: Peer,
  page: DoubtPage,
  now: number,
): void {
  const { count } = page.offsets;
  const results = new Uint8Array(count);
  const stamps: number[] = [];
  const attempts: number[] = [];
  conflictWords.length = 0;
  const facts = leader.facts(page.pid);
  const table = leader.replica.table.partition(page.pid);
  const refused = refusesClaim(facts, peer, page) || table.from < 0;
  for (let i = 0; i < count; i++) {
    const offset = offsetAt(page.offsets, i);
    const verdict = refused ? Verdict.refused : settleOne(leader, questions, peer, page, i, offset, table, now);
    results[i] = verdict;
    if (!gives(verdict)) continue;
    stamps.push(table.stampOf(offset));
    attempts.push(table.attemptsOf(offset));
  }
  answer(
    leader,
    peer,
    page,
    results,
    Float64Array.from(stamps),
    attempts.some((n) => n > 0) ? Uint8Array.from(attempts) : NO_BYTES,
    conflictWords.length === 0 ? NO_WORDS : Float64Array.from(conflictWords),
  );
}

function settleOne(
  leader: LeaderState,
  questions: Questions,
  peer: Peer,
  page: DoubtPage,
  i: number,
  offset: number,
  table: PartitionTable,
  now: number,
): Verdict {
  if (offset < table.watermark) return offset >= table.from ? Verdict.committed : Verdict.refused; // step 1
  if (!table.fits(offset)) return Verdict.doubtful;
  const hi = page.hashes[2 * i]!;
  const lo = page.hashes[2 * i + 1]!;
  nameSuspect(leader, page.pid, table, offset, hi, lo);
  const own = table.read(offset);
  if (own !== null && isFinalPhase(own.phase)) return Verdict.executed; // step 2
  if (isSuspect(table, offset) && !suspectsMayBeAdopted(leader, now)) return Verdict.wait;
  const settled = own === null ? null : settleHolder(leader, questions, peer, page, i, own, table, now); // step 3
  if (settled !== null) return settled;
  const id = page.ids[i] === "" ? null : page.ids[i]!;
  const other = settleSameHash(leader, questions, peer, page, i, offset, hi, lo, id, now); // step 4
  if (typeof other === "number") {
    if (other === Verdict.executed && own === null) dropDuplicate(leader, peer, page.pid, offset, hi, lo, table);
    return other;
  }
  return giveDoubt(leader, peer, page, offset, hi, lo, id, table, other.equalId, now); // step 5
}

/**
 * What the asker will say of it has no hash. Its entry gets one here: after an unclean start one that is final without a
 * name would keep every task id waiting (R15e).
 */
function dropDuplicate(
  leader: LeaderState,
  peer: Peer,
  pid: PartitionId,
  offset: number,
  hi: number,
  lo: number,
  table: PartitionTable,
): void {
  leader.replica.filter.testAndAdd(hi, lo);
  leader.change(pid, table, offset, peer.incarnation, Phase.dropped, 0, 0, 0, hi, lo);
}

/** Step 3: the entry has a holder. Null: it has none (any more), go on. */
function settleHolder(
  leader: LeaderState,
  questions: Questions,
  peer: Peer,
  page: DoubtPage,
  i: number,
  own: Entry,
  table: PartitionTable,
  now: number,
): Verdict | null {
  const { pid } = page;
  const { offset } = own;
  if (own.holder === peer.incarnation) {
    if (page.ranUnknown[i] !== 1) {
      give(leader, peer, pid, table, offset, own.hashHi, own.hashLo, 0); // unstarted: anew, under a new stamp
      if (!own.dirty) return Verdict.granted;
      return own.maybe ? Verdict.adoptedMaybe : Verdict.adopted;
    }
    const key = `${pid}:${offset}`;
    const since = leader.unknownSince.get(key) ?? now;
    leader.unknownSince.set(key, since);
    if (now < since + leader.ctx.topic(pid).effectSettleMs) return Verdict.wait;
    leader.free(pid, table, offset, { dirty: true, unknownRun: true });
    return null;
  }
  if (own.holder === "") return null;
  return settleOther(leader, questions, peer, pid, pid, own, table, true, now) ? Verdict.wait : null;
}

/**
 * Another holder: reachable ones are asked (and, if `revoke`, told to give it back), unreachable ones waited for until
 * they count as gone (R12). True: the asker must wait. False: the entry is free now.
 */
function settleOther(
  leader: LeaderState,
  questions: Questions,
  peer: Peer,
  askerPid: PartitionId,
  pid: PartitionId,
  entry: Entry,
  table: PartitionTable,
  revoke: boolean,
  now: number,
): boolean {
  if (leader.connected(entry.holder)) leader.waitFor(pid, entry.offset, peer.incarnation, askerPid);
  return !endHeld(leader, questions, pid, table, entry.offset, revoke, now);
}

/** Step 4: other entries with this hash. A verdict, or whether one of them is known to have the equal full task id. */
function settleSameHash(
  leader: LeaderState,
  questions: Questions,
  peer: Peer,
  page: DoubtPage,
  i: number,
  offset: number,
  hi: number,
  lo: number,
  id: string | null,
  now: number,
): Verdict | { equalId: boolean } {
  let equalId = false;
  if (id === null) return { equalId }; // a delivery key is in one record only
  const outcome = questions.waitedOutcome(leader, id, page.pid, offset);
  if (outcome !== undefined) return conflicts(page, i, outcome) ? Verdict.conflict : Verdict.executed;
  for (const ref of leader.index.others(hi, lo, page.pid, offset)) {
    const table = leader.replica.table.partition(ref.pid);
    const entry = table.read(ref.offset);
    if (entry === null) continue;
    if (isSuspect(table, ref.offset) && !suspectsMayBeAdopted(leader, now)) return Verdict.wait;
    const held = entry.holder !== "" && !isFinalPhase(entry.phase);
    if (!held && entry.phase !== Phase.executed) continue; // free, dropped, dead or parked: go on
    const known = questions.idOf(ref.pid, ref.offset);
    const moved = leader.facts(ref.pid).owner !== entry.holder;
    if (known === undefined && leader.connected(entry.holder)) {
      leader.waitFor(ref.pid, ref.offset, peer.incarnation, page.pid);
      const stamp = stampHere(leader, table, ref.offset);
      // Who lost the partition may have dropped its copy, and with it the id: then it can only give the entry back.
      questions.ask(leader, entry.holder, { pid: ref.pid, offset: ref.offset, stamp, revoke: held && moved }, now);
      return Verdict.wait;
    }
    if (known !== undefined && known.taskId !== id) continue; // another task: no evidence
    if (known !== undefined) equalId = true;
    if (entry.phase === Phase.executed) {
      if (known === undefined) continue; // its executor is gone: no exact evidence, the check answers
      return conflicts(page, i, known) ? Verdict.conflict : Verdict.executed;
    }
    if (settleOther(leader, questions, peer, page.pid, ref.pid, entry, table, moved, now)) return Verdict.wait;
  }
  return { equalId };
}

/** The same task id with another payload is a conflict (section 2), when both payload hashes are known. */
function conflicts(page: DoubtPage, i: number, { pid, offset, payloadHi, payloadLo }: KnownId): boolean {
  if (page.payloads.length === 0 || (payloadHi === 0 && payloadLo === 0)) return false;
  if (page.payloads[2 * i] === payloadHi && page.payloads[2 * i + 1] === payloadLo) return false;
  conflictWords.push(pid, offset, payloadHi, payloadLo); // for the headers of the parked record
  return true;
}

/** Step 5: the task is given: an adoption when anything speaks for an earlier run, else a grant. */
function giveDoubt(
  leader: LeaderState,
  peer: Peer,
  page: DoubtPage,
  offset: number,
  hi: number,
  lo: number,
  id: string | null,
  table: PartitionTable,
  equalId: boolean,
  now: number,
): Verdict {
  const own = table.read(offset);
  if (id !== null && own === null && suspectsOutstanding(leader)) return Verdict.wait;
  if ((own?.unknownRuns ?? 0) >= leader.ctx.settings.unknownMax) return Verdict.poison;
  const isLast = own !== null && own.unknownRuns > 0 && own.unknownRuns + 1 >= leader.ctx.settings.unknownMax;
  if (isLast && leader.lastRuns.waits(leader, peer.incarnation, page.pid, offset, now)) return Verdict.wait;
  if (own === null && leader.replica.table.entries >= leader.ctx.settings.tableSlotsMax) return Verdict.doubtful;
  // R18: what is still in T is answered by its index, whatever the filter has forgotten meanwhile.
  const seen = leader.replica.filter.testAndAdd(hi, lo) || leader.index.hasOther(hi, lo, page.pid, offset);
  if (own === null) {
    const dirty = equalId || (seen && id !== null);
    const maybe = dirty && !equalId ? MAYBE_FLAG : 0;
    // One whose id was seen becomes an entry, free and dirty, before it is given.
    if (dirty) leader.change(page.pid, table, offset, "", Phase.granted, FREE_FLAG | DIRTY_FLAG | maybe, 0, 0, hi, lo);
  } else if (own.maybe && (id === null || equalId)) {
    // A delivery key is in no other record, so a bit says nothing about it; an equal full id is exact evidence.
    leader.change(
      page.pid,
      table,
      offset,
      "",
      Phase.granted,
      FREE_FLAG | (equalId ? DIRTY_FLAG : 0),
      own.unknownRuns,
      own.attempts,
      hi,
      lo,
    );
  }
  give(leader, peer, page.pid, table, offset, hi, lo, own === null && !seen ? FRESH_FLAG : 0);
  if (isLast) leader.lastRuns.given(peer.incarnation, page.pid, offset, now);
  if (!table.isDirty(offset)) return Verdict.granted;
  return table.isMaybe(offset) ? Verdict.adoptedMaybe : Verdict.adopted;
}
