/** `startNode`: from a configuration and task types to a running node. */
import { randomBytes } from "node:crypto";
import type { NodeConfig } from "../config/option-table.ts";
import type { TaskType } from "../execution/define.ts";
import { standardLogger, type Logger } from "../ops/log.ts";
import { assemble, withoutRepeats } from "./assemble.ts";
import type { RuntimeOptions } from "./options.ts";
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
  const options = assemble(config, tasks, log, {
    self: { bootId: randomBytes(16).toString("hex"), process: ownIdentity(), readProcess },
    coordinator: openCoordinator(config, warn),
    taskLog: openTaskLog(config, config.nodeId, warn),
  });
  return signal === undefined ? options : { ...options, signal };
}
