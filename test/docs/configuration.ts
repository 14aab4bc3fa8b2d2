/**
 * Writes docs/configuration.md from the option tables, so that no option is described twice; `--check` says whether it is
 * up to date and changes nothing.
 *
 *     bun test/docs/configuration.ts [--check]
 */
import { join } from "node:path";
import { COMMANDS } from "../../src/cli/cli.ts";
import { nodeConfig, coreSettings, parameterSet } from "../../src/config/node-config.ts";
import { nodeOptions } from "../../src/config/option-table.ts";
import { environmentName, flagName, type Option, type OptionTable } from "../../src/config/option.ts";
import { relationsInWords } from "../../src/config/relations.ts";
import { codeCell, markdownTable } from "./markdown-table.ts";

export const CONFIGURATION = join(import.meta.dir, "..", "..", "docs", "configuration.md");

const HEADINGS = ["flag", "environment", "key in the file", "default", "unit", "meaning"];

/** One row of the reference; what a person types, in each of the three places. */
export function optionRow(key: string, entry: Option<unknown>): readonly string[] {
  const { type, secret, unit, description, defaultText } = entry;
  const flag = `--${flagName(key, entry)}`;
  const value = secret === true ? " FILE" : type.placeholder === "" ? "" : ` ${type.placeholder}`;
  const both = (name: string, file: string): string =>
    secret === true ? `${codeCell(name)}, ${codeCell(file)}` : codeCell(name);
  const environment = environmentName(key, entry);
  const fallback = defaultText ?? codeCell(type.format(entry.default));
  return [
    codeCell(`${flag}${value}`),
    both(environment, `${environment}_FILE`),
    both(key, `${key}File`),
    fallback,
    unit,
    description.replaceAll("|", "\\|"),
  ];
}

function groups(table: OptionTable): ReadonlyMap<string, OptionTable> {
  const found = new Map<string, Record<string, Option<unknown>>>();
  for (const [key, entry] of Object.entries(table)) {
    const group = found.get(entry.group) ?? {};
    group[key] = entry;
    found.set(entry.group, group);
  }
  return found;
}

function optionTable(table: OptionTable): string {
  return markdownTable(
    HEADINGS,
    Object.entries(table).map(([key, entry]) => optionRow(key, entry)),
  );
}

/** The options of a command that is no node: its own as a table, those that it shares with a node by name. */
function commandSection(name: string, summary: string, options: OptionTable): string {
  const shared = (key: string): boolean => (nodeOptions as OptionTable)[key] === options[key];
  const own = Object.fromEntries(Object.entries(options).filter(([key]) => !shared(key)));
  const flags = Object.entries(options).filter(([key]) => shared(key));
  const named = flags.map(([key, entry]) => codeCell(`--${flagName(key, entry)}`)).join(", ");
  const also = flags.length === 0 ? "" : `\n\nOf a node's options it takes ${named}.`;
  return `### \`${name}\`\n\n${summary}.\n\n${optionTable(own)}${also}`;
}

function sharedParameters(): string {
  const settings = coreSettings(nodeConfig({ dataDir: "unused" }), [], "", "");
  return parameterSet(settings, "")
    .map(({ name }) => name)
    .join(", ");
}

export function configurationText(): string {
  const sections = [...groups(nodeOptions)].map(([group, table]) => `### ${group}\n\n${optionTable(table)}`);
  const others = COMMANDS.filter(({ name }) => name !== "run");
  return `# Configuration

_Written by \`bun test/docs/configuration.ts\` from the option table (\`src/config/option-table.ts\`); do not edit it here._

Each option has one value from the first of these places that gives one: its flag, the environment, the file that \`--config FILE\`
or \`VOUCH_CONFIG\` names (a JSON object with the keys below), the default. A name that is not in these tables is refused, with the
nearest one that is. Secrets have no flag of their own: give a file (\`--…-file\`, \`…_FILE\`) or the environment. A switch is
turned off by \`no-\` before its name, elsewhere it is \`true\` or \`false\`. All violations are reported at once, before anything is joined (exit code 2).

\`\`\`json
{
  "nodeId": "n1",
  "cell": "payments",
  "kafkaBrokers": ["k1:9092", "k2:9092"],
  "zookeeper": "z1:2181,z2:2181",
  "concurrency": 50
}
\`\`\`

The library takes the same keys: \`startNode({ nodeId: "n1", … }, tasks)\`. A task definition may set, for its topic alone:
\`attemptsMax\`, \`retryBackoffMs\`, \`retryBackoffMaxMs\`, \`handlerTimeoutMs\`, \`abortGraceMs\`, \`checkTimeoutMs\`, \`effectSettleMs\`.

## Options of a node (\`run\`)

${sections.join("\n\n")}

## What must be equal on all nodes of a cell

A node whose value of one of these differs is refused by its peers, who say which and both values: cell, cluster UUID, ${sharedParameters()}, codec, key format.
So a cell changes them only as a whole: stop all nodes, start all nodes.

## Relations that are checked at the start

${relationsInWords()
  .map((words) => `- ${words[0]!.toUpperCase()}${words.slice(1)}.`)
  .join("\n")}

## Options of the other commands

${others.map(({ name, summary, options }) => commandSection(name, summary, options)).join("\n\n")}
`;
}

if (import.meta.main) {
  const text = configurationText();
  if (!process.argv.includes("--check")) await Bun.write(CONFIGURATION, text);
  else if ((await Bun.file(CONFIGURATION).text()) !== text) {
    console.error("docs/configuration.md is not of the option table: bun test/docs/configuration.ts");
    process.exitCode = 1;
  }
}
