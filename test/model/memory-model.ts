/**
 * What the cell remembers of an executed task, and who may forget when: an entry until W passes it, W afterwards, and
 * the executor's own memory until the in-sync set has that W. Two nodes, a leader and one in-sync follower that becomes
 * the next leader; two records, either of two partitions with ONE task id (twins) or of one partition (pair).
 *
 * Covers: entries that leave the table, `committed` answers, W that a leader applied and nobody else has, the ledger,
 * the executor's memory (R6, R8, R13), commits by another tool, forwards and backwards, while entries are held (R7),
 * and *executed* that is reported after the entry was freed and given again (R13), under crashes, cuts, elections,
 * rebalances and lapsed leases. The check is truthful, and a node that is cut off ends its handlers before it is gone.
 * Does not cover: the vote (a verdict is replicated and heard in one step: grant-model, revoke-model), leases as time,
 * the reserved ceiling, dedup epochs and stale batches (position-model), attempts, policies.
 *
 * Violations: *double* = two effects of one task; *loss* = committed past a record that was not executed and that nobody
 * skipped on purpose; *broken* = given again after its *executed* was acknowledged, or, without a check, although it waited for a twin that executed; *stuck* = a record that can never be
 * committed though nothing is stopped with an alarm.
 */
import { workMoves } from "./memory-work.ts";
import { budgetFaults, joinMoves } from "./memory-partitions.ts";
import {
  type MemoryBounds,
  memoryLayout,
  type MemoryRule,
  memoryRules,
  type MemoryState,
  keepAll,
  nodes,
  partitionsOf,
  records,
  sameKept,
  type Shape,
  shapeOf,
} from "./memory-state.ts";
import type { Model, ViolationKind } from "./explore.ts";
import { type Ablation, ablation, rulesOn } from "./ablation.ts";

export function memoryModel(
  bounds: MemoryBounds,
  rules: Readonly<Record<MemoryRule, boolean>> = rulesOn(memoryRules),
): Model<MemoryState> {
  const { twins: _twins, unchecked: _unchecked, ...budget } = bounds;
  const shape = shapeOf(bounds);
  return {
    name: `memory model ${JSON.stringify(bounds)}`,
    layout: memoryLayout,
    start(state) {
      Object.assign(state.budget, budget);
      for (const i of nodes) state.node(i).up = 1;
      for (const p of partitionsOf(shape)) {
        state.partition(p).owner = p + 1;
        Object.assign(state.partition(p), { informed: 1, metaFrom: 1 });
      }
    },
    moves(from, moves) {
      const turn = { rules, shape, from, moves };
      budgetFaults(turn);
      if (!sameKept(from)) moves.step("the in-sync set has what the leader has", (to) => keepAll(to));
      for (const p of partitionsOf(shape)) joinMoves(turn, p);
      for (const i of nodes) if (from.node(i).up) workMoves(turn, i);
    },
    violation: (state) => violationOf(shape, state),
    isSettled: (state) =>
      nodes.every((i) => !state.node(i).up) ||
      partitionsOf(shape).every((p) => state.partition(p).committed === shape.end || state.partition(p).stopped === 1),
  };
}

function violationOf(shape: Shape, state: MemoryState): ViolationKind | undefined {
  const { twins, unchecked } = shape;
  const total = state.record(0).effects + state.record(1).effects;
  for (const k of records) {
    const { effects, skipped } = state.record(k);
    if ((twins && !unchecked ? total : effects) > 1) return "double";
    const passed = state.partition(shape.partition(k)).committed > shape.offset(k);
    if (passed && !skipped && (twins ? total : effects) === 0) return "loss";
  }
  return state.world.givenAgain ? "broken" : undefined;
}

const none: MemoryBounds = {
  twins: false,
  unchecked: false,
  crashes: 0,
  cuts: 0,
  elections: 0,
  rebalances: 0,
  foreignCommits: 0,
  lapses: 0,
};
const redelivered: MemoryBounds = { ...none, elections: 1, rebalances: 1, foreignCommits: 1, crashes: 1 };
const moved: MemoryBounds = { ...none, foreignCommits: 2, elections: 1, rebalances: 1 };
const movedTwins: MemoryBounds = { ...none, twins: true, foreignCommits: 1, elections: 1, rebalances: 1, crashes: 1 };
const movedAndCrashed: MemoryBounds = { ...moved, crashes: 1, lapses: 1 };
const movedTwinsTwice: MemoryBounds = { ...movedTwins, foreignCommits: 2, crashes: 0 };
const late: MemoryBounds = { ...none, cuts: 1, elections: 1, rebalances: 1, lapses: 1 };
const lateAndCrashed: MemoryBounds = { ...late, crashes: 1 };
const lateTwins: MemoryBounds = { ...none, twins: true, cuts: 1, rebalances: 1, lapses: 1 };
const waiting: MemoryBounds = { ...none, twins: true, unchecked: true, rebalances: 2, lapses: 1 };
export const memoryBounds = {
  waiting,
  redelivered,
  moved,
  movedTwins,
  late,
  lateTwins,
  movedAndCrashed,
  movedTwinsTwice,
  lateAndCrashed,
};

export const memoryAblations: readonly Ablation<MemoryRule, MemoryBounds>[] = [
  ablation(
    "r6CommittedBelowW",
    "the answer committed for what W has passed",
    redelivered,
    "broken",
    12,
    "n0 has executed r0",
    "another tool commits 0",
    "the leader hears of the commit of 1",
    "r0 for n1: granted",
  ),
  ablation(
    "r6LeavesWhenWPasses",
    "keeping an executed entry until W passes it",
    redelivered,
    "double",
    11,
    "moves n0 -> n1",
    "n0 has executed r0",
    "n0 reports r0 executed",
    "r0 for n1: granted",
  ),
  ablation(
    "r6WaitedOutcomeIsKept",
    "the outcome that a duplicate waited for",
    waiting,
    "broken",
    10,
    "r1 for n1: waits for r0",
    "the leader hears of the commit",
    "r1 for n1: adopted",
  ),
  ablation(
    "r13FactsBeforeCommits",
    "facts that come before the commits of a report",
    waiting,
    "broken",
    9,
    "r1 for n1: waits for r0",
    "the leader hears of the commit",
    "r1 for n1: adopted",
  ),
  ablation(
    "r7WaitsForHeldEntries",
    "waiting for held entries before from moves",
    movedTwins,
    "double",
    12,
    "n0 STARTS r0",
    "another tool commits 1",
    "not ours: from and W are there",
    "n1 checks r1: not executed",
    "n1 STARTS r1",
  ),
  ablation(
    "r7BelowFromStops",
    "stopping at a position below from",
    moved,
    "broken",
    14,
    "another tool commits 1",
    "not ours: from and W are there",
    "another tool commits 0",
    "r0 for n1: granted",
  ),
  ablation(
    "r13ExecutedRemembered",
    "the executor's memory until W passed the task",
    redelivered,
    "double",
    12,
    "n0 has executed r0",
    "n0 commits 1",
    "another tool commits 0",
    "r0 for n0: granted",
  ),
  ablation(
    "r13InSyncSetHasW",
    "a W that the in-sync set has before the executor forgets",
    redelivered,
    "double",
    15,
    "the leader hears of the commit of 1",
    "forgets r0",
    "the leader dies",
    "r0 for n0: granted",
  ),
  ablation(
    "r7AnchorAfterTheAnswer",
    "an anchor that waits for the answer",
    moved,
    "loss",
    10,
    "another tool commits 1",
    "anchor with the from it knows",
    "another tool commits 0",
    "r0 for n0: committed -> drops",
  ),
  ablation(
    "r13ReportedIsRemembered",
    "the executor's memory after its report",
    redelivered,
    "double",
    13,
    "moves n0 -> n1",
    "n0 reports r0 executed",
    "the leader dies",
    "n0 is asked for r0 and refuses it",
    "r0 for n1: granted",
  ),
  ablation(
    "r13FactEndsAnyEntry",
    "taking executed for the end of an entry given again",
    late,
    "broken",
    14,
    "n0 is cut off",
    "n0 has executed r0",
    "n0, the holder of r0, is gone",
    "r0 for n1: adopted",
    "n0 reports r0 executed: acknowledged",
    "r0 for n1: adopted",
  ),
];
