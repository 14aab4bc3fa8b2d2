/**
 * Log lines: JSON where a program reads them, plain text on a terminal. They go to standard error, since the last line
 * of standard output belongs to `--json`. Nothing on a hot path logs: a line is for a change that a person would want to
 * know of.
 */
import { describeError } from "../errors.ts";

const LEVELS = { debug: 10, info: 20, warn: 30, error: 40 } as const;
export type LogLevel = keyof typeof LEVELS;
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  log(level: LogLevel, message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger whose lines carry these fields as well. */
  with(fields: LogFields): Logger;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** Text for a person; otherwise JSON lines. */
  readonly plain: boolean;
  readonly write: (line: string) => void;
  /** Wall clock, milliseconds since 1970. */
  readonly now: () => number;
}

/** A logger to standard error, plain on a terminal. */
export function standardLogger(level: LogLevel): Logger {
  return createLogger({
    level,
    plain: process.stderr.isTTY === true,
    write: (line) => process.stderr.write(line),
    now: Date.now,
  });
}

export function createLogger(options: LogOptions, base: LogFields = {}): Logger {
  const log = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    if (LEVELS[level] < LEVELS[options.level]) return;
    const time = new Date(options.now()).toISOString();
    const all = { ...base, ...fields };
    options.write(options.plain ? plainLine(time, level, message, all) : jsonLine(time, level, message, all));
  };
  return {
    log,
    debug: (message, fields) => log("debug", message, fields),
    info: (message, fields) => log("info", message, fields),
    warn: (message, fields) => log("warn", message, fields),
    error: (message, fields) => log("error", message, fields),
    with: (fields) => createLogger(options, { ...base, ...fields }),
  };
}

/** Errors have no enumerable properties and a bigint no JSON form; a line must never be lost over either. */
function writable(_key: string, value: unknown): unknown {
  if (value instanceof Error) return describeError(value);
  return typeof value === "bigint" ? String(value) : value;
}

function jsonText(value: unknown): string {
  try {
    return JSON.stringify(value, writable) ?? String(value);
  } catch (error) {
    return JSON.stringify(`not writable: ${describeError(error)}`);
  }
}

function jsonLine(time: string, level: LogLevel, message: string, fields: LogFields): string {
  // Own names come last, so that a user's field called "level" cannot hide the level.
  const line = jsonText({ ...fields, time, level, message });
  return `${line.startsWith("{") ? line : jsonText({ time, level, message, fields: line })}\n`;
}

function plainLine(time: string, level: LogLevel, message: string, fields: LogFields): string {
  const rest = Object.entries(fields).map(
    ([name, value]) => `${name}=${typeof value === "string" ? value : jsonText(value)}`,
  );
  return `${[time.slice(11, 23), level.toUpperCase().padEnd(5), message, ...rest].join(" ").replaceAll("\n", "\n  ")}\n`;
}
