/**
 * One table entry through elections: free and dirty entries, a decision that was distributed to some only, and the
 * merge of what the survivors hold. Four nodes, one task. (Just over 300 lines: decision, vote and merge are one story.)
 *
 * Covers: the replicated entry with (epoch, sequence) and dirty, one decision at a time (R3, R6), a leader that dies
 * anywhere in the middle, the merge and the push of the new one (R4, R5), grants that die with the epoch (R10), and
 * acknowledged reports of executed tasks (R13). With a truthful check two effects are a *double*; without a check
 * (`onUnknown: "execute"`) they are one unless as many runs ended unknown: a crash in the handler, or before the
 * executed report was acknowledged. An owned task that can never be committed is *stuck*.
 * Does not cover: messages in flight to the worker (revoke-model), the in-sync set's own changes (membership-model),
 * several keys.
 *
 * A finding: which of the survivors' entries wins a merge does not matter here: each holds everything that was
 * released and perhaps one decision more. "The highest (epoch, sequence) wins" is the second line behind R5.
 */
import type { Model, Moves, ViolationKind } from "./explore.ts";
import { layout, many, one, type StateOf } from "./packed.ts";
import { type Ablation, ablation, rulesOn } from "./ablation.ts";

export const mergeRules = [
  "r3WholeSetAcknowledges",
  "r3JoinerReplacesTheDead",
  "r4PushTheMerged",
  "r5HighestWins",
  "r6ReleaseKeepsDirty",
  "r6GoneIsDirty",
  "r13AcknowledgedWhenReplicated",
] as const;
export type MergeRule = (typeof mergeRules)[number];
type Rules = Readonly<Record<MergeRule, boolean>>;

export interface MergeBounds {
  readonly check: "truthful" | "none";
  readonly crashes: number;
  readonly rebalances: number;
  /** How often a live member may be evicted because it lags. */
  readonly lags: number;
}

const nodes: readonly number[] = [0, 1, 2, 3];
const minInSync = 2;
const Status = { absent: 0, free: 1, held: 2, executed: 3 } as const;
const Phase = { none: 0, granted: 1, adopted: 2, executing: 3, executed: 4 } as const;
const noLeader = { leader: 0, leading: 0, deciding: 0, acks: 0, merged: 0 };
const Leading = { none: 0, merging: 1, active: 2 } as const;

/** `set` is the in-sync set as a mask; `deciding` says that the leader's newest entry waits for acknowledgements. */
const mergeLayout = layout({
  world: one("leader", "leading", "epoch", "sequence", "set", "deciding", "acks", "merged"),
  truth: one("owner", "committed", "effects", "unknownEnds", "crashes", "rebalances", "lags"),
  entry: many(nodes.length, "epoch", "sequence", "holder", "status", "dirty"),
  node: many(nodes.length, "up", "phase", "acknowledged"),
});
type State = StateOf<typeof mergeLayout>;
type Entry = ReturnType<State["entry"]>;

interface Turn {
  readonly rules: Rules;
  readonly bounds: MergeBounds;
  readonly from: State;
  readonly moves: Moves<State>;
}

const has = (set: number, i: number): boolean => ((set >> i) & 1) === 1;
const alive = (state: State): number[] => nodes.filter((i) => state.node(i).up);
const copyEntry = (to: Entry, { epoch, sequence, holder, status, dirty }: Entry): void =>
  void Object.assign(to, { epoch, sequence, holder, status, dirty });

export function mergeModel(bounds: MergeBounds, rules: Rules = rulesOn(mergeRules)): Model<State> {
  return {
    name: `merge model ${JSON.stringify(bounds)}`,
    layout: mergeLayout,
    start(state) {
      Object.assign(state.world, { leader: 1, leading: Leading.active, epoch: 1, set: 0b1111 });
      const { crashes, rebalances, lags } = bounds;
      Object.assign(state.truth, { owner: 1, crashes, rebalances, lags });
      for (const i of nodes) state.node(i).up = 1;
    },
    moves(from, moves) {
      if (from.truth.committed) return;
      const turn = { rules, bounds, from, moves };
      faultMoves(turn);
      for (const i of alive(from)) workMoves(turn, i);
      if (!from.world.leader) electMoves(turn);
      else if (from.world.leading === Leading.merging) mergeMoves(turn);
      else {
        joinMoves(turn);
        if (from.world.deciding) voteMoves(turn);
        else decideMoves(turn);
      }
    },
    violation({ truth }): ViolationKind | undefined {
      const excused = bounds.check === "none" ? truth.unknownEnds : 0;
      return truth.effects > 1 + excused ? "double" : undefined;
    },
    isSettled,
  };
}

/** Committed, or excused: too few nodes, an owner that is gone, or nobody left of the last set (ceiling-model, R15). */
function isSettled(state: State): boolean {
  const { committed, owner } = state.truth;
  const leaderless = !alive(state).some((i) => has(state.world.set, i));
  return committed === 1 || alive(state).length < minInSync || !state.node(owner).up || leaderless;
}

function faultMoves({ from, moves }: Turn): void {
  for (const i of alive(from)) {
    const { phase, acknowledged } = from.node(i);
    if (from.truth.crashes) {
      const crash = (how: string, effect: number): void =>
        moves.fault(`n${i} crashes${how}`, (to) => {
          to.truth.crashes--;
          to.truth.effects += effect;
          if (phase === Phase.executing || (phase === Phase.executed && !acknowledged)) to.truth.unknownEnds++;
          to.node(i).clear();
          if (from.world.leader === i + 1) Object.assign(to.world, noLeader);
        });
      crash(phase === Phase.executing ? " in the handler, before the effect" : "", 0);
      if (phase === Phase.executing) crash(" in the handler, after the effect", 1);
    }
    if (!from.truth.rebalances || from.truth.owner === i) continue;
    moves.fault(`the partition moves n${from.truth.owner} -> n${i}`, (to) => {
      to.truth.rebalances--;
      to.truth.owner = i;
      const before = to.node(from.truth.owner);
      if (before.phase < Phase.executing) before.phase = Phase.none;
    });
  }
}

function workMoves({ bounds, from, moves }: Turn, i: number): void {
  const { phase } = from.node(i);
  const owns = from.truth.owner === i;
  if (phase === Phase.adopted && bounds.check === "truthful" && from.truth.effects > 0 && owns) {
    moves.step(`n${i} checks: executed -> drops and commits`, (to) => void (to.truth.committed = 1));
  } else if ((phase === Phase.granted || phase === Phase.adopted) && owns) {
    moves.step(
      `n${i} STARTS${phase === Phase.adopted ? ", adopted" : ""}`,
      (to) => void (to.node(i).phase = Phase.executing),
    );
  }
  if (phase === Phase.executing) {
    moves.step(`n${i} has executed (effect)`, (to) => {
      to.truth.effects++;
      to.node(i).phase = Phase.executed;
    });
  }
  if (phase === Phase.executed && owns) {
    moves.step(`n${i} commits`, (to) => void (to.truth.committed = 1));
  }
}

/** Only members of the last set compete here; membership-model has the others. */
function electMoves({ from, moves }: Turn): void {
  for (const i of alive(from)) {
    if (!has(from.world.set, i)) continue;
    moves.step(`n${i} is elected, epoch ${from.world.epoch + 1}`, (to) => {
      Object.assign(to.world, { leader: i + 1, leading: Leading.merging, merged: 1 << i, sequence: 0 });
      to.world.epoch++;
    });
  }
}

function mergeMoves({ rules, from, moves }: Turn): void {
  const { world } = from;
  const l = world.leader - 1;
  const mine = from.entry(l);
  for (const j of alive(from)) {
    if (has(world.merged, j) || !has(world.set, j)) continue;
    const theirs = from.entry(j);
    const higher = theirs.epoch - mine.epoch || theirs.sequence - mine.sequence;
    const merge = (takes: boolean): void =>
      moves.step(`n${l} merges n${j}: ${takes ? "takes its entry" : "keeps its own"}`, (to) => {
        to.world.merged |= 1 << j;
        if (takes) copyEntry(to.entry(l), theirs);
      });
    if (!rules.r5HighestWins || higher > 0) merge(true);
    if (!rules.r5HighestWins || higher <= 0) merge(false);
  }
  const set = alive(from).reduce((mask, j) => mask | (1 << j), 0);
  if (alive(from).length < minInSync) return;
  moves.step(`n${l} ${rules.r4PushTheMerged ? "pushes the merged entry and " : ""}is active`, (to) => {
    Object.assign(to.world, { leading: Leading.active, set, merged: 0 });
    for (const j of alive(from)) {
      if (rules.r4PushTheMerged) copyEntry(to.entry(j), mine);
      if (from.node(j).phase < Phase.executing) to.node(j).phase = Phase.none; // R10
    }
  });
}

/** A synchronised joiner takes the leader's entry; in the same write it takes the place of members that are gone. */
function joinMoves({ rules, from, moves }: Turn): void {
  const { world } = from;
  const l = world.leader - 1;
  const dead = nodes.filter((k) => has(world.set, k) && !from.node(k).up);
  for (const j of alive(from)) {
    if (has(world.set, j) || (dead.length > 0 && !rules.r3JoinerReplacesTheDead)) continue;
    moves.step(`n${j} joins the in-sync set`, (to) => {
      copyEntry(to.entry(j), from.entry(l));
      to.world.set = dead.reduce((set, k) => set & ~(1 << k), world.set | (1 << j));
      if (world.deciding) to.world.acks |= 1 << j;
    });
  }
}

/** R6, on one key: what the leader decides next for the owner's question or for an executed report. */
function decideMoves(turn: Turn): void {
  const { rules, from, moves } = turn;
  const { world, truth } = from;
  const l = world.leader - 1;
  const entry = from.entry(l);
  const decide = (label: string, change: (entry: Entry, to: State) => void): void =>
    moves.step(`leader n${l} e${world.epoch}: ${label}`, (to) => {
      const next = to.entry(l);
      next.epoch = world.epoch;
      next.sequence = ++to.world.sequence;
      change(next, to);
      to.world.deciding = 1;
      to.world.acks = 1 << l;
    });
  for (const i of alive(from)) {
    if (from.node(i).phase !== Phase.executed || entry.status === Status.executed) continue;
    decide(`n${i} reports executed`, (next, to) => {
      next.status = Status.executed;
      if (!rules.r13AcknowledgedWhenReplicated) to.node(i).acknowledged = 1;
    });
  }
  const asker = truth.owner;
  if (!from.node(asker).up || from.node(asker).phase !== Phase.none) return;
  const give = (): void =>
    decide(`${entry.dirty ? "adoption" : "grant"} for n${asker}`, (next) => {
      next.status = Status.held;
      next.holder = asker + 1;
    });
  const holder = entry.holder - 1;
  if (entry.status === Status.executed) {
    moves.step(`leader n${l}: executed -> n${asker} drops and commits`, (to) => void (to.truth.committed = 1));
  } else if (entry.status !== Status.held || holder === asker) {
    give();
  } else if (!from.node(holder).up) {
    decide(`holder n${holder} is gone: free, dirty`, (next) => {
      next.status = Status.free;
      next.holder = 0;
      if (rules.r6GoneIsDirty) next.dirty = 1;
    });
  } else if (from.node(holder).phase < Phase.executing) {
    decide(`n${holder} gives it back: free${entry.dirty ? ", dirty" : ""}`, (next, to) => {
      next.status = Status.free;
      next.holder = 0;
      if (!rules.r6ReleaseKeepsDirty) next.dirty = 0;
      to.node(holder).phase = Phase.none;
    });
  }
}

function voteMoves({ rules, from, moves }: Turn): void {
  const { world } = from;
  const l = world.leader - 1;
  const entry = from.entry(l);
  for (const j of nodes) {
    if (!has(world.set, j) || has(world.acks, j)) continue;
    if (from.node(j).up) {
      moves.step(`n${j} applies and acknowledges`, (to) => {
        copyEntry(to.entry(j), entry);
        to.world.acks |= 1 << j;
      });
    }
    const lags = from.node(j).up === 1;
    if (nodes.filter((k) => has(world.set, k)).length <= minInSync || (lags && !from.truth.lags)) continue;
    moves[lags ? "fault" : "step"](`leader n${l} evicts n${j}${lags ? ", which lags" : ""}`, (to) => {
      to.world.set &= ~(1 << j);
      if (lags) to.truth.lags--;
    });
  }
  const acknowledged = nodes.filter((j) => has(world.set & world.acks, j)).length;
  const complete = rules.r3WholeSetAcknowledges ? (world.set & ~world.acks) === 0 : acknowledged >= minInSync;
  if (!complete) return;
  const holder = entry.holder - 1;
  moves.step(`leader n${l} releases the decision`, (to) => {
    to.world.deciding = to.world.acks = 0;
    if (entry.status === Status.executed) {
      for (const j of nodes) if (from.node(j).phase === Phase.executed) to.node(j).acknowledged = 1;
    }
    if (entry.status !== Status.held || from.truth.owner !== holder || !from.node(holder).up) return;
    if (from.node(holder).phase === Phase.none) {
      to.node(holder).phase = entry.dirty ? Phase.adopted : Phase.granted;
    }
  });
}

const truthful: MergeBounds = { check: "truthful", crashes: 1, rebalances: 2, lags: 0 };
const none: MergeBounds = { check: "none", crashes: 2, rebalances: 1, lags: 0 };
const lagging: MergeBounds = { check: "none", crashes: 2, rebalances: 1, lags: 1 };
export const mergeBounds = { truthful, none, lagging };

export const mergeAblations: readonly Ablation<MergeRule, MergeBounds>[] = [
  ablation("r3WholeSetAcknowledges", "acknowledgements of the whole set, two being enough", none, "double", 14),
  ablation("r3JoinerReplacesTheDead", "replacing dead members by a joiner in one write", lagging, "stuck", 4),
  ablation("r4PushTheMerged", "pushing the merged entry to the new set", lagging, "double", 19),
  ablation("r6ReleaseKeepsDirty", "keeping dirty at a release", truthful, "double", 28),
  ablation("r6GoneIsDirty", "marking the entry of a holder that is gone dirty", truthful, "double", 19),
  ablation("r13AcknowledgedWhenReplicated", "replicating an executed report before its answer", none, "double", 21),
];
