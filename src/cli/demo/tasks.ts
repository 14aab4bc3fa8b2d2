/**
 * The demo's task module. Its handler takes as long as the task says, and writes into the record of effects; its check
 * reads that record. Where the record is comes from the environment, since a task module has no other parameters.
 */
import { defineTasks, type TaskDefinition } from "../../execution/define.ts";
import { VouchError } from "../../errors.ts";
import { EffectReader, EffectWriter } from "./effect-record.ts";
import { DEMO_TOPIC } from "./plan.ts";

export const RECORD_ENVIRONMENT = "DEMO_EFFECT_RECORD";
export const NODE_ENVIRONMENT = "DEMO_NODE";

interface DemoPayload {
  readonly id: string;
  readonly ms: number;
}

/** @throws VouchError "task-module" outside of the demo. */
export function demoTasks(environment: Readonly<Record<string, string | undefined>>): TaskDefinition<DemoPayload> {
  const path = environment[RECORD_ENVIRONMENT];
  const node = environment[NODE_ENVIRONMENT];
  if (path === undefined || node === undefined) {
    throw new VouchError(
      "task-module",
      `the demo's tasks need ${RECORD_ENVIRONMENT} and ${NODE_ENVIRONMENT}; run "demo"`,
    );
  }
  const writer = new EffectWriter(path);
  const reader = new EffectReader(path);
  const done = new Set<string>();
  return defineTasks<DemoPayload>({
    topic: DEMO_TOPIC,
    onUnknown: "park",
    async execute(task, context) {
      const { id, ms } = task.payload;
      const line = { taskId: id, node, pid: process.pid, token: context.token.toString() };
      writer.append({ ...line, kind: "start" });
      await Bun.sleep(ms);
      // An aborted run must have no effect afterwards: from the abort on its end counts as unknown.
      context.signal.throwIfAborted();
      writer.append({ ...line, kind: "effect" });
    },
    check(task) {
      for (const { kind, taskId } of reader.readNew()) if (kind === "effect") done.add(taskId);
      return done.has(task.payload.id) ? "executed" : "not-executed";
    },
  });
}
