/**
 * From what a task module exports to usable task types: every violation of every definition is found and named at once,
 * with what was expected and what came. Also plain objects are accepted: `defineTasks` adds nothing but types.
 */
import { TaskModuleError } from "../errors.ts";
import type { TaskRecord } from "../task-log/task-log.ts";
import type { TaskDefaults, TaskDefinition, TaskType } from "./define.ts";
import { taskIdReader, textOf } from "./task-id.ts";

export const TASK_DEFAULTS: TaskDefaults = {
  attemptsMax: 5,
  retryBackoffMs: 200,
  retryBackoffMaxMs: 10_000,
  handlerTimeoutMs: 60_000,
  abortGraceMs: 1_000,
  checkTimeoutMs: 10_000,
  effectSettleMs: 2_000,
};

/** Kafka allows 249 characters; `.parked` must still fit. */
const TOPIC_LENGTH_MAX = 242;
/** A day: a longer time-out than this is almost surely a unit mistake, and must stay finite anyway (R23). */
const DURATION_MAX_MS = 86_400_000;
const ATTEMPTS_MAX = 255; // attempts travel in one byte
const ON_UNKNOWN = ["execute", "drop", "park"];
const FUNCTIONS = { execute: true, check: false, decode: false }; // name -> required
const NUMBERS: Readonly<Record<keyof TaskDefaults, readonly [min: number, max: number]>> = {
  attemptsMax: [1, ATTEMPTS_MAX],
  retryBackoffMs: [0, DURATION_MAX_MS],
  retryBackoffMaxMs: [0, DURATION_MAX_MS],
  handlerTimeoutMs: [1, DURATION_MAX_MS],
  abortGraceMs: [1, DURATION_MAX_MS],
  checkTimeoutMs: [1, DURATION_MAX_MS],
  effectSettleMs: [0, DURATION_MAX_MS],
};
const KEYS = new Set(["topic", "taskId", "onUnknown", ...Object.keys(FUNCTIONS), ...Object.keys(NUMBERS)]);

/** Told about problems of the user's own functions while records are read. */
export type DefinitionProblem = (topic: string, message: string, record: TaskRecord) => void;

/** One thing to resolve: what a module exported, and how to name it in an error. */
export interface TaskSource {
  readonly name: string;
  readonly exported: unknown;
}

/**
 * All task types of all sources, sorted by topic (the index is part of every partition id, R19).
 * @throws TaskModuleError with every violation, one a line.
 */
export function resolveTasks(
  sources: readonly TaskSource[],
  defaults: TaskDefaults = TASK_DEFAULTS,
  onProblem: DefinitionProblem = () => undefined,
): readonly TaskType[] {
  const violations: string[] = [];
  const types: TaskType[] = [];
  const sourceOfTopic = new Map<string, string>();
  for (const source of sources) {
    for (const [where, value] of definitionsOf(source)) {
      const found = violationsOf(value, defaults);
      if (found.length > 0) {
        violations.push(...found.map((violation) => `${where}: ${violation}`));
        continue;
      }
      const type = typeOf(value as TaskDefinition, defaults, onProblem);
      const other = sourceOfTopic.get(type.topic);
      if (other !== undefined) violations.push(`${where}: topic "${type.topic}" is already defined by ${other}`);
      sourceOfTopic.set(type.topic, where);
      types.push(type);
    }
  }
  if (sources.length === 0) violations.push("no task module was given");
  if (violations.length > 0) throw new TaskModuleError(violations);
  return types.sort((a, b) => (a.topic < b.topic ? -1 : 1));
}

function definitionsOf(source: TaskSource): [where: string, value: unknown][] {
  if (!Array.isArray(source.exported)) return [[source.name, source.exported]];
  if (source.exported.length === 0) return [[source.name, undefined]];
  return source.exported.map((value: unknown, index) => [`${source.name}[${index}]`, value]);
}

function show(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  if (value === null || typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function violationsOf(value: unknown, defaults: TaskDefaults): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return [`expected a task definition (an object with topic, execute and onUnknown), got ${show(value)}`];
  }
  const definition = value as Record<string, unknown>;
  const found = Object.keys(definition)
    .filter((key) => !KEYS.has(key))
    .map((key) => `unknown key "${key}"; known are ${[...KEYS].join(", ")}`);
  found.push(...topicViolations(definition["topic"]));
  for (const [key, required] of Object.entries(FUNCTIONS)) {
    const given = definition[key];
    if (given === undefined && !required) continue;
    if (typeof given !== "function") found.push(`${key}: expected a function, got ${show(given)}`);
  }
  if (!ON_UNKNOWN.includes(definition["onUnknown"] as string)) {
    found.push(
      `onUnknown: expected "execute", "drop" or "park", got ${show(definition["onUnknown"])}; ` +
        "it says what happens to a task of which nobody knows whether it ran, and has no default",
    );
  }
  found.push(...taskIdViolations(definition["taskId"]), ...numberViolations(definition, defaults));
  return found;
}

function topicViolations(topic: unknown): string[] {
  const fine = typeof topic === "string" && /^[A-Za-z0-9._-]+$/.test(topic) && topic !== "." && topic !== "..";
  if (fine && topic.length <= TOPIC_LENGTH_MAX) return [];
  return [`topic: expected a name of 1 to ${TOPIC_LENGTH_MAX} letters, digits, ".", "_" or "-", got ${show(topic)}`];
}

function taskIdViolations(rule: unknown): string[] {
  if (rule === undefined || rule === "key" || typeof rule === "function") return [];
  if (typeof rule === "object" && rule !== null) {
    const keys = Object.keys(rule);
    const header = (rule as { header?: unknown }).header;
    if (keys.length === 1 && typeof header === "string" && header !== "") return [];
  }
  return [`taskId: expected "key", { header: "name" } or a function, got ${show(rule)}`];
}

function numberViolations(definition: Record<string, unknown>, defaults: TaskDefaults): string[] {
  const found: string[] = [];
  for (const [key, [min, max]] of Object.entries(NUMBERS)) {
    const value = definition[key];
    if (value === undefined) continue;
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
      found.push(`${key}: expected a whole number from ${min} to ${max}, got ${show(value)}`);
    }
  }
  if (found.length > 0) return found;
  const back = (definition["retryBackoffMs"] as number | undefined) ?? defaults.retryBackoffMs;
  const most = (definition["retryBackoffMaxMs"] as number | undefined) ?? Math.max(back, defaults.retryBackoffMaxMs);
  return most < back ? [`retryBackoffMaxMs (${most}) must not be below retryBackoffMs (${back})`] : [];
}

function decodeJson(record: TaskRecord): unknown {
  if (record.value === null) throw new Error("the record has no value to decode");
  return JSON.parse(textOf(record.value));
}

function typeOf(definition: TaskDefinition, defaults: TaskDefaults, onProblem: DefinitionProblem): TaskType {
  const retryBackoffMs = definition.retryBackoffMs ?? defaults.retryBackoffMs;
  const { topic } = definition;
  return {
    topic,
    onUnknown: definition.onUnknown,
    taskId: taskIdReader(definition.taskId, (message, record) => onProblem(topic, message, record)),
    // Called on the definition, so that `this` inside a user's method is what the user wrote.
    decode: definition.decode === undefined ? decodeJson : (record) => definition.decode?.(record),
    execute: (task, context) => definition.execute(task, context),
    check: definition.check === undefined ? null : (task, context) => definition.check?.(task, context),
    attemptsMax: definition.attemptsMax ?? defaults.attemptsMax,
    retryBackoffMs,
    retryBackoffMaxMs: definition.retryBackoffMaxMs ?? Math.max(retryBackoffMs, defaults.retryBackoffMaxMs),
    handlerTimeoutMs: definition.handlerTimeoutMs ?? defaults.handlerTimeoutMs,
    abortGraceMs: definition.abortGraceMs ?? defaults.abortGraceMs,
    checkTimeoutMs: definition.checkTimeoutMs ?? defaults.checkTimeoutMs,
    effectSettleMs: definition.effectSettleMs ?? defaults.effectSettleMs,
  };
}
