/** From a configuration and task types to what the runtime must be told; what stands outside of the process is given. */
import packageJson from "../../package.json" with { type: "json" };
import { advertisedAddress, coreSettings, parameterSet } from "../config/node-config.ts";
import type { NodeConfig } from "../config/option-table.ts";
import { NodeCore } from "../core/node.ts";
import type { CoreSettings } from "../core/settings.ts";
import { lookUpTask } from "../core/task-look.ts";
import type { TaskType } from "../execution/define.ts";
import { defaultLinkSettings } from "../links/link-settings.ts";
import type { Logger } from "../ops/log.ts";
import { Repeats } from "../ops/repeats.ts";
import type { OpenedTopic, RunningCore, RuntimeLog, RuntimeOptions } from "./options.ts";

/** What a node finds outside of itself. */
export type Surroundings = Pick<RuntimeOptions, "self" | "coordinator" | "taskLog">;

/** Opens nothing. */
export function assemble(
  config: NodeConfig,
  tasks: readonly TaskType[],
  log: RuntimeLog,
  surroundings: Surroundings,
): RuntimeOptions {
  return {
    ...surroundings,
    nodeId: config.nodeId,
    cell: config.cell,
    version: packageJson.version,
    peerListen: config.peerListen,
    insecure: config.insecure,
    httpListen: config.httpListen,
    advertise: (opened) => advertisedAddress(config, opened, opened.port),
    consumer: {
      groupId: config.kafkaGroupId,
      sessionTimeoutMs: config.kafkaSessionMs,
      rebalanceTimeoutMs: config.kafkaRebalanceMs,
      heartbeatIntervalMs: config.kafkaHeartbeatMs,
      maxWaitMs: config.fetchWaitMs,
      maxBytesPerPartition: config.fetchBytesMax,
    },
    dedupEpoch: config.dedupEpoch,
    startAt: config.startAt,
    tasks: tasks.toSorted((a, b) => (a.topic < b.topic ? -1 : 1)),
    settings: (clusterUuid, bootId, topics) => ({
      ...coreSettings(config, topics.map(topicInput), clusterUuid, bootId),
      startAt: topics[0]?.startAt ?? config.startAt,
    }),
    parameters: (settings) => parameterSet(settings, config.kafkaGroupId),
    core: runCore,
    links: defaultLinkSettings,
    health: { loopLagMs: config.loopLagAlarmMs, verdictMs: config.verdictAlarmMs, leaseMs: config.leaseMs },
    log,
  };
}
/** Warnings repeat as long as what they warn of lasts: the log gets one of them now and then. */
export function withoutRepeats(logger: Logger): RuntimeLog {
  const repeats = new Repeats(() => performance.now());
  return (level, message, fields) => {
    const held = level === "warn" ? repeats.pass(message) : 0;
    if (held !== null) logger.log(level, message, held === 0 ? fields : { ...fields, repeated: held });
  };
}

function topicInput({ task, generation, partitions }: OpenedTopic): Parameters<typeof coreSettings>[1][number] {
  return {
    name: task.topic,
    generation,
    partitions,
    onUnknown: task.onUnknown,
    hasCheck: task.check !== null,
    effectSettleMs: task.effectSettleMs,
    attemptsMax: task.attemptsMax,
    retryBackoffMs: task.retryBackoffMs,
    retryBackoffMaxMs: task.retryBackoffMaxMs,
  };
}

/** What the runtime asks a core for; who watches its steps puts a `step` before it. */
export function aboutCore(core: NodeCore): Omit<RunningCore, "step"> {
  return {
    partitionCounts: core.ctx.settings.topics.map(({ partitions }) => partitions),
    status: (at) => core.status(at),
    look: (query, at) => lookUpTask(core, query, at),
    // Asked for twice a second: no whole status for it.
    waits: () => ({ waitingFor: core.waitingFor, leader: core.leaderKnown?.incarnation ?? "" }),
    verdicts: (at) => ({
      verdicts: core.ctx.verdictTimes.counts,
      oldestAskMs: core.member.state.oldestAskMs(at),
    }),
    isolationDeadline: () => core.member.isolationDeadline,
  };
}

function runCore(settings: CoreSettings, random: () => number, now: number): RunningCore {
  const core = new NodeCore(settings, random, now);
  return { ...aboutCore(core), step: (event, at, more) => core.step(event, at, more) };
}
