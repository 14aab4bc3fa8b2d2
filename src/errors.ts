/**
 * Every operating error that Vouch throws, with its classification as data.
 * A programmer's error is an `assert`; whatever came from outside becomes one of these.
 */

export type ErrorCode =
  | "configuration" // options or relations between them are wrong: nothing was joined
  | "usage" // the command line is wrong
  | "task-module" // a task module cannot be loaded or defines nothing usable
  | "unavailable" // a server does not answer: worth trying again
  | "protocol" // a peer sent something that this version does not accept
  | "refused" // a peer or a server refused us: another cell, version or parameter set
  | "fenced" // a newer epoch, session or group generation exists
  | "task-log" // the task log answered with an error that trying again will not mend
  | "data-dir" // the data directory is in use or unreadable
  | "closed"; // the object was closed before or during the call

/** An error with a code, whether the same call may succeed later, and the cause kept. */
export class VouchError extends Error {
  readonly code: ErrorCode;
  readonly retriable: boolean;

  constructor(code: ErrorCode, message: string, options: { retriable?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "VouchError";
    this.code = code;
    this.retriable = options.retriable ?? code === "unavailable";
  }
}

/** All violations of a configuration at once; each line says what was expected and what came. */
export class ConfigurationError extends VouchError {
  readonly violations: readonly string[];

  constructor(violations: readonly string[]) {
    super("configuration", listed("configuration", violations));
    this.name = "ConfigurationError";
    this.violations = violations;
  }
}

/** All that is wrong with the task modules at once. */
export class TaskModuleError extends VouchError {
  readonly violations: readonly string[];

  constructor(violations: readonly string[], options: { cause?: unknown } = {}) {
    super("task-module", listed("task module", violations), options);
    this.name = "TaskModuleError";
    this.violations = violations;
  }
}

/** "2 configuration errors:" and one line for each. */
export function listed(kind: string, violations: readonly string[]): string {
  return `${violations.length} ${kind} error${violations.length === 1 ? "" : "s"}:\n  - ${violations.join("\n  - ")}`;
}

const LISTEN_TROUBLE: Readonly<Record<string, string>> = {
  EADDRINUSE: "another process has this port; choose another one, or port 0 for any that is free",
  EADDRNOTAVAIL: "this machine has no such address",
  EACCES: "this user may not open this port",
};

/** A port that cannot be opened: a mistake in the configuration, told with what to do about it. */
export function listenError(option: string, address: string, thrown: unknown): VouchError {
  const code = typeof thrown === "object" && thrown !== null && "code" in thrown ? String(thrown.code) : "";
  const why = LISTEN_TROUBLE[code] ?? describeError(thrown);
  return new VouchError("configuration", `--${option} ${address} cannot be opened: ${why}`);
}

/** Any thrown value as an Error, so that a cause is never lost. Never throws, whatever user code threw. */
export function toError(thrown: unknown): Error {
  try {
    if (thrown instanceof Error) return thrown;
  } catch {
    return new Error(NO_TEXT); // a proxy
  }
  return new Error(typeof thrown === "string" ? thrown : `a non-error was thrown: ${textOf(thrown)}`);
}

const NO_TEXT = "something was thrown that has no text";

function textOf(value: unknown): string {
  for (const make of [() => JSON.stringify(value), () => String(value)]) {
    try {
      const text: unknown = make();
      if (typeof text === "string") return text;
    } catch {
      // a bigint, a cycle, or a toJSON or toString of its own that throws: the other way, or none
    }
  }
  return "something that has no text";
}

/** The message of an error and of its causes, outermost first, for a log line. Never throws. */
export function describeError(thrown: unknown): string {
  const parts: string[] = [];
  let current: unknown = thrown;
  for (let depth = 0; depth === 0 || (depth < 6 && current !== undefined && current !== null); depth++) {
    const error = toError(current);
    try {
      const message = String(error.message);
      // Whoever wraps an error often repeats its text: a person needs it once.
      if (!parts.some((part) => part.includes(message))) parts.push(message);
      current = error.cause;
    } catch {
      parts.push(NO_TEXT); // a message or a cause that throws when it is read
      break;
    }
  }
  return parts.join(": ");
}
