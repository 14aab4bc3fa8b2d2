/**
 * The in-sync set alone: four nodes (n3 is outside at first), one key, no worker. Each write to ZooKeeper is three
 * steps (sent, applied, answered), and a crash falls between any two.
 *
 * Covers: who must have acknowledged before a grant is released while the set changes (R3), the order of activation
 * (R4), from whom state is taken at activation (R4, R5), restarts as new incarnations (R2), and joins and evictions.
 * Does not cover: two leaders at a time, partitions and lost messages (the grant model does), the activation write
 * split in three, and what is granted beyond "one key once".
 *
 * Violation: *double* = the one key was granted twice. There is no liveness here: crashes may leave too few nodes.
 */
import type { Model, Moves } from "./explore.ts";
import { layout, many, one, type StateOf } from "./packed.ts";
import { type Ablation, ablation, rulesOn } from "./ablation.ts";

export const membershipRules = [
  "r2Incarnation",
  "r3UnionWhileChanging",
  "r3NeverBelowMinInSync",
  "r4MergeTheLastSet",
  "r4PushBeforeWrite",
] as const;
export type MembershipRule = (typeof membershipRules)[number];
type Rules = Readonly<Record<MembershipRule, boolean>>;

export interface MembershipFaults {
  readonly crashes: number;
  readonly restarts: number;
  readonly elections: number;
}

const nodeCount = 4;
const minInSync = 2;
const nodes: readonly number[] = Array.from({ length: nodeCount }, (_, i) => i);

const LeaderPhase = { none: 0, merging: 1, choosing: 2, active: 3, written: 4 } as const;
const Write = { none: 0, sent: 1, applied: 2 } as const;

/**
 * Sets are four incarnations (0 = not in the set). `registered` is what ZooKeeper holds, `proposed` the write under
 * way, `view` what the leader takes for the set. `knows` = the node knows that the key was granted.
 */
const membershipLayout = layout({
  world: one("leader", "epoch", "grants", "write", "crashes", "restarts", "elections"),
  leader: one("phase", "waiting", "acks", "pushed"),
  node: many(nodeCount, "up", "incarnation", "epoch", "knows"),
  registered: many(nodeCount, "incarnation"),
  proposed: many(nodeCount, "incarnation"),
  view: many(nodeCount, "incarnation"),
});
type State = StateOf<typeof membershipLayout>;
type SetOf = (index: number) => { incarnation: number };

interface Turn {
  readonly rules: Rules;
  readonly from: State;
  readonly moves: Moves<State>;
  readonly i: number;
}

const members = (set: SetOf): number[] => nodes.filter((j) => set(j).incarnation > 0);
const names = (list: readonly string[]): string => `{${list.filter((name) => name !== "").join()}}`;
const show = (incarnations: readonly number[]): string =>
  names(incarnations.map((life, j) => (life > 0 ? `n${j}${"'".repeat(life - 1)}` : "")));
const asList = (set: SetOf): number[] => nodes.map((j) => set(j).incarnation);
const write = (set: SetOf, incarnations: readonly number[]): void =>
  nodes.forEach((j) => (set(j).incarnation = incarnations[j]!));

/** R2: that very incarnation is alive. Without the rule any life of the node passes for it. */
function answers({ rules, from }: Turn, set: SetOf, j: number): boolean {
  const node = from.node(j);
  const { incarnation } = set(j);
  return node.up === 1 && incarnation > 0 && (!rules.r2Incarnation || incarnation === node.incarnation);
}

export function membershipModel(faults: MembershipFaults, rules: Rules = rulesOn(membershipRules)): Model<State> {
  return {
    name: `membership model ${JSON.stringify(faults)}`,
    layout: membershipLayout,
    start(state) {
      Object.assign(state.world, { leader: 1, epoch: 1, ...faults });
      state.leader.phase = LeaderPhase.active;
      for (const i of nodes) Object.assign(state.node(i), { up: 1, incarnation: 1, epoch: 1 });
      write(state.registered, [1, 1, 1, 0]);
      write(state.view, [1, 1, 1, 0]);
    },
    moves(from, moves) {
      for (const i of nodes) {
        const turn = { rules, from, moves, i };
        lifeMoves(turn);
        if (!from.node(i).up || from.world.leader !== i + 1) continue;
        if (from.leader.phase === LeaderPhase.active) leaderMoves(turn);
        else activationMoves(turn);
      }
    },
    violation: (state) => (state.world.grants > 1 ? "double" : undefined),
  };
}

function lifeMoves({ from, moves, i }: Turn): void {
  const { world } = from;
  const me = from.node(i);
  const leads = world.leader === i + 1;
  if (me.up && world.crashes) {
    const crash = (applied: boolean): void =>
      moves.fault(`n${i} crashes${applied ? ", its write of the in-sync set was applied" : ""}`, (to) => {
        to.world.crashes--;
        to.node(i).clear();
        to.node(i).incarnation = me.incarnation;
        if (!leads) return;
        if (applied) write(to.registered, asList(from.proposed));
        to.world.leader = to.world.write = 0;
        to.leader.clear();
        write(to.proposed, [0, 0, 0, 0]);
        write(to.view, [0, 0, 0, 0]);
      });
    crash(false);
    if (leads && world.write === Write.sent) crash(true);
  }
  if (!me.up && world.restarts) {
    moves.fault(`n${i} restarts empty, as a new incarnation`, (to) => {
      to.world.restarts--;
      Object.assign(to.node(i), { up: 1, incarnation: me.incarnation + 1 });
    });
  }
  if (me.up && !world.leader && world.elections) {
    moves.step(`n${i} is elected, epoch ${world.epoch + 1}`, (to) => {
      to.world.elections--;
      to.world.leader = i + 1;
      to.node(i).epoch = ++to.world.epoch;
      to.leader.phase = LeaderPhase.merging;
    });
  }
}

function activationMoves(turn: Turn): void {
  const { rules, from, moves, i } = turn;
  const me = from.node(i);
  const { phase, pushed } = from.leader;
  const chosen = members(from.view).length > 0;
  if (phase === LeaderPhase.merging) {
    for (const j of nodes) {
      const mayGive = rules.r4MergeTheLastSet ? answers(turn, from.registered, j) : from.node(j).up === 1;
      if (!mayGive || from.node(j).epoch > me.epoch) continue;
      moves.step(`n${i} merges n${j} (the last set is ${show(asList(from.registered))})`, (to) => {
        to.node(j).epoch = me.epoch;
        to.node(i).knows |= from.node(j).knows;
        to.leader.phase = LeaderPhase.choosing;
      });
    }
  }
  if (phase === LeaderPhase.choosing && !chosen) chooseMoves(turn);
  if (!chosen || phase === LeaderPhase.merging) return;
  for (const j of members(from.view)) {
    if (!answers(turn, from.view, j) || (pushed >> j) & 1 || from.node(j).epoch !== me.epoch) continue;
    moves.step(`n${i} pushes the merged state to n${j}`, (to) => {
      to.node(j).knows |= me.knows;
      to.leader.pushed |= 1 << j;
    });
  }
  if (members(from.view).every((j) => (pushed >> j) & 1)) {
    const writes = rules.r4PushBeforeWrite ? `writes ${show(asList(from.view))} to ZooKeeper and ` : "";
    moves.step(`n${i} ${writes}is active`, (to) => {
      to.leader.phase = LeaderPhase.active;
      if (rules.r4PushBeforeWrite) write(to.registered, asList(from.view));
    });
  }
  if (phase === LeaderPhase.choosing && members(from.view).some((j) => !answers(turn, from.view, j))) {
    moves.step(`n${i} gives that set up`, (to) => {
      write(to.view, [0, 0, 0, 0]);
      to.leader.pushed = 0;
    });
  }
}

function chooseMoves({ rules, from, moves, i }: Turn): void {
  const me = from.node(i);
  for (let mask = 1; mask < 1 << nodeCount; mask++) {
    const chosen = nodes.filter((j) => (mask >> j) & 1);
    const reachable = chosen.every((j) => from.node(j).up && from.node(j).epoch <= me.epoch);
    if (!chosen.includes(i) || chosen.length < minInSync || !reachable) continue;
    const set = nodes.map((j) => (chosen.includes(j) ? from.node(j).incarnation : 0));
    const then = rules.r4PushBeforeWrite ? "" : ", then that set to ZooKeeper";
    moves.step(`n${i} writes its epoch to ${show(set)}${then}`, (to) => {
      for (const j of chosen) to.node(j).epoch = me.epoch;
      write(to.view, set);
      to.leader.pushed = 1 << i;
      if (rules.r4PushBeforeWrite) return;
      write(to.registered, set);
      to.leader.phase = LeaderPhase.written;
    });
  }
}

function leaderMoves(turn: Turn): void {
  const { from, moves, i } = turn;
  const me = from.node(i);
  if (from.world.write === Write.none) changeMoves(turn);
  if (from.world.write === Write.sent) {
    moves.step(`ZooKeeper applies ${show(asList(from.proposed))}, the answer is under way`, (to) => {
      write(to.registered, asList(from.proposed));
      to.world.write = Write.applied;
    });
  }
  if (from.world.write === Write.applied) {
    moves.step(`n${i} hears it: in-sync ${show(asList(from.proposed))}`, (to) => {
      write(to.view, asList(from.proposed));
      write(to.proposed, [0, 0, 0, 0]);
      to.world.write = Write.none;
      for (const j of nodes) if (!answers(turn, to.view, j)) to.leader.acks &= ~(1 << j);
    });
  }
  if (!me.knows && !from.leader.waiting) {
    moves.step(`n${i} e${me.epoch} decides to grant, sends the delta`, (to) => {
      to.node(i).knows = 1;
      to.leader.waiting = 1;
      to.leader.acks = 1 << i;
    });
  }
  if (from.leader.waiting) releaseMoves(turn);
}

function changeMoves(turn: Turn): void {
  const { rules, from, moves, i } = turn;
  const me = from.node(i);
  const current = asList(from.view);
  const send = (label: string, set: number[], learner?: number): void =>
    moves.step(`n${i} ${label}, sends ${show(set)} to ZooKeeper`, (to) => {
      if (learner !== undefined) {
        to.node(learner).epoch = me.epoch;
        to.node(learner).knows |= me.knows;
      }
      write(to.proposed, set);
      to.world.write = Write.sent;
    });
  const gone = members(from.view).filter((j) => !answers(turn, from.view, j));
  for (const j of nodes) {
    const learner = from.node(j);
    if (!learner.up || current[j] === learner.incarnation || learner.epoch > me.epoch) continue;
    const joined = current.with(j, learner.incarnation);
    send(`has synchronised learner n${j}`, joined, j);
    // The same write may replace a member that is gone (R3): the set need never fall below its minimum.
    for (const dead of gone) {
      if (dead !== j) send(`has synchronised learner n${j} in place of n${dead}`, joined.with(dead, 0), j);
    }
  }
  const floor = rules.r3NeverBelowMinInSync ? minInSync : 1;
  if (members(from.view).length <= floor) return;
  for (const j of gone) send(`evicts n${j}`, current.with(j, 0));
}

/** R3: the whole set, and of both sets while a change is under way, must have acknowledged. */
function releaseMoves(turn: Turn): void {
  const { rules, from, moves, i } = turn;
  const me = from.node(i);
  const changing = from.world.write !== Write.none;
  for (const j of nodes) {
    const receives = answers(turn, from.view, j) || (changing && answers(turn, from.proposed, j));
    if (j === i || !receives || (from.leader.acks >> j) & 1 || from.node(j).epoch !== me.epoch) continue;
    moves.step(`n${j} acknowledges the delta`, (to) => {
      to.node(j).knows = 1;
      to.leader.acks |= 1 << j;
    });
  }
  const union = rules.r3UnionWhileChanging && changing;
  const needed = nodes.filter((j) => from.view(j).incarnation || (union && from.proposed(j).incarnation));
  const acknowledged = needed.every((j) => (from.leader.acks >> j) & 1);
  const enough = members(from.view).length >= minInSync && (!union || members(from.proposed).length >= minInSync);
  if (!acknowledged || !enough) return;
  moves.step(`n${i} e${me.epoch} RELEASES the grant, acknowledged by ${names(needed.map((j) => `n${j}`))}`, (to) => {
    to.world.grants++;
    to.leader.waiting = 0;
  });
}

export const membershipFaults = { crashes: 2, restarts: 1, elections: 2 };

export const membershipAblations: readonly Ablation<MembershipRule, MembershipFaults>[] = [
  ablation(
    "r2Incarnation",
    "comparing the incarnation, a restarted node passing for the one that acknowledged",
    membershipFaults,
    "double",
    14,
  ),
  ablation(
    "r3UnionWhileChanging",
    "the union of both sets while a change is under way",
    { crashes: 1, restarts: 1, elections: 2 },
    "double",
    14,
  ),
  ablation("r4MergeTheLastSet", "merging a member of the last set", membershipFaults, "double", 13),
  ablation("r4PushBeforeWrite", "pushing the merged state before the set is written", membershipFaults, "double", 17),
];
