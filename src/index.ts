/** What `import … from "vouch"` gives. */
import { nodeConfig } from "./config/node-config.ts";
import type { NodeConfig } from "./config/option-table.ts";
import type { Tasks } from "./execution/define.ts";
import { resolveTasks } from "./execution/resolve.ts";
import { startNode as startRuntimeNode } from "./runtime/node.ts";
import type { RunningNode } from "./runtime/running-node.ts";

export { VouchError, type ErrorCode } from "./errors.ts";
export type { CheckAnswer } from "./core/events.ts";
export type { OnUnknown } from "./core/settings.ts";
export type { TaskRecord } from "./task-log/task-log.ts";
export {
  defineTasks,
  type Task,
  type TaskContext,
  type TaskDefinition,
  type TaskIdRule,
  type TaskLogger,
  type Tasks,
} from "./execution/define.ts";
export { FailedForGood, OutcomeUnknown } from "./execution/outcome-errors.ts";
export { FencingToken } from "./execution/fencing-token.ts";
export type { NodeConfig } from "./config/option-table.ts";
export type { RunningNode } from "./runtime/running-node.ts";

/**
 * Starts a node in this process, for people who have their own. `options` are those of the command line by their names
 * in code (`nodeId`, `kafkaBrokers`, …), everything not given has its default; `tasks` is what `defineTasks` gave, one or
 * several. Resolves when the node is registered. Stop it with `stop()` or by `await using`.
 * @throws ConfigurationError with every violation; VouchError "task-module" when a definition is not usable.
 */
export async function startNode(options: Partial<NodeConfig>, tasks: Tasks): Promise<RunningNode> {
  const config = nodeConfig(options);
  return startRuntimeNode(config, resolveTasks([{ name: "startNode(…, tasks)", exported: tasks }], config));
}
