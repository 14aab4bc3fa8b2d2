/** Reads an argument list against an option table. Not a general parser: only long flags, and it collects every error. */
import { readFileSync } from "node:fs";
import { describeError } from "../errors.ts";
import { environmentName, flagName, type OptionTable } from "./option.ts";

/** A value as it came, and where it came from: `--lease-ms`, `VOUCH_LEASE_MS`, `leaseMs in cell.json`. */
export interface Raw {
  readonly value: unknown;
  readonly source: string;
}

export type RawByKey = Map<string, Raw>;

export interface Flags {
  readonly raw: RawByKey;
  readonly positionals: readonly string[];
  readonly config: string | undefined; // the file that --config names
}

interface Target {
  readonly key: string;
  readonly takesValue: boolean;
  readonly secret: boolean;
  readonly negated: boolean;
  /** Why this flag is refused, whatever its value; "" otherwise. */
  readonly refusal: string;
}

/** The key under which `--config` is kept; no option can have it, since keys have no dashes. */
const CONFIG = "--config";

/**
 * `--name value`, `--name=value`, `--switch`, `--no-switch`; `--` ends the flags. `usage` lists the arguments without a
 * dash, optional ones in brackets; a last one with dots stands for any number.
 */
export function readFlags(
  table: OptionTable,
  argv: readonly string[],
  usage: readonly string[],
  violations: string[],
): Flags {
  const targets = flagTargets(table);
  const raw: RawByKey = new Map();
  const positionals: string[] = [];
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? "";
    if (argument === "--") {
      positionals.push(...argv.slice(index + 1));
      break;
    }
    if (!argument.startsWith("-") || argument === "-") {
      positionals.push(argument);
      continue;
    }
    const equals = argument.indexOf("=");
    const flag = equals < 0 ? argument : argument.slice(0, equals);
    let value = equals < 0 ? undefined : argument.slice(equals + 1);
    const target = targets.get(flag);
    const next = argv[index + 1];
    if (value === undefined && target?.takesValue === true && next !== undefined && !next.startsWith("--")) {
      value = next;
      index++;
    }
    if (target === undefined) violations.push(`${flag}: no such option${closest(flag, [...targets.keys()])}`);
    else takeFlag(raw, target, flag, value, violations);
  }
  checkPositionals(positionals, usage, violations);
  const config = raw.get(CONFIG)?.value;
  return { raw, positionals, config: typeof config === "string" ? config : undefined };
}

function flagTargets(table: OptionTable): Map<string, Target> {
  const targets = new Map<string, Target>();
  targets.set(CONFIG, { key: CONFIG, takesValue: true, secret: false, negated: false, refusal: "" });
  for (const [key, entry] of Object.entries(table)) {
    const flag = flagName(key, entry);
    const takesValue = entry.type.placeholder !== "";
    targets.set(`--${flag}`, { key, takesValue, secret: entry.secret === true, negated: false, refusal: "" });
    if (entry.secret === true) {
      const refusal = `a secret does not belong on the command line: expected --${flag} or ${environmentName(key, entry)}`;
      targets.set(`--${flag.slice(0, -"-file".length)}`, { key, takesValue, secret: true, negated: false, refusal });
    }
    if (!takesValue) targets.set(`--no-${flag}`, { key, takesValue, secret: false, negated: true, refusal: "" });
  }
  return targets;
}

function takeFlag(raw: RawByKey, target: Target, flag: string, value: string | undefined, violations: string[]): void {
  if (target.refusal !== "") violations.push(`${flag}: ${target.refusal}`);
  else if (raw.has(target.key)) violations.push(`${flag}: given more than once`);
  else if (target.takesValue && value === undefined) violations.push(`${flag}: expected a value, got none`);
  else if (!target.takesValue && value !== undefined) violations.push(`${flag}: expected no value, got "${value}"`);
  else if (target.secret) readSecretFile(raw, target.key, flag, value, violations);
  else raw.set(target.key, { value: value ?? !target.negated, source: flag });
}

function checkPositionals(positionals: readonly string[], usage: readonly string[], violations: string[]): void {
  const required = usage.filter((name) => !name.startsWith("["));
  for (const name of required.slice(positionals.length)) violations.push(`the argument ${name} is missing`);
  if (usage.at(-1)?.endsWith("…]") === true) return;
  for (const extra of positionals.slice(usage.length)) violations.push(`"${extra}": one argument too many`);
}

/** At most so many slips of the fingers make one name another. */
const SLIPS_MAX = 2;

/** "; did you mean --lease-ms?" when a known name begins so, or differs by a slip or two; else "". */
export function closest(name: string, known: readonly string[]): string {
  const near = known
    .map((each) => ({ each, slips: beginsLike(each, name) ? 0 : editDistance(name, each) }))
    .filter(({ slips }) => slips <= SLIPS_MAX)
    .sort((a, b) => a.slips - b.slips);
  return near[0] === undefined ? "" : `; did you mean ${near[0].each}?`;
}

/** `--lease-ms`, `VOUCH_LEASE_MS` and `leaseMs` begin like their first words. */
function beginsLike(full: string, start: string): boolean {
  return full.startsWith(start) && /^[-_A-Z]/.test(full.slice(start.length));
}

/** How many characters must be put in, taken out or replaced to make one text of the other (Levenshtein). */
function editDistance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 0; i < one.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < other.length; j++) {
      const replaced = (row[j] ?? 0) + (one[i] === other[j] ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

/** Takes the content of the file at `path`, without the line break at its end, as the value of `key`. */
export function readSecretFile(raw: RawByKey, key: string, source: string, path: unknown, violations: string[]): void {
  try {
    if (typeof path !== "string") throw new TypeError("expected the path of a file");
    raw.set(key, { value: readFileSync(path, "utf8").replace(/\r?\n$/, ""), source });
  } catch (error) {
    violations.push(`${source}: ${describeError(error)}`);
  }
}
