/**
 * A node that comes back as a new incarnation: two nodes, one task, a perfect leader, messages in flight across the
 * restart, and effects that reach the sink after their process died.
 *
 * Covers: holders, verdicts and revokes that name an incarnation (R2), a holder that is gone leaves a dirty entry (R6),
 * the settle time between the end of a run and the check (R12). The check is truthful about the moment it is asked.
 * Does not cover: the in-sync set across restarts (membership-model), elections, time as numbers, the full restart of
 * the cluster (ceiling-model).
 *
 * Violations: *double* = two effects; *stuck* = the task can never be committed though its owner is up.
 */
import type { Model, Moves } from "./explore.ts";
import { layout, many, one, type StateOf } from "./packed.ts";
import { type Ablation, ablation, rulesOn } from "./ablation.ts";

export const restartRules = [
  "r2HolderIsAnIncarnation",
  "r2RevokeNamesTheIncarnation",
  "r2VerdictNamesTheIncarnation",
  "r6GoneIsDirty",
  "r12SettleBeforeTheCheck",
] as const;
export type RestartRule = (typeof restartRules)[number];
type Rules = Readonly<Record<RestartRule, boolean>>;

export interface RestartBounds {
  readonly crashes: number;
  readonly restarts: number;
  readonly rebalances: number;
}

const nodes: readonly number[] = [0, 1];
const Status = { absent: 0, free: 1, held: 2, executed: 3 } as const;
const Phase = { none: 0, claimed: 1, granted: 2, adopted: 3, checked: 4, executing: 5, executed: 6 } as const;

/** `inAir` counts effects that were sent and not yet applied; `verdict` and `revoke` are the messages in flight. */
const restartLayout = layout({
  world: one("owner", "committed", "effects", "inAir", "crashes", "restarts", "rebalances"),
  entry: one("status", "holder", "incarnation", "dirty"),
  node: many(nodes.length, "up", "incarnation", "phase"),
  verdict: many(nodes.length, "incarnation", "adopts"),
  revoke: one("node", "incarnation"),
});
type State = StateOf<typeof restartLayout>;

interface Turn {
  readonly rules: Rules;
  readonly from: State;
  readonly moves: Moves<State>;
  readonly i: number;
}

export function restartModel(bounds: RestartBounds, rules: Rules = rulesOn(restartRules)): Model<State> {
  return {
    name: `restart model ${JSON.stringify(bounds)}`,
    layout: restartLayout,
    start(state) {
      Object.assign(state.world, bounds);
      for (const i of nodes) Object.assign(state.node(i), { up: 1, incarnation: 1 });
    },
    moves(from, moves) {
      if (from.world.committed && !from.world.inAir) return;
      if (from.world.inAir) {
        moves.step("an effect of a dead process reaches the sink", (to) => {
          to.world.inAir--;
          to.world.effects++;
        });
      }
      for (const i of nodes) {
        const turn = { rules, from, moves, i };
        lifeMoves(turn);
        messageMoves(turn);
        if (!from.node(i).up || from.world.committed) continue;
        workMoves(turn);
        if (from.node(i).phase === Phase.claimed) settleMoves(turn);
      }
    },
    violation: ({ world }) => (world.effects > 1 ? "double" : undefined),
    isSettled: ({ world, node }) => world.committed === 1 || !node(world.owner).up,
  };
}

function lifeMoves({ from, moves, i }: Turn): void {
  const { world } = from;
  const me = from.node(i);
  if (me.up && world.crashes) {
    const crash = (how: string, change: (to: State) => void): void =>
      moves.fault(`n${i} crashes${how}`, (to) => {
        to.world.crashes--;
        Object.assign(to.node(i), { up: 0, phase: Phase.none });
        change(to);
      });
    if (me.phase !== Phase.executing) crash("", () => {});
    else {
      crash(" in the handler, before the effect", () => {});
      crash(" in the handler, after the effect", (to) => void to.world.effects++);
      crash(" in the handler, its effect under way", (to) => void to.world.inAir++);
    }
  }
  if (!me.up && world.restarts) {
    moves.fault(`n${i} restarts as incarnation ${me.incarnation + 1}`, (to) => {
      to.world.restarts--;
      Object.assign(to.node(i), { up: 1, incarnation: me.incarnation + 1 });
    });
  }
  if (me.up && world.owner !== i && world.rebalances) {
    moves.fault(`the partition moves to n${i}`, (to) => {
      to.world.rebalances--;
      to.world.owner = i;
      const before = to.node(world.owner);
      if (before.phase < Phase.executing) before.phase = Phase.none;
    });
  }
}

function messageMoves({ rules, from, moves, i }: Turn): void {
  const me = from.node(i);
  const { incarnation, adopts } = from.verdict(i);
  if (incarnation && me.up) {
    const foreign = rules.r2VerdictNamesTheIncarnation && incarnation !== me.incarnation;
    const taken = !foreign && me.phase === Phase.claimed && from.world.owner === i;
    moves.step(`n${i}#${me.incarnation} ${taken ? "receives" : "ignores"} the verdict for #${incarnation}`, (to) => {
      to.verdict(i).clear();
      if (taken) to.node(i).phase = adopts ? Phase.adopted : Phase.granted;
    });
  }
  if (from.revoke.node !== i + 1) return;
  if (!me.up) {
    moves.step(`the revoke finds n${i} gone`, (to) => to.revoke.clear());
  } else if (rules.r2RevokeNamesTheIncarnation && from.revoke.incarnation !== me.incarnation) {
    moves.step(`n${i}#${me.incarnation} does not answer the revoke for #${from.revoke.incarnation}`, (to) =>
      to.revoke.clear(),
    );
  } else {
    answerRevoke({ rules, from, moves, i });
  }
}

function answerRevoke({ from, moves, i }: Turn): void {
  const me = from.node(i);
  if (me.phase === Phase.executing) {
    moves.step(`n${i}#${me.incarnation} answers the revoke: running`, (to) => to.revoke.clear());
  } else {
    const executed = me.phase === Phase.executed;
    moves.step(`n${i}#${me.incarnation} answers the revoke: ${executed ? "executed" : "refused"}`, (to) => {
      to.revoke.clear();
      Object.assign(to.entry, { status: executed ? Status.executed : Status.free, holder: 0, incarnation: 0 });
      if (executed) return;
      // The refused sequence (revoke-model): the verdict in flight to this incarnation will be ignored.
      if (from.verdict(i).incarnation === me.incarnation) to.verdict(i).clear();
      if (me.phase !== Phase.claimed) to.node(i).phase = Phase.none;
    });
  }
}

function workMoves({ from, moves, i }: Turn): void {
  const { world } = from;
  const me = from.node(i);
  const name = `n${i}#${me.incarnation}`;
  const owns = world.owner === i;
  const become = (label: string, phase: number): void =>
    moves.step(`${name} ${label}`, (to) => void (to.node(i).phase = phase));
  if (owns && me.phase === Phase.none) become("is delivered the task and claims", Phase.claimed);
  if (owns && me.phase === Phase.adopted) {
    if (world.effects > 0) {
      moves.step(`${name} checks: executed -> drops and commits`, (to) => void (to.world.committed = 1));
    } else {
      become("checks: not executed", Phase.checked);
    }
  }
  if (owns && (me.phase === Phase.granted || me.phase === Phase.checked)) become("STARTS", Phase.executing);
  if (me.phase === Phase.executing) {
    moves.step(`${name} has executed (effect)`, (to) => {
      to.world.effects++;
      to.node(i).phase = Phase.executed;
    });
  }
  if (owns && me.phase === Phase.executed) moves.step(`${name} commits`, (to) => void (to.world.committed = 1));
}

function settleMoves({ rules, from, moves, i }: Turn): void {
  const { entry, revoke } = from;
  const me = from.node(i);
  const h = entry.holder - 1;
  if (entry.status === Status.executed) {
    moves.step(`leader: executed -> n${i} drops and commits`, (to) => void (to.world.committed = 1));
    return;
  }
  const give = (): void => {
    if (from.verdict(i).incarnation === me.incarnation) return;
    moves.step(`leader gives ${entry.dirty ? "an adoption" : "a grant"} to n${i}#${me.incarnation}`, (to) => {
      Object.assign(to.entry, { status: Status.held, holder: i + 1, incarnation: me.incarnation });
      Object.assign(to.verdict(i), { incarnation: me.incarnation, adopts: entry.dirty });
    });
  };
  if (h < 0) return give();
  if (h === i && (!rules.r2HolderIsAnIncarnation || entry.incarnation === me.incarnation)) return give();
  const holder = from.node(h);
  // Without the rule the leader takes a restarted holder for the one it gave the task to.
  const sameLife = entry.incarnation === holder.incarnation || !rules.r2RevokeNamesTheIncarnation;
  if (holder.up && h !== i && sameLife) {
    if (revoke.node) return;
    moves.step(`leader revokes at n${h}#${entry.incarnation}`, (to) => {
      Object.assign(to.revoke, { node: h + 1, incarnation: entry.incarnation });
    });
  } else if (!rules.r12SettleBeforeTheCheck || from.world.inAir === 0) {
    moves.step(`leader: n${h}#${entry.incarnation} is gone: free${rules.r6GoneIsDirty ? ", dirty" : ""}`, (to) => {
      Object.assign(to.entry, { status: Status.free, holder: 0, incarnation: 0 });
      if (rules.r6GoneIsDirty) to.entry.dirty = 1;
    });
  }
}

const restarted: RestartBounds = { crashes: 2, restarts: 2, rebalances: 2 };
export const restartBounds = { restarted };

export const restartAblations: readonly Ablation<RestartRule, RestartBounds>[] = [
  ablation("r2HolderIsAnIncarnation", "telling a restarted holder from the one before", restarted, "double", 11),
  ablation("r2RevokeNamesTheIncarnation", "naming the incarnation in a revoke", restarted, "double", 14),
  ablation("r2VerdictNamesTheIncarnation", "naming the incarnation in a verdict", restarted, "double", 16),
  ablation("r6GoneIsDirty", "marking the entry of a holder that is gone dirty", restarted, "double", 12),
  ablation("r12SettleBeforeTheCheck", "the settle time between a death and the check", restarted, "double", 14),
];
