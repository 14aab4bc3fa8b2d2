/** What the core tells about itself; `ops/` turns it into /status, /metrics and readiness. Plain data, taken on demand. */
import type { Role } from "./effects.ts";
import type { Incarnation, PartitionId } from "./identity.ts";
import type { ProgressRow } from "./messages.ts";

/** Counters since the start of this node; all only rise. */
export interface CoreCounters {
  delivered: number;
  discardedBatches: number; // delivered under an old ownership or not continuous
  claimed: number;
  granted: number;
  started: number; // handler starts, attempts included
  executed: number;
  failedAttempts: number;
  unknownEnds: number;
  dropped: number;
  dead: number;
  parked: number;
  doubts: number; // tasks that entered the doubtful queue
  verdictsLost: number;
  staleVerdicts: number;
  heldAgain: number; // granted, unstarted tasks that went back to held (R10)
  checks: number;
  commits: number;
  commitsRefused: number;
  commitsUnknown: number;
  ledgerEntries: number; // leader: executed, uncommitted tasks recorded after their owner changed
  elections: number; // won by this node
  syncs: number; // state transfers received
  skipped: number; // leader: offsets passed over by a commit that is not this cell's (R7)
  unexpectedSeen: number; // leader: a member's filter knew a fresh task
  refusedMessages: number;
  limitHits: Record<string, number>; // by name of the limit
}

/** Doubts of this node by how they were settled. */
export interface DoubtsSettled {
  attestedExecuted: number; // another node or the ledger knew that it was executed
  waitedForHolder: number; // as above, or re-granted, after waiting for a holder that was running it
  checkedExecuted: number;
  checkedNotExecuted: number;
  falsePositive: number; // proven unseen: granted without a check
  committed: number; // below the watermark
  regranted: number; // the asker's own unstarted or refused grant, given again
  byPolicy: number; // onUnknown decided
}

export interface PartitionStatus {
  readonly pid: PartitionId;
  readonly ownership: number;
  readonly generation: number;
  readonly position: number; // committed by this node in this ownership
  readonly fetchPosition: number;
  readonly logEnd: number;
  readonly watermark: number;
  readonly ceiling: number;
  readonly paused: boolean;
  readonly stopped: string; // "" or why
}

export interface PeerStatus {
  readonly incarnation: Incarnation;
  readonly connected: boolean;
  readonly standing: "learner" | "member" | "draining" | "gone";
  readonly lag: number; // deltas sent and not acknowledged
  readonly progress: readonly ProgressRow[];
}

export interface LeaderStatus {
  readonly epoch: number;
  readonly active: boolean;
  readonly inSync: readonly Incarnation[];
  readonly changePending: boolean;
  readonly peers: readonly PeerStatus[];
  readonly tableEntries: number;
  readonly ledger: number; // executed, not below the watermark
  readonly deltaSeq: number;
}

export interface CoreStatus {
  readonly incarnation: Incarnation;
  readonly role: Role;
  readonly epoch: number;
  readonly leader: Incarnation; // "" when none is known
  readonly member: boolean; // in the in-sync set
  readonly leaseRemainingMs: number; // 0 when over
  readonly leaseNumber: number;
  readonly running: number;
  readonly inFlight: number; // delivered, not final
  readonly doubtful: number;
  readonly oldestDoubtMs: number;
  readonly oldestUnfinishedMs: number;
  readonly waitingFor: string; // "" or what this node waits for, in words a person understands
  /** Questions to the leader that were answered here, by how long that took: counts a bucket of VERDICT_BOUNDS_MS, and one above. */
  readonly verdicts: { readonly counts: readonly number[]; readonly sumMs: number };
  readonly oldestAskMs: number; // of a question without an answer; 0 for none
  readonly filterFill: number; // 0..1 of the open generation
  readonly filterFalsePositiveRate: number; // expected now, over all generations
  readonly partitions: readonly PartitionStatus[];
  readonly leaderStatus: LeaderStatus | null;
  readonly counters: Readonly<CoreCounters>;
  readonly doubtsSettled: Readonly<DoubtsSettled>;
}
