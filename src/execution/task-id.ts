/**
 * The text that names a task. Whatever a record or the user's function brings becomes either a bounded text or null
 * ("names none": the record's own position names it then); nothing here throws.
 */
import { createHash } from "node:crypto";
import { describeError } from "../errors.ts";
import type { TaskRecord } from "../task-log/task-log.ts";
import type { TaskIdRule } from "./define.ts";

/** Longer ids are replaced by their SHA-256, which is as exact as the text (R6 asks for 128 bits). Bytes of UTF-8. */
const TASK_ID_BYTES_MAX = 256;
const DEFAULT_HEADER = "task-id";

const decoder = new TextDecoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const DIGEST_PREFIX = "sha256:";
const encoder = new TextEncoder();

export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** The id by which a record with this text is known: the text, or its digest where that is too long. */
export function boundedTaskId(id: string): string {
  const looksLikeDigest = id.startsWith(DIGEST_PREFIX); // an id must not be able to pass for another one's digest
  if (id.length * 3 <= TASK_ID_BYTES_MAX && !looksLikeDigest) return id;
  const bytes = encoder.encode(id);
  return bytes.length <= TASK_ID_BYTES_MAX && !looksLikeDigest ? id : digestOf(bytes);
}

function digestOf(bytes: Uint8Array): string {
  return DIGEST_PREFIX + createHash("sha256").update(bytes).digest("hex");
}

/**
 * An empty id names nothing: two records with an empty header are not the same task. Bytes that are not UTF-8 are named
 * by their digest, since decoding would make different bytes the same text, which then counts as exact evidence.
 */
function fromBytes(bytes: Uint8Array | null | undefined): string | null {
  if (bytes === null || bytes === undefined || bytes.length === 0) return null;
  let text: string;
  try {
    text = strictDecoder.decode(bytes);
  } catch {
    return digestOf(bytes);
  }
  return boundedTaskId(text);
}

/** `onProblem` hears of a user's function that throws or answers something else than a text: the record then names no task. */
export function taskIdReader(
  rule: TaskIdRule | undefined,
  onProblem: (message: string, record: TaskRecord) => void,
): (record: TaskRecord) => string | null {
  if (rule === "key") return (record) => fromBytes(record.key);
  if (typeof rule !== "function") {
    const header = rule?.header ?? DEFAULT_HEADER;
    return (record) => fromBytes(Object.hasOwn(record.headers, header) ? record.headers[header] : null);
  }
  return (record) => {
    try {
      const answer: unknown = rule(record);
      if (answer === null || answer === undefined || answer === "") return null;
      if (typeof answer === "string") return boundedTaskId(answer);
      if (answer instanceof Uint8Array) return fromBytes(answer);
      onProblem(`taskId answered ${typeof answer}, expected a string, bytes, null or undefined`, record);
    } catch (thrown) {
      onProblem(`taskId threw: ${describeError(thrown)}`, record);
    }
    return null;
  };
}
