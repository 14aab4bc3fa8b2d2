/**
 * What peers say to each other, as types. Every message carries the sender's epoch (R1); the receiver's incarnation
 * travels in the frame header (R2). Batches are typed arrays; nothing here is one object a task, except on rare paths
 * (doubts, questions).
 */
import type { Incarnation, PartitionId } from "./identity.ts";

/** Phase of a table entry; "free" is a granted phase without a holder. */
export const Phase = { granted: 0, executing: 1, executed: 2, dropped: 3, dead: 4, parked: 5 } as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/** Flag bits beside the phase in one byte. */
export const PHASE_MASK = 0x07;
export const DIRTY_FLAG = 0x08;
export const FRESH_FLAG = 0x10; // unseen at the leader: the member tests its own filter (S2, the union)
export const FREE_FLAG = 0x20; // no holder
export const MAYBE_FLAG = 0x40; // dirty for a Bloom bit, or because another record of its hash was given: no evidence of a run (R20)
/** All of them: what a receiver lets through beside a phase. */
export const PHASE_FLAGS = DIRTY_FLAG | FRESH_FLAG | FREE_FLAG | MAYBE_FLAG;

/** The leader's answer about one task. */
export const Verdict = {
  granted: 1,
  doubtful: 2,
  adopted: 3, // evidence is exact (dirty entry, suspect offset, equal task id)
  adoptedMaybe: 4, // the only evidence is a Bloom bit (R20)
  committed: 5, // below the watermark: drop
  executed: 6, // exact evidence that it was executed: drop and commit
  wait: 7, // somebody may still run it: ask again when nudged
  poison: 8, // runs that ended unknown reached unknownMax: park
  refused: 9, // the claim is of an old group generation or ownership
  conflict: 10, // equal task id, other payload: park
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** Whether a verdict gives the task to who asked: it then carries a stamp. */
export function gives(verdict: number): boolean {
  return verdict === Verdict.granted || verdict === Verdict.adopted || verdict === Verdict.adoptedMaybe;
}

/** Words of `VerdictBatch.conflicts` for one conflict. */
export const CONFLICT_WORDS = 4;

/** Offsets of a batch: `base + deltas[i]`, or `base + i` for i < count when `deltas` is empty. */
export interface Offsets {
  readonly base: number;
  readonly count: number;
  readonly deltas: Uint32Array;
}

/** Tasks of one partition that a node asks for. */
export interface ClaimBatch {
  readonly number: number; // answered by a verdict of the same number
  readonly pid: PartitionId;
  readonly ownership: number;
  readonly generation: number; // group generation
  readonly offsets: Offsets;
  readonly hashes: Uint32Array; // 2 a task
  readonly idIsKey: Uint8Array; // 1: the task id is the delivery key; empty when all are
}

/** Doubtful tasks asked again, with their full ids. */
export interface DoubtPage {
  readonly number: number;
  readonly pid: PartitionId;
  readonly ownership: number;
  readonly generation: number;
  readonly offsets: Offsets;
  readonly hashes: Uint32Array;
  readonly idIsKey: Uint8Array;
  readonly ids: readonly string[]; // "" where the id is the delivery key
  readonly payloads: Uint32Array; // payload hashes, 2 a task; empty when not known
  readonly ranUnknown: Uint8Array; // 1: my own run of it ended unknown
}

/** Tasks that reached a final phase here, or (facts) are executing here. */
export interface FactBatch {
  readonly pid: PartitionId;
  readonly phase: Phase;
  readonly offsets: Offsets;
  readonly hashes: Uint32Array; // 2 a task in facts of a sync; empty in ordinary reports
}

/** An acknowledged commit of this cell (R14: W is told after it, and only for what the cell finished itself). */
export interface CommitNote {
  readonly pid: PartitionId;
  readonly ownership: number;
  readonly generation: number;
  readonly position: number;
}

/** The first word of an owner about a partition, from the commit that it read at the join. */
/** `from` of a commit that is another cell's. No offset. */
export const OTHER_CELLS = -2;

export interface PartitionReport {
  readonly pid: PartitionId;
  readonly ownership: number;
  readonly generation: number;
  readonly position: number; // where it begins to read
  readonly ours: boolean; // the commit carries our metadata of this dedup epoch
  readonly hadCommit: boolean;
  readonly from: number; // of the metadata; -1 when not ours, OTHER_CELLS when another cell's
  readonly ceiling: number; // reserved ceiling of the metadata; 0 when none
  readonly finals: Uint8Array; // bitmap of final offsets above the position
  readonly logStart: number;
  readonly logEnd: number;
  readonly leaderEpoch: number;
}

/** Where a node stands in a partition (R24, S12). */
export interface ProgressRow {
  readonly pid: PartitionId;
  readonly generation: number;
  readonly delivered: number;
  readonly claimed: number;
  readonly executed: number;
  readonly committed: number;
}

export interface SeenException {
  readonly seq: number; // of the delta
  readonly batch: number; // index of its entry batch
  readonly index: number; // within the batch
}

/** Node to leader: heartbeat, claims, facts, commits, doubts: one message, pipelined. */
export interface ReportMessage {
  readonly kind: "report";
  readonly epoch: number;
  readonly number: number;
  readonly appliedEpoch: number; // cumulative acknowledgement of deltas
  readonly appliedSeq: number;
  readonly seen: readonly SeenException[];
  readonly claims: readonly ClaimBatch[];
  readonly doubts: readonly DoubtPage[];
  readonly finished: readonly FactBatch[];
  readonly commits: readonly CommitNote[];
  readonly partitions: readonly PartitionReport[];
  readonly progress: readonly ProgressRow[];
  readonly factsComplete: boolean; // every fact above W was told to this leader in this epoch
  readonly draining: boolean;
  readonly runsNothing: boolean; // drain: no handler runs and none will start (R11)
}

/** Leader to node, on receipt of a report: heartbeat's answer and lease (R17). */
export interface AckMessage {
  readonly kind: "ack";
  readonly epoch: number;
  readonly number: number; // of the report
  readonly leaseMs: number;
}

export interface VerdictBatch {
  readonly number: number;
  readonly pid: PartitionId;
  readonly ownership: number;
  readonly results: Uint8Array; // Verdict a task, in the order of the question
  readonly stamps: Float64Array; // sequence of each granted or adopted task, in order of appearance
  readonly attempts: Uint8Array; // attempts already made, a granted or adopted task; empty when all are 0
  /** Of each conflict, in order of appearance: partition id, offset and the two payload words of the record that executed. */
  readonly conflicts: Float64Array;
}

export interface VerdictsMessage {
  readonly kind: "verdicts";
  readonly epoch: number;
  readonly batches: readonly VerdictBatch[];
}

/** Changes of T in one partition that share a holder. Entry i has the stamp (delta's epoch, firstStamp + i). */
export interface EntryBatch {
  readonly pid: PartitionId;
  readonly offsets: Offsets;
  readonly holder: Incarnation; // "" for none
  readonly firstStamp: number;
  readonly phases: Uint8Array; // phase and flag bits
  readonly unknownRuns: Uint8Array; // empty when all are 0
  readonly attempts: Uint8Array; // empty when all are 0
  readonly hashes: Uint32Array; // 2 an entry; empty when the entries exist and keep theirs
}

export interface WatermarkRow {
  readonly pid: PartitionId;
  readonly from: number;
  readonly watermark: number;
}

/** One replicated step of the leader's state. Applied in order, each once. */
export interface Delta {
  readonly epoch: number;
  readonly seq: number;
  readonly rotateTo: number; // filter generation to open before the entries; 0 for none
  readonly entries: readonly EntryBatch[];
  readonly watermarks: readonly WatermarkRow[];
}

export interface DeltaMessage {
  readonly kind: "delta";
  readonly epoch: number;
  readonly delta: Delta;
}

/** Leader to all: watermarks that the whole in-sync set has; executed facts below them may be forgotten (R13). */
export interface WatermarksMessage {
  readonly kind: "watermarks";
  readonly epoch: number;
  readonly rows: readonly WatermarkRow[];
}

/** Leader to owner: the answer to a PartitionReport; no claim before it (R15). */
export interface PartitionInfo {
  readonly pid: PartitionId;
  readonly ownership: number;
  readonly from: number;
  readonly watermark: number;
  readonly top: number; // 1 + the highest offset in T; the ceiling must not be below it
  readonly stop: string; // "" or why this partition must stop, in words
}

export interface PartitionsMessage {
  readonly kind: "partitions";
  readonly epoch: number;
  readonly partitions: readonly PartitionInfo[];
}

export interface QuestionItem {
  readonly pid: PartitionId;
  readonly offset: number;
  readonly stamp: number; // of the grant, for a revoke
  readonly revoke: boolean; // else only: what is it doing, and what is its id?
}

/** Leader to holder: attestation and revoke (S4, R11). */
export interface QuestionMessage {
  readonly kind: "question";
  readonly epoch: number;
  readonly number: number;
  readonly items: readonly QuestionItem[];
}

export type Attestation =
  "pending" | "running" | "executed" | "dropped" | "dead" | "parked" | "unknown" | "refused" | "absent";

export interface AnswerItem {
  readonly pid: PartitionId;
  readonly offset: number;
  readonly stamp: number;
  readonly status: Attestation;
  readonly attempts: number;
  readonly taskId: string; // "" when the id is the delivery key or not known here
  readonly idKnown: boolean;
  readonly payloadHi: number;
  readonly payloadLo: number;
}

export interface AnswerMessage {
  readonly kind: "answer";
  readonly epoch: number;
  readonly number: number;
  readonly items: readonly AnswerItem[];
}

/** Leader to node: something that your doubts in these partitions waited for has changed; ask again. */
export interface NudgeMessage {
  readonly kind: "nudge";
  readonly epoch: number;
  readonly pids: readonly PartitionId[];
}

/** Node to leader, first on a connection. */
export interface AttachMessage {
  readonly kind: "attach";
  readonly epoch: number; // highest known to the node
  readonly appliedEpoch: number; // 0 when it holds no replicated state
  readonly appliedSeq: number;
  readonly draining: boolean;
}

/** Leader to node: accept my epoch. The node answers with a report. */
export interface WelcomeMessage {
  readonly kind: "welcome";
  readonly epoch: number;
  readonly active: boolean;
  readonly resumeSeq: number; // >= 0: deltas after it follow, no sync needed; -1: wait for a sync
  readonly member: boolean; // you are in the in-sync set
}

/** Activating leader to a member of the last set: give me your replicated state (R4). */
export interface StateRequestMessage {
  readonly kind: "state-request";
  readonly epoch: number;
}

/** Rows of a table, of any holders and epochs, for state transfers. */
export interface TableRows {
  readonly pid: PartitionId;
  readonly offsets: Float64Array;
  readonly holders: readonly Incarnation[]; // distinct; index by holderIndex
  readonly holderIndex: Uint16Array;
  readonly epochs: Float64Array;
  readonly stamps: Float64Array;
  readonly phases: Uint8Array;
  readonly unknownRuns: Uint8Array;
  readonly attempts: Uint8Array;
  readonly hashes: Uint32Array;
}

/** Some 4 KiB segments of one filter generation; segments that are all zero are not sent. */
export interface FilterSegments {
  readonly generation: number;
  readonly insertions: number; // counted by the sender in this generation
  readonly indexes: Uint32Array;
  readonly bytes: Uint8Array; // the segments one after another, little-endian
}

/**
 * One chunk of a state transfer. `purpose` "merge": a member's state for an activating leader; "sync": the leader's
 * state for a learner or a member of its new set, which replaces what it has.
 */
export interface StateChunkMessage {
  readonly kind: "state-chunk";
  readonly epoch: number;
  readonly purpose: "merge" | "sync";
  readonly first: boolean;
  readonly last: boolean;
  readonly replace: boolean; // first chunk of a sync: drop what you have before you take this (R5)
  readonly seq: number; // sync: the delta sequence that this state contains
  readonly watermarks: readonly WatermarkRow[];
  readonly rows: readonly TableRows[];
  readonly generations: readonly number[]; // first chunk: ids of all held generations, oldest first
  readonly segments: readonly FilterSegments[];
}

/** Leader to node: you are in the in-sync set now. */
export interface AdmittedMessage {
  readonly kind: "admitted";
  readonly epoch: number;
}

/** Refusal of a message (R1, R2), with my epoch; or the end of a relation ("evicted", "not-leader", "drained"). */
export interface RefusedMessage {
  readonly kind: "refused";
  readonly epoch: number;
  readonly reason: "stale-epoch" | "wrong-incarnation" | "not-leader" | "evicted" | "drained";
}

export type PeerMessage =
  | ReportMessage
  | AckMessage
  | VerdictsMessage
  | DeltaMessage
  | WatermarksMessage
  | PartitionsMessage
  | QuestionMessage
  | AnswerMessage
  | NudgeMessage
  | AttachMessage
  | WelcomeMessage
  | StateRequestMessage
  | StateChunkMessage
  | AdmittedMessage
  | RefusedMessage;
