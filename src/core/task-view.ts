/**
 * What one node knows about one task, taken on demand for `task <id>`. Plain data; durations in milliseconds, null where
 * none is known. `ops/task.ts` names topics in it and gives it its place in JSON.
 */
import type { CheckAnswer } from "./events.ts";
import type { Incarnation, PartitionId } from "./identity.ts";
import type { Attestation, Verdict } from "./messages.ts";
import type { DoubtEnd } from "./member/recent-ends.ts";
import type { State } from "./member/window.ts";

/** What is looked for: a task id, one record, or, where a text can be read as both, either. */
export interface TaskQuery {
  /** As a record's own task id, with its hash. */
  readonly id: string;
  readonly hashHi: number;
  readonly hashLo: number;
  /** The record that the text names, with the hash of its delivery key; null when it names none. */
  readonly record: {
    readonly pid: PartitionId;
    readonly offset: number;
    readonly hashHi: number;
    readonly hashLo: number;
  } | null;
}

export type OwnState = Exclude<keyof typeof State, "absent">;

/** Of a task that is or was in doubt here. */
export interface DoubtView {
  readonly ageMs: number;
  readonly asks: number; // questions to the leader
  readonly verdict: keyof typeof Verdict | ""; // its last answer
  readonly verdictAgeMs: number | null;
  readonly verdictLost: boolean; // the leader changed while a verdict was outstanding
  readonly ranUnknown: boolean; // a run of it on this node ended unknown
  readonly maybeOnly: boolean; // nothing but a filter bit speaks for an earlier run
  readonly checks: number; // how often the check was asked
  readonly uselessChecks: number; // of these without a usable answer
  readonly checkAnswer: CheckAnswer | ""; // the last one
  readonly checkRuns: boolean;
}

/** This node's own truth: the record is in its hands, or its handler ran here. */
export interface OwnView {
  readonly state: OwnState;
  readonly owned: boolean; // false: its partition has moved to another node meanwhile
  readonly attempts: number; // that failed
  readonly stamp: number; // sequence of its grant or adoption, 0 before the first
  readonly ageMs: number | null; // in this state, where it is known
  readonly waitsFor: string; // in words; "" when for nothing
  readonly withinMs: number | null; // how long that takes at most, or until the next try
  readonly doubt: DoubtView | null;
  readonly reason: string; // of a record that is being set aside
}

/** The entry of the replicated grant table. */
export interface EntryView {
  readonly phase: "granted" | "executing" | "executed" | "dropped" | "dead" | "parked";
  readonly holder: Incarnation; // "" for none
  readonly epoch: number;
  readonly stamp: number;
  readonly dirty: boolean; // a run whose end is unknown may exist: it is given only to be checked first
  readonly unknownRuns: number;
  readonly attempts: number;
}

/** What only the leader can say. */
export interface LeaderView {
  readonly owner: Incarnation; // of the partition, by the newest report; "" for nobody
  readonly holderStanding: "connected" | "silent" | "dead" | ""; // "" without a holder
  readonly goneInMs: number | null; // of a holder that is silent or dead: when it counts as stopped (R12)
  readonly attestation: Attestation | ""; // the holder's last word that did not end it
  readonly settlesInMs: number | null; // of a run that ended unknown: when its effects have settled
  readonly suspect: boolean; // after an unclean start: nobody knows whether it was granted (R15)
  readonly behind: readonly Incarnation[]; // of the in-sync set, who has not acknowledged all: verdicts wait for them
  readonly waiters: readonly Incarnation[]; // who asked about it and was told to wait
}

export interface SettledView {
  readonly how: DoubtEnd;
  readonly ran: boolean; // it was given to its handler
  readonly checks: number;
  readonly doubtfulMs: number; // how long it was in doubt
  readonly ageMs: number; // since it was settled
}

export interface SetAsideView {
  readonly kind: "dead" | "parked";
  readonly reason: string;
  readonly attempts: number;
  readonly ageMs: number;
}

/** Where the cell and this node stand in the record's partition. */
export interface PlaceView {
  readonly from: number; // where the cell began to read; -1 when this node knows of no such partition
  readonly watermark: number; // below it everything from `from` on is committed
  readonly owned: boolean;
  readonly generation: number; // of the group, by which it is owned; -1 when it is not
  readonly position: number; // committed by this node; -1 when not owned
  readonly fetchPosition: number; // -1 when not owned
  readonly logEnd: number; // -1 when not owned
  readonly stopped: string; // why the partition stands still, "" when it does not
}

export interface RecordView {
  readonly pid: PartitionId;
  readonly offset: number;
  /** The record's own task id; "" when its delivery key names it; null when this node does not know. */
  readonly taskId: string | null;
  /** False: another record with the same task id as the one that was asked for. */
  readonly asked: boolean;
  readonly place: PlaceView;
  readonly own: OwnView | null;
  readonly entry: EntryView | null;
  readonly leader: LeaderView | null;
  readonly settled: SettledView | null;
  readonly setAside: SetAsideView | null;
}

export interface TaskView {
  /** Whether the seen-set knows the task; null while this node holds no complete one. */
  readonly seen: boolean | null;
  readonly records: readonly RecordView[];
}
