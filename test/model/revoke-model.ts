/**
 * What may be under way when a grant is taken back: two nodes, one task, a perfect leader, and verdicts, revokes and
 * refusals that overtake each other. Nobody crashes here.
 *
 * Covers: the revoke and its synchronous answer, the remembered refused sequence, verdicts for another ownership
 * (R11), redelivery to the node that still runs the task (R8), the discarded copies at a revoke barrier (R14), the
 * start check of ownership (R9), "I run nothing more" (R22), and claims of an old group generation (R24).
 * Does not cover: elections and replication, dirty entries (nothing ends unknown without a crash), attempts.
 *
 * Violations: *double* = two effects; *stuck* = the task can never be committed; *broken* = more grants than two for
 * each fault: nodes that revoke each other in turns.
 *
 * A finding: ignoring verdicts for another ownership has no counterexample beside the refused sequence. It spares a
 * node that lost and regained a partition a start under a grant it has forgotten, which is confusing, not a double.
 */
import type { Model, Moves } from "./explore.ts";
import { layout, many, one, type StateOf } from "./packed.ts";
import { rulesOn } from "./ablation.ts";

export const revokeRules = [
  "r8JoinsWhatRuns",
  "r8JoinsWhatItExecuted",
  "r11RefusedSequence",
  "r11OtherOwnership",
  "r11RefusesTheUnknown",
  "r11RefusalGivesUp",
  "r11RefusalNamesItsGrant",
  "r22NothingRunsWhenItSaysSo",
  "r24RefusesOldGenerations",
] as const;
export type RevokeRule = (typeof revokeRules)[number];
type Rules = Readonly<Record<RevokeRule, boolean>>;

export interface RevokeBounds {
  readonly rebalances: number;
  /** Claims sent again although their verdict is only late. */
  readonly resends: number;
  /** Revokes asked again although the answer is only late: a second refusal of the same grant comes after the first. */
  readonly repeats: number;
  readonly drains: number;
}

const nodes: readonly number[] = [0, 1];
const slots: readonly number[] = [0, 1];
const Copy = { none: 0, held: 1, claimed: 2, granted: 3 } as const;

/**
 * `holder` and `sequence` are the table's entry, `executed` its final phase. A node's `ownership` is the number under
 * which it believes to own the partition (0 = it does not), `copy` its newest unstarted copy, `running` its handlers.
 * `refusing` is the sequence of a refusal that is on its way to the leader, `repeated` that of the answer to a revoke
 * that was asked again. A verdict is (node + 1, sequence, ownership).
 */
const revokeLayout = layout({
  world: one("owner", "ownerships", "committed", "effects", "holder", "sequence", "executed"),
  budget: one("rebalances", "resends", "repeats", "drains"),
  node: many(nodes.length, "ownership", "copy", "running", "done", "refused", "refusing", "repeated", "draining"),
  verdict: many(slots.length, "node", "sequence", "ownership"),
});
type State = StateOf<typeof revokeLayout>;

interface Turn {
  readonly rules: Rules;
  readonly from: State;
  readonly moves: Moves<State>;
  readonly i: number;
}

export function revokeModel(bounds: RevokeBounds, rules: Rules = rulesOn(revokeRules)): Model<State> {
  const grantsMax = 1 + 2 * (bounds.rebalances + bounds.resends + bounds.repeats + bounds.drains);
  return {
    name: `revoke model ${JSON.stringify(bounds)}`,
    layout: revokeLayout,
    start(state) {
      Object.assign(state.budget, bounds);
      Object.assign(state.world, { owner: 0, ownerships: 1 });
      Object.assign(state.node(0), { ownership: 1, copy: Copy.held });
    },
    moves(from, moves) {
      if (from.world.committed) return;
      for (const i of nodes) {
        const turn = { rules, from, moves, i };
        ownershipMoves(turn);
        verdictMoves(turn);
        runMoves(turn);
        settleMoves(turn);
        drainMoves(turn);
      }
    },
    violation({ world }) {
      if (world.effects > 1) return "double";
      return world.sequence > grantsMax ? "broken" : undefined;
    },
    isSettled: ({ world, node }) => world.committed === 1 || node(world.owner).draining === 1,
  };
}

function ownershipMoves({ rules, from, moves, i }: Turn): void {
  const { world } = from;
  const me = from.node(i);
  if (world.owner !== i && from.budget.rebalances && !me.draining) {
    moves.fault(`Kafka moves the partition to n${i}`, (to) => {
      to.budget.rebalances--;
      to.world.owner = i;
    });
  }
  if (world.owner !== i && me.ownership) {
    moves.step(`n${i} learns that it lost the partition`, (to) => {
      to.node(i).ownership = 0;
      to.node(i).copy = Copy.none; // R14: the barrier discards what has not started
    });
  }
  if (world.owner === i && !me.ownership) {
    const runs = me.running > 0;
    const joins = (runs && rules.r8JoinsWhatRuns) || (!runs && me.done === 1 && rules.r8JoinsWhatItExecuted);
    moves.step(`n${i} is delivered the task${joins ? ", which it runs or ran" : ""}`, (to) => {
      to.node(i).ownership = ++to.world.ownerships;
      if (!joins && me.copy === Copy.none) to.node(i).copy = Copy.held;
    });
  }
}

function verdictMoves({ rules, from, moves, i }: Turn): void {
  const me = from.node(i);
  if (me.copy === Copy.held && me.ownership && !me.draining) {
    moves.step(`n${i} claims`, (to) => {
      to.node(i).copy = Copy.claimed;
    });
  }
  if (me.copy === Copy.claimed && from.budget.resends && slots.some((k) => from.verdict(k).node === i + 1)) {
    moves.fault(`n${i} does not wait for the verdict and will claim again`, (to) => {
      to.budget.resends--;
      to.node(i).copy = Copy.held;
    });
  }
  for (const k of slots) {
    const { node, sequence, ownership } = from.verdict(k);
    if (node !== i + 1) continue;
    const refused = rules.r11RefusedSequence && sequence <= me.refused;
    const foreign = rules.r11OtherOwnership && ownership !== me.ownership;
    const ignored = refused || foreign || me.copy !== Copy.claimed;
    moves.step(`n${i} ${ignored ? "ignores" : "receives"} grant s${sequence} for its ownership ${ownership}`, (to) => {
      to.verdict(k).clear();
      if (!ignored) to.node(i).copy = Copy.granted;
    });
  }
}

function runMoves({ from, moves, i }: Turn): void {
  const me = from.node(i);
  if (me.copy === Copy.granted && me.ownership) {
    moves.step(`n${i} STARTS${me.running ? " a second copy" : ""}`, (to) => {
      to.node(i).copy = Copy.none;
      to.node(i).running++;
    });
  }
  if (me.running) {
    moves.step(`n${i} has executed (effect)`, (to) => {
      to.node(i).running--;
      to.node(i).done = 1;
      to.world.effects++;
    });
  }
  if (me.done && !me.running && from.world.owner === i && me.ownership) {
    moves.step(`n${i} commits`, (to) => {
      to.world.committed = 1;
    });
  }
}

/** The leader settles the claim of node i; a refusal and the verdict after it are messages of their own. */
function settleMoves({ rules, from, moves, i }: Turn): void {
  const { world } = from;
  const me = from.node(i);
  if (me.refusing) {
    const frees = world.holder === i + 1 && world.sequence === me.refusing;
    moves.step(`leader hears the refusal of n${i}${frees ? ": free" : ""}`, (to) => {
      to.node(i).refusing = 0;
      if (frees) to.world.holder = 0;
    });
    if (from.budget.repeats && !me.repeated) {
      moves.fault(`leader asks n${i} again, which refuses s${me.refusing} again`, (to) => {
        to.budget.repeats--;
        to.node(i).repeated = me.refusing;
      });
    }
  }
  if (me.repeated && !me.refusing) {
    const frees = rules.r11RefusalNamesItsGrant
      ? world.holder === i + 1 && world.sequence === me.repeated
      : world.holder > 0;
    moves.step(`leader hears n${i} refuse s${me.repeated} again${frees ? ": free" : ""}`, (to) => {
      to.node(i).repeated = 0;
      if (frees) to.world.holder = 0;
    });
  }
  const newest = Math.max(...nodes.map((j) => from.node(j).ownership));
  if (rules.r24RefusesOldGenerations && me.copy === Copy.claimed && me.ownership < newest) {
    moves.step(`leader refuses the claim of n${i}: an old group generation`, (to) => {
      to.node(i).copy = Copy.held;
    });
    return;
  }
  const waiting = slots.every((k) => from.verdict(k).node !== i + 1 || from.verdict(k).sequence !== world.sequence);
  const slot = slots.find((k) => !from.verdict(k).node);
  if (me.copy !== Copy.claimed || me.draining) return;
  if (world.executed) {
    moves.step(`leader: executed -> n${i} drops and commits`, (to) => {
      to.world.committed = 1;
    });
  } else if (!world.holder || (world.holder === i + 1 && waiting)) {
    if (slot === undefined) return;
    moves.step(`leader grants s${world.sequence + 1} to n${i}`, (to) => {
      to.world.holder = i + 1;
      const sequence = ++to.world.sequence;
      // A claim names the ownership under which it was sent; a late one is answered for that number.
      Object.assign(to.verdict(slot), { node: i + 1, sequence, ownership: me.ownership });
    });
  } else if (world.holder !== i + 1) {
    revokeMoves({ rules, from, moves, i: world.holder - 1 });
  }
}

/** R11: node i, the holder, answers a revoke in one step. */
function revokeMoves({ rules, from, moves, i }: Turn): void {
  const { world } = from;
  const me = from.node(i);
  if (me.refusing || me.running) return;
  if (me.done) {
    moves.step(`leader asks n${i}: executed`, (to) => {
      to.world.executed = 1;
      to.world.holder = 0;
    });
    return;
  }
  const knows = me.copy === Copy.granted;
  if (!knows && !rules.r11RefusesTheUnknown) return;
  moves.step(`leader revokes s${world.sequence} at n${i}: refused`, (to) => {
    const node = to.node(i);
    node.refusing = world.sequence;
    node.refused = Math.max(me.refused, world.sequence);
    if (knows && rules.r11RefusalGivesUp) node.copy = Copy.held;
  });
}

function drainMoves({ rules, from, moves, i }: Turn): void {
  const me = from.node(i);
  if (from.budget.drains && !me.draining && nodes.every((j) => !from.node(j).draining)) {
    moves.fault(`n${i} begins to drain and leaves the group`, (to) => {
      to.budget.drains--;
      to.node(i).draining = 1;
      to.node(i).copy = Copy.none;
      if (from.world.owner === i) to.world.owner = 1 - i;
      to.node(i).ownership = 0;
    });
  }
  const mayRun = me.running > 0 || me.done === 1;
  if (me.draining && from.world.holder === i + 1 && !(mayRun && rules.r22NothingRunsWhenItSaysSo)) {
    moves.step(`n${i} says "I run nothing more": its entry is free`, (to) => {
      to.world.holder = 0;
    });
  }
}

const rebalanced: RevokeBounds = { rebalances: 3, resends: 1, repeats: 0, drains: 0 };
const drained: RevokeBounds = { rebalances: 2, resends: 0, repeats: 0, drains: 1 };
const once: RevokeBounds = { rebalances: 1, resends: 0, repeats: 0, drains: 0 };
const askedTwice: RevokeBounds = { rebalances: 2, resends: 1, repeats: 1, drains: 0 };
export const revokeBounds = { rebalanced, drained, once, askedTwice };
