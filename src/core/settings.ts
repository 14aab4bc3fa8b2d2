/** What the core must be told; every limit has a name and a unit. The option table in `config/` fills it. */

export type OnUnknown = "execute" | "drop" | "park";

export interface TopicSettings {
  readonly name: string;
  readonly generation: number; // topic generation
  readonly partitions: number; // when the node started; 0 when the topic did not exist
  readonly onUnknown: OnUnknown;
  readonly hasCheck: boolean;
  readonly effectSettleMs: number; // an effect of a killed run may land this long after its death
  readonly attemptsMax: number;
  readonly retryBackoffMs: number; // first back-off; doubles, with jitter
  readonly retryBackoffMaxMs: number;
}

export interface CoreSettings {
  readonly clusterUuid: string;
  readonly dedupEpoch: number;
  readonly nodeId: string;
  readonly bootId: string;
  /** Sorted by name; the index is part of every PartitionId. */
  readonly topics: readonly TopicSettings[];
  readonly startAt: "earliest" | "latest" | "committed";

  readonly minInSync: number;
  readonly heartbeatMs: number;
  readonly leaseMs: number;
  readonly isolationGraceMs: number;
  readonly quarantineMarginMs: number;
  readonly inSyncEvictionMs: number;
  readonly checkQuorumMs: number;
  readonly isolateAfterMs: number;
  readonly uncleanStartAfterMs: number;
  readonly syncMaxMs: number; // how long an activating leader waits for registered members of the last set
  readonly electionBackoffMs: number; // base of the jittered wait before competing again
  readonly watermarkPersistMs: number;
  readonly drainTimeoutMs: number;

  readonly concurrency: number; // handlers at once on this node
  readonly checkConcurrency: number;
  readonly checkAttemptsMax: number; // answers "unknown", errors and time-outs before onUnknown decides
  readonly checkBackoffMs: number;
  readonly unknownMax: number;

  readonly claimBatchMax: number; // tasks in one claim
  readonly reportsInFlightMax: number;
  readonly batchDelayMs: number; // how long a partly filled report waits while others are in flight
  readonly commitIntervalMs: number;
  readonly uncommittedSpanMax: number; // offsets above the committed position, a partition
  readonly tableSlotsMax: number; // over all partitions
  readonly doubtfulMax: number; // doubts held by this node
  readonly doubtPageMax: number; // doubts in one report
  readonly doubtIntervalMs: number; // between two questions about the same doubt
  readonly deltaLogMax: number; // deltas kept for a member that reconnects

  readonly filter: FilterSettings;
}

export interface FilterSettings {
  readonly generations: number;
  readonly capacityPerGeneration: number; // keys
  readonly falsePositiveRate: number; // over all generations
  readonly seed: number;
}

/** How long the leader waits before it believes that a silent node has stopped (R12); effects then settle. */
export function quarantineMs(times: Pick<CoreSettings, "leaseMs" | "isolationGraceMs" | "quarantineMarginMs">): number {
  return times.leaseMs + times.isolationGraceMs + times.quarantineMarginMs;
}
