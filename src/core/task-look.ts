/**
 * Looks one task up, on demand: in the windows of this node, in what it kept of partitions that moved, in the grant table,
 * among the doubts that were settled, and in the seen-set. It walks the tables, so that no task pays for being found.
 *
 * It takes about 2 ms with two million entries in the grant table.
 *
 * Reads only; what it finds is what this node knows now, not what is true of the cell.
 */
import type { PartitionId } from "./identity.ts";
import { Phase, Verdict } from "./messages.ts";
import type { RecordSetAside, SettledDoubt } from "./member/recent-ends.ts";
import { State, type Doubt } from "./member/window.ts";
import type { NodeCore } from "./node.ts";
import type { PartitionTable } from "./table.ts";
import type {
  DoubtView,
  EntryView,
  OwnState,
  OwnView,
  PlaceView,
  RecordView,
  SetAsideView,
  SettledView,
  TaskQuery,
  TaskView,
} from "./task-view.ts";
import { type Wait, waitOf, waitOfRetained } from "./task-waits.ts";

/** Records with one task id that an answer names at most. */
export const RECORDS_MAX = 100;

interface Found {
  readonly pid: PartitionId;
  readonly offset: number;
  readonly asked: boolean;
}

/** What was looked for and what turned up, by record. */
class Search {
  readonly found = new Map<string, Found>();
  readonly doubts = new Map<string, SettledDoubt>();
  readonly asides = new Map<string, RecordSetAside>();

  add(pid: PartitionId, offset: number, asked: boolean): void {
    const key = keyOf(pid, offset);
    if (this.found.size < RECORDS_MAX && !this.found.has(key)) this.found.set(key, { pid, offset, asked });
  }
}

const NO_RECORD = -1;

function keyOf(pid: PartitionId, offset: number): string {
  return `${pid}:${offset}`;
}

export function lookUpTask(node: NodeCore, query: TaskQuery, now: number): TaskView {
  const search = new Search();
  const { record } = query;
  if (record !== null) {
    if (isKnown(node, record.pid)) search.add(record.pid, record.offset, true);
    remember(node, search, record.pid, record.offset, 0, 0, "", false);
  }
  findByHash(node, search, query.hashHi, query.hashLo, query.id, true);
  if (record !== null) {
    const named = nameOf(node, search, record.pid, record.offset);
    if (named !== null && named.id !== null) findByHash(node, search, named.hi, named.lo, named.id, false);
  }
  return {
    seen: seen(node, search, query),
    records: [...search.found.values()].map((found) => recordView(node, search, found, now)),
  };
}

/** Whether this node or its cell has anything to do with the partition. */
function isKnown(node: NodeCore, pid: PartitionId): boolean {
  const { windows, retained } = node.member.state;
  return windows.has(pid) || retained.has(pid) || node.replica.table.partitions.has(pid);
}

/** The record's task id and hash, where something here still has them. A null id: its delivery key names it. */
function nameOf(
  node: NodeCore,
  search: Search,
  pid: PartitionId,
  offset: number,
): { readonly id: string | null; readonly hi: number; readonly lo: number } | null {
  const { windows, retained } = node.member.state;
  const window = windows.get(pid);
  if (window !== undefined && window.stateOf(offset) !== State.absent) {
    const { id, hashHi, hashLo } = window.nameOf(offset);
    return { id, hi: hashHi, lo: hashLo };
  }
  const key = keyOf(pid, offset);
  const kept = retained.get(pid)?.get(offset) ?? search.doubts.get(key) ?? search.asides.get(key);
  return kept === undefined ? null : { id: kept.id, hi: kept.hashHi, lo: kept.hashLo };
}

function findByHash(node: NodeCore, search: Search, hi: number, lo: number, id: string, asked: boolean): void {
  const { windows, retained } = node.member.state;
  for (const window of windows.values()) {
    for (let at = window.base; at < window.fetchPosition; at++) {
      const slot = window.slot(at);
      if (window.hashes[2 * slot] !== hi || window.hashes[2 * slot + 1] !== lo) continue;
      if (window.states[slot] !== State.absent && window.idOf(at) === id) search.add(window.pid, at, asked);
    }
  }
  for (const [pid, tasks] of retained) {
    for (const [offset, task] of tasks) {
      if (task.hashHi === hi && task.hashLo === lo && task.id === id) search.add(pid, offset, asked);
    }
  }
  remember(node, search, NO_RECORD, NO_RECORD, hi, lo, id, asked);
  for (const [pid, table] of node.replica.table.partitions) findInTable(node, search, pid, table, hi, lo, id, asked);
}

/** A table knows hashes only: where this node has the record's id, that decides. */
function findInTable(
  node: NodeCore,
  search: Search,
  pid: PartitionId,
  table: PartitionTable,
  hi: number,
  lo: number,
  id: string,
  asked: boolean,
): void {
  for (let at = table.watermark; at < table.top; at++) {
    const slot = table.slot(at);
    if (table.hashes[2 * slot] !== hi || table.hashes[2 * slot + 1] !== lo || !table.has(at)) continue;
    const named = nameOf(node, search, pid, at);
    if (named === null || named.id === id) search.add(pid, at, asked);
  }
}

/** Takes what this node remembers of settled doubts and of records set aside; `id` "" when only the record is looked for. */
function remember(
  node: NodeCore,
  search: Search,
  pid: number,
  offset: number,
  hi: number,
  lo: number,
  id: string,
  asked: boolean,
): void {
  const { ends } = node.member.state;
  const take = <End extends SettledDoubt | RecordSetAside>(end: End, into: Map<string, End>): void => {
    const isRecord = end.pid === pid && end.offset === offset;
    if (!isRecord && end.id !== id) return;
    const key = keyOf(end.pid, end.offset);
    if (!into.has(key)) into.set(key, end);
    search.add(end.pid, end.offset, isRecord || asked);
  };
  for (const doubt of ends.findDoubts(pid, offset, hi, lo)) take(doubt, search.doubts);
  for (const aside of ends.findSetAside(pid, offset, hi, lo)) take(aside, search.asides);
}

function seen(node: NodeCore, search: Search, query: TaskQuery): boolean | null {
  const { replica } = node;
  if (replica.appliedEpoch === 0) return null;
  if (replica.filter.has(query.hashHi, query.hashLo)) return true;
  if (query.record === null) return false;
  const { pid, offset, hashHi, hashLo } = query.record;
  const named = nameOf(node, search, pid, offset);
  return replica.filter.has(hashHi, hashLo) || (named !== null && replica.filter.has(named.hi, named.lo));
}

function recordView(node: NodeCore, search: Search, { pid, offset, asked }: Found, now: number): RecordView {
  // What the search by hash did not ask about this record, the rings may know all the same.
  remember(node, search, pid, offset, 0, 0, "", asked);
  const key = keyOf(pid, offset);
  const named = nameOf(node, search, pid, offset);
  return {
    pid,
    offset,
    taskId: named === null ? null : (named.id ?? ""),
    asked,
    place: placeView(node, pid),
    own: ownView(node, pid, offset, now),
    entry: entryView(node.replica.table.partitions.get(pid), offset),
    leader: node.leader?.look(pid, offset, now) ?? null,
    settled: settledView(search.doubts.get(key), now),
    setAside: setAsideView(search.asides.get(key), now),
  };
}

function placeView(node: NodeCore, pid: PartitionId): PlaceView {
  const table = node.replica.table.partitions.get(pid);
  const window = node.member.state.windows.get(pid);
  return {
    from: table?.from ?? window?.from ?? -1,
    watermark: Math.max(table?.watermark ?? 0, window?.watermark ?? 0),
    owned: window !== undefined,
    generation: window?.generation ?? -1,
    position: window?.committed ?? -1,
    fetchPosition: window?.fetchPosition ?? -1,
    logEnd: window?.logEnd ?? -1,
    stopped: window?.stopped ?? "",
  };
}

const STATE_NAMES = new Map<number, OwnState>();
for (const [name, value] of Object.entries(State)) if (name !== "absent") STATE_NAMES.set(value, name as OwnState);

function ownView(node: NodeCore, pid: PartitionId, offset: number, now: number): OwnView | null {
  const { state } = node.member;
  const window = state.windows.get(pid);
  if (window !== undefined && window.stateOf(offset) !== State.absent) {
    const slot = window.slot(offset);
    const doubt = window.doubts.get(offset);
    return own(window.states[slot]!, true, window.attempts[slot]!, window.stamps[slot]!, {
      ...waitOf(state, window, offset, now),
      doubt: doubt === undefined ? null : doubtView(doubt, now),
      reason: window.setAside.get(offset)?.reason ?? "",
    });
  }
  const task = state.retained.get(pid)?.get(offset);
  if (task === undefined) return null;
  return own(task.state, false, task.attempts, task.stamp, {
    ...waitOfRetained(task.state, task.aside?.kind ?? null),
    doubt: null,
    reason: task.aside?.reason ?? "",
  });
}

function own(
  state: number,
  owned: boolean,
  attempts: number,
  stamp: number,
  more: Wait & Pick<OwnView, "doubt" | "reason">,
): OwnView {
  const ageMs = more.doubt?.ageMs ?? null;
  return { state: STATE_NAMES.get(state) ?? "held", owned, attempts, stamp, ageMs, ...more };
}

const VERDICT_NAMES = new Map<number, keyof typeof Verdict>();
for (const [name, value] of Object.entries(Verdict)) VERDICT_NAMES.set(value, name as keyof typeof Verdict);

function doubtView(doubt: Doubt, now: number): DoubtView {
  return {
    ageMs: now - doubt.since,
    asks: doubt.asks,
    verdict: VERDICT_NAMES.get(doubt.said) ?? "",
    verdictAgeMs: doubt.said === 0 ? null : now - doubt.saidAt,
    verdictLost: doubt.verdictLost,
    ranUnknown: doubt.ranUnknown,
    maybeOnly: doubt.maybe,
    checks: doubt.checks,
    uselessChecks: doubt.checkAttempts,
    checkAnswer: doubt.checkSaid,
    checkRuns: doubt.checking,
  };
}

const PHASE_NAMES = new Map<number, EntryView["phase"]>();
for (const [name, value] of Object.entries(Phase)) PHASE_NAMES.set(value, name as EntryView["phase"]);

function entryView(table: PartitionTable | undefined, offset: number): EntryView | null {
  const entry = table?.read(offset) ?? null;
  if (entry === null) return null;
  const { holder, epoch, stamp, dirty, unknownRuns, attempts } = entry;
  return { phase: PHASE_NAMES.get(entry.phase) ?? "granted", holder, epoch, stamp, dirty, unknownRuns, attempts };
}

function settledView(doubt: SettledDoubt | undefined, now: number): SettledView | null {
  if (doubt === undefined) return null;
  const { how, ran, checks, since, at } = doubt;
  return { how, ran, checks, doubtfulMs: at - since, ageMs: now - at };
}

function setAsideView(aside: RecordSetAside | undefined, now: number): SetAsideView | null {
  if (aside === undefined) return null;
  const { kind, reason, attempts, at } = aside;
  return { kind, reason, attempts, ageMs: now - at };
}
