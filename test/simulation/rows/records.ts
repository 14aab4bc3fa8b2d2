/** What the coverage counters remember about one start of a node. Its core is looked at directly; this is only what a core forgets. */
import type { CoreEffect, Role } from "../../../src/core/effects.ts";
import type { Incarnation, PartitionId } from "../../../src/core/identity.ts";
import type { Leader } from "../../../src/core/leader/leader.ts";
import type { PartitionWindow } from "../../../src/core/member/window.ts";
import type { Attestation } from "../../../src/core/messages.ts";
import type { NodeCore } from "../../../src/core/node.ts";
import type { SimulatedNode } from "../observer.ts";

export type CommitEffect = Extract<CoreEffect, { type: "commit" }>;

/** A verdict batch on its way to this node. */
export interface Flight {
  readonly from: Incarnation;
  readonly epoch: number;
  readonly number: number; // of the claim or page
  readonly pid: PartitionId;
  readonly granted: number; // the first offset that it grants; -1: none
  readonly doubtful: number; // the first that it answers "doubtful"; -1: none
  readonly step: number; // in which it was sent
}

/** Facts or commits that this node told its leader, until the leader has processed the report. */
export interface Told {
  readonly to: Incarnation;
  readonly epoch: number;
  readonly number: number; // of the report
  readonly pid: PartitionId;
  readonly executed: number; // an offset; -1: none
  readonly committed: number; // a position; -1: none
}

/** What this node said about a task that the leader asked about. */
export interface Said {
  readonly to: Incarnation;
  readonly epoch: number;
  readonly number: number; // of the question
  readonly pid: PartitionId;
  readonly offset: number;
  readonly status: Attestation;
  readonly at: number;
  taken: boolean; // the leader has processed it
}

/** How many words of a node are remembered; older ones are no longer on their way. */
const KEPT_MAX = 32;

export function keep<T>(list: T[], item: T): void {
  list.push(item);
  if (list.length > KEPT_MAX) list.shift();
}

export function forget<T>(list: T[], is: (item: T) => boolean): void {
  for (let i = list.length - 1; i >= 0; i--) if (is(list[i]!)) list.splice(i, 1);
}

export class NodeFacts {
  readonly node: SimulatedNode;
  readonly core: NodeCore;
  readonly name: string;
  readonly incarnation: Incarnation;
  readonly processId: number;
  readonly startedAt: number;
  diedAt = Infinity;
  stoppedAt = Infinity; // SIGSTOP, or its loop is blocked; Infinity while it runs
  stoppedWhy: "stop" | "block" | "stop-before-handler" = "stop";
  epoch = 0; // accepted, as of its last step
  leader: Leader | null = null; // while it leads
  lastLeader: Leader | null = null; // also after it was deposed
  active = false;
  admitted = false;
  role: Role = "observer";
  leaderOf: Incarnation = ""; // whose welcome it had last
  releases = 0; // verdicts, watermarks and partition answers sent as leader
  /** The windows of the last assignment; a join takes them from the core, and they stay as they were. */
  windows = new Map<PartitionId, PartitionWindow>();
  readonly connections = new Map<number, Incarnation>();
  readonly flights: Flight[] = [];
  readonly told: Told[] = [];
  readonly said: Said[] = [];
  commit: CommitEffect | null = null; // in flight
  commitFailedAt = -Infinity; // refused, unknown or fatal

  constructor(node: SimulatedNode, core: NodeCore, now: number) {
    this.node = node;
    this.core = core;
    this.name = node.name;
    this.incarnation = node.incarnation;
    this.processId = node.process.pid;
    this.startedAt = now;
  }

  get alive(): boolean {
    return this.node.process.state !== "dead" && this.diedAt === Infinity;
  }

  get runs(): boolean {
    return this.node.process.state === "running" && this.diedAt === Infinity;
  }
}
