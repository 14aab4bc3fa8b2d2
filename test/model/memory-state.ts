/** The state of the memory model, its rule switches, and the few sentences that its parts share. */
import type { Moves } from "./explore.ts";
import { layout, many, one, type StateOf } from "./packed.ts";

export const memoryRules = [
  "r6CommittedBelowW",
  "r6LeavesWhenWPasses",
  "r6WaitedOutcomeIsKept",
  "r7WaitsForHeldEntries",
  "r7FromReplicatedFirst",
  "r7AnchorAfterTheAnswer",
  "r7BelowFromStops",
  "r13ExecutedRemembered",
  "r13ReportedIsRemembered",
  "r13InSyncSetHasW",
  "r13FactEndsAnyEntry",
  "r13FactsBeforeCommits",
] as const;
export type MemoryRule = (typeof memoryRules)[number];

export interface MemoryBounds {
  /** Two records of one task id in two partitions; else two tasks in one partition. */
  readonly twins: boolean;
  /** No check and `onUnknown: execute`: only a duplicate that waited for the other record must not run. */
  readonly unchecked: boolean;
  readonly crashes: number;
  /** A node loses leader, coordinator and partitions for a while. */
  readonly cuts: number;
  /** The leader dies and its follower goes on with what was replicated. */
  readonly elections: number;
  readonly rebalances: number;
  /** Commits by another tool, to any offset. */
  readonly foreignCommits: number;
  readonly lapses: number;
}

export const Status = { absent: 0, free: 1, held: 2, executed: 3 } as const;
/** `final` = executed or dropped here, and to be committed. */
export const Phase = { none: 0, held: 1, granted: 2, adopted: 3, executing: 4, final: 5 } as const;

export const nodes: readonly number[] = [0, 1];
export const records: readonly number[] = [0, 1];

export interface Shape {
  readonly twins: boolean;
  readonly unchecked: boolean;
  /** The log end of each partition. */
  readonly end: number;
  partition(k: number): number;
  offset(k: number): number;
}

export const shapeOf = ({ twins, unchecked }: MemoryBounds): Shape =>
  twins
    ? { twins, unchecked, end: 1, partition: (k) => k, offset: () => 0 }
    : { twins, unchecked, end: 2, partition: () => 0, offset: (k) => k };
export const partitionsOf = (shape: Shape): readonly number[] => (shape.twins ? [0, 1] : [0]);

/**
 * `kept...` is what the in-sync set has of the leader's state. Partition: `owner` is node + 1, `informed` that it heard
 * `from` and W, `metaFrom` the from + 1 in the commit's metadata (0: not ours), `note` an acknowledged commit that the
 * leader has not heard of. Record: `acknowledged` that its *executed* is, `waited` that its question waits for its
 * twin, `outcome` that the twin executed meanwhile (the leader's own memory of both). A copy is one node's of one record.
 */
export const memoryLayout = layout({
  world: one("bit", "givenAgain"),
  budget: one("crashes", "cuts", "elections", "rebalances", "foreignCommits", "lapses"),
  node: many(2, "up", "cut"),
  partition: many(
    2,
    "owner",
    "informed",
    "committed",
    "metaFrom",
    "note",
    "stopped",
    "from",
    "watermark",
    "keptFrom",
    "keptWatermark",
  ),
  record: many(
    2,
    "effects",
    "skipped",
    "acknowledged",
    "waited",
    "outcome",
    "status",
    "holder",
    "dirty",
    "keptStatus",
    "keptHolder",
    "keptDirty",
  ),
  copy: many(4, "phase", "remembers"),
});
export type MemoryState = StateOf<typeof memoryLayout>;

export interface Turn {
  readonly rules: Readonly<Record<MemoryRule, boolean>>;
  readonly shape: Shape;
  readonly from: MemoryState;
  readonly moves: Moves<MemoryState>;
}

export const copyOf = (state: MemoryState, i: number, k: number): ReturnType<MemoryState["copy"]> =>
  state.copy(2 * i + k);

export const isUnstarted = (phase: number): boolean => phase < Phase.executing;
export const isReachable = (state: MemoryState, i: number): boolean =>
  state.node(i).up === 1 && state.node(i).cut === 0;

/** The copies of these partitions that a node loses with its ownership; what runs goes on. */
export function discard(shape: Shape, to: MemoryState, i: number, p: number): void {
  for (const k of records) {
    const copy = copyOf(to, i, k);
    if (shape.partition(k) === p && copy.phase !== Phase.executing) copy.phase = Phase.none;
  }
}

/** Entries that W has passed leave the table. */
export function passedByW(shape: Shape, to: MemoryState, p: number): void {
  for (const k of records) {
    if (shape.partition(k) !== p || shape.offset(k) >= to.partition(p).watermark) continue;
    Object.assign(to.record(k), { status: Status.absent, holder: 0, dirty: 0 });
  }
}

export function keepAll(to: MemoryState): void {
  for (const p of [0, 1]) {
    const { from, watermark } = to.partition(p);
    Object.assign(to.partition(p), { keptFrom: from, keptWatermark: watermark });
  }
  for (const k of records) {
    const { status, holder, dirty } = to.record(k);
    Object.assign(to.record(k), { keptStatus: status, keptHolder: holder, keptDirty: dirty });
    if (status === Status.executed) to.record(k).acknowledged = 1;
  }
}

/** The next leader begins with what was kept. */
export function restoreAll(to: MemoryState): void {
  for (const p of [0, 1]) {
    const { keptFrom, keptWatermark } = to.partition(p);
    Object.assign(to.partition(p), { from: keptFrom, watermark: keptWatermark, informed: 0, note: 0 });
  }
  for (const k of records) {
    const { keptStatus, keptHolder, keptDirty } = to.record(k);
    Object.assign(to.record(k), { status: keptStatus, holder: keptHolder, dirty: keptDirty, waited: 0, outcome: 0 });
  }
}

export function sameKept(state: MemoryState): boolean {
  return (
    [0, 1].every((p) => {
      const { from, watermark, keptFrom, keptWatermark } = state.partition(p);
      return from === keptFrom && watermark === keptWatermark;
    }) &&
    records.every((k) => {
      const { status, holder, dirty, keptStatus, keptHolder, keptDirty } = state.record(k);
      return status === keptStatus && holder === keptHolder && dirty === keptDirty;
    })
  );
}
