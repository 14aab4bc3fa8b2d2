/** What the shell tells the core. Events carry batches. Times are milliseconds of this process's monotonic clock. */
import type { Incarnation, PartitionId } from "./identity.ts";
import type { PeerMessage } from "./messages.ts";

/** How one attempt of a handler ended. */
export const Outcome = {
  success: 1,
  failure: 2, // the handler reported failure (it threw)
  unknown: 3, // aborted, timed out, or otherwise not certain
  notStarted: 4, // the runner found the start invalid at the last moment
  failedForGood: 5, // the handler reported failure, and that no attempt will succeed
} as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

export type CheckAnswer = "executed" | "not-executed" | "unknown";

export interface DeliveredBatch {
  readonly pid: PartitionId;
  readonly ownership: number; // of the assignment under which it was fetched
  readonly fetchedFrom: number;
  readonly nextPosition: number;
  readonly offsets: Float64Array;
  readonly hashes: Uint32Array; // 2 a record
  readonly ids: readonly (string | null)[] | null; // null: every task id is the delivery key
  readonly payloads: Uint32Array | null; // payload hashes, 2 a record, where ids are given
  readonly leaderEpoch: number;
  readonly logEnd: number;
}

export interface AssignedEvent {
  readonly pid: PartitionId;
  readonly committed: number | null;
  readonly metadata: string;
  readonly logStart: number;
  readonly logEnd: number;
  /** The partition was added after the cell began: "latest" is its beginning. */
  readonly added?: boolean;
  /** Another topic than the cell's has the name now: what a person should know. The partition stands still from the start. */
  readonly replaced?: string;
}

export interface InSyncState {
  readonly incarnations: readonly Incarnation[];
  readonly evicted?: readonly Incarnation[]; // left the set and may still run (R15d); absent in records of older versions
  readonly version: number;
}

export interface WatermarksState {
  readonly clean: boolean;
  readonly written: boolean; // false: this cell never wrote any
  readonly partitions: readonly { readonly pid: PartitionId; readonly from: number; readonly watermark: number }[];
}

export type CoreEvent =
  | { readonly type: "tick" }
  // peers
  | { readonly type: "connected"; readonly connection: number; readonly peer: Incarnation; readonly outgoing: boolean }
  | { readonly type: "disconnected"; readonly connection: number }
  | { readonly type: "dial-failed"; readonly peer: Incarnation }
  | { readonly type: "message"; readonly connection: number; readonly to: Incarnation; readonly message: PeerMessage }
  // coordinator
  | { readonly type: "session"; readonly state: "connected" | "suspended" | "lost" }
  | { readonly type: "coordinator-deadline"; readonly at: number }
  | { readonly type: "members"; readonly members: readonly Incarnation[] }
  | { readonly type: "leader"; readonly leader: { readonly incarnation: Incarnation; readonly epoch: number } | null }
  | {
      readonly type: "election";
      readonly outcome: "won";
      readonly epoch: number;
      readonly inSync: InSyncState;
      readonly watermarks: WatermarksState;
    }
  | { readonly type: "election"; readonly outcome: "lost" | "unknown" }
  | {
      readonly type: "in-sync-written";
      readonly epoch: number;
      readonly outcome: "written" | "conflict" | "fenced" | "unknown";
      readonly version: number;
    }
  | { readonly type: "in-sync-read"; readonly epoch: number; readonly inSync: InSyncState | null } // null: could not be read, asked again later
  | { readonly type: "watermarks-written"; readonly epoch: number; readonly outcome: "written" | "fenced" | "unknown" }
  | { readonly type: "death-proven"; readonly incarnation: Incarnation }
  // task log
  | { readonly type: "revoked" } // a join begins: answered by the effect "revoke-done"
  | { readonly type: "assigned"; readonly generation: number; readonly partitions: readonly AssignedEvent[] } // answered by "positions"
  | { readonly type: "delivered"; readonly batch: DeliveredBatch }
  | {
      readonly type: "commit-result";
      readonly number: number;
      readonly outcome: "committed" | "refused" | "unknown" | "fatal";
      readonly reason: string;
    }
  | {
      readonly type: "partition-problem";
      readonly pid: PartitionId;
      readonly problem: string;
      readonly detail?: string; // what happened, and what a person can do
    }
  | { readonly type: "group-left" }
  // execution
  | {
      readonly type: "results";
      readonly pid: PartitionId;
      readonly offsets: Float64Array;
      readonly outcomes: Uint8Array;
    }
  | {
      readonly type: "check-result";
      readonly pid: PartitionId;
      readonly offset: number;
      readonly epoch: number; // of the adoption that was checked, with its stamp
      readonly stamp: number;
      readonly answer: CheckAnswer;
    }
  | {
      readonly type: "set-aside-result";
      readonly pid: PartitionId;
      readonly offset: number;
      readonly acknowledged: boolean;
    }
  | { readonly type: "watchdog"; readonly healthyUntil: number } // the watchdog answered; starts are allowed until then
  | { readonly type: "clock-jump" } // the wall clock moved against the monotonic one
  | { readonly type: "drain" };
