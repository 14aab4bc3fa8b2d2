/** What a seed decides before anything happens: the size of the cell, its options, and which faults may come (swarm testing). */
import { AIMED } from "./aimed-faults.ts";
import type { SimulationSettings, TimingSettings } from "./observer.ts";
import type { Random } from "./random.ts";

const SHORT: TimingSettings = {
  sessionMs: 3_000,
  coordinatorTickMs: 200,
  heartbeatMs: 400,
  leaseMs: 1_200,
  isolationGraceMs: 3_700,
  quarantineMarginMs: 500,
  inSyncEvictionMs: 1_200,
  checkQuorumMs: 2_400,
  isolateAfterMs: 5_000,
  uncleanStartAfterMs: 5_500,
  syncMaxMs: 800,
  electionBackoffMs: 200,
  watermarkPersistMs: 4_000,
  drainTimeoutMs: 12_000,
  kafkaSessionMs: 5_500,
  kafkaRebalanceMs: 8_000,
  kafkaHeartbeatMs: 1_000,
  doubtIntervalMs: 250,
  commitIntervalMs: 50,
  checkBackoffMs: 300,
  handlerTimeoutMs: 6_000,
  abortGraceMs: 200,
  checkTimeoutMs: 2_000,
  retryBackoffMs: 50,
  retryBackoffMaxMs: 2_000,
};

const DEFAULTS: TimingSettings = {
  sessionMs: 6_000,
  coordinatorTickMs: 2_000,
  heartbeatMs: 500,
  leaseMs: 3_000,
  isolationGraceMs: 12_000,
  quarantineMarginMs: 1_500,
  inSyncEvictionMs: 3_000,
  checkQuorumMs: 6_000,
  isolateAfterMs: 15_000,
  uncleanStartAfterMs: 17_000,
  syncMaxMs: 2_000,
  electionBackoffMs: 500,
  watermarkPersistMs: 10_000,
  drainTimeoutMs: 30_000,
  kafkaSessionMs: 18_000,
  kafkaRebalanceMs: 60_000,
  kafkaHeartbeatMs: 2_000,
  doubtIntervalMs: 500,
  commitIntervalMs: 100,
  checkBackoffMs: 1_000,
  handlerTimeoutMs: 20_000,
  abortGraceMs: 1_000,
  checkTimeoutMs: 5_000,
  retryBackoffMs: 200,
  retryBackoffMaxMs: 10_000,
};

/** Every kind of fault that the swarm may enable. */
export const FAULT_KINDS = [
  "kill",
  "power-loss",
  "stop",
  "drain",
  "cut-peers",
  "cut-peers-one-way",
  "split",
  "cut-coordinator",
  "cut-log",
  "cut-all",
  "drop-links",
  "slow-link",
  "half-open",
  "corrupt-link",
  "clock-jump",
  "block",
  "coordinator-quorum",
  "session-expiry",
  "lost-answers",
  "stale-reads",
  "slow-watches",
  "move",
  "rebalance-storm",
  "commit-trouble",
  "check-trouble",
  "set-aside-trouble",
  "slow-handlers",
  "foreign-commit",
  "offsets-lost",
  "stop-before-handler",
  "stale-commit-accepted",
  "lost-revocation",
  "late-batches",
  "slow-log",
  "retention",
  "rolling-restart",
] as const;

/** What ends the usual course of a run: each in a small share of the runs only. */
const RARE_KINDS = ["fatal-commit", "coordinator-wipe", "replay", "parameter-mismatch", "full-restart"] as const;

export function swarmSettings(random: Random): SimulationSettings {
  const nodes = random.pick([1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 5, 7]);
  const singleNode = nodes === 1;
  const isShort = random.chance(0.85);
  const timing = isShort ? SHORT : DEFAULTS;
  const hasCheck = random.chance(0.85);
  const smallFilter = random.chance(0.35);
  const share = random.pick([0.2, 0.4, 0.7]);
  const faults: string[] = FAULT_KINDS.filter(() => random.chance(share));
  faults.push(...RARE_KINDS.filter(() => random.chance(0.08)));
  faults.push(...[...AIMED.keys()].filter(() => random.chance(0.25)));
  return {
    nodes,
    partitions: random.pick([1, 1, 2, 3, 4, 6, 16]),
    minInSync: singleNode ? 1 : 2,
    singleNode,
    hasCheck,
    checkIsTruthful: !random.chance(0.06),
    onUnknown: random.pick(["execute", "drop", "park"]),
    headerIds: random.pick([0, 0.3, 0.5, 1]),
    duplicateIds: random.pick([0, 0.1, 0.3]),
    attemptsMax: random.pick([1, 3, 5]),
    effectSettleMs: isShort ? 400 : 2_000,
    filterCapacity: smallFilter ? random.pick([50, 100, 300]) : 10_000,
    filterGenerations: smallFilter ? random.pick([2, 3, 4]) : 4,
    filterFalsePositiveRate: smallFilter ? 0.2 : 0.001,
    sinkChecksTokens: random.chance(0.15),
    oneHost: random.chance(0.5),
    faults: faults.length > 0 ? faults : ["kill"],
    timing,
    concurrency: random.pick([1, 4, 20, 100]),
    checkConcurrency: random.pick([1, 10]),
    spanMax: random.pick([64, 1_000, 20_000]),
    deltaLogMax: random.pick([20, 1_000, 10_000]),
    latencyMs: random.pick([
      [0.2, 1],
      [0.5, 3],
      [1, 30],
    ] as const),
    drifts: random.chance(0.3),
    faultMs: 62_500,
    startAt: "earliest",
  };
}
