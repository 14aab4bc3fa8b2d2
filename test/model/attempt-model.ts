/**
 * Attempts, ends that are unknown, and what is done at the end of the road: two nodes, one task, a perfect leader.
 *
 * Covers: every attempt as a start of its own, attempts that travel with a refusal, aborted runs as unknown and never
 * as failed, the limit of unknown ends, dead letters and parked records that count when their write is acknowledged
 * (R23), and `onUnknown` with its need for exact evidence before a drop (R20).
 * Does not cover: back-off as time, elections, messages in flight (revoke-model), attempts kept across a full restart.
 *
 * Violations: *double* = two effects (without a check: more than one beside the runs that ended unknown); *loss* =
 * committed with no effect, no dead letter, nothing parked, and no drop on exact evidence; *broken* = more failed
 * attempts, unknown ends or dead letters than the limits allow; *stuck* = an owned task that never ends.
 */
import type { Model, Moves, ViolationKind } from "./explore.ts";
import { layout, many, one, type StateOf } from "./packed.ts";
import { type Ablation, ablation, rulesOn } from "./ablation.ts";

export const attemptRules = [
  "r20DropNeedsExactEvidence",
  "r23EveryAttemptIsAStart",
  "r23AttemptsTravel",
  "r23AbortedIsUnknown",
  "r23UnknownEndsAreLimited",
  "r23DeadWhenAcknowledged",
] as const;
export type AttemptRule = (typeof attemptRules)[number];
type Rules = Readonly<Record<AttemptRule, boolean>>;

export interface AttemptBounds {
  readonly check: "truthful" | "none";
  readonly onUnknown: "execute" | "drop" | "park";
  readonly crashes: number;
  readonly aborts: number;
  readonly rebalances: number;
  /** The Bloom filter takes the task for one it has seen. */
  readonly falsePositive: boolean;
}

const nodes: readonly number[] = [0, 1];
const attemptsMax = 2;
const unknownMax = 2;
const Status = { free: 0, held: 1, executed: 2, final: 3 } as const;
const Phase = {
  none: 0,
  waiting: 1,
  adopted: 2,
  running: 3,
  executed: 4,
  unknown: 5,
  exhausted: 6,
  parking: 7,
} as const;
const isUnstarted = (phase: number): boolean => phase === Phase.waiting || phase === Phase.adopted;
const isWriting = (phase: number): boolean => phase === Phase.exhausted || phase === Phase.parking;

/** `dropped` is a drop on exact evidence; `waiting` a granted task before its first or between two attempts. */
const attemptLayout = layout({
  world: one("owner", "committed", "effects", "unknownEnds", "failures", "deadLetters", "parked", "dropped"),
  budget: one("crashes", "aborts", "rebalances"),
  entry: one("status", "holder", "dirty", "attempts", "unknowns", "bloomOnly"),
  node: many(nodes.length, "up", "phase", "attempts"),
});
type State = StateOf<typeof attemptLayout>;

interface Turn {
  readonly rules: Rules;
  readonly bounds: AttemptBounds;
  readonly from: State;
  readonly moves: Moves<State>;
  readonly i: number;
}

export function attemptModel(bounds: AttemptBounds, rules: Rules = rulesOn(attemptRules)): Model<State> {
  return {
    name: `attempt model ${JSON.stringify(bounds)}`,
    layout: attemptLayout,
    start(state) {
      const { crashes, aborts, rebalances } = bounds;
      Object.assign(state.budget, { crashes, aborts, rebalances });
      state.entry.bloomOnly = bounds.falsePositive ? 1 : 0;
      for (const i of nodes) state.node(i).up = 1;
    },
    moves(from, moves) {
      for (const i of nodes) {
        if (!from.node(i).up) continue;
        const turn = { rules, bounds, from, moves, i };
        faultMoves(turn);
        if (from.world.committed) continue;
        runMoves(turn);
        endMoves(turn);
        if (from.world.owner === i && from.node(i).phase === Phase.adopted) checkMoves(turn);
        if (from.world.owner === i) settleMoves(turn);
      }
    },
    violation: (state) => violationOf(bounds, state),
    isSettled: ({ world, node }) => world.committed === 1 || !node(world.owner).up,
  };
}

function violationOf(bounds: AttemptBounds, state: State): ViolationKind | undefined {
  const { world, budget } = state;
  const crashed = bounds.crashes - budget.crashes;
  const excused = bounds.check === "none" ? world.unknownEnds : 0;
  if (world.effects > 1 + excused) return "double";
  const ended = world.effects + world.deadLetters + world.parked + world.dropped > 0;
  const writing = nodes.some((i) => isWriting(state.node(i).phase));
  if (world.committed && !ended && !writing) return "loss";
  const storms =
    world.failures > attemptsMax * (1 + crashed) ||
    world.unknownEnds > unknownMax ||
    world.deadLetters + world.parked > 1 + crashed;
  return storms ? "broken" : undefined;
}

function faultMoves({ rules, from, moves, i }: Turn): void {
  const { world, budget } = from;
  const { phase } = from.node(i);
  const end = (to: State, effect: number): void => {
    to.world.effects += effect;
    to.world.unknownEnds++;
  };
  const running = phase === Phase.running;
  for (const effect of running ? [0, 1] : [0]) {
    const how = running ? (effect ? " after the effect" : " before the effect") : "";
    if (budget.crashes) {
      moves.fault(`n${i} crashes${how}`, (to) => {
        to.budget.crashes--;
        to.node(i).clear();
        // Until its report was heard, an executed run that died with its node ended unknown too.
        if (running || phase === Phase.executed || phase === Phase.unknown) end(to, effect);
        if (phase === Phase.unknown) to.world.unknownEnds--;
      });
    }
    if (!running || !budget.aborts) continue;
    moves.fault(`the handler of n${i} is aborted${how}`, (to) => {
      to.budget.aborts--;
      end(to, effect);
      if (rules.r23AbortedIsUnknown) to.node(i).phase = Phase.unknown;
      else Object.assign(to.node(i), { phase: Phase.waiting, attempts: 1 });
    });
  }
  if (!budget.rebalances || world.owner === i) return;
  moves.fault(`the partition moves to n${i}`, (to) => {
    to.budget.rebalances--;
    to.world.owner = i;
  });
}

function runMoves({ rules, from, moves, i }: Turn): void {
  const { world, entry } = from;
  const me = from.node(i);
  const isRetry = me.attempts > 0;
  const mayStart = world.owner === i && entry.holder === i + 1;
  if (me.phase === Phase.waiting && (mayStart || (isRetry && !rules.r23EveryAttemptIsAStart))) {
    moves.step(`n${i} STARTS attempt ${me.attempts + 1}`, (to) => void (to.node(i).phase = Phase.running));
  }
  if (me.phase !== Phase.running) return;
  moves.step(`n${i} has executed (effect)`, (to) => {
    to.world.effects++;
    to.node(i).phase = Phase.executed;
  });
  const attempts = me.attempts + 1;
  moves.step(`attempt ${attempts} of n${i} reports failure`, (to) => {
    to.world.failures++;
    Object.assign(to.node(i), { attempts, phase: attempts < attemptsMax ? Phase.waiting : Phase.exhausted });
  });
}

/** Commits, and the writes that end a task without an effect. */
function endMoves({ rules, from, moves, i }: Turn): void {
  const { world } = from;
  const { phase } = from.node(i);
  const owns = world.owner === i;
  if (phase === Phase.executed && owns) moves.step(`n${i} commits`, (to) => void (to.world.committed = 1));
  if (!isWriting(phase) || !owns) return;
  const what = phase === Phase.parking ? "parked" : "dead";
  moves.step(`n${i}: the write of the ${what} record is acknowledged, it is final`, (to) => {
    if (phase === Phase.parking) to.world.parked++;
    else to.world.deadLetters++;
    Object.assign(to.entry, { status: Status.final, holder: 0, dirty: 0 });
    to.node(i).phase = Phase.none;
  });
  if (!rules.r23DeadWhenAcknowledged) {
    moves.step(`n${i} reports ${what} before its write is acknowledged and commits`, (to) => {
      to.world.committed = 1;
    });
  }
}

/** The holder of an adoption finds out, or the policy decides. */
function checkMoves({ rules, bounds, from, moves, i }: Turn): void {
  const { world, entry } = from;
  const become = (label: string, phase: number): void =>
    moves.step(`n${i} ${label}`, (to) => void (to.node(i).phase = phase));
  if (bounds.check === "truthful") {
    if (world.effects === 0) become("checks: not executed", Phase.waiting);
    else moves.step(`n${i} checks: executed -> drops and commits`, (to) => void (to.world.committed = 1));
    return;
  }
  const exact = entry.bloomOnly === 0;
  if (bounds.onUnknown === "execute") become("has no check, policy: execute", Phase.waiting);
  else if (bounds.onUnknown === "drop" && (exact || !rules.r20DropNeedsExactEvidence)) {
    moves.step(`n${i} has no check, policy: drops and commits${exact ? "" : " for a Bloom bit"}`, (to) => {
      to.world.committed = 1;
      if (exact) to.world.dropped = 1;
    });
  } else become("has no check, policy: parks", Phase.parking);
}

function settleMoves({ rules, from, moves, i }: Turn): void {
  const { entry } = from;
  const h = entry.holder - 1;
  if (from.node(i).phase !== Phase.none && !(h === i && from.node(i).phase === Phase.unknown)) return;
  const release = (label: string, dirty: boolean, attempts: number): void =>
    moves.step(`leader: ${label}`, (to) => {
      Object.assign(to.entry, { status: Status.free, holder: 0, attempts });
      if (dirty) {
        Object.assign(to.entry, { dirty: 1, bloomOnly: 0 });
        to.entry.unknowns++;
      }
      const given = to.node(h);
      if (isUnstarted(given.phase) && !rules.r23EveryAttemptIsAStart && given.attempts) return;
      Object.assign(given, { phase: Phase.none, attempts: 0 });
    });
  if (entry.status === Status.executed || entry.status === Status.final) {
    moves.step(`n${i} drops and commits what is final`, (to) => void (to.world.committed = 1));
  } else if (entry.status === Status.free) {
    giveMoves({ rules, from, moves, i });
  } else if (!from.node(h).up) {
    release(`holder n${h} is gone: free, dirty`, true, entry.attempts);
  } else if (from.node(h).phase === Phase.unknown) {
    release(`the run of n${h} ended unknown: free, dirty`, true, from.node(h).attempts);
  } else if (from.node(h).phase === Phase.executed) {
    moves.step(`leader: n${h} executed`, (to) => void (to.entry.status = Status.executed));
  } else if (h !== i && from.node(h).phase !== Phase.running) {
    const attempts = rules.r23AttemptsTravel ? from.node(h).attempts : 0;
    release(`n${h} refuses, ${attempts} attempts made`, false, attempts);
  }
}

function giveMoves({ rules, from, moves, i }: Omit<Turn, "bounds">): void {
  const { entry } = from;
  const poison = rules.r23UnknownEndsAreLimited && entry.unknowns >= unknownMax;
  const phase = poison
    ? Phase.parking
    : entry.attempts >= attemptsMax
      ? Phase.exhausted
      : entry.dirty || entry.bloomOnly
        ? Phase.adopted
        : Phase.waiting;
  const what = poison ? "poison, to be parked by" : phase === Phase.adopted ? "adoption for" : "grant for";
  moves.step(`leader: ${what} n${i}`, (to) => {
    Object.assign(to.entry, { status: Status.held, holder: i + 1 });
    Object.assign(to.node(i), { phase, attempts: entry.attempts });
  });
}

const checked: AttemptBounds = {
  check: "truthful",
  onUnknown: "park",
  crashes: 1,
  aborts: 1,
  rebalances: 2,
  falsePositive: false,
};
const calm: AttemptBounds = { ...checked, crashes: 0, aborts: 0, rebalances: 3 };
const poison: AttemptBounds = { ...checked, crashes: 0, aborts: 3, rebalances: 1 };
const unchecked: AttemptBounds = { ...checked, check: "none", onUnknown: "execute" };
const dropping: AttemptBounds = { ...checked, check: "none", onUnknown: "drop" };
const parking: AttemptBounds = { ...checked, check: "none", onUnknown: "park" };
const falselySeen: AttemptBounds = { ...dropping, falsePositive: true };
export const attemptBounds = { checked, calm, poison, unchecked, dropping, parking, falselySeen };

export const attemptAblations: readonly Ablation<AttemptRule, AttemptBounds>[] = [
  ablation("r20DropNeedsExactEvidence", "exact evidence for a drop", falselySeen, "loss", 2),
  ablation("r23EveryAttemptIsAStart", "the start check before a retry", calm, "double", 10),
  ablation("r23AttemptsTravel", "attempts that travel with a refusal", calm, "broken", 10),
  ablation("r23AbortedIsUnknown", "telling an aborted run from a failed one", checked, "double", 5),
  ablation("r23UnknownEndsAreLimited", "a limit for runs that end unknown", poison, "broken", 13),
  ablation("r23DeadWhenAcknowledged", "the acknowledgement of a dead letter", checked, "loss", 7),
];
