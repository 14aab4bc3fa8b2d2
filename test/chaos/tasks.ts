/**
 * The task module of the chaos nodes: handlers that take as long as the task says and write into the record of effects,
 * and a check that reads that record. Where the files are comes from the environment.
 */
import { appendFileSync } from "node:fs";
import { EffectReader, EffectWriter } from "../../src/cli/demo/effect-record.ts";
import { defineTasks } from "../../src/index.ts";
import { Environment, TOPIC } from "./names.ts";

interface Payload {
  readonly id: string;
  readonly ms: number;
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: these tasks run under test/chaos/chaos.ts only`);
  return value;
}

const node = required(Environment.node);
const record = required(Environment.record);
const checks = required(Environment.checks);
const writer = new EffectWriter(record);
const reader = new EffectReader(record);
const done = new Set<string>();

/** Takes in what was added since the last call, so that a check costs what is new and not what is there. */
function readNew(): void {
  for (const { kind, taskId } of reader.readNew()) if (kind === "effect") done.add(taskId);
}

// Read along as it grows: the first check after a fault must not stop the event loop for the whole file.
setInterval(readNew, 250).unref();

export default defineTasks<Payload>({
  topic: TOPIC,
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
  check(task, context) {
    readNew();
    const answer = done.has(task.payload.id) ? "executed" : "not-executed";
    appendFileSync(checks, `${task.payload.id} ${node} ${context.token.toString()} ${answer}\n`);
    return answer;
  },
});
