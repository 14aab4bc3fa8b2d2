/**
 * The reserved ceiling through a restart of the whole cell: one partition of two records, two nodes that may own it,
 * a leader whose table, watermark and filter are gone after the restart, and a record of another partition that has
 * the task id of the first.
 *
 * Covers: the ceiling that is written ahead, acknowledged before a claim, and never falls (R15a), a partition whose
 * metadata is gone, what was read at a join and is told only to a later leader (R15c), suspect offsets below the ceiling
 * that was reported (R15d), task ids that wait for them (R15e), and commits fenced by their generation (R14). The check
 * is truthful.
 * Does not cover: handlers that outlive the restart, evicted members, the bitmap of final offsets (start-model), `from`
 * (position-model), clean stops, a window of recent ids: an id whose record was committed before the restart is outside
 * the window, and a second run of it is excused.
 *
 * Violations: *double* = a record or task id runs twice; *stuck* = the partition can never be committed to its end.
 *
 * A finding: the ceiling must also cover W. When another tool resets the offset, an owner that remembers nothing
 * would else write an anchor below what was executed and has left the table, and a restart before `/watermarks` was
 * written makes those records look unseen. protocol.md names only the table's highest offset; `r15CeilingCoversW`
 * is that addition.
 */
import type { Model, Moves } from "./explore.ts";
import { layout, many, one, type StateOf } from "./packed.ts";
import { type Ablation, ablation, rulesOn } from "./ablation.ts";

export const ceilingRules = [
  "r14CommitsOfTheirGeneration",
  "r15WrittenAhead",
  "r15ClaimedWhenAcknowledged",
  "r15NeverFalls",
  "r15LeaderTellsTableTop",
  "r15CeilingCoversW",
  "r15LogEndWithoutMetadata",
  "r15NothingBeforeTheReport",
  "r15NeverBegunIsReadAnew",
  "r15WhatWasReadIsShown",
  "r15SuspectsAreDoubtful",
  "r15IdsWaitForSuspects",
] as const;
export type CeilingRule = (typeof ceilingRules)[number];
type Rules = Readonly<Record<CeilingRule, boolean>>;

export interface CeilingBounds {
  readonly restarts: number;
  readonly rebalances: number;
  /** How often another tool resets the offset to 0 and thereby wipes our metadata. */
  readonly resets: number;
  /** 1: there is a record in another partition with the task id of the first. */
  readonly twins: 0 | 1;
  /** 1: a node reads what is committed, stalls before it reports that, and survives a restart. */
  readonly stalls: 0 | 1;
}

const nodes: readonly number[] = [0, 1];
const logEnd = 2;
const offsets: readonly number[] = [0, 1];
const bit = (offset: number): number => 1 << offset;
const has = (mask: number, offset: number): boolean => (mask & bit(offset)) !== 0;
const topOf = (mask: number): number => (offsets.findLast((offset) => has(mask, offset)) ?? -1) + 1;

/**
 * `ours` = the committed offset carries our metadata. `table` holds what was executed at or above W, `suspectTo` the
 * suspect ceiling, `reported` that the owner told the leader its metadata. A node's `acknowledged` and `lastSent` are
 * ceilings; `stalled` is the epoch, + 1, in which it read the ceiling
 * `read`, + 1 (0: nothing was committed), and then did nothing; `sent` is its commit in flight: position + 1, ceiling and generation.
 */
const ceilingLayout = layout({
  kafka: one("known", "committed", "ceiling", "ours", "generation"),
  leader: one("watermark", "stored", "table", "unclean", "suspectTo", "reported", "epoch"),
  truth: one("executed", "twice", "twin", "forgotten"),
  budget: one("restarts", "rebalances", "resets", "twins", "stalls"),
  node: many(
    nodes.length,
    "generation",
    "final",
    "acknowledged",
    "lastSent",
    "sent",
    "sentCeiling",
    "sentGeneration",
    "stalled",
    "read",
  ),
});
type State = StateOf<typeof ceilingLayout>;

interface Turn {
  readonly rules: Rules;
  readonly from: State;
  readonly moves: Moves<State>;
}

export function ceilingModel(bounds: CeilingBounds, rules: Rules = rulesOn(ceilingRules)): Model<State> {
  return {
    name: `ceiling model ${JSON.stringify(bounds)}`,
    layout: ceilingLayout,
    start: (state) => void Object.assign(state.budget, bounds),
    moves(from, moves) {
      const turn = { rules, from, moves };
      faultMoves(turn);
      twinMoves(turn);
      for (const i of nodes) {
        stallMoves(turn, i);
        joinMoves(turn, i);
        if (isOwner(from, i) && !from.node(i).stalled) {
          claimMoves(turn, i);
          sendMoves(turn, i);
        }
        commitMoves(turn, i);
      }
    },
    violation: ({ truth }) => (truth.twice ? "double" : undefined),
    isSettled: ({ kafka }) => kafka.committed === logEnd,
  };
}

const isOwner = (state: State, i: number): boolean =>
  state.kafka.generation > 0 && state.node(i).generation === state.kafka.generation;

function faultMoves({ from, moves }: Turn): void {
  const { kafka, leader, budget, truth } = from;
  if (leader.watermark > leader.stored) {
    moves.step("the leader writes W to /watermarks", (to) => void (to.leader.stored = leader.watermark));
  }
  const restart = (to: State, survivor?: number): void => {
    to.budget.restarts--;
    if (survivor === undefined || !isOwner(from, survivor)) to.kafka.generation++;
    const { stored, epoch } = leader;
    to.leader.clear();
    Object.assign(to.leader, { stored, watermark: stored, unclean: 1, epoch: epoch + 1 });
    for (const i of nodes) {
      if (i === survivor) continue;
      const { sent, sentCeiling, sentGeneration } = from.node(i);
      to.node(i).clear();
      // What was written to a socket may still arrive; the next join fences it.
      Object.assign(to.node(i), { sent, sentCeiling, sentGeneration });
    }
    if (kafka.committed > 0 || truth.twin) to.truth.forgotten = 1;
  };
  if (budget.restarts) {
    moves.fault("every process dies, the cell starts again", (to) => restart(to));
    for (const i of nodes) {
      if (!from.node(i).stalled) continue;
      moves.fault(`every process but n${i} dies, the cell starts again`, (to) => restart(to, i));
    }
  }
  if (budget.resets && kafka.known) {
    moves.fault("the group is empty, another tool commits 0", (to) => {
      to.budget.resets--;
      to.kafka.generation++;
      Object.assign(to.kafka, { committed: 0, ceiling: 0, ours: 0 });
    });
  }
}

/**
 * R15c: a node that is late with what it read at its join. Nothing committed: that is told only in the epoch of the join.
 * A ceiling: told later too when a commit in its group generation is accepted, for then nobody joined after it.
 */
function stallMoves({ rules, from, moves }: Turn, i: number): void {
  const { kafka, leader, budget } = from;
  const { stalled, read, generation } = from.node(i);
  if (budget.stalls && !stalled && (!kafka.known || kafka.ours)) {
    const what = kafka.known ? `ceiling ${kafka.ceiling}` : "that nothing is committed";
    moves.fault(`n${i} joins, reads ${what}, and stalls`, (to) => {
      to.budget.stalls--;
      Object.assign(to.node(i), { final: 0, generation: ++to.kafka.generation, stalled: leader.epoch + 1 });
      to.node(i).read = kafka.known ? kafka.ceiling + 1 : 0;
      to.node(1 - i).final = 0;
    });
  }
  if (!stalled) return;
  moves.step(`n${i} joins anew`, (to) => void Object.assign(to.node(i), { generation: 0, stalled: 0, read: 0 }));
  const inTime = stalled === leader.epoch + 1;
  const shown = read > 0 && generation === kafka.generation;
  const ignored = read > 0 ? !rules.r15WhatWasReadIsShown : !rules.r15NeverBegunIsReadAnew;
  if (leader.reported || !(inTime || shown || ignored)) return;
  moves.step(
    `n${i} reports ${read ? `ceiling ${read - 1}, as` : "that nothing was committed when"} it joined`,
    (to) => {
      Object.assign(to.leader, { suspectTo: leader.unclean && read ? read - 1 : 0, reported: 1 });
    },
  );
}

/** R15a: the anchor carries a ceiling that is no lower than any before it. R15d: the owner reports what it found. */
function joinMoves({ rules, from, moves }: Turn, i: number): void {
  const { kafka, leader, budget } = from;
  const vacant = nodes.every((j) => !isOwner(from, j));
  if (from.node(i).stalled || isOwner(from, i) || !(vacant || budget.rebalances)) return;
  const me = from.node(i);
  const ceiling = Math.max(
    kafka.committed,
    rules.r15NeverFalls ? Math.max(kafka.ceiling, me.lastSent) : 0,
    rules.r15LeaderTellsTableTop ? topOf(leader.table) : 0,
    rules.r15CeilingCoversW ? leader.watermark : 0,
  );
  const join = (to: State): void => {
    if (!vacant) to.budget.rebalances--;
    const generation = ++to.kafka.generation;
    if (!leader.reported) {
      const suspectTo = kafka.ours || !rules.r15LogEndWithoutMetadata ? kafka.ceiling : logEnd;
      to.leader.suspectTo = leader.unclean && kafka.known ? suspectTo : 0;
      to.leader.reported = 1;
    }
    if (kafka.ours) to.leader.watermark = Math.max(leader.watermark, kafka.committed);
    Object.assign(to.node(i), { generation, final: 0, acknowledged: ceiling, lastSent: ceiling });
    to.node(1 - i).final = 0;
    Object.assign(to.kafka, { known: 1, ceiling, ours: 1 });
  };
  const label = `n${i} joins at ${kafka.committed}, its anchor says ceiling ${ceiling}`;
  if (vacant) moves.step(label, join);
  else moves.fault(label, join);
}

function claimMoves({ rules, from, moves }: Turn, i: number): void {
  const { kafka, leader, truth } = from;
  const me = from.node(i);
  for (const offset of offsets) {
    if (offset < kafka.committed || has(me.final, offset)) continue;
    const reserved = rules.r15ClaimedWhenAcknowledged ? me.acknowledged : me.lastSent;
    if (rules.r15WrittenAhead && reserved <= offset) continue;
    const end = (label: string, executes: boolean): void =>
      moves.step(`n${i} claims r${offset}: ${label}`, (to) => {
        to.node(i).final |= bit(offset);
        if (offset >= leader.watermark) to.leader.table |= bit(offset);
        if (!executes) return;
        if (has(truth.executed, offset) || (offset === 0 && truth.twin && !truth.forgotten)) to.truth.twice = 1;
        to.truth.executed |= bit(offset);
      });
    const suspect = rules.r15SuspectsAreDoubtful && offset < leader.suspectTo;
    if (offset < leader.watermark) end("committed, drops", false);
    else if (has(leader.table, offset)) end("executed, drops", false);
    else if (offset === 0 && truth.twin && !truth.forgotten) end("its task id was executed, drops", false);
    else if (!suspect) end("unseen, GRANTED and executed", true);
    else if (has(truth.executed, offset)) end("suspect, its check says executed, drops", false);
    else end("suspect, its check says not executed: executed", true);
  }
}

/** The record of the other partition with the task id of r0; its own commit follows at once. */
function twinMoves({ rules, from, moves }: Turn): void {
  const { leader, truth, budget } = from;
  if (!budget.twins || (rules.r15NothingBeforeTheReport && leader.unclean && !leader.reported)) return;
  const open = offsets.some((o) => o >= leader.watermark && o < leader.suspectTo && !has(leader.table, o));
  if (rules.r15IdsWaitForSuspects && open) return;
  const known = has(leader.table, 0) || leader.watermark > 0;
  moves.step(`the record with the id of r0: ${known ? "executed, drops" : "unseen, GRANTED and executed"}`, (to) => {
    to.budget.twins--;
    if (known) return;
    to.truth.twin = 1;
    if (has(truth.executed, 0) && !truth.forgotten) to.truth.twice = 1;
  });
}

function sendMoves({ from, moves }: Turn, i: number): void {
  const { kafka } = from;
  const me = from.node(i);
  if (me.sent) return;
  const position = offsets.find((offset) => offset >= kafka.committed && !has(me.final, offset)) ?? logEnd;
  for (const ceiling of [me.lastSent, me.lastSent + 1]) {
    if (ceiling > logEnd || (ceiling === me.acknowledged && position === kafka.committed)) continue;
    moves.step(`n${i} sends a commit of ${position} with ceiling ${ceiling}`, (to) => {
      Object.assign(to.node(i), { lastSent: ceiling, sent: position + 1, sentCeiling: ceiling });
      to.node(i).sentGeneration = me.generation;
    });
  }
}

function commitMoves({ rules, from, moves }: Turn, i: number): void {
  const { kafka, leader } = from;
  const me = from.node(i);
  if (!me.sent) return;
  const position = me.sent - 1;
  const accepted = me.sentGeneration === kafka.generation || !rules.r14CommitsOfTheirGeneration;
  moves.step(`the commit of ${position} by n${i} is ${accepted ? "accepted" : "refused, an old generation"}`, (to) => {
    Object.assign(to.node(i), { sent: 0, sentCeiling: 0, sentGeneration: 0 });
    if (!accepted) return;
    Object.assign(to.kafka, { committed: position, ceiling: me.sentCeiling, ours: 1 });
    if (!isOwner(from, i)) return;
    to.node(i).acknowledged = me.sentCeiling;
    to.leader.watermark = Math.max(leader.watermark, position);
    to.leader.table = leader.table & ~(bit(to.leader.watermark) - 1);
  });
}

const plain: CeilingBounds = { restarts: 2, rebalances: 1, resets: 0, twins: 0, stalls: 0 };
const reset: CeilingBounds = { restarts: 1, rebalances: 1, resets: 1, twins: 0, stalls: 0 };
const twin: CeilingBounds = { restarts: 1, rebalances: 0, resets: 0, twins: 1, stalls: 0 };
const stalled: CeilingBounds = { restarts: 1, rebalances: 1, resets: 0, twins: 0, stalls: 1 };
export const ceilingBounds = { plain, reset, twin, stalled };

export const ceilingAblations: readonly Ablation<CeilingRule, CeilingBounds>[] = [
  ablation("r14CommitsOfTheirGeneration", "refusing commits of an old group generation", plain, "double", 13),
  ablation("r15WrittenAhead", "a ceiling that is written ahead", plain, "double", 5),
  ablation("r15ClaimedWhenAcknowledged", "the acknowledgement of the ceiling before the claim", plain, "double", 7),
  ablation("r15NeverFalls", "keeping the ceiling that was read or sent before", plain, "double", 11),
  ablation("r15LeaderTellsTableTop", "the highest offset of the table in the answer to a report", reset, "double", 11),
  ablation("r15CeilingCoversW", "a ceiling that covers the watermark", reset, "double", 13),
  ablation("r15LogEndWithoutMetadata", "suspecting up to the log end when our metadata is gone", reset, "double", 10),
  ablation("r15NothingBeforeTheReport", "waiting for the report of the ceiling", twin, "double", 6),
  ablation(
    "r15NeverBegunIsReadAnew",
    "reading anew what a former leader was not told",
    stalled,
    "double",
    9,
    "reads that nothing is committed, and stalls",
    "GRANTED and executed",
    "every process but",
    "reports that nothing was committed",
    "GRANTED and executed",
  ),
  ablation(
    "r15WhatWasReadIsShown",
    "a commit that shows that what was read is the newest",
    stalled,
    "double",
    9,
    "and stalls",
    "GRANTED and executed",
    "every process but",
    "reports ceiling",
    "GRANTED and executed",
  ),
  ablation("r15SuspectsAreDoubtful", "taking what lies below the ceiling for doubtful", plain, "double", 7),
  ablation("r15IdsWaitForSuspects", "holding task ids back until the suspects are delivered", twin, "double", 7),
];
