/** Help text from option tables: nothing about an option is written twice. */
import { type Option, type OptionTable, environmentName, flagName } from "./option.ts";

/** What the `--config` option does, for tables whose command reads a file. */
const CONFIG_LINE = ["--config FILE", "JSON object with option names as keys (leaseMs, …)  [VOUCH_CONFIG]"] as const;

function flagColumn(key: string, entry: Option<unknown>): string {
  const flag = `--${flagName(key, entry)}`;
  if (entry.secret === true) return `${flag} FILE`;
  if (entry.type.placeholder !== "") return `${flag} ${entry.type.placeholder}`;
  return entry.default === true ? `--no-${flagName(key, entry)}` : flag;
}

function defaultColumn(entry: Option<unknown>): string {
  if (entry.defaultText !== undefined) return entry.defaultText;
  const unit = entry.unit === "" ? "" : ` ${entry.unit}`;
  return `${entry.type.format(entry.default)}${unit}`;
}

function describe(key: string, entry: Option<unknown>): string {
  const environment = environmentName(key, entry);
  const names = entry.secret === true ? `${environment}, ${environment}_FILE` : environment;
  const preset = entry.type.placeholder === "" ? "" : ` (default: ${defaultColumn(entry)})`;
  return `${entry.description}${preset}  [${names}]`;
}

/** The options of a table by group, one line each, aligned; `withConfig` adds `--config`. */
export function optionHelp(table: OptionTable, withConfig = true): string {
  const groups = new Map<string, (readonly [string, string])[]>();
  for (const [key, entry] of Object.entries(table)) {
    const lines = groups.get(entry.group) ?? [];
    lines.push([flagColumn(key, entry), describe(key, entry)]);
    groups.set(entry.group, lines);
  }
  if (withConfig) groups.set("File", [CONFIG_LINE]);
  const width = Math.max(...[...groups.values()].flat().map(([flag]) => flag.length));
  return [...groups]
    .map(([group, lines]) =>
      [`${group}:`, ...lines.map(([flag, what]) => `  ${flag.padEnd(width)}  ${what}`)].join("\n"),
    )
    .join("\n\n");
}
