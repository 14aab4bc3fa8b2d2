/** Where a task stands: questions to the cores themselves, asked only when something went wrong (a death, a rebalance, an election). */
import type { PartitionId } from "../../../src/core/identity.ts";
import type { Leader } from "../../../src/core/leader/leader.ts";
import type { PendingVerdicts } from "../../../src/core/leader/state.ts";
import { CHECKED, State, type PartitionWindow } from "../../../src/core/member/window.ts";
import { offsetAt } from "../../../src/core/offsets.ts";
import { Phase, type Offsets } from "../../../src/core/messages.ts";
import type { Entry } from "../../../src/core/table.ts";
import type { Facts } from "./facts.ts";
import type { NodeFacts } from "./records.ts";

/** Offsets of one window that are looked at; a backlog above them is all in one state. */
const LOOKED_AT_MAX = 2_000;

export interface Task {
  readonly pid: PartitionId;
  readonly offset: number;
  readonly state: State;
  readonly window: PartitionWindow;
}

/** Every task of a node's windows that is delivered and not below its committed position, in offset order. */
export function* openTasks(windows: ReadonlyMap<PartitionId, PartitionWindow>): Generator<Task, void, undefined> {
  for (const [pid, window] of windows) {
    const begin = Math.max(window.base, Math.min(window.committable, window.committed));
    const end = Math.min(window.fetchPosition, begin + LOOKED_AT_MAX);
    for (let offset = begin; offset < end; offset++) {
      const state = window.stateOf(offset) as State;
      if (state !== State.absent) yield { pid, offset, state, window };
    }
  }
}

/** The start was licensed by a check (or by policy after one). */
export function wasChecked(task: Task): boolean {
  return (task.window.flags[task.window.slot(task.offset)]! & CHECKED) !== 0;
}

export function entryAt(leader: Leader, pid: PartitionId, offset: number): Entry | null {
  return leader.state.replica.table.partitions.get(pid)?.read(offset) ?? null;
}

export function watermarkOf(node: NodeFacts, pid: PartitionId): number {
  return node.core.replica.table.partitions.get(pid)?.watermark ?? 0;
}

/** How far an entry of the leader's table got: at none, some or all of the other members of its set. */
export function spread(facts: Facts, leader: Leader, entry: Entry, pid: PartitionId): "none" | "some" | "all" {
  let have = 0;
  let need = 0;
  const self = leader.state.ctx.incarnation;
  for (const incarnation of leader.state.required()) {
    if (incarnation === self) continue;
    need++;
    const table = facts.byIncarnation.get(incarnation)?.core.replica.table.partitions.get(pid);
    if (table === undefined || !table.has(entry.offset)) continue;
    if (table.epochOf(entry.offset) === entry.epoch && table.stampOf(entry.offset) === entry.stamp) have++;
  }
  return have === 0 ? "none" : have < need ? "some" : "all";
}

function holds(offsets: Offsets, offset: number): boolean {
  for (let i = 0; i < offsets.count; i++) if (offsetAt(offsets, i) === offset) return true;
  return false;
}

/** The verdict about this task that the leader decided and did not release. */
export function pendingVerdict(
  leader: Leader,
  asker: string,
  pid: PartitionId,
  offset: number,
): { readonly seq: number; readonly what: PendingVerdicts } | null {
  const { pending, pendingHead } = leader.state;
  for (let i = pendingHead; i < pending.length; i++) {
    const { seq, what } = pending[i]!;
    if (what.kind !== "verdicts" || what.pid !== pid || what.peer !== asker) continue;
    if (holds(what.offsets, offset)) return { seq, what };
  }
  return null;
}

export type Procedure =
  | "not asked" // delivered, nothing more
  | "ask under way" // the leader knows nothing of it
  | "leader only" // decided, in no other member's table
  | "partly replicated"
  | "fully replicated" // and the reply is not sent
  | "reply under way"
  | "granted" // here, not started
  | "executing"
  | "executed"
  | "other";

/** How far the grant of a task got that `asker` has in its window, seen with the eyes of the leader that it asked. */
export function procedureOf(facts: Facts, leader: Leader, asker: NodeFacts, task: Task): Procedure {
  const { pid, offset, state, window } = task;
  if (state === State.executing) return "executing";
  if (state === State.executed) return "executed";
  const entry = entryAt(leader, pid, offset);
  const mine = entry !== null && entry.holder === asker.incarnation && entry.epoch === leader.state.epoch;
  if (state === State.granted) return mine && window.retryAt.size === 0 ? "granted" : "other";
  if (state === State.held) return entry === null && window.attempts[window.slot(offset)] === 0 ? "not asked" : "other";
  if (state !== State.asked) return "other";
  if (entry === null) return "ask under way";
  if (!mine || entry.phase !== Phase.granted || entry.dirty) return "other";
  const far = spread(facts, leader, entry, pid);
  if (far === "none") return "leader only";
  if (far === "some") return "partly replicated";
  const sent = asker.flights.some(
    (flight) => flight.from === leader.state.ctx.incarnation && flight.pid === pid && flight.granted >= 0,
  );
  return sent && pendingVerdict(leader, asker.incarnation, pid, offset) === null
    ? "reply under way"
    : "fully replicated";
}
