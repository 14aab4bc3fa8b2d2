/** What the core asks the shell to do. Effects are carried out in order; results come back as events. */
import type { Incarnation, PartitionId } from "./identity.ts";
import type { PeerMessage } from "./messages.ts";

export type Role =
  | "observer"
  | "candidate"
  | "activating"
  | "leader"
  | "learner"
  | "member"
  | "suspended"
  | "isolated"
  | "draining"
  | "stopped";

export interface CommitEntry {
  readonly pid: PartitionId;
  readonly position: number;
  readonly metadata: string;
}

export type AlarmCode =
  | "foreign-commit"
  | "position-below-from"
  | "out-of-range"
  | "truncated"
  | "unreadable"
  | "offsets-lost"
  | "filter-window"
  | "commit-fatal"
  | "unexpected-seen"
  | "limit-reached"
  | "waiting-for-members"
  | "takeover-refused";

/** Two records have one task id and different payloads: the one that executed, and both payload hashes. */
export interface PayloadConflict {
  readonly pid: PartitionId;
  readonly offset: number;
  readonly payloadHi: number;
  readonly payloadLo: number;
  /** Of the record that is parked. */
  readonly ownHi: number;
  readonly ownLo: number;
}

export type CoreEffect =
  // peers
  | { readonly type: "dial"; readonly peer: Incarnation }
  | { readonly type: "send"; readonly connection: number; readonly to: Incarnation; readonly message: PeerMessage }
  | { readonly type: "disconnect"; readonly connection: number; readonly reason: string }
  // coordinator
  | { readonly type: "compete"; readonly highestKnownEpoch: number }
  | { readonly type: "resign"; readonly epoch: number }
  | {
      readonly type: "write-in-sync";
      readonly epoch: number;
      readonly incarnations: readonly Incarnation[];
      readonly evicted: readonly Incarnation[]; // left the set and may still run (R15d)
      readonly version: number;
    }
  | { readonly type: "read-in-sync"; readonly epoch: number }
  | {
      readonly type: "write-watermarks";
      readonly epoch: number;
      readonly clean: boolean;
      readonly partitions: readonly { readonly pid: PartitionId; readonly from: number; readonly watermark: number }[];
    }
  // task log
  | { readonly type: "join-group" }
  | { readonly type: "leave-group" }
  | { readonly type: "revoke-done" } // the barrier before a join is through
  | {
      readonly type: "positions";
      readonly partitions: readonly {
        readonly pid: PartitionId;
        readonly ownership: number;
        readonly position: number;
        readonly paused: boolean;
        readonly leaderEpoch: number; // of the last record below the position, -1 when unknown
        readonly keptTo: number; // of that epoch are all records below this that are known as final; the position or above
      }[];
    }
  | { readonly type: "pause"; readonly pid: PartitionId }
  | { readonly type: "resume"; readonly pid: PartitionId }
  | { readonly type: "seek"; readonly pid: PartitionId; readonly position: number }
  | {
      readonly type: "commit";
      readonly number: number;
      readonly generation: number;
      readonly commits: readonly CommitEntry[];
    }
  | { readonly type: "release-records"; readonly pid: PartitionId; readonly below: number } // of the present ownership; their payloads are no longer needed
  // execution
  | {
      readonly type: "execute"; // start these now, in this turn; a start at or after validUntil must not happen ("notStarted")
      readonly pid: PartitionId;
      readonly ownership: number;
      readonly epoch: number;
      readonly validUntil: number;
      readonly offsets: Float64Array;
      readonly stamps: Float64Array; // with the epoch: the fencing token
      readonly attempts: Uint8Array; // 1 for the first
    }
  | {
      readonly type: "check";
      readonly pid: PartitionId;
      readonly offset: number;
      readonly epoch: number;
      readonly stamp: number;
    }
  | {
      readonly type: "set-aside";
      readonly kind: "dead" | "parked";
      readonly pid: PartitionId;
      readonly offset: number;
      readonly reason: string;
      readonly attempts: number;
      readonly conflict: PayloadConflict | null;
    }
  | { readonly type: "abort-all"; readonly reason: string } // isolation: abort the running handlers
  // what a person or a program should know
  | { readonly type: "role"; readonly role: Role; readonly epoch: number }
  | { readonly type: "alarm"; readonly code: AlarmCode; readonly message: string; readonly pid: PartitionId }
  | { readonly type: "log"; readonly level: "info" | "warn"; readonly message: string }
  | { readonly type: "stopped"; readonly clean: boolean; readonly reason: string };
