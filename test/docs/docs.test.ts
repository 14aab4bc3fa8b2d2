/** README and docs say what the code does: commands, options, metrics, routes, files and headings that they name exist. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { Glob } from "bun";
import { COMMANDS } from "../../src/cli/cli.ts";
import { loadOptions } from "../../src/config/load.ts";
import { environmentName, flagName } from "../../src/config/option.ts";
import { nodeOptions } from "../../src/config/option-table.ts";
import { anchors, links, ownCommands } from "./markdown.ts";

const ROOT = resolve(import.meta.dir, "../..");
const FILES = ["README.md", "docs/*.md", "examples/**/README.md"];

const documents = new Map<string, string>();
for (const pattern of FILES) {
  for await (const file of new Glob(pattern).scan(ROOT)) {
    if (!file.includes("node_modules")) documents.set(file, await Bun.file(join(ROOT, file)).text());
  }
}

const tables = COMMANDS.flatMap(({ options }) => Object.entries(options));
const flags = new Set([
  "--help",
  "--version",
  "--config",
  ...tables.map(([key, entry]) => `--${flagName(key, entry)}`),
]);
const names = new Set(tables.map(([key, entry]) => environmentName(key, entry)));

/** Flags of other programs' commands. */
const FOREIGN =
  /^.*(kafka-[a-z-]+\.sh|docker|buildah|npm |bun build|bun test|bun run (simulate|mutations|bench|model|chaos)|npx bun|git ).*$/gm;

async function sourceText(): Promise<string> {
  const texts: string[] = [];
  for await (const file of new Glob("src/**/*.ts").scan(ROOT)) texts.push(await Bun.file(join(ROOT, file)).text());
  return texts.join("\n");
}

describe.each([...documents.keys()].sort())("%s", (file) => {
  const text = documents.get(file)!;

  test("its command lines are accepted: command, arguments, options and their values", () => {
    for (const [name, ...argv] of ownCommands(text)) {
      if (name === undefined || /^[-<.…]/.test(name)) continue;
      const command = COMMANDS.find((candidate) => candidate.name === name);
      expect({ name, isCommand: command !== undefined }).toEqual({ name, isCommand: true });
      if (argv.includes("--help") || argv.includes("…")) continue;
      const { positionals, options } = command!;
      const { violations } = loadOptions(
        options,
        { argv, environment: {}, positionals },
        { ...nodeOptions, ...options },
      );
      const wrong = violations.filter((violation) => !/^the argument <.+> is missing$/.test(violation));
      expect({ name, argv, wrong }).toEqual({ name, argv, wrong: [] });
    }
  });

  test("every option and environment variable that it mentions exists", () => {
    const ours = text.replace(FOREIGN, "");
    const unknown = [...ours.matchAll(/(?<![-\w/])--[a-z][a-z-]*(?![a-z-]*…)/g)].map(([flag]) => flag);
    expect(unknown.filter((flag) => !flags.has(flag) && !flags.has(flag.replace(/^--no-/, "--")))).toEqual([]);
    const mentioned = [...ours.matchAll(/\b(?:KAFKA|ZOOKEEPER|VOUCH)_[A-Z_]+\b/g)].map(([name]) => name);
    const known = (name: string): boolean => names.has(name) || names.has(name.replace(/_FILE$/, ""));
    expect(mentioned.filter((name) => !known(name) && name !== "VOUCH_CONFIG")).toEqual([]);
  });

  test("every file and heading that it links to exists", () => {
    for (const { path, anchor } of links(text)) {
      const target = path === "" ? file : relative(ROOT, join(ROOT, dirname(file), path));
      expect({ target, exists: existsSync(join(ROOT, target)) }).toEqual({ target, exists: true });
      if (anchor === "") continue;
      const there = documents.get(target) ?? "";
      expect({ target, anchor, exists: anchors(there).includes(anchor) }).toEqual({ target, anchor, exists: true });
    }
  });

  test('"exactly once" is never said', () => {
    expect(text).not.toMatch(/exactly[- ]once/i);
  });
});

test("every metric and every header that the documents name is in the sources", async () => {
  const sources = await sourceText();
  const all = [...documents.values()].join("\n");
  const metrics = new Set([...all.matchAll(/\bvouch_[a-z_]+\b/g)].map(([name]) => name));
  expect(metrics.size).toBeGreaterThan(8);
  expect([...metrics].filter((name) => !sources.includes(`"${name}"`))).toEqual([]);
  const headers = new Set(
    [...all.matchAll(/`(vouch-(?:reason|attempts|origin|error|payload-hash|conflict-[a-z-]+))`/g)].map(
      (match) => match[1]!,
    ),
  );
  expect([...headers].filter((name) => !sources.includes(`"${name}"`))).toEqual([]);
  const values = [...all.matchAll(/vouch_[a-z_]+\{[a-z]+="([\w-]+)"\}/g)].map((match) => match[1]!);
  expect(values.filter((value) => !new RegExp(`["\\s]${value}[":\\s+(]`).test(sources))).toEqual([]);
});

test("every alarm that a node can give is explained in docs/operating.md", async () => {
  const sources = await sourceText();
  const unions = [...sources.matchAll(/export type Alarm(?:Code|Name) =([\s\S]*?);/g)].map((match) => match[1]!);
  const codes = unions.flatMap((union) => [...union.matchAll(/"([\w-]+)"/g)].map((match) => match[1]!));
  const beside = [...sources.matchAll(/\balarm: "([\w-]+)"/g)].map((match) => match[1]!);
  const given = [...codes.filter((code) => sources.split(`"${code}"`).length > 2), ...beside];
  expect(given.length).toBeGreaterThanOrEqual(8);
  const text = documents.get("docs/operating.md")!;
  expect(given.filter((code) => !text.includes(`\`${code}\``))).toEqual([]);
});

test("the reasons for parked and dead tasks that docs/operating.md explains are all that there are", async () => {
  const sources = await sourceText();
  const given = [...sources.matchAll(/setAside\([^;]*?"(?:dead|parked)", ([^;]+?)\);/g)].flatMap((match) =>
    [...match[1]!.matchAll(/"([\w-]+)"/g)].map((word) => word[1]!),
  );
  expect(given.length).toBeGreaterThanOrEqual(5);
  const explained = [...documents.get("docs/operating.md")!.matchAll(/^\| `\.(?:dead|parked)` +\| `([\w-]+)`/gm)];
  expect([...new Set(explained.map((match) => match[1]!))].sort()).toEqual([...new Set(given)].sort());
});
