/** What checkers and coverage counters see of a simulation. All calls are synchronous; a checker reports by throwing `Violation`. */
import type { CoreEffect } from "../../src/core/effects.ts";
import type { CoreEvent } from "../../src/core/events.ts";
import type { NodeCore } from "../../src/core/node.ts";
import type { HistoryEvent } from "./history.ts";
import type { SimulatedProcess } from "./virtual-time.ts";

/** One start of a node: its process and, once it runs, its core. */
export interface SimulatedNode {
  readonly name: string;
  readonly process: SimulatedProcess;
  readonly incarnation: string; // `name/bootId`
  core: NodeCore | null; // null until it is registered
}

/** One attempt of a handler, with what the world knows about it. */
export interface Run {
  readonly number: number;
  readonly node: string;
  readonly pid: number;
  readonly partition: number;
  readonly offset: number;
  readonly taskId: string;
  readonly epoch: number;
  readonly stamp: number;
  readonly attempt: number;
  startedAt: number; // of the first instruction; Infinity between the start check and it
  endedAt: number; // Infinity while it runs
  effectAt: number; // Infinity when its effect did not happen (yet)
  outcome: "running" | "success" | "failure" | "unknown" | "died";
}

export interface LogRecordTruth {
  readonly taskId: string; // of the record's header, else "" and then its delivery key names it
  readonly payload: number;
  readonly isGap: boolean; // never delivered: compacted away, or a marker of a transaction
}

/** The world as it is; nothing in it may be changed by an observer. */
export interface World {
  readonly seed: number;
  readonly now: number;
  readonly settings: SimulationSettings;
  /** By node id; the latest start of each, dead ones included. */
  readonly nodes: ReadonlyMap<string, SimulatedNode>;
  /** All runs in the order of their starts. */
  readonly runs: readonly Run[];
  readonly runsByTask: ReadonlyMap<string, readonly Run[]>;
  /** What the log holds; by partition, index is the offset. */
  readonly log: readonly (readonly LogRecordTruth[])[];
  /** By partition; null: none. */
  readonly committed: readonly (number | null)[];
  /** What was committed beside the position; by partition, "" for none. */
  readonly metadata: readonly string[];
  /** The first offset that the log still has; by partition. */
  readonly logStart: readonly number[];
  /** By partition: who owns it in the group's present generation; null: nobody. */
  readonly owner: readonly (string | null)[];
  readonly groupGeneration: number;
  /** As the coordinator has them, decoded. */
  readonly epoch: number;
  readonly inSync: readonly string[];
  readonly inSyncVersion: number;
  readonly leader: { readonly incarnation: string; readonly epoch: number } | null;
  readonly events: readonly HistoryEvent[];
  taskIdOf(partition: number, offset: number): string;
  /** How many effects of this task happened. */
  effects(taskId: string): number;
  /** Can these two nodes' processes exchange bytes now? */
  linked(a: string, b: string): boolean;
  reachesCoordinator(node: string): boolean;
  reachesLog(node: string): boolean;
  /** True once no more faults come. */
  readonly quiet: boolean;
}

/** What the seed decided about one run. */
export interface SimulationSettings {
  readonly nodes: number; // 1-7
  readonly partitions: number; // 1-16
  readonly minInSync: number;
  readonly singleNode: boolean;
  readonly hasCheck: boolean;
  readonly checkIsTruthful: boolean;
  readonly onUnknown: "execute" | "drop" | "park";
  readonly headerIds: number; // share of records that name their task, 0..1
  readonly duplicateIds: number; // share of those that name a task named before
  readonly attemptsMax: number;
  readonly effectSettleMs: number;
  readonly filterCapacity: number; // keys a generation
  readonly filterGenerations: number;
  readonly filterFalsePositiveRate: number;
  readonly sinkChecksTokens: boolean; // G3: the world refuses an effect whose token is older than one it has seen
  readonly oneHost: boolean; // all processes in one kernel: deaths can be proven
  readonly faults: readonly string[]; // enabled kinds of this run (swarm)
  readonly timing: TimingSettings;
  readonly concurrency: number; // handlers at once on a node
  readonly checkConcurrency: number;
  readonly spanMax: number; // offsets above the committed one, a partition
  readonly deltaLogMax: number;
  readonly latencyMs: readonly [low: number, high: number]; // of one message between peers
  readonly drifts: boolean; // clocks run up to 1 % too fast or too slow
  readonly faultMs: number; // how long faults come
  readonly startAt: "earliest" | "latest" | "committed";
}

/** Times of the product's options; ms. "short" ones are about a third of the defaults, so that more happens in a virtual minute. */
export interface TimingSettings {
  readonly sessionMs: number;
  readonly coordinatorTickMs: number;
  readonly heartbeatMs: number;
  readonly leaseMs: number;
  readonly isolationGraceMs: number;
  readonly quarantineMarginMs: number;
  readonly inSyncEvictionMs: number;
  readonly checkQuorumMs: number;
  readonly isolateAfterMs: number;
  readonly uncleanStartAfterMs: number;
  readonly syncMaxMs: number;
  readonly electionBackoffMs: number;
  readonly watermarkPersistMs: number;
  readonly drainTimeoutMs: number;
  readonly kafkaSessionMs: number;
  readonly kafkaRebalanceMs: number;
  readonly kafkaHeartbeatMs: number;
  readonly doubtIntervalMs: number;
  readonly commitIntervalMs: number;
  readonly checkBackoffMs: number;
  readonly handlerTimeoutMs: number;
  readonly abortGraceMs: number;
  readonly checkTimeoutMs: number;
  readonly retryBackoffMs: number;
  readonly retryBackoffMaxMs: number;
}

export interface Observer {
  /** Steps in which the core wanted nothing are told for events of these types only; absent: all of them. */
  readonly quietSteps?: readonly CoreEvent["type"][];
  /** Of what happens in a process `afterEvent` need not hear: only of the coordinator's, the log's and the workload's doings. */
  readonly worldOnly?: boolean;
  /** So far apart are two calls of `afterEvent` at least, in virtual ms. */
  readonly everyMs?: number;
  /** Every step of every core, after it: white box. */
  onStep?(node: SimulatedNode, event: CoreEvent, effects: readonly CoreEffect[], now: number): void;
  /** What was written into the history. */
  onHistory?(event: HistoryEvent): void;
  /** After every event of the simulation (a callback with its microtasks). `process`: in which it ran; null: the world. */
  afterEvent?(process: SimulatedProcess | null): void;
  /** Everything has come to rest (the cell is drained of work; nodes still run). */
  atRest?(): void;
  /** The run is over. */
  atEnd?(): void;
}

export type ObserverFactory = (world: World) => Observer;
