/**
 * An unclean start while processes of the old cell may still run: one suspect record, its table and filter gone with the
 * last in-sync set; a member of that set, a member that was evicted before, and a node that joined later and owns the
 * partition now.
 *
 * Covers: when a suspect may be adopted (the quarantine counted from activation, or proven deaths: of whom?), asking all
 * nodes first (R15d), a start that only looks clean (R15b), the final bitmap of the commit's metadata, also across a
 * rebalance (R15a), facts and bits of nodes outside the last set (R5), handlers that outlive their lease until the
 * watchdog ends them (R12). The check is truthful about the moment it is asked.
 * Does not cover: the ceiling itself and partitions without metadata (ceiling-model; here an acknowledged commit says it
 * lies above the record), effects that arrive after their process died (restart-model), time as numbers (lease-model),
 * what
 * the new cell gave before its own set was lost.
 *
 * Violations: *double* = two effects; *loss* = committed without an effect; *broken* = given again although an
 * acknowledged commit said that it is final; *stuck* = the record can never be committed.
 *
 * A finding: the members of the *last* set are not all who may run. One that was evicted while its handler ran is not in
 * the set that the new leader reads, and neither are those of a set that was lost before: the record must name both, and
 * proofs of death replace the quarantine only when they cover all of these names.
 */
import type { Model, Moves, ViolationKind } from "./explore.ts";
import { layout, many, one, type StateOf } from "./packed.ts";
import { rulesOn } from "./ablation.ts";

export const startRules = [
  "r5FactsOfAnyone",
  "r5BitsOfAnyoneInAnUncleanStart",
  "r12WatchdogBeforeTheQuarantineEnds",
  "r15CleanIsUnsetAtActivation",
  "r15SuspectsWaitForTheQuarantine",
  "r15EvictedCount",
  "r15NamesStayUntilQuarantined",
  "r15LostSetsAreCarriedOn",
  "r15AllNodesAreAsked",
  "r15BitmapIsOfFinalOnes",
  "r15BitmapIsRead",
  "r15BitmapIsCarriedOn",
] as const;
export type StartRule = (typeof startRules)[number];
type Rules = Readonly<Record<StartRule, boolean>>;

export interface StartBounds {
  /** Crashes of the old processes, at any moment. */
  readonly crashes: number;
  /** Rebalances of the old cell. */
  readonly rebalances: number;
  /** 1: an earlier record's task id was executed, its bit is known to both old processes, and a duplicate comes. */
  readonly duplicates: 0 | 1;
  /** 1: the new in-sync set is lost too, before it gave the record, and its members are proven dead. */
  readonly losses: 0 | 1;
}

/** Process 0 is of the last in-sync set, process 1 is evicted before that set is lost. */
const member = 0;
const evicted = 1;
const olds: readonly number[] = [member, evicted];
const nameOf = (p: number): string => (p === member ? "the last member" : "the evicted one");
const Run = { none: 0, executing: 1, executed: 2 } as const;
const Link = { oldCell: 0, cut: 1, attached: 2, told: 3 } as const;
const Status = { absent: 0, suspect: 1, held: 2, executed: 3 } as const;
const New = { asks: 0, adopted: 1, granted: 2, executing: 3, final: 4 } as const;

/**
 * `granted` = the old cell gave the record to somebody; `listed` = the record beside the in-sync set names the evicted one; `bitmap` and `bitmapAcked` = the committed metadata calls it final,
 * and did so truthfully. `entry` and `holder` are the new leader's table (holder: old process + 1); `phase` is the new
 * owner's copy.
 */
const startLayout = layout({
  truth: one("effects", "bitmapAcked", "givenAgain", "duplicateRuns"),
  old: one("granted", "owner", "bitmap", "ownBitmap", "clean", "over", "evicted", "listed"),
  budget: one("crashes", "rebalances", "duplicates", "losses"),
  world: one("status", "holder", "quarantined", "bits", "phase", "committed", "second"),
  process: many(2, "up", "link", "run", "proven"),
});
type State = StateOf<typeof startLayout>;

interface Turn {
  readonly rules: Rules;
  readonly from: State;
  readonly moves: Moves<State>;
}

export function startModel(bounds: StartBounds, rules: Rules = rulesOn(startRules)): Model<State> {
  return {
    name: `start model ${JSON.stringify(bounds)}`,
    layout: startLayout,
    start(state) {
      Object.assign(state.budget, bounds);
      state.old.clean = rules.r15CleanIsUnsetAtActivation ? 0 : 1;
      for (const p of olds) state.process(p).up = 1;
    },
    moves(from, moves) {
      const turn = { rules, from, moves };
      for (const p of olds) {
        if (from.process(p).up) runMoves(turn, p);
        if (from.process(p).up && !from.old.over) oldMoves(turn, p);
        if (from.old.over) afterMoves(turn, p);
      }
      if (!from.old.over) overMoves(turn);
      else newMoves(turn);
    },
    violation: violationOf,
    // What the old cell does by itself is the other models' matter.
    isSettled: ({ world, old }) => world.committed === 1 || old.over === 0,
  };
}

function violationOf({ truth, world, process }: State): ViolationKind | undefined {
  if (truth.effects > 1 || truth.duplicateRuns > 0) return "double";
  if (world.committed && truth.effects === 0 && olds.every((p) => process(p).run !== Run.executing)) return "loss";
  return truth.givenAgain ? "broken" : undefined;
}

/** Wherever it is, a process may finish its handler or die. */
function runMoves({ from, moves }: Turn, p: number): void {
  const { run, link } = from.process(p);
  if (run === Run.executing) {
    moves.step(`${nameOf(p)} has executed (effect)`, (to) => {
      to.truth.effects++;
      to.process(p).run = Run.executed;
    });
  }
  if (run === Run.executing && link === Link.cut) {
    for (const effect of [0, 1]) {
      const how = effect ? " after the effect" : " before the effect";
      moves.step(`the watchdog ends ${nameOf(p)}${how}`, (to) => die(to, p, effect));
    }
  }
  if (!from.budget.crashes) return;
  for (const effect of run === Run.executing ? [0, 1] : [0]) {
    moves.fault(`${nameOf(p)} dies${effect ? " after the effect" : ""}`, (to) => {
      to.budget.crashes--;
      die(to, p, effect);
    });
  }
}

function die(to: State, p: number, effect: number): void {
  to.process(p).up = 0;
  to.process(p).run = Run.none;
  to.truth.effects += effect;
}

/** The old cell: a grant, a start, commits with the bitmap, a rebalance, an eviction. */
function oldMoves({ rules, from, moves }: Turn, p: number): void {
  const { old } = from;
  const { run, link } = from.process(p);
  if (link !== Link.oldCell) return;
  const owner = old.owner === p;
  if (owner && !old.granted) {
    moves.step(`${nameOf(p)} is granted the record and STARTS`, (to) => {
      to.old.granted = 1;
      to.process(p).run = Run.executing;
    });
  }
  const final = run === Run.executed || (!rules.r15BitmapIsOfFinalOnes && run === Run.executing);
  if (owner && (final || old.ownBitmap) && !old.bitmap) {
    moves.step(`${nameOf(p)} commits below the record, the bitmap calls it final`, (to) => {
      Object.assign(to.old, { bitmap: 1, ownBitmap: 1 });
      if (from.truth.effects) to.truth.bitmapAcked = 1;
    });
  }
  if (!owner && from.budget.rebalances) {
    moves.fault(`the partition moves to ${nameOf(p)}, which commits its anchor`, (to) => {
      to.budget.rebalances--;
      to.old.owner = p;
      to.old.ownBitmap = rules.r15BitmapIsCarriedOn ? old.bitmap : 0;
      to.old.bitmap = to.old.ownBitmap;
    });
  }
  if (p === evicted && !old.evicted) {
    moves.fault("the evicted one falls silent and leaves the in-sync set", (to) => {
      Object.assign(to.old, { evicted: 1, listed: 1 });
      to.old.owner = member;
      to.process(p).link = Link.cut;
      if (!owner) return;
      to.old.ownBitmap = rules.r15BitmapIsCarriedOn ? old.bitmap : 0;
      to.old.bitmap = to.old.ownBitmap;
    });
  }
}

/** Nobody of the last set can be reached, alive or not: the new leader has neither table nor filter. */
function overMoves({ rules, from, moves }: Turn): void {
  if (!from.old.evicted) return;
  const mayRun = from.process(evicted).run === Run.executing;
  if (from.old.listed && !(mayRun && rules.r15NamesStayUntilQuarantined)) {
    moves.step("the evicted one's quarantine is over: its name leaves the record", (to) => void (to.old.listed = 0));
  }
  moves.step("the last set cannot be reached: a new leader activates, unclean", (to) => {
    to.old.over = 1;
    for (const p of olds) to.process(p).link = Link.cut;
    if (!from.old.clean && !from.old.bitmap) to.world.status = Status.suspect;
    if (from.old.bitmap) to.world.status = Status.executed;
  });
}

/** What becomes of the old processes under the new leader. */
function afterMoves({ rules, from, moves }: Turn, p: number): void {
  const { up, link, run, proven } = from.process(p);
  if (!up) {
    if (!proven)
      moves.step(`a node of its host proves the death of ${nameOf(p)}`, (to) => void (to.process(p).proven = 1));
    return;
  }
  if (link === Link.cut) {
    moves.step(`${nameOf(p)} attaches to the new leader`, (to) => void (to.process(p).link = Link.attached));
  }
  if (link === Link.attached) {
    moves.step(`${nameOf(p)} has told its facts and bits`, (to) => {
      to.process(p).link = Link.told;
      if (rules.r5BitsOfAnyoneInAnUncleanStart) to.world.bits = 1;
      if (!rules.r5FactsOfAnyone) return;
      if (run === Run.executed) Object.assign(to.world, { status: Status.executed, holder: 0 });
      else if (run === Run.executing && from.world.status !== Status.executed) {
        Object.assign(to.world, { status: Status.held, holder: p + 1 });
      }
    });
  }
  if (link === Link.told && run === Run.executed && from.world.holder === p + 1 && rules.r5FactsOfAnyone) {
    moves.step(`${nameOf(p)} reports executed`, (to) => {
      Object.assign(to.world, { status: Status.executed, holder: 0 });
    });
  }
}

/** The new cell, whose leader and owner are new nodes. */
function newMoves(turn: Turn): void {
  const { rules, from, moves } = turn;
  const { world, truth, budget } = from;
  const mayRun = olds.some((p) => from.process(p).link === Link.cut && from.process(p).run === Run.executing);
  if (!world.quarantined && !(mayRun && rules.r12WatchdogBeforeTheQuarantineEnds)) {
    moves.step("the quarantine since the activation is over", (to) => void (to.world.quarantined = 1));
  }
  if (budget.duplicates) {
    const toldOnce = olds.some((p) => from.process(p).link === Link.told);
    moves.step(`a duplicate of an earlier task: ${world.bits ? "seen, its check says executed" : "granted"}`, (to) => {
      to.budget.duplicates--;
      // What nobody here can know lies outside the window; what a node has told does not.
      if (!world.bits && toldOnce) to.truth.duplicateRuns++;
    });
  }
  if (world.committed) return;
  if (budget.losses && world.phase === New.asks) {
    moves.fault("the new set dies, proven: the next leader activates, unclean", (to) => {
      to.budget.losses--;
      Object.assign(to.world, { second: 1, quarantined: 0, bits: 0, holder: 0 });
      to.world.status = from.old.bitmap ? Status.executed : Status.suspect;
      for (const p of olds) to.process(p).link = Link.cut;
    });
  }
  const become = (label: string, phase: number): void => moves.step(label, (to) => void (to.world.phase = phase));
  if (world.phase === New.asks) settleMoves(turn);
  if (world.phase === New.adopted) {
    if (truth.effects) become("the owner checks: executed -> drops", New.final);
    else become("the owner checks: not executed", New.granted);
  }
  if (world.phase === New.granted) become("the owner STARTS", New.executing);
  if (world.phase === New.executing) {
    moves.step("the owner has executed (effect)", (to) => {
      to.truth.effects++;
      to.world.phase = New.final;
    });
  }
  if (world.phase === New.final) moves.step("the owner commits", (to) => void (to.world.committed = 1));
}

function settleMoves({ rules, from, moves }: Turn): void {
  const { world, truth } = from;
  const give = (label: string, phase: number): void =>
    moves.step(`leader: ${label}`, (to) => {
      if (truth.bitmapAcked) to.truth.givenAgain = 1;
      Object.assign(to.world, { phase, status: Status.absent, holder: 0 });
    });
  if (world.status === Status.executed && (from.process(0).link === Link.told || from.process(1).link === Link.told)) {
    moves.step("leader: executed -> the owner drops", (to) => void (to.world.phase = New.final));
  } else if (world.status === Status.executed && rules.r15BitmapIsRead) {
    moves.step("leader: final by the bitmap -> the owner drops", (to) => void (to.world.phase = New.final));
  } else if (world.status === Status.absent) {
    give("unseen, GRANTED", New.granted);
  } else if (world.status === Status.held) {
    if (from.process(world.holder - 1).proven) give("its holder is dead: adopted", New.adopted);
  } else if (mayAdopt(rules, from)) give("suspect, adopted", New.adopted);
}

/** R15d: all who are here were asked, and who is not here can run no longer. */
function mayAdopt(rules: Rules, from: State): boolean {
  const attached = olds.some((p) => from.process(p).up && from.process(p).link === Link.attached);
  if (attached && rules.r15AllNodesAreAsked) return false;
  if (!rules.r15SuspectsWaitForTheQuarantine) return true;
  if (from.world.quarantined) return true;
  const { second } = from.world;
  const carried = second === 0 || rules.r15LostSetsAreCarriedOn;
  const counts = [carried, carried && from.old.listed === 1 && rules.r15EvictedCount];
  return olds.every((p) => {
    const { proven, link } = from.process(p);
    // Who is only named beside the set need not be dead: it may also have told what it runs.
    const told = link === Link.told && (p === evicted || second === 1);
    return !counts[p] || proven === 1 || told;
  });
}

const crashed: StartBounds = { crashes: 2, rebalances: 1, duplicates: 0, losses: 0 };
const duplicated: StartBounds = { crashes: 1, rebalances: 0, duplicates: 1, losses: 0 };
const lostTwice: StartBounds = { crashes: 2, rebalances: 1, duplicates: 0, losses: 1 };
export const startBounds = { crashed, duplicated, lostTwice };
