/**
 * The task module of the clusters in tests. What a handler does is in the record's payload, so a test says it when it
 * produces; what a check answers is the cell's mode, so that a test can take the check away or make it fail. Starts and
 * effects go into the record of effects, answers of checks into a file of their own.
 */
import { appendFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { EffectReader, EffectWriter } from "../../src/cli/demo/effect-record.ts";
import { defineTasks, type TaskDefinition } from "../../src/execution/define.ts";

/** What one task does, in this order; all parts are optional. */
export interface TaskWork {
  /** The first `fail` attempts throw at once. */
  readonly fail?: number;
  /** Waits until the test opens the gate of this name. */
  readonly gate?: string;
  readonly ms?: number;
  /** Never ends, whatever its signal says. */
  readonly hang?: boolean;
  /** After the effect: the handler returns only when the test opens the gate of this name. */
  readonly linger?: string;
  /** What a check says about this task, whatever the cell's mode; a mode of "none" stays without one. */
  readonly check?: "unknown" | "throws";
}

/** "truth" answers from the record of effects; "none": the definition has no check. */
export type CheckMode = "truth" | "throws" | "unknown" | "none";

/** How a cell's tasks are set up; travels in the environment of each node. */
export interface TaskSetting {
  readonly topic: string;
  readonly node: string;
  readonly record: string; // file of effects
  readonly checks: string; // file of checks
  readonly journal: string; // file of starts and aborts, in their order over all processes
  readonly gates: string; // folder
  readonly check: CheckMode;
  readonly onUnknown: "execute" | "drop" | "park";
}

export const SETTING_ENVIRONMENT = "TEST_CLUSTER_TASKS";

const GATE_POLL_MS = 5;

export function readSetting(): TaskSetting {
  const text = process.env[SETTING_ENVIRONMENT];
  if (text === undefined)
    throw new Error(`${SETTING_ENVIRONMENT} is not set: only test/support/cluster.ts starts this`);
  return JSON.parse(text) as TaskSetting;
}

export function clusterTasks(setting: TaskSetting): TaskDefinition<TaskWork> {
  const writer = new EffectWriter(setting.record);
  const reader = new EffectReader(setting.record);
  const done = new Set<string>();
  const truth = (id: string): "executed" | "not-executed" => {
    for (const line of reader.readNew()) if (line.kind === "effect") done.add(line.taskId);
    return done.has(id) ? "executed" : "not-executed";
  };
  const journal = (what: JournalLine["what"], taskId: string): void =>
    appendFileSync(setting.journal, `${JSON.stringify({ what, taskId, node: setting.node })}\n`);
  const passGate = async (gate: string, signal: AbortSignal): Promise<void> => {
    while (!existsSync(join(setting.gates, gate))) {
      signal.throwIfAborted();
      await Bun.sleep(GATE_POLL_MS);
    }
  };
  const definition: TaskDefinition<TaskWork> = {
    topic: setting.topic,
    onUnknown: setting.onUnknown,
    async execute(task, { attempt, signal, token }) {
      const { fail = 0, gate, ms = 0, hang = false, linger } = task.payload;
      journal("start", task.id);
      signal.addEventListener("abort", () => journal("abort", task.id), { once: true });
      const line = { taskId: task.id, node: setting.node, pid: process.pid, token: token.toString() };
      writer.append({ ...line, kind: "start" });
      if (attempt <= fail) throw new Error(`attempt ${attempt} was told to fail`);
      if (gate !== undefined) await passGate(gate, signal);
      if (ms > 0) await Bun.sleep(ms);
      if (hang) await new Promise(() => undefined);
      signal.throwIfAborted();
      writer.append({ ...line, kind: "effect" });
      while (linger !== undefined && !existsSync(join(setting.gates, linger))) await Bun.sleep(GATE_POLL_MS);
    },
  };
  const mode = setting.check;
  if (mode === "none") return defineTasks(definition);
  return defineTasks<TaskWork>({
    ...definition,
    check(task) {
      const answer = task.payload.check ?? (mode === "truth" ? truth(task.id) : mode);
      appendFileSync(setting.checks, `${JSON.stringify({ taskId: task.id, node: setting.node, answer })}\n`);
      if (answer === "throws") throw new Error("the check was told to throw");
      return answer;
    },
  });
}

/** One line of the file of checks. */
export interface CheckLine {
  readonly taskId: string;
  readonly node: string;
  readonly answer: "executed" | "not-executed" | "unknown" | "throws";
}

/** One line of the journal. */
export interface JournalLine {
  readonly what: "start" | "abort";
  readonly taskId: string;
  readonly node: string;
}
