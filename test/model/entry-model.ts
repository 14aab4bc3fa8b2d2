/**
 * The life of a table entry when leader and replication are perfect: one or two records with ONE task id, three nodes,
 * a truthful check. Adoption, check, start, effect and report are steps of their own.
 *
 * Covers: the settle procedure with free and dirty entries, releases, re-grants and renewed adoptions, a second record
 * with an equal task id, and runs that end unknown (R6, R11, R12, R23), under crashes, rebalances, lapsed leases and
 * aborted handlers.
 * Does not cover: elections (merge-model), late verdicts after a revoke (revoke-model), time (lease-model), attempts
 * and policies (attempt-model).
 *
 * Violations: *double* = two effects though no run reported failure; *stuck* = an owned record that can never be
 * committed without a further fault.
 */
import type { Model, Moves } from "./explore.ts";
import { layout, many, one, type StateOf } from "./packed.ts";
import { type Ablation, ablation, rulesOn } from "./ablation.ts";

export const entryRules = [
  "r6ReleaseKeepsEntry",
  "r6AdoptionStaysAdoption",
  "r6GivingMarksOthers",
  "r6WaitForEqualId",
  "r23UnknownIsAnEnd",
] as const;
export type EntryRule = (typeof entryRules)[number];
type Rules = Readonly<Record<EntryRule, boolean>>;

export interface EntryBounds {
  /** Records with the one task id; with two, the task id is not the delivery key. */
  readonly records: 1 | 2;
  readonly crashes: number;
  readonly rebalances: number;
  readonly lapses: number;
  readonly aborts: number;
}

/** What the table says of a record. A final entry of a committed record has left the table again. */
const Status = { absent: 0, free: 1, granted: 2, adopted: 3, executed: 4 } as const;

/** What a node does with its copy. `toldGrant` and `toldAdoption` are verdicts on their way. */
const Phase = {
  held: 0,
  toldGrant: 1,
  toldAdoption: 2,
  granted: 3,
  adopted: 4,
  checked: 5,
  executing: 6,
  effected: 7,
  unknown: 8,
  executed: 9,
} as const;

const nodes: readonly number[] = [0, 1, 2];
const isUnstarted = (phase: number): boolean => phase <= Phase.checked;
const isTold = (phase: number): boolean => phase === Phase.toldGrant || phase === Phase.toldAdoption;
const isRunning = (phase: number): boolean => phase === Phase.executing || phase === Phase.effected;

/** `copy(i, k)` is node i's copy of record k; `bit` is the task id's bit in the Bloom filter. */
function entryLayout(records: number) {
  return layout({
    world: one("effects", "bit", "crashes", "rebalances", "lapses", "aborts"),
    record: many(records, "owner", "committed", "holder", "status", "dirty"),
    node: many(nodes.length, "up"),
    copies: many(nodes.length * records, "phase"),
  });
}
type State = StateOf<ReturnType<typeof entryLayout>>;
type Entry = ReturnType<State["record"]>;

interface Turn {
  readonly rules: Rules;
  readonly records: readonly number[];
  readonly from: State;
  readonly moves: Moves<State>;
  readonly i: number;
}

const copyOf = (state: State, records: readonly number[], i: number, k: number): { phase: number } =>
  state.copies(i * records.length + k);

export function entryModel(bounds: EntryBounds, rules: Rules = rulesOn(entryRules)): Model<State> {
  const records = [0, 1].slice(0, bounds.records);
  return {
    name: `entry model ${JSON.stringify(bounds)}`,
    layout: entryLayout(records.length),
    start(state) {
      const { crashes, rebalances, lapses, aborts } = bounds;
      Object.assign(state.world, { crashes, rebalances, lapses, aborts });
      for (const k of records) state.record(k).owner = k;
      for (const i of nodes) state.node(i).up = 1;
    },
    moves(from, moves) {
      for (const i of nodes) {
        if (!from.node(i).up) continue;
        const turn = { rules, records, from, moves, i };
        faultMoves(turn);
        for (const k of records) {
          workMoves(turn, k);
          const { phase } = copyOf(from, records, i, k);
          const { owner, committed } = from.record(k);
          const asks = phase === Phase.held || phase === Phase.unknown;
          if (owner === i && !committed && asks) settleMoves(turn, k);
        }
      }
      rebalanceMoves(records, from, moves);
    },
    violation: (state) => (state.world.effects > 1 ? "double" : undefined),
    isSettled: (state) =>
      records.every((k) => state.record(k).committed === 1 || !state.node(state.record(k).owner).up),
  };
}

function faultMoves({ records, from, moves, i }: Turn): void {
  const { world } = from;
  const copies = records.map((k) => copyOf(from, records, i, k));
  if (world.crashes) {
    moves.fault(`n${i} crashes`, (to) => {
      to.world.crashes--;
      to.node(i).up = 0;
      for (const k of records) copyOf(to, records, i, k).phase = Phase.held;
    });
  }
  if (world.lapses && copies.some(({ phase }) => phase !== Phase.held && isUnstarted(phase))) {
    moves.fault(`the lease of n${i} lapses: what it had not started is only held`, (to) => {
      to.world.lapses--;
      for (const k of records) if (isUnstarted(copies[k]!.phase)) copyOf(to, records, i, k).phase = Phase.held;
    });
  }
  for (const k of records) {
    if (!world.aborts || !isRunning(copies[k]!.phase)) continue;
    moves.fault(`n${i}: the handler of r${k} is aborted, its end is unknown`, (to) => {
      to.world.aborts--;
      copyOf(to, records, i, k).phase = Phase.unknown;
    });
  }
}

function rebalanceMoves(records: readonly number[], from: State, moves: Moves<State>): void {
  if (!from.world.rebalances) return;
  for (const k of records) {
    const { owner } = from.record(k);
    for (const j of nodes) {
      if (!from.node(j).up || owner === j) continue;
      moves.fault(`the partition of r${k} moves n${owner} -> n${j}`, (to) => {
        to.world.rebalances--;
        to.record(k).owner = j;
        const copy = copyOf(to, records, owner, k);
        if (isUnstarted(copy.phase) && !isTold(copy.phase)) copy.phase = Phase.held;
      });
    }
  }
}

function setEntry(entry: Entry, status: number, dirty = 0): void {
  entry.holder = 0;
  entry.status = status;
  entry.dirty = dirty;
}

/** W passes the record: the entry leaves the table, which is how a final phase becomes `committed`. */
function commit(to: State, k: number): void {
  to.record(k).committed = 1;
  setEntry(to.record(k), Status.absent);
}

function workMoves({ records, from, moves, i }: Turn, k: number): void {
  const entry = from.record(k);
  const { phase } = copyOf(from, records, i, k);
  const owns = entry.owner === i;
  const become = (label: string, next: number): void =>
    moves.step(`n${i} ${label} r${k}`, (to) => void (copyOf(to, records, i, k).phase = next));
  if (isTold(phase) && !owns) become("discards the verdict for the partition it lost,", Phase.held);
  if (phase === Phase.toldGrant && owns) become("is GRANTED", Phase.granted);
  if (phase === Phase.toldAdoption && owns) become("has ADOPTED", Phase.adopted);
  if (phase === Phase.adopted && owns) {
    if (from.world.effects > 0) {
      moves.step(`n${i} checks r${k}: executed -> drops and commits`, (to) => {
        copyOf(to, records, i, k).phase = Phase.held;
        commit(to, k);
      });
    } else {
      become("checks, not executed:", Phase.checked);
    }
  }
  if ((phase === Phase.granted || phase === Phase.checked) && owns) become("STARTS", Phase.executing);
  if (phase === Phase.executing) {
    moves.step(`n${i}: the EFFECT of r${k}`, (to) => {
      to.world.effects++;
      copyOf(to, records, i, k).phase = Phase.effected;
    });
  }
  if (phase === Phase.effected) become("has executed", Phase.executed);
  if (phase !== Phase.executed || entry.committed) return;
  if (owns) {
    moves.step(`n${i} commits r${k}, W passes it`, (to) => {
      copyOf(to, records, i, k).phase = Phase.held;
      commit(to, k);
    });
  } else if (entry.status !== Status.executed) {
    moves.step(`n${i} gives r${k} to the ledger`, (to) => setEntry(to.record(k), Status.executed));
  }
}

/** R6, for one question of node `i` about record `k`; the comments are the steps of the rule. */
function settleMoves(turn: Turn, k: number): void {
  const { rules, records, from, moves, i } = turn;
  const entry = from.record(k);
  const say = (what: string): string => `leader, r${k} for n${i}: ${what}`;
  // 2: the entry is final
  if (entry.status === Status.executed) {
    moves.step(say("executed -> drop and commit"), (to) => commit(to, k));
    return;
  }
  // 3: it has a holder
  if (entry.holder === i + 1) return ownEntryMoves(turn, k, say);
  if (entry.holder) {
    releaseMoves(turn, k, say, true);
    return;
  }
  // 4: another entry has the same hash, and its task id is equal
  for (const other of records) {
    if (other === k || !rules.r6WaitForEqualId) continue;
    if (from.record(other).status === Status.executed) {
      moves.step(say(`r${other} has its id and executed -> drop and commit`), (to) => commit(to, k));
      return;
    }
    const moved = from.record(other).owner !== from.record(other).holder - 1;
    if (from.record(other).holder) return releaseMoves(turn, other, say, moved);
  }
  // 5: give
  if (entry.status === Status.free) give(turn, k, say, entry.dirty ? "adopted" : "granted");
  else if (from.world.bit && records.length > 1) give(turn, k, say, "adopted");
  else give(turn, k, say, "granted");
}

function ownEntryMoves(turn: Turn, k: number, say: (what: string) => string): void {
  const { rules, records, from, moves, i } = turn;
  if (copyOf(from, records, i, k).phase === Phase.unknown) {
    if (!rules.r23UnknownIsAnEnd) return;
    moves.step(say("its own run ended unknown: free, dirty"), (to) => setEntry(to.record(k), Status.free, 1));
  } else if (from.record(k).status === Status.adopted && rules.r6AdoptionStaysAdoption) {
    give(turn, k, say, "adopted");
  } else {
    give(turn, k, say, "granted");
  }
}

/** Asks the holder of record `o`; `mayRevoke` when what it has not started shall be taken back (R11). */
function releaseMoves(turn: Turn, o: number, say: (what: string) => string, mayRevoke: boolean): void {
  const { rules, records, from, moves } = turn;
  const entry = from.record(o);
  const j = entry.holder - 1;
  const become = (what: string, status: number, dirty: number): void =>
    moves.step(say(what), (to) => setEntry(to.record(o), status, dirty));
  if (!from.node(j).up) return become(`holder n${j} of r${o} is gone (quarantine): free, dirty`, Status.free, 1);
  const { phase } = copyOf(from, records, j, o);
  if (phase === Phase.executed) return become(`n${j} reports r${o} executed`, Status.executed, 0);
  if (phase === Phase.unknown) return become(`n${j}: the end of r${o} is unknown: free, dirty`, Status.free, 1);
  if (!isUnstarted(phase) || !mayRevoke) return;
  const { dirty } = entry;
  const after = rules.r6ReleaseKeepsEntry ? `free${dirty ? ", dirty" : ""}` : "deleted";
  moves.step(say(`n${j} refuses r${o}, the entry is ${after}`), (to) => {
    copyOf(to, records, j, o).phase = Phase.held;
    if (rules.r6ReleaseKeepsEntry) setEntry(to.record(o), Status.free, dirty);
    else setEntry(to.record(o), Status.absent);
  });
}

function give(turn: Turn, k: number, say: (what: string) => string, kind: "granted" | "adopted"): void {
  const { rules, records, moves, i } = turn;
  moves.step(say(kind), (to) => {
    const entry = to.record(k);
    entry.holder = i + 1;
    entry.status = Status[kind];
    if (kind === "adopted") entry.dirty = 1;
    to.world.bit = 1;
    copyOf(to, records, i, k).phase = kind === "adopted" ? Phase.toldAdoption : Phase.toldGrant;
    for (const o of records) {
      if (o !== k && rules.r6GivingMarksOthers && to.record(o).status !== Status.absent) to.record(o).dirty = 1;
    }
  });
}

const oneRecord: EntryBounds = { records: 1, crashes: 1, rebalances: 2, lapses: 1, aborts: 0 };
const twoRecords: EntryBounds = { ...oneRecord, records: 2 };
export const entryBounds = {
  oneRecord,
  oneRecordAborted: { ...oneRecord, aborts: 1 },
  twoRecords,
  twoRecordsAborted: { ...twoRecords, aborts: 1 },
} as const satisfies Record<string, EntryBounds>;

export const entryAblations: readonly Ablation<EntryRule, EntryBounds>[] = [
  ablation("r6ReleaseKeepsEntry", "keeping the entry at a release", oneRecord, "double", 14),
  ablation("r6AdoptionStaysAdoption", "a new check when an adoption is given anew", oneRecord, "double", 13),
  ablation("r6GivingMarksOthers", "marking other entries of the task id dirty", twoRecords, "double", 14),
  ablation("r6WaitForEqualId", "waiting for the holder of an equal task id", twoRecords, "double", 9),
  ablation("r23UnknownIsAnEnd", "an answer for a run that ended unknown", entryBounds.oneRecordAborted, "stuck", 4),
];
