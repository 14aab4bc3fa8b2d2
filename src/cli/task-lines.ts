/** Tasks from NDJSON lines, or generated: what `produce` writes. */
import { createReadStream } from "node:fs";
import { describeError, VouchError } from "../errors.ts";
import type { OutgoingRecord } from "../task-log/task-log.ts";

export type TaskSource = AsyncIterable<OutgoingRecord> | AsyncGenerator<OutgoingRecord>;

/** The header that names a task by default. */
const TASK_ID_HEADER = "task-id";
/** Kafka numbers partitions with 31 bits. */
const PARTITIONS_MAX = 2 ** 31;
const KEYS = new Set(["value", "id", "key", "headers", "partition"]);

/**
 * One line: `{"value": …, "id": "…", "key": "…", "headers": {"name": "text"}, "partition": 0}`, all but `value` optional.
 * A value that is a text is written as it is, any other as JSON. `partitions`: how many the topic has. Returns what is wrong,
 * in words, for a line that is no task.
 */
export function parseTaskLine(line: string, partitions: number = PARTITIONS_MAX): OutgoingRecord | string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch (error) {
    return `expected a JSON object, got no JSON (${describeError(error)})`;
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return "expected a JSON object";
  const entry = parsed as Record<string, unknown>;
  const { value, id, key, headers = {}, partition } = entry;
  const unknown = Object.keys(entry).filter((name) => !KEYS.has(name));
  if (unknown.length > 0) return `unknown key "${unknown.join('", "')}"; expected only ${[...KEYS].join(", ")}`;
  if (value === undefined) return 'expected a "value", got none';
  if (id !== undefined && (typeof id !== "string" || id === "")) return '"id": expected a text that is not empty';
  if (key !== undefined && key !== null && typeof key !== "string") return '"key": expected a text';
  if (partition !== undefined && !isPartition(partition, partitions)) {
    return `"partition": expected a whole number from 0 to ${partitions - 1}, got ${JSON.stringify(partition)}`;
  }
  if (typeof headers !== "object" || headers === null || Array.isArray(headers)) return '"headers": expected an object';
  const texts = Object.entries(headers).filter((pair): pair is [string, string] => typeof pair[1] === "string");
  if (texts.length !== Object.keys(headers).length) return '"headers": expected texts as values';
  if (id !== undefined) texts.push([TASK_ID_HEADER, id]);
  return {
    value: value === null || typeof value === "string" ? value : JSON.stringify(value),
    key: key ?? null,
    headers: Object.fromEntries(texts),
    ...(partition === undefined ? {} : { partition: partition as number }),
  };
}

function isPartition(value: unknown, partitions: number): boolean {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value < partitions;
}

/** `count` tasks with ids `<prefix>0` and so on. */
export async function* generatedTasks(count: number, prefix: string): TaskSource {
  for (let number = 0; number < count; number++) {
    yield { value: JSON.stringify({ n: number }), headers: { [TASK_ID_HEADER]: `${prefix}${number}` } };
  }
}

/** The lines of a file, or of standard input for "-". @throws VouchError "usage" when it cannot be read. */
export async function* openInput(path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for await (const chunk of path === "-" ? process.stdin : createReadStream(path)) {
      const parts = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      yield* parts;
    }
  } catch (error) {
    throw new VouchError("usage", `${path === "-" ? "standard input" : path} cannot be read`, { cause: error });
  }
  if (rest !== "") yield rest;
}
