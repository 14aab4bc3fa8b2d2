/**
 * What the demo will do: the tasks, the timing of the cell, and when the faults come. Everything depends on the options
 * and the seed alone.
 */
import type { NodeConfig } from "../../config/option-table.ts";

export const DEMO_TOPIC = "demo";

export interface DemoOptions {
  readonly nodes: number;
  readonly tasks: number;
  readonly partitions: number;
  readonly faults: boolean;
  readonly seed: number;
}

/** One task: its handler takes `ms`. */
export interface DemoTask {
  readonly id: string;
  readonly ms: number;
  /** Carries the id as its `task-id` header; else the record's own position names it to the cell. */
  readonly named: boolean;
}

export interface DemoPlan {
  readonly tasks: readonly DemoTask[];
  /**
   * How many of them are produced before the nodes start; the others follow when the added node is in. So every partition
   * has work when the leader is to be killed, also one that its owner had finished.
   */
  readonly firstWave: number;
  /** Handlers at once on one node. */
  readonly concurrency: number;
  /** The faults come when this many effects are in the record. */
  readonly addNodeAtEffects: number;
  readonly killLeaderAtEffects: number;
}

/** An ordinary handler takes 1 to 20 ms. */
const ORDINARY_MS = { min: 1, max: 20 };
/** Some take longer, so that partitions move and nodes die while they run. */
const LONG_MS = { min: 300, max: 1_500 };
const NAMED_SHARE = 0.5;
/** Without faults the work should take about this long, so that the faults meet it: the concurrency follows from it. */
const WORK_SECONDS = 12;
const CONCURRENCY = { min: 6, max: 64 };
/** Enough that whatever is running on a node is likely one of them; few enough that the work stays short. */
const LONG_SHARE = 0.012;
const LONG_COUNT_MIN = 60;
/** Shares of the tasks. Long handlers lie where the faults will be. */
const LONG_FROM = 0.1;
const LONG_TO = 0.9;
const ADD_NODE_AT = 0.2;
const KILL_LEADER_AT = 0.4;
const FIRST_WAVE = 0.5;

export function planDemo(options: DemoOptions): DemoPlan {
  let drawn = 0;
  const random = (): number => Bun.hash.xxHash32(`draw ${drawn++}`, options.seed) / 2 ** 32;
  const within = ({ min, max }: { min: number; max: number }): number => min + Math.floor(random() * (max - min + 1));
  const longShare = Math.max(LONG_SHARE, Math.min(1, LONG_COUNT_MIN / options.tasks));
  const tasks = Array.from({ length: options.tasks }, (_, index): DemoTask => {
    const place = index / options.tasks;
    const long =
      options.faults && place >= LONG_FROM && place < LONG_TO && random() < longShare / (LONG_TO - LONG_FROM);
    return { id: `task-${index}`, ms: within(long ? LONG_MS : ORDINARY_MS), named: random() < NAMED_SHARE };
  });
  const workSeconds = tasks.reduce((sum, task) => sum + task.ms, 0) / 1_000;
  const wanted = Math.ceil(workSeconds / (options.nodes * WORK_SECONDS));
  return {
    tasks,
    firstWave: Math.ceil(options.tasks * FIRST_WAVE),
    concurrency: Math.min(CONCURRENCY.max, Math.max(CONCURRENCY.min, wanted)),
    addNodeAtEffects: Math.floor(options.tasks * ADD_NODE_AT),
    killLeaderAtEffects: Math.floor(options.tasks * KILL_LEADER_AT),
  };
}

/** One line of the file that `produce` reads. */
export function taskLine(task: DemoTask): string {
  const value = { id: task.id, ms: task.ms };
  return JSON.stringify(task.named ? { id: task.id, value } : { value });
}

/**
 * The defaults are made for machines in a network; on one machine, and with a person waiting, the same relations hold
 * with shorter times.
 */
export const DEMO_TIMING = {
  sessionMs: 3_000,
  coordinatorTickMs: 200,
  heartbeatMs: 250,
  leaseMs: 1_500,
  isolationGraceMs: 3_500,
  quarantineMarginMs: 500,
  inSyncEvictionMs: 1_500,
  checkQuorumMs: 3_000,
  isolateAfterMs: 5_000,
  uncleanStartAfterMs: 6_000,
  syncMaxMs: 500,
  electionBackoffMs: 200,
  watermarkPersistMs: 1_000,
  drainTimeoutMs: 10_000,
  doubtIntervalMs: 200,
  kafkaSessionMs: 5_500,
  kafkaRebalanceMs: 5_500,
  kafkaHeartbeatMs: 500,
  fetchWaitMs: 50,
  handlerTimeoutMs: 10_000,
  abortGraceMs: 300,
  effectSettleMs: 500,
} as const satisfies Partial<NodeConfig>;
