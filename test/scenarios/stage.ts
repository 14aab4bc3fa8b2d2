/**
 * What the scenario scripts share. A stage is a cell whose nodes are named after their parts: "leader" leads, "owner"
 * owns partition 0, "other" is the next to get it, "spare" and the rest only belong to the in-sync set. A script drives
 * it into the state that its row of the failure matrix names, says so by `expect`, and judges the end with `ended`.
 */
import { expect } from "bun:test";
import { nodeIdOf } from "../../src/core/identity.ts";
import { Phase, Verdict, type PeerMessage } from "../../src/core/messages.ts";
import { State } from "../../src/core/member/window.ts";
import { Cell, hashOf, type CellOptions, type Run } from "../support/cell.ts";

export const LEASE_MS = 3_000;
export const SESSION_MS = 6_000;
/** The group's session is longer, so that an election is over before the partitions of a dead node move. */
export const GROUP_SESSION_MS = 10_000;
export const EFFECT_SETTLE_MS = 2_000;
/** Lease, isolation grace and margin of the default settings: a silent node counts as gone after it (R12). */
export const QUARANTINE_MS = 16_000;

export interface StageOptions extends CellOptions {
  readonly spares?: readonly string[];
}

/** All nodes in sync, "leader" leads, partition 0 is the owner's and may be claimed; nothing was produced yet. */
export function stage(options: StageOptions = {}): Cell {
  const nodes = options.nodes ?? ["other", "owner", "leader", ...(options.spares ?? [])];
  const cell = new Cell({ ...options, nodes });
  cell.groupSessionMs = GROUP_SESSION_MS;
  cell.mayLead = (name) => name === "leader";
  cell.until("all in sync", () => cell.inSync.incarnations.length === nodes.length);
  cell.mayLead = () => true;
  expect(cell.activeLeader()!.name).toBe("leader");
  const others = nodes.filter((name) => name !== "owner");
  cell.until("all in the group", () => nodes.every((name) => cell.node(name).inGroup));
  cell.advance(100);
  cell.assignment = cell.assignment.map((_, partition) => (partition === 0 ? "owner" : others[partition - 1]!));
  cell.rebalance(true);
  cell.until("every partition anchored", () => cell.assignment.every((name, p) => anchored(cell, name!, p)));
  cell.advance(200);
  return cell;
}

/** Offset 0 of partition 0 is granted to the owner, whose only handler is busy with `cell.runs[0]`, of partition 1. */
export function grantedNotStarted(options: StageOptions = {}): Cell {
  const cell = stage({ ...options, settings: { concurrency: 1, ...options.settings }, partitions: 2 });
  cell.move(1, "owner");
  cell.advance(500);
  hangs(cell);
  cell.produce(1);
  untilState(cell, "owner", "executing", 0, 1);
  cell.produce(0);
  untilState(cell, "owner", "granted");
  hangsNoMore(cell);
  return cell;
}

/** A commit of this cell as another tool, or an accident of the log, rewrites it; the group then joins anew. */
export function rewritesCommit(cell: Cell, position: number | null, metadata = "", partition = 0): void {
  const before = cell.commitOutcome;
  cell.commitOutcome = () => "lost"; // the last commits before the join do not undo it
  cell.committed[partition] = position;
  cell.metadata[partition] = metadata;
  cell.rebalance(true);
  cell.until("joined anew", () =>
    [...cell.nodes.values()].every((node) => !node.inGroup || node.joinedGeneration === cell.groupGeneration),
  );
  cell.commitOutcome = before;
}

function anchored(cell: Cell, name: string, partition: number): boolean {
  const window = cell.node(name).core.member.state.windows.get(partition);
  return window !== undefined && window.anchored && window.generation === cell.groupGeneration;
}

/** Where a task stands at a node, also when the partition has moved away and only what runs or ran is kept. */
export function stateAt(cell: Cell, node: string, offset = 0, partition = 0): keyof typeof State {
  const { state } = cell.node(node).core.member;
  const code =
    state.windows.get(partition)?.stateOf(offset) || state.retained.get(partition)?.get(offset)?.state || State.absent;
  return (Object.keys(State) as (keyof typeof State)[]).find((name) => State[name] === code)!;
}

export function untilState(cell: Cell, node: string, state: keyof typeof State, offset = 0, partition = 0): void {
  cell.until(`${offset} is ${state} at ${node}`, () => stateAt(cell, node, offset, partition) === state);
}

/** The table entry as a node holds it, in words: "none", "granted to owner", "free", "executed", each maybe "dirty". */
export function entryAt(cell: Cell, node: string, offset = 0, partition = 0): string {
  const entry = cell.node(node).core.replica.table.partition(partition).read(offset);
  if (entry === null) return "none";
  const dirty = entry.dirty ? " dirty" : "";
  if (entry.phase >= Phase.executed) return Object.keys(Phase)[entry.phase]! + dirty;
  if (entry.holder === "") return `free${dirty}`;
  const holder = nodeIdOf(entry.holder);
  return (entry.phase === Phase.executing ? `executing at ${holder}` : `granted to ${holder}`) + dirty;
}

export function watermarkAt(cell: Cell, node: string, partition = 0): number {
  return cell.node(node).core.replica.table.partition(partition).watermark;
}

// --- messages

export type What = (message: PeerMessage) => boolean;
export const isClaim: What = (message) => message.kind === "report" && message.claims.length > 0;
export const isDoubt: What = (message) => message.kind === "report" && message.doubts.length > 0;
export const isFact: What = (message) => message.kind === "report" && message.finished.length > 0;
export const isCommitNoteAbove =
  (position: number): What =>
  (message) =>
    message.kind === "report" && message.commits.some((note) => note.position > position);
export const isReport: What = (message) => message.kind === "report";
export const isVerdict: What = (message) => message.kind === "verdicts";
export const isAdoption: What = (message) =>
  message.kind === "verdicts" && message.batches.some(({ results }) => results.includes(Verdict.adopted));
export const isDelta: What = (message) => message.kind === "delta";
export const isAnswer: What = (message) => message.kind === "answer";
export const isChunk: What = (message) => message.kind === "state-chunk";
export const isWatermark: What = (message) => message.kind === "watermarks";

export interface Between {
  readonly from?: string;
  readonly to?: string;
}

function fits(what: What, between: Between): (from: string, to: string, message: PeerMessage) => boolean {
  return (from, to, message) =>
    (between.from === undefined || between.from === from) &&
    (between.to === undefined || between.to === to) &&
    what(message);
}

/** From now on such messages are lost. Several rules add up; `losesNothing` ends them all. */
export function loses(cell: Cell, what: What, between: Between = {}): { count: number } {
  const before = cell.dropMessage;
  const matches = fits(what, between);
  const lost = { count: 0 };
  cell.dropMessage = (from, to, message) => {
    if (!matches(from, to, message)) return before(from, to, message);
    lost.count++;
    return true;
  };
  return lost;
}

/** Counts such messages without touching them. */
export function counts(cell: Cell, what: What, between: Between = {}): { count: number } {
  const before = cell.dropMessage;
  const matches = fits(what, between);
  const seen = { count: 0 };
  cell.dropMessage = (from, to, message) => {
    if (matches(from, to, message)) seen.count++;
    return before(from, to, message);
  };
  return seen;
}

export function losesNothing(cell: Cell): void {
  cell.dropMessage = () => false;
}

/** Such messages arrive late (what follows them on the link waits), also on a link that was let go of meanwhile (D). */
export function slows(cell: Cell, ms: number, what: What, between: Between): { count: number } {
  const before = cell.latencyMs;
  const matches = fits(what, between);
  const sent = { count: 0 };
  cell.closeMs = Math.max(cell.closeMs, 2 * ms);
  cell.latencyMs = (from, to, message) => {
    if (!matches(from, to, message)) return before(from, to, message);
    sent.count++;
    return ms;
  };
  return sent;
}

export function slowsNothing(cell: Cell): void {
  cell.latencyMs = () => 1;
  cell.closeMs = 1;
}

/** How many messages a node has refused: of an old epoch, of a link that it let go of, of another's leader (R1, R2). */
export function refusals(cell: Cell, node: string): number {
  return cell.node(node).core.ctx.counters.refusedMessages;
}

// --- zombies

/**
 * The leader (and its company) no longer hears from the coordinator, and its own deadline does not stop it: as if its
 * clock stood still. What is left to stop it are the epochs and the in-sync set (R1, R3).
 */
export function zombie(cell: Cell, ...company: readonly string[]): void {
  for (const name of ["leader", ...company]) cell.cutCoordinator(name);
  ignoresDeadline(cell);
}

/** R17 is switched off for the leader: it takes its right to lead to be endless. */
export function ignoresDeadline(cell: Cell): void {
  cell.tell("leader", { type: "coordinator-deadline", at: Infinity });
}

export function anotherLeads(cell: Cell): string {
  const led = () => [...cell.nodes.values()].find((node) => node.name !== "leader" && isActive(cell, node.name));
  cell.until("another leads", () => led() !== undefined);
  return led()!.name;
}

export function isActive(cell: Cell, name: string): boolean {
  const { alive, paused, core } = cell.node(name);
  return alive && !paused && core.leader?.state.active === true;
}

// --- handlers, filters, commits

/** These runs never end by themselves (all of them, or those of the offsets named); the rest take a few ms. */
export function hangs(cell: Cell, ...offsets: number[]): void {
  cell.handler = (run) =>
    offsets.length === 0 || offsets.includes(run.offset) ? { ms: 0, outcome: "hang" } : { ms: 5, outcome: "success" };
}

export function hangsNoMore(cell: Cell): void {
  cell.handler = () => ({ ms: 5, outcome: "success" });
}

/** These filters (all of them) say "seen" of a record of partition 0 that nobody ever saw. */
export function falsePositive(cell: Cell, offset: number, names: Iterable<string> = cell.nodes.keys()): void {
  const id = cell.log[0]![offset]!.id;
  const [hi, lo] = hashOf((id === null ? "k:" : "t:") + cell.taskIdOf(0, offset));
  for (const name of names) cell.node(name).core.replica.filter.testAndAdd(hi, lo);
}

/** A crash that a node in the same kernel saw: only `effectSettleMs` is waited for (R12). */
export function crashProven(cell: Cell, name: string, options: { effect?: boolean } = {}): void {
  cell.crash(name, options);
  cell.proveDeath(name);
}

export function onlyRun(cell: Cell, offset = 0, partition = 0): Run {
  const runs = cell.runsOf(partition, offset);
  expect(runs).toHaveLength(1);
  return runs[0]!;
}

// --- the end

/** Everything is committed; each task has one effect; as many runs and checks as the row allows; tokens only rise. */
export function ended(cell: Cell, expected: { readonly runs?: number; readonly checks: number }): void {
  cell.drain();
  cell.verifyOnce();
  tokensRise(cell);
  expect(cell.checks).toHaveLength(expected.checks);
  if (expected.runs !== undefined) expect(cell.runs).toHaveLength(expected.runs);
}

/** G1: a later start of a record carries a larger token, unless it is a retry under the same grant. */
export function tokensRise(cell: Cell): void {
  const last = new Map<string, Run>();
  for (const run of cell.runs) {
    const key = `${run.partition}:${run.offset}`;
    const before = last.get(key);
    last.set(key, run);
    if (before === undefined) continue;
    const rise = run.token[0] - before.token[0] || run.token[1] - before.token[1];
    if (rise === 0 && run.node === before.node && run.attempt > before.attempt) continue;
    expect({ key, rise: rise > 0 }).toEqual({ key, rise: true });
  }
}
