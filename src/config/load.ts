/**
 * Loads the values of an option table: flags > environment > file > default. Unknown keys are refused, and every
 * violation is collected before anything is thrown. The values of secrets never appear in a message.
 */
import { readFileSync } from "node:fs";
import { describeError } from "../errors.ts";
import { closest, type Raw, type RawByKey, readFlags, readSecretFile } from "./flags.ts";
import { type Option, type OptionTable, type OptionValues, environmentName } from "./option.ts";

/** Where values come from. */
export interface Sources {
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The arguments without a dash, as a usage line has them: `<tasks.ts>`, `[file]`; none by default. */
  readonly positionals?: readonly string[];
}

export interface Loaded<Table> {
  readonly values: OptionValues<Table>;
  readonly positionals: readonly string[];
  /** Keys that somebody gave, whatever the source. */
  readonly given: ReadonlySet<string>;
  /** One sentence each; empty when all is well. */
  readonly violations: readonly string[];
}

/**
 * An orchestrator with a service called "vouch" puts its addresses into the environment of every container
 * (`VOUCH_SERVICE_HOST`, `VOUCH_PORT_7400_TCP_ADDR`); these are not misspelt options.
 */
const SERVICE_LINK = /_SERVICE_(HOST|PORT)(_.*)?$|^VOUCH_PORT(_\d+_(TCP|UDP)(_.*)?)?$/;

const CONFIG_ENVIRONMENT = "VOUCH_CONFIG";

/**
 * Reads `table` from flags, environment and the file that `--config` names.
 * Environment names and file keys that belong to no option of `known` (default: `table`) are violations.
 */
export function loadOptions<Table extends OptionTable>(
  table: Table,
  sources: Sources,
  known: OptionTable = table,
): Loaded<Table> {
  const violations: string[] = [];
  const flags = readFlags(table, sources.argv, sources.positionals ?? [], violations);
  const environment = readEnvironment(table, known, sources.environment, violations);
  const path = flags.config ?? (sources.environment[CONFIG_ENVIRONMENT] || undefined);
  const file = path === undefined ? new Map<string, Raw>() : readFile(path, table, known, violations);

  const values: Record<string, unknown> = {};
  const given = new Set<string>();
  for (const [key, entry] of Object.entries(table)) {
    values[key] = entry.default;
    const raw = flags.raw.get(key) ?? environment.get(key) ?? file.get(key);
    if (raw === undefined) continue;
    given.add(key);
    const parsed = entry.type.parse(raw.value);
    if (parsed.ok) values[key] = parsed.value;
    else violations.push(`${raw.source}: expected ${parsed.expected}, got ${shown(entry, raw.value)}`);
  }
  return { values: values as OptionValues<Table>, positionals: flags.positionals, given, violations };
}

function shown(entry: Option<unknown>, value: unknown): string {
  if (entry.secret === true) return "a value that is not shown";
  return typeof value === "string" ? `"${value}"` : (JSON.stringify(value) ?? String(value));
}

function readEnvironment(
  table: OptionTable,
  known: OptionTable,
  environment: Sources["environment"],
  violations: string[],
): RawByKey {
  const raw: RawByKey = new Map();
  const names = new Set([CONFIG_ENVIRONMENT]);
  for (const [key, entry] of Object.entries({ ...known, ...table })) {
    const name = environmentName(key, entry);
    names.add(name);
    if (entry.secret === true) names.add(`${name}_FILE`);
    if (!(key in table)) continue;
    // Compose files and charts set variables to "" to leave them out.
    const value = environment[name] || undefined;
    const path = entry.secret === true ? environment[`${name}_FILE`] || undefined : undefined;
    if (value !== undefined && path !== undefined)
      violations.push(`${name} and ${name}_FILE: expected one of them, got both`);
    else if (path !== undefined) readSecretFile(raw, key, `${name}_FILE`, path, violations);
    else if (value !== undefined) raw.set(key, { value, source: name });
  }
  for (const name of Object.keys(environment)) {
    if (name.startsWith("VOUCH_") && !names.has(name) && !SERVICE_LINK.test(name)) {
      violations.push(`${name}: no such option in the environment${closest(name, [...names])}`);
    }
  }
  return raw;
}

function readFile(path: string, table: OptionTable, known: OptionTable, violations: string[]): RawByKey {
  const raw: RawByKey = new Map();
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    violations.push(`--config ${path}: ${describeError(error)}`);
    return raw;
  }
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    violations.push(
      `--config ${path}: expected a JSON object with option names as keys, got ${JSON.stringify(content)}`,
    );
    return raw;
  }
  const all: OptionTable = { ...known, ...table };
  for (const [name, value] of Object.entries(content)) {
    const key = name.endsWith("File") && all[name.slice(0, -4)]?.secret === true ? name.slice(0, -4) : name;
    const source = `${name} in ${path}`;
    if (!Object.hasOwn(all, key)) violations.push(`${source}: no such option${closest(name, Object.keys(all))}`);
    else if (!Object.hasOwn(table, key)) continue;
    else if (raw.has(key)) violations.push(`${source}: expected ${key} or ${key}File, got both`);
    else if (key === name) raw.set(key, { value, source });
    else readSecretFile(raw, key, source, value, violations);
  }
  return raw;
}
