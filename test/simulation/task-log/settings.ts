/** What a simulated task log is told at its start, and what a seed may change while it runs. */
import type { Random } from "../random.ts";

export type Range = readonly [low: number, high: number];

export interface KafkaSettings {
  /** One way, of each request and each answer. */
  latencyMs: Range;
  /** Records of one partition in one fetch. */
  batchRecords: Range;
  /** Partition leaders are spread over so many brokers: a consumer fetches from each by itself. */
  brokers: number;
  /** That a client holds back what it fetched: it then comes although the partition was paused or set elsewhere meanwhile. */
  prefetchChance: number;
  prefetchMs: Range;
  /** After it a commit without an answer is "unknown". */
  commitTimeoutMs: number;
  /** After it a question or a write without an answer has failed. */
  requestTimeoutMs: number;
  /** How long a client that reaches no broker believes in its connection; then it revokes, and joins when it can. */
  disconnectMs: Range;
  /** Wall clock of the brokers. */
  wallMs: (nowMs: number) => number;
}

export function kafkaSettings(): KafkaSettings {
  return {
    latencyMs: [1, 4],
    batchRecords: [1, 200],
    brokers: 2,
    prefetchChance: 0.05,
    prefetchMs: [1, 60],
    commitTimeoutMs: 10_000,
    requestTimeoutMs: 10_000,
    disconnectMs: [2_000, 15_000],
    wallMs: (nowMs) => 1_700_000_000_000 + nowMs,
  };
}

/** Chances, 0..1, drawn for each commit in this order. */
export interface CommitTrouble {
  /** Refused although nothing had happened before; the group then rebalances, as the port's contract says. */
  refused: number;
  unknownApplied: number;
  unknownLost: number;
  fatal: number;
}

/** Chances, 0..1, for writes to `<topic>.dead` and `<topic>.parked`. */
export interface SendTrouble {
  /** Nothing is written; worth trying again. */
  failed: number;
  /** Written, and nobody hears of it. */
  lostAnswer: number;
  /** Nothing is written, and trying again would not help. */
  refused: number;
  slow: number;
  slowMs: Range;
}

export function within(random: Random, [low, high]: Range): number {
  return low + random.next() * (high - low);
}
