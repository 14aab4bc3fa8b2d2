/**
 * Evidence: what a Bloom bit, an equal 64-bit hash, a dirty entry and an equal full task id are worth, and what each
 * policy may do on them. Two nodes, two records of two partitions with one hash, a perfect leader, no check (or a
 * truthful one).
 *
 * Covers: bits set for a key that was never granted, at the leader or only at an in-sync member (R6 step 5, S2), two
 * tasks with one hash and two records of one task id (R6 steps 4 and 5), and what `drop` needs (R20), under
 * crashes and rebalances.
 * Does not cover: elections, W (an entry stays until both records are committed: memory-model), suspects (start-model),
 * attempts (attempt-model), messages in flight.
 *
 * Violations: *loss* = a record is dropped although its task was not executed and no run of it may exist (no holder
 * died), whether another record of it may still run, or was parked, or not; *double* = two effects of one task, beside those of runs that ended unknown when there is no check;
 * *broken* = a delivery key that nobody held is checked, parked or dropped for a bit; *stuck* = a record never ends.
 */
import type { Model, Moves, ViolationKind } from "./explore.ts";
import { layout, many, one, type StateOf } from "./packed.ts";
import { rulesOn } from "./ablation.ts";

export const doubtRules = [
  "r6BitOfAKeyIsNoEvidence",
  "r6FullIdDecides",
  "r6GivingMarksOthers",
  "r20BitIsNoExactEvidence",
  "r20MembersBitIsNoExactEvidence",
  "r20MarkIsNoExactEvidence",
  "r20MarkOfAnEqualIdIsNone",
] as const;
export type DoubtRule = (typeof doubtRules)[number];
type Rules = Readonly<Record<DoubtRule, boolean>>;

export interface DoubtBounds {
  /** Whether the two records are one task ("equal"), two tasks with header ids of one hash, or two delivery keys. */
  readonly ids: "equal" | "different" | "keys";
  /** Where a bit is set for the hash though no record was given. */
  readonly falseBit: "nowhere" | "leader" | "member";
  readonly check: "truthful" | "none";
  readonly onUnknown: "execute" | "drop" | "park";
  readonly crashes: number;
  readonly rebalances: number;
}

const nodes: readonly number[] = [0, 1];
const records: readonly number[] = [0, 1];
const Status = { absent: 0, free: 1, held: 2, executed: 3, dropped: 4, parked: 5 } as const;
const Phase = { none: 0, waiting: 1, adopted: 2, executing: 3, executed: 4, parking: 5 } as const;
const isFinal = (status: number): boolean => status >= Status.executed;

/**
 * `idKnown`: the leader was told the full id of the record, `equalKnown`: that a run of the other, with an equal id, may
 * exist. The holder of an executed entry is who ran it. `maybe`: nothing but a bit or a mark speaks for an earlier run. `unknownRuns` counts holders that died.
 */
const doubtLayout = layout({
  world: one("bit", "memberBit", "needless", "crashes", "rebalances"),
  record: many(2, "owner", "committed", "status", "holder", "dirty", "maybe", "idKnown", "equalKnown"),
  truth: many(2, "effects", "dropped", "unknownRuns"),
  node: many(2, "up"),
  copy: many(4, "phase"),
});
type State = StateOf<typeof doubtLayout>;

interface Turn {
  readonly rules: Rules;
  readonly bounds: DoubtBounds;
  readonly from: State;
  readonly moves: Moves<State>;
  readonly i: number;
}

const copyOf = (state: State, i: number, k: number): { phase: number } => state.copy(2 * i + k);
/** The truth is kept by task: one for both records when their ids are equal. */
const taskOf = (bounds: DoubtBounds, k: number): number => (bounds.ids === "equal" ? 0 : k);

export function doubtModel(bounds: DoubtBounds, rules: Rules = rulesOn(doubtRules)): Model<State> {
  return {
    name: `doubt model ${JSON.stringify(bounds)}`,
    layout: doubtLayout,
    start(state) {
      const { crashes, rebalances, falseBit } = bounds;
      const bit = falseBit === "leader" ? 1 : 0;
      Object.assign(state.world, { crashes, rebalances, bit, memberBit: falseBit === "nowhere" ? 0 : 1 });
      for (const k of records) state.record(k).owner = k;
      for (const i of nodes) state.node(i).up = 1;
    },
    moves(from, moves) {
      for (const i of nodes) {
        if (!from.node(i).up) continue;
        const turn = { rules, bounds, from, moves, i };
        faultMoves(turn);
        for (const k of records) {
          workMoves(turn, k);
          const { owner, committed } = from.record(k);
          if (owner === i && !committed && copyOf(from, i, k).phase === Phase.none) settleMoves(turn, k);
        }
      }
    },
    violation: (state) => violationOf(bounds, state),
    isSettled: (state) => records.every((k) => state.record(k).committed || !state.node(state.record(k).owner).up),
  };
}

function violationOf(bounds: DoubtBounds, state: State): ViolationKind | undefined {
  for (const k of records) {
    const { effects, dropped, unknownRuns } = state.truth(taskOf(bounds, k));
    const licensed = bounds.check === "none" && bounds.onUnknown === "execute" ? unknownRuns : 0;
    if (effects > 1 + licensed + repeats(bounds)) return "double";
    if (dropped && effects + unknownRuns === 0) return "loss";
  }
  return state.world.needless ? "broken" : undefined;
}

/** Without a check and under `execute`, a doubt is a licence: each record may run once. */
const repeats = (bounds: DoubtBounds): number =>
  bounds.ids === "equal" && bounds.check === "none" && bounds.onUnknown === "execute" ? 1 : 0;

function faultMoves({ bounds, from, moves, i }: Turn): void {
  const { world } = from;
  for (const effect of [0, 1]) {
    const running = records.filter((k) => copyOf(from, i, k).phase === Phase.executing);
    if (!world.crashes || (effect && running.length !== 1)) continue;
    moves.fault(`n${i} crashes${effect ? " after the effect" : ""}`, (to) => {
      to.world.crashes--;
      to.node(i).up = 0;
      for (const k of records) {
        copyOf(to, i, k).phase = Phase.none;
        if (from.record(k).owner === i) to.record(k).owner = 1 - i;
        if (from.record(k).holder === i + 1) to.truth(taskOf(bounds, k)).unknownRuns++;
      }
      if (effect) to.truth(taskOf(bounds, running[0]!)).effects++;
    });
  }
  for (const k of records) {
    if (!world.rebalances || from.record(k).owner === i || from.record(k).committed) continue;
    moves.fault(`the partition of r${k} moves to n${i}`, (to) => {
      to.world.rebalances--;
      to.record(k).owner = i;
      const copy = copyOf(to, 1 - i, k);
      if (copy.phase === Phase.waiting || copy.phase === Phase.adopted || copy.phase === Phase.parking) {
        copy.phase = Phase.none;
      }
    });
  }
}

function end(to: State, k: number, status: number, holder = 0): void {
  Object.assign(to.record(k), { status, holder, dirty: 0, maybe: 0 });
}

function workMoves(turn: Turn, k: number): void {
  const { bounds, from, moves, i } = turn;
  const { phase } = copyOf(from, i, k);
  const owns = from.record(k).owner === i;
  const task = taskOf(bounds, k);
  if (phase === Phase.waiting && owns) {
    moves.step(`n${i} STARTS r${k}`, (to) => void (copyOf(to, i, k).phase = Phase.executing));
  }
  if (phase === Phase.executing) {
    moves.step(`n${i} has executed r${k} (effect)`, (to) => {
      to.truth(task).effects++;
      copyOf(to, i, k).phase = Phase.executed;
    });
  }
  if (phase === Phase.executed) {
    moves.step(`n${i} reports r${k} executed`, (to) => {
      end(to, k, Status.executed, i + 1);
      copyOf(to, i, k).phase = Phase.none;
    });
  }
  if (phase === Phase.parking && owns) {
    moves.step(`n${i} parks r${k}, acknowledged`, (to) => {
      end(to, k, Status.parked);
      copyOf(to, i, k).phase = Phase.none;
    });
  }
  if (phase === Phase.adopted && owns) policyMoves(turn, k);
}

/** The holder of an adoption checks, or the policy decides (R20). */
function policyMoves({ rules, bounds, from, moves, i }: Turn, k: number): void {
  const { maybe } = from.record(k);
  const task = taskOf(bounds, k);
  const become = (label: string, phase: number): void =>
    moves.step(`n${i}, r${k}: ${label}`, (to) => void (copyOf(to, i, k).phase = phase));
  const drop = (label: string): void =>
    moves.step(`n${i}, r${k}: ${label}`, (to) => {
      copyOf(to, i, k).phase = Phase.none;
      end(to, k, Status.dropped);
      to.truth(task).dropped = 1;
    });
  if (bounds.check === "truthful") {
    if (from.truth(task).effects > 0) drop("its check says executed: drops");
    else become("its check says not executed", Phase.waiting);
  } else if (bounds.onUnknown === "execute") become("policy execute", Phase.waiting);
  else if (bounds.onUnknown === "park") become("policy park", Phase.parking);
  else if (maybe && rules.r20BitIsNoExactEvidence) become("no exact evidence for policy drop: parks", Phase.parking);
  else drop("policy drop");
}

/** R6 for one question of node `i` about record `k`; the comments are its steps. */
function settleMoves(turn: Turn, k: number): void {
  const { rules, bounds, from, moves, i } = turn;
  const { status, holder } = from.record(k);
  const say = (what: string): string => `leader, r${k} for n${i}: ${what}`;
  // 2: the owner commits what is final
  if (isFinal(status)) return moves.step(`n${i} commits r${k}`, (to) => void (to.record(k).committed = 1));
  // 3
  if (status === Status.held && holder !== i + 1) return releaseMoves(turn, k, say, true);
  // 4
  const o = 1 - k;
  const other = from.record(o);
  const matters = other.status === Status.held || other.status === Status.executed;
  if (bounds.ids === "keys" || !matters) return give(turn, k, say);
  if (!other.idKnown && from.node(other.holder - 1).up) {
    return moves.step(say(`n${other.holder - 1} tells the id of r${o}`), (to) => void (to.record(o).idKnown = 1));
  }
  const equal = bounds.ids === "equal" || !rules.r6FullIdDecides;
  if (other.idKnown && !equal) return give(turn, k, say);
  if (other.status === Status.held) return releaseMoves(turn, o, say, other.owner !== other.holder - 1);
  if (!other.idKnown) return give(turn, k, say); // its executor is gone: no exact evidence
  moves.step(say(`r${o} has its ${rules.r6FullIdDecides ? "id" : "hash"} and executed: drops`), (to) => {
    end(to, k, Status.dropped);
    to.truth(taskOf(bounds, k)).dropped = 1;
  });
}

/** 5: what speaks for an earlier run makes it an adoption. */
function give({ rules, bounds, from, moves, i }: Turn, k: number, say: (what: string) => string): void {
  const { world } = from;
  const own = from.record(k);
  const isKey = bounds.ids === "keys";
  let { dirty, maybe } = own;
  if (own.status === Status.absent) {
    const noted = world.bit === 1 && (!isKey || !rules.r6BitOfAKeyIsNoEvidence);
    dirty = noted || own.equalKnown ? 1 : 0;
    maybe = noted && !own.equalKnown ? 1 : 0;
    // The union: a member's own filter knows what the leader's did not; the grant is taken back before its release.
    if (world.bit === 0 && world.memberBit === 1) {
      const isMaybe = rules.r20MembersBitIsNoExactEvidence ? 1 : 0;
      moves.step(say("granted, but a member has seen it: free, dirty"), (to) => {
        to.world.bit = 1;
        Object.assign(to.record(k), { status: Status.free, dirty: 1, maybe: isMaybe });
      });
      return;
    }
  } else if (maybe && (isKey ? rules.r6BitOfAKeyIsNoEvidence : own.equalKnown)) {
    dirty = isKey ? 0 : 1;
    maybe = 0;
  }
  moves.step(say(dirty ? `adopted${maybe ? " for a bit" : ""}` : "granted"), (to) => {
    to.world.bit = 1;
    Object.assign(to.record(k), { status: Status.held, holder: i + 1, dirty, maybe });
    if (isKey && dirty && from.truth(k).unknownRuns === 0) to.world.needless = 1;
    copyOf(to, i, k).phase = dirty ? Phase.adopted : Phase.waiting;
    const other = to.record(1 - k);
    if (!rules.r6GivingMarksOthers || other.dirty || isFinal(other.status) || other.status === Status.absent) return;
    const exact = bounds.ids === "equal" && other.idKnown === 1 && !rules.r20MarkOfAnEqualIdIsNone;
    Object.assign(other, { dirty: 1, maybe: rules.r20MarkIsNoExactEvidence && !exact ? 1 : 0 });
  });
}

/** The holder of record `o` is asked, or is gone. */
function releaseMoves(turn: Turn, o: number, say: (what: string) => string, mayRevoke: boolean): void {
  const { bounds, from, moves } = turn;
  const { holder } = from.record(o);
  const j = holder - 1;
  if (!from.node(j).up) {
    moves.step(say(`n${j}, the holder of r${o}, is gone: free, dirty`), (to) => {
      Object.assign(to.record(o), { status: Status.free, holder: 0, dirty: 1, maybe: 0 });
      if (bounds.ids === "equal" && from.record(o).idKnown) to.record(1 - o).equalKnown = 1;
    });
    return;
  }
  const { phase } = copyOf(from, j, o);
  if (phase === Phase.executing || phase === Phase.executed || !mayRevoke) return;
  moves.step(say(`n${j} refuses r${o}: free`), (to) => {
    Object.assign(to.record(o), { status: Status.free, holder: 0 });
    copyOf(to, j, o).phase = Phase.none;
  });
}

const base = { falseBit: "nowhere", check: "none", onUnknown: "drop", crashes: 1, rebalances: 2 } as const;
const keys: DoubtBounds = { ...base, ids: "keys", falseBit: "leader" };
const keysAtAMember: DoubtBounds = { ...keys, falseBit: "member" };
const different: DoubtBounds = { ...base, ids: "different" };
const equal: DoubtBounds = { ...base, ids: "equal" };
export const doubtBounds = {
  keys,
  keysAtAMember,
  different,
  differentSeen: { ...different, falseBit: "leader" },
  differentAtAMember: { ...different, falseBit: "member" },
  differentParked: { ...different, onUnknown: "park" },
  differentExecuted: { ...different, onUnknown: "execute" },
  differentChecked: { ...different, check: "truthful" },
  equal,
  equalSeen: { ...equal, falseBit: "leader" },
  equalParked: { ...equal, onUnknown: "park" },
  equalExecuted: { ...equal, onUnknown: "execute" },
  equalChecked: { ...equal, check: "truthful" },
} as const satisfies Record<string, DoubtBounds>;
