/** The state of the grant model, its rule switches, and the few sentences that all of its parts need. */
import type { Moves } from "./explore.ts";
import { layout, many, one, type StateOf } from "./packed.ts";

export const nodeCount = 3;

/** What one node does with the one task. `decided` exists only without adoption (R6): checked, runs by itself. */
export const Phase = {
  none: 0,
  held: 1,
  claimed: 2,
  granted: 3,
  executing: 4,
  executed: 5,
  doubtful: 6,
  decided: 7,
} as const;

export const Up = { down: 0, running: 1, paused: 2 } as const;

/** A verdict on its way: 0 none, else 1 + epoch, + 8 when it says doubtful. Epochs stay below 8 in these bounds. */
export const Verdict = {
  none: 0,
  pack: (doubtful: boolean, epoch: number): number => 1 + (doubtful ? 8 : 0) + epoch,
  isDoubtful: (verdict: number): boolean => ((verdict - 1) & 8) !== 0,
  epoch: (verdict: number): number => (verdict - 1) & 7,
} as const;

export const grantRules = [
  "r1RefuseLowerEpochs",
  "r3InSyncSetAcknowledges",
  "r5GrantTable",
  "r5OnlyTheLastSetGivesEntries",
  "r6OnlyExecutedLicensesDrop",
  "r6Adoption",
  "r6OneKeyAtATime",
  "r9StartCheck",
  "r10GrantDiesWithEpoch",
  "r11RevokeBeforeGiving",
  "r12Quarantine",
  "r13LedgerReplicated",
  "r13ExecutedRemembered",
] as const;
export type GrantRule = (typeof grantRules)[number];
export type GrantRules = Readonly<Record<GrantRule, boolean>>;

/** How often each fault may happen, and which node owns the partition at first (node 0 leads). */
export interface Faults {
  readonly crashes?: number;
  readonly pauses?: number;
  readonly partitions?: number;
  readonly rebalances?: number;
  readonly elections?: number;
  readonly owner?: number;
}

/**
 * World: node numbers are stored as number + 1 where 0 means nobody; sets are masks. `effects` is the truth about the
 * sink. Node: `leads` is the epoch it leads or 0, `votes` that it is activated, `inSync` its own view of the set,
 * `table` its copy of the grant table's entry (the holder), `ledger` that it knows the task as executed; `claimant`,
 * `seen`, `again` and `acks` are the leader's one pending claim; `verdict` is on its way to the node.
 */
export const grantLayout = layout({
  world: one(
    "owner",
    "committed",
    "effects",
    "zkLeader",
    "zkEpoch",
    "zkInSync",
    "crashes",
    "pauses",
    "partitions",
    "rebalances",
    "elections",
  ),
  node: many(
    nodeCount,
    "up",
    "cut",
    "leads",
    "votes",
    "synced",
    "inSync",
    "epoch",
    "leader",
    "bloom",
    "phase",
    "owns",
    "table",
    "ledger",
    "claimant",
    "seen",
    "again",
    "acks",
    "verdict",
  ),
});
export type GrantState = StateOf<typeof grantLayout>;
export type GrantNode = ReturnType<GrantState["node"]>;

/** One node's turn to move. */
export interface Turn {
  readonly rules: GrantRules;
  readonly from: GrantState;
  readonly moves: Moves<GrantState>;
  readonly i: number;
}

export const nodes: readonly number[] = Array.from({ length: nodeCount }, (_, i) => i);
export const has = (set: number, i: number): boolean => ((set >> i) & 1) === 1;
export const sizeOf = (set: number): number => nodes.filter((i) => has(set, i)).length;
export const without = (set: number, i: number): number => set & ~(1 << i);
export const showSet = (set: number): string =>
  `{${nodes
    .filter((i) => has(set, i))
    .map((i) => `n${i}`)
    .join()}}`;

export const isRunning = (node: GrantNode): boolean => node.up === Up.running;

export function connected(state: GrantState, i: number, j: number): boolean {
  const a = state.node(i);
  const b = state.node(j);
  return i === j ? isRunning(a) : isRunning(a) && isRunning(b) && !a.cut && !b.cut;
}

export function depose(node: GrantNode): void {
  node.leads = node.votes = node.synced = node.inSync = 0;
  clearPending(node);
}

export function clearPending(leader: GrantNode): void {
  leader.claimant = leader.seen = leader.again = leader.acks = 0;
}

/** R10: what was given in an earlier epoch and has not started is only held again; a verdict on its way is lost. */
export function acceptEpoch(rules: GrantRules, node: GrantNode, epoch: number): void {
  if (rules.r10GrantDiesWithEpoch && epoch > node.epoch) {
    const unstarted: number[] = [Phase.claimed, Phase.granted, Phase.decided];
    if (unstarted.includes(node.phase)) node.phase = Phase.held;
    node.verdict = Verdict.none;
  }
  node.epoch = epoch;
}

/** Can leader `l` have an acknowledgement of each other member of its in-sync set now? */
export function setAnswers(state: GrantState, l: number, set: number): boolean {
  const epoch = state.node(l).leads;
  return nodes.every((k) => k === l || !has(set, k) || (connected(state, l, k) && state.node(k).epoch <= epoch));
}
