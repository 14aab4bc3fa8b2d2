/** `startNode`: from a configuration and task types to a running node. */
import { randomBytes } from "node:crypto";
import packageJson from "../../package.json" with { type: "json" };
import { advertisedAddress, coreSettings, parameterSet } from "../config/node-config.ts";
import type { NodeConfig } from "../config/option-table.ts";
import { NodeCore } from "../core/node.ts";
import type { CoreSettings } from "../core/settings.ts";
import type { TaskType } from "../execution/define.ts";
import { defaultLinkSettings } from "../links/link-settings.ts";
import { standardLogger, type Logger } from "../ops/log.ts";
import { Repeats } from "../ops/repeats.ts";
import type { OpenedTopic, RunningCore, RuntimeLog, RuntimeOptions } from "./options.ts";
import { ownIdentity, readProcess } from "./process-identity.ts";
import { startRuntime, type RunningNode } from "./running-node.ts";
import { openCoordinator, openTaskLog } from "./servers.ts";

export { RunningNode, type NodeEnd } from "./running-node.ts";

export interface StartOptions {
  /** Default: to standard error, from the configured level on. */
  readonly logger?: Logger;
  /** Aborted: a node that is still starting gives up. A node that runs is drained by `stop`. */
  readonly signal?: AbortSignal;
}

/**
 * Starts a node; resolves when it is registered and works as soon as its cell lets it. Stop it with `stop()` or by
 * `await using`; `ended` says how it ended, also when it gave up by itself.
 * @throws ConfigurationError, VouchError; nothing is left open then.
 */
export async function startNode(
  config: NodeConfig,
  tasks: readonly TaskType[],
  options: StartOptions = {},
): Promise<RunningNode> {
  return startRuntime(runtimeOptions(config, tasks, options));
}

/** The configuration as the runtime wants it; opens nothing that needs closing before the node starts. */
export function runtimeOptions(
  config: NodeConfig,
  tasks: readonly TaskType[],
  { logger = standardLogger(config.logLevel), signal }: StartOptions = {},
): RuntimeOptions {
  const log = withoutRepeats(logger.with({ node: config.nodeId }));
  const warn = (message: string): void => log("warn", message, {});
  return {
    nodeId: config.nodeId,
    self: { bootId: randomBytes(16).toString("hex"), process: ownIdentity(), readProcess },
    cell: config.cell,
    version: packageJson.version,
    peerListen: config.peerListen,
    insecure: config.insecure,
    httpListen: config.httpListen,
    advertise: (opened) => advertisedAddress(config, opened, opened.port),
    coordinator: openCoordinator(config, warn),
    taskLog: openTaskLog(config, config.nodeId, warn),
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
    log,
    ...(signal === undefined ? {} : { signal }),
  };
}

/** Warnings repeat as long as what they warn of lasts: the log gets one of them now and then. */
function withoutRepeats(logger: Logger): RuntimeLog {
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

function runCore(settings: CoreSettings, random: () => number, now: number): RunningCore {
  const core = new NodeCore(settings, random, now);
  return {
    step: (event, at, more) => core.step(event, at, more),
    status: (at) => core.status(at),
    isolationDeadline: () => core.member.isolationDeadline,
  };
}
