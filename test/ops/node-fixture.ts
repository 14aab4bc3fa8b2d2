/** A node's status with every value set, for tests of what is made of it. */
import { partitionId } from "../../src/core/identity.ts";
import type { CoreStatus } from "../../src/core/status.ts";
import { Health } from "../../src/ops/health.ts";
import type { Vitals } from "../../src/ops/metrics.ts";
import type { NodeStatus } from "../../src/ops/node-status.ts";

/** Of a process in which nothing is wrong. */
export function vitals(takeLagMaxMs: () => number = () => 0): Vitals {
  return { health: new Health({ loopLagMs: 1_000, verdictMs: 1_000, leaseMs: 3_000 }), takeLagMaxMs };
}

export function coreStatus(changes: Partial<CoreStatus> = {}): CoreStatus {
  return {
    incarnation: "n1/boot",
    role: "leader",
    epoch: 7,
    leader: "n1/boot",
    member: true,
    leaseRemainingMs: 2_000,
    leaseNumber: 1,
    running: 3,
    inFlight: 12,
    doubtful: 4,
    oldestDoubtMs: 1_500,
    oldestUnfinishedMs: 2_500,
    waitingFor: "",
    verdicts: { counts: [0, 0, 3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], sumMs: 40_020 },
    oldestAskMs: 4,
    filterFill: 0.25,
    filterFalsePositiveRate: 0.0004,
    partitions: [
      {
        pid: partitionId(0, 2),
        ownership: 1,
        generation: 3,
        position: 90,
        fetchPosition: 95,
        logEnd: 100,
        watermark: 80,
        ceiling: 120,
        paused: false,
        stopped: "",
      },
    ],
    leaderStatus: {
      epoch: 7,
      active: true,
      inSync: ["n1/boot", "n2/boot"],
      changePending: false,
      peers: [],
      tableEntries: 30,
      ledger: 2,
      deltaSeq: 99,
    },
    counters: {
      delivered: 1,
      discardedBatches: 2,
      claimed: 3,
      granted: 4,
      started: 5,
      executed: 6,
      failedAttempts: 7,
      unknownEnds: 8,
      dropped: 9,
      dead: 10,
      parked: 11,
      doubts: 12,
      verdictsLost: 13,
      staleVerdicts: 14,
      heldAgain: 15,
      checks: 16,
      commits: 17,
      commitsRefused: 18,
      commitsUnknown: 19,
      ledgerEntries: 20,
      elections: 21,
      syncs: 22,
      skipped: 26,
      unexpectedSeen: 23,
      refusedMessages: 24,
      limitHits: { doubtfulMax: 25 },
    },
    doubtsSettled: {
      attestedExecuted: 31,
      waitedForHolder: 32,
      checkedExecuted: 33,
      checkedNotExecuted: 34,
      falsePositive: 35,
      committed: 36,
      regranted: 37,
      byPolicy: 38,
    },
    ...changes,
  };
}

export function nodeStatus(changes: Partial<NodeStatus> = {}, core: Partial<CoreStatus> = {}): NodeStatus {
  return {
    nodeId: "n1",
    cell: "default",
    version: "0.1.0",
    pid: 42,
    peerAddress: "127.0.0.1:7400",
    httpAddress: "127.0.0.1:7480",
    uptimeMs: 1_000,
    groupJoined: true,
    topics: ["payments"],
    core: coreStatus(core),
    ...changes,
  };
}
