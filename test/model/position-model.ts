/**
 * Positions, the watermark with its `from`, and commits: one partition of three records, two nodes, a perfect leader
 * with an exact table above the watermark, Kafka with its committed offset and our metadata.
 *
 * Covers: a committed offset that somebody else moved, forward or back (R7), metadata of another dedup epoch (R7), a
 * position below `from` (R7), batches that do not continue the last one, the position at a join, the committable
 * prefix while records end out of order, and commits fenced by their group generation (R14).
 * Does not cover: crashes of the leader and unclean starts (ceiling-model), the reserved ceiling, votes and handlers
 * (a record is executed in one step).
 *
 * Violations: *double* = a record executed twice in one dedup epoch; *loss* = we committed past a record that was not
 * executed, is open nowhere, and that nobody skipped on purpose; *stuck* = not all is committed and nothing is
 * stopped with an alarm.
 */
import type { Model, Moves, ViolationKind } from "./explore.ts";
import { layout, many, one, type StateOf } from "./packed.ts";
import { type Ablation, ablation, rulesOn } from "./ablation.ts";

export const positionRules = [
  "r7ForeignJumpMovesFrom",
  "r7MetadataOfThisDedupEpoch",
  "r7MetadataOfThisFrom",
  "r7BelowFromStops",
  "r14ContinuousDelivery",
  "r14PositionedAtTheJoin",
  "r14CommitsTheFinalPrefix",
  "r14CommitsOfTheirGeneration",
] as const;
export type PositionRule = (typeof positionRules)[number];
type Rules = Readonly<Record<PositionRule, boolean>>;

export interface PositionBounds {
  /** Commits by another tool, to any offset, without our metadata. */
  readonly foreignCommits: number;
  /** Late commits by a process of the dedup epoch before this one. */
  readonly oldEpochCommits: number;
  /** Batches that were fetched for a stale position. */
  readonly staleBatches: number;
  readonly rebalances: number;
  /** Restarts of the whole cell before `from` and W were written to /watermarks. */
  readonly restarts: number;
}

const nodes: readonly number[] = [0, 1];
const logEnd = 3;
const offsets: readonly number[] = [0, 1, 2];
const dedupEpoch = 2;
const bit = (offset: number): number => 1 << offset;
const below = (offset: number): number => bit(offset) - 1;
const has = (mask: number, offset: number): boolean => (mask & bit(offset)) !== 0;

/**
 * Masks have one bit a record. `table` = executed and above W; `skipped` = somebody moved the offset past it on
 * purpose. A node is the owner when its generation is the group's. `sent` is its commit in flight, + 1.
 */
const positionLayout = layout({
  kafka: one("committed", "metaFrom", "metaEpoch", "generation"),
  leader: one("from", "watermark", "table", "forgot"),
  truth: one("executed", "skipped", "stopped", "twice"),
  budget: one("foreignCommits", "oldEpochCommits", "staleBatches", "rebalances", "restarts"),
  node: many(nodes.length, "generation", "position", "open", "final", "sent", "sentGeneration"),
});
type State = StateOf<typeof positionLayout>;

interface Turn {
  readonly rules: Rules;
  readonly from: State;
  readonly moves: Moves<State>;
}

export function positionModel(bounds: PositionBounds, rules: Rules = rulesOn(positionRules)): Model<State> {
  return {
    name: `position model ${JSON.stringify(bounds)}`,
    layout: positionLayout,
    start: (state) => void Object.assign(state.budget, bounds),
    moves(from, moves) {
      if (from.truth.stopped) return;
      const turn = { rules, from, moves };
      foreignMoves(turn);
      restartMoves(turn);
      for (const i of nodes) {
        joinMoves(turn, i);
        if (isOwner(from, i)) workMoves(turn, i);
        commitMoves(turn, i);
      }
    },
    violation: violationOf,
    isSettled: ({ kafka, truth }) => kafka.committed === logEnd || truth.stopped === 1,
  };
}

const isOwner = (state: State, i: number): boolean =>
  state.kafka.generation > 0 && state.node(i).generation === state.kafka.generation;

/** The revoke barrier (R14); the fetch position is what a client may keep by mistake. */
const discard = (state: State, i: number): void => void Object.assign(state.node(i), { open: 0, final: 0 });

function violationOf(state: State): ViolationKind | undefined {
  const { kafka, truth } = state;
  if (truth.twice) return "double";
  const open = nodes.reduce((mask, i) => mask | (isOwner(state, i) ? state.node(i).open : 0), 0);
  const accounted = truth.executed | truth.skipped | open;
  return (below(kafka.committed) & ~accounted) === 0 ? undefined : "loss";
}

/**
 * Kafka lets others commit only while the group is empty. Whoever moves the offset forward skips on purpose; whoever
 * moves it back wants what is above again.
 */
function foreignMoves({ from, moves }: Turn): void {
  const { kafka, budget } = from;
  for (let offset = 0; offset <= logEnd; offset++) {
    if (offset === kafka.committed) continue;
    const move = (to: State): void => {
      to.kafka.generation++;
      for (const i of nodes) discard(to, i);
      to.kafka.committed = offset;
      if (offset > kafka.committed) to.truth.skipped |= below(offset) & ~below(kafka.committed);
      else to.truth.skipped &= below(offset);
    };
    if (budget.foreignCommits) {
      moves.fault(`the group is empty, another tool commits ${offset}`, (to) => {
        to.budget.foreignCommits--;
        move(to);
        Object.assign(to.kafka, { metaFrom: 0, metaEpoch: 0 });
      });
    }
    if (budget.oldEpochCommits && offset > kafka.committed) {
      moves.fault(`a process of the old dedup epoch commits ${offset}`, (to) => {
        to.budget.oldEpochCommits--;
        move(to);
        Object.assign(to.kafka, { metaFrom: 0, metaEpoch: dedupEpoch - 1 });
      });
    }
  }
}

/** Only where the committed offset says all that was executed; ceiling-model has the others. */
function restartMoves({ from, moves }: Turn): void {
  const { budget, leader, kafka } = from;
  const tells = kafka.committed === leader.watermark && !leader.table;
  if (!budget.restarts || !tells || nodes.some((i) => from.node(i).sent)) return;
  moves.fault("the whole cell restarts and knows neither from nor W", (to) => {
    to.budget.restarts--;
    to.leader.clear();
    to.leader.forgot = 1;
    to.kafka.generation++;
    for (const i of nodes) discard(to, i);
  });
}

function joinMoves({ rules, from, moves }: Turn, i: number): void {
  const { kafka, leader, budget } = from;
  const vacant = nodes.every((j) => !isOwner(from, j));
  if (isOwner(from, i) || !(vacant || budget.rebalances)) return;
  const ours =
    (kafka.metaEpoch === dedupEpoch || !rules.r7MetadataOfThisDedupEpoch) &&
    (kafka.metaFrom === leader.from || !rules.r7MetadataOfThisFrom) &&
    kafka.metaEpoch > 0;
  const ahead = kafka.committed > leader.watermark;
  const label = `n${i} joins at ${kafka.committed}${ahead && !ours ? ", which is not ours" : ""}`;
  const join = (to: State): void => {
    if (!vacant) to.budget.rebalances--;
    const generation = ++to.kafka.generation;
    if (ahead) to.leader.watermark = kafka.committed;
    if (ahead && !ours && rules.r7ForeignJumpMovesFrom) to.leader.from = kafka.committed;
    to.leader.table &= ~below(to.leader.watermark);
    // R15c: who knows nothing of the partition and finds no metadata of ours raises an alarm.
    if (leader.forgot && kafka.metaEpoch !== dedupEpoch) to.truth.stopped = 1;
    to.leader.forgot = 0;
    if (kafka.committed < to.leader.from && rules.r7BelowFromStops) to.truth.stopped = 1;
    discard(to, 1 - i);
    const node = to.node(i);
    const position = rules.r14PositionedAtTheJoin ? kafka.committed : Math.max(kafka.committed, node.position);
    Object.assign(node, { generation, position, open: 0, final: 0 });
    // The anchor: the same offset, now with our metadata.
    Object.assign(to.kafka, { metaFrom: to.leader.from, metaEpoch: dedupEpoch });
  };
  if (vacant) moves.step(label, join);
  else moves.fault(label, join);
}

function workMoves({ rules, from, moves }: Turn, i: number): void {
  const { leader, truth, budget } = from;
  const me = from.node(i);
  for (const offset of offsets) {
    const continues = offset === me.position;
    if (!continues && !budget.staleBatches) continue;
    const accepts = continues || !rules.r14ContinuousDelivery;
    const deliver = (to: State): void => {
      if (!continues) to.budget.staleBatches--;
      if (!accepts) return;
      to.node(i).open |= bit(offset);
      to.node(i).position = offset + 1;
    };
    if (continues) moves.step(`n${i} is delivered r${offset}`, deliver);
    else moves.fault(`n${i} gets a stale batch, r${offset}${accepts ? "" : ": discarded"}`, deliver);
  }
  for (const offset of offsets) {
    if (!has(me.open, offset)) continue;
    const end = (label: string, change: (to: State) => void): void =>
      moves.step(`n${i} ${label} r${offset}`, (to) => {
        to.node(i).open &= ~bit(offset);
        to.node(i).final |= bit(offset);
        change(to);
      });
    if (offset >= leader.from && offset < leader.watermark) end("is told committed: drops", () => {});
    else if (has(leader.table, offset)) end("is told executed: drops", () => {});
    else {
      end("EXECUTES", (to) => {
        if (has(truth.executed, offset)) to.truth.twice = 1;
        to.truth.executed |= bit(offset);
        if (offset >= leader.watermark) to.leader.table |= bit(offset);
      });
    }
  }
}

function commitMoves({ rules, from, moves }: Turn, i: number): void {
  const { kafka, leader } = from;
  const me = from.node(i);
  if (isOwner(from, i) && !me.sent && me.final) {
    const firstOpen = offsets.find((offset) => has(me.open, offset));
    const highest = offsets.findLast((offset) => has(me.final, offset)) ?? 0;
    const position = rules.r14CommitsTheFinalPrefix ? (firstOpen ?? me.position) : highest + 1;
    if (position > kafka.committed || kafka.committed > me.position) {
      moves.step(`n${i} sends a commit of ${position}`, (to) => {
        Object.assign(to.node(i), { sent: position + 1, sentGeneration: me.generation });
      });
    }
  }
  if (!me.sent) return;
  const accepted = me.sentGeneration === kafka.generation || !rules.r14CommitsOfTheirGeneration;
  const position = me.sent - 1;
  moves.step(`the commit of ${position} by n${i} is ${accepted ? "accepted" : "refused, an old generation"}`, (to) => {
    Object.assign(to.node(i), { sent: 0, sentGeneration: 0 });
    if (!accepted) return;
    Object.assign(to.kafka, { committed: position, metaFrom: leader.from, metaEpoch: dedupEpoch });
    to.leader.watermark = Math.max(leader.watermark, position);
    to.leader.table &= ~below(to.leader.watermark);
  });
}

const none: PositionBounds = { foreignCommits: 0, oldEpochCommits: 0, staleBatches: 0, rebalances: 0, restarts: 0 };
const ordinary: PositionBounds = { ...none, staleBatches: 1, rebalances: 3 };
const moved: PositionBounds = { ...none, foreignCommits: 2, rebalances: 1 };
const oldEpoch: PositionBounds = { ...none, foreignCommits: 1, oldEpochCommits: 1, rebalances: 1 };
const restarted: PositionBounds = { ...none, foreignCommits: 2, restarts: 1 };
export const positionBounds = { ordinary, moved, oldEpoch, restarted };

export const positionAblations: readonly Ablation<PositionRule, PositionBounds>[] = [
  ablation("r7ForeignJumpMovesFrom", "moving from when somebody else moved the offset", moved, "loss", 8),
  ablation("r7MetadataOfThisDedupEpoch", "looking at the dedup epoch of the metadata", oldEpoch, "loss", 8),
  ablation("r7MetadataOfThisFrom", "looking at the from of the metadata", restarted, "loss", 10),
  ablation("r7BelowFromStops", "stopping at a position below from", moved, "double", 9),
  ablation("r14ContinuousDelivery", "discarding batches that do not continue the last", ordinary, "loss", 5),
  ablation("r14PositionedAtTheJoin", "an explicit position at each join", ordinary, "loss", 8),
  ablation("r14CommitsTheFinalPrefix", "committing only what is final from the position on", ordinary, "loss", 7),
  ablation("r14CommitsOfTheirGeneration", "refusing commits of an old group generation", moved, "loss", 7),
];
