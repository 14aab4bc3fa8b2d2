/** What `import … from "vouch"` gives. */
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
export { FencingToken } from "./execution/fencing-token.ts";
