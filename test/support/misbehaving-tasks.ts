/**
 * The task module of the cells in which tasks misbehave: what a handler or a check does is in the record's payload, so a
 * test says it when it produces. Starts and effects go into the record of effects, checks into a file of their own.
 */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { type EffectLine, EffectReader, EffectWriter, formatLine } from "../../src/cli/demo/effect-record.ts";
import type { CheckAnswer } from "../../src/core/events.ts";
import type { Task, TaskDefinition } from "../../src/execution/define.ts";
import { OutcomeUnknown } from "../../src/execution/outcome-errors.ts";

/** What one task does; a misbehaving handler has no effect in that run. */
export interface Misbehaviour {
  readonly handler?: HandlerTrick;
  /** Only the first so many runs misbehave, over all processes; default: all. */
  readonly runs?: number;
  readonly check?: CheckTrick;
  /** The effect lands so long after the death of the process, which somebody else must bring about. */
  readonly courierMs?: number;
  /** Before the effect. */
  readonly ms?: number;
}

export type HandlerTrick = keyof typeof handlers;
export type CheckTrick = keyof typeof checks;

/** Travels in the environment of each node. */
export interface MisbehavingSetting {
  readonly topic: string;
  readonly node: string;
  readonly folder: string;
}

export const SETTING_ENVIRONMENT = "TEST_MISBEHAVING";
/** In the folder. */
export const RECORD_FILE = "effects.log";
export const CHECKS_FILE = "checks.log";

/** Every text of it throws, and so does every question about it. */
const hostile = (): unknown =>
  new Proxy(
    {},
    {
      get() {
        throw new Error("no property of this may be read");
      },
      getPrototypeOf() {
        throw new Error("nor its prototype");
      },
    },
  );

const withHostileText = {
  toString() {
    throw new Error("no text");
  },
  toJSON() {
    throw new Error("no JSON");
  },
};

function blockFor(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

const thrown = (value: unknown) => (): never => {
  throw value;
};

const handlers = {
  "throws-string": thrown("the provider said no"),
  "throws-undefined": thrown(undefined),
  "throws-null": thrown(null),
  "throws-symbol": thrown(Symbol("no")),
  "throws-bigint": thrown(7n),
  "throws-hostile-text": thrown(withHostileText),
  "throws-proxy": () => {
    throw hostile();
  },
  "throws-error-without-text": () => {
    throw Object.defineProperty(new Error(), "message", { get: thrown(new Error("no message")) });
  },
  "throws-its-own-cause": () => {
    const error: Error = new Error("round");
    error.cause = error;
    throw error;
  },
  "says-unknown": () => Promise.reject(new OutcomeUnknown("no answer from the provider")),
  "rejects-undefined": () => Promise.reject(undefined),
  "never-ends": () => new Promise(() => undefined),
  /** Goes on by itself, whatever its signal says. */
  "ignores-its-signal": async () => {
    for (;;) await Bun.sleep(20);
  },
  blocks: () => blockFor(60_000),
  "exits-with-0": () => process.exit(0),
  "kills-itself": () => process.kill(process.pid, "SIGKILL"),
  /** The handler is well, and what it left behind throws. */
  "throws-in-a-timer": async () => {
    setTimeout(thrown(new Error("thrown in a timer of a handler")), 20);
    await Bun.sleep(300);
  },
  "leaves-a-rejection": () => void Promise.reject(new Error("a rejection that nobody handles")),
} as const satisfies Record<string, () => unknown>;

const checks = {
  hangs: () => new Promise(() => undefined),
  throws: thrown(new Error("the provider is down")),
  "throws-undefined": thrown(undefined),
  "rejects-hostile": () => Promise.reject(hostile()),
  "answers-true": () => true,
  "answers-yes": () => "yes",
  "answers-nothing": () => undefined,
  "answers-an-object": () => ({ executed: true }),
  "answers-hostile": () => hostile(),
  blocks: () => blockFor(60_000),
  "says-unknown": () => "unknown",
} as const satisfies Record<string, () => unknown>;

/** Appends the effect when so many milliseconds have passed since its parent died: what was on its way when that happened. */
function sendCourier(path: string, line: EffectLine, afterMs: number): void {
  const effect = formatLine({ ...line, kind: "effect" });
  const script = `while kill -0 ${process.pid} 2>/dev/null; do sleep 0.02; done; sleep ${afterMs / 1_000}; printf %s "$0" >> "$1"`;
  Bun.spawn(["setsid", "sh", "-c", script, effect, path], { stdio: ["ignore", "ignore", "ignore"] }).unref();
}

export function readSetting(): MisbehavingSetting {
  const text = process.env[SETTING_ENVIRONMENT];
  if (text === undefined) throw new Error(`${SETTING_ENVIRONMENT} is not set: only a test's cell starts this`);
  return JSON.parse(text) as MisbehavingSetting;
}

/** A record without a value has no payload, and nothing to do; one with this header has its payload read all the same. */
export const READS_PAYLOAD = "reads-payload";

function workOf(task: Task<Misbehaviour>): Misbehaviour {
  return task.value === null && task.header(READS_PAYLOAD) === null ? {} : task.payload;
}

export function misbehavingTasks(setting: MisbehavingSetting): TaskDefinition<Misbehaviour> {
  const path = join(setting.folder, RECORD_FILE);
  const writer = new EffectWriter(path);
  const reader = new EffectReader(path);
  const starts = new Map<string, number>();
  const done = new Set<string>();
  const readNew = (): void => {
    for (const { kind, taskId } of reader.readNew()) {
      if (kind === "effect") done.add(taskId);
      else starts.set(taskId, (starts.get(taskId) ?? 0) + 1);
    }
  };
  return {
    topic: setting.topic,
    onUnknown: "park",
    async execute(task, { token }) {
      const line = { taskId: task.id, node: setting.node, pid: process.pid, token: token.toString() };
      const { handler, runs = Number.POSITIVE_INFINITY, courierMs, ms = 0 } = workOf(task);
      writer.append({ ...line, kind: "start" });
      readNew();
      if ((starts.get(task.id) ?? 0) <= runs) {
        if (courierMs !== undefined) sendCourier(path, { ...line, kind: "effect" }, courierMs);
        if (handler !== undefined) await handlers[handler]();
      }
      if (ms > 0) await Bun.sleep(ms);
      writer.append({ ...line, kind: "effect" });
    },
    check(task) {
      const { check } = workOf(task);
      appendFileSync(join(setting.folder, CHECKS_FILE), `${task.id} ${setting.node} ${check ?? "truth"}\n`);
      if (check !== undefined) return checks[check]() as CheckAnswer;
      readNew();
      return done.has(task.id) ? "executed" : "not-executed";
    },
  };
}
