/**
 * The README and the Dockerfile say what the code does: commands and options exist, figures are the defaults, the task
 * module type-checks and works in a folder that holds nothing but what the Dockerfile copies.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import type { Command } from "../src/cli/command.ts";
import { demoCommand } from "../src/cli/demo.ts";
import { proofText } from "../src/cli/demo/report.ts";
import { produceCommand } from "../src/cli/produce.ts";
import { runCommand } from "../src/cli/run.ts";
import { statusCommand } from "../src/cli/status.ts";
import { loadOptions } from "../src/config/load.ts";
import { environmentName, flagName } from "../src/config/option.ts";
import { nodeConfig } from "../src/config/node-config.ts";
import { nodeOptions } from "../src/config/option-table.ts";
import { quarantineMs } from "../src/core/settings.ts";

const ROOT = resolve(import.meta.dir, "..");
const COMMANDS: readonly Command[] = [runCommand, demoCommand, produceCommand, statusCommand];
const readme = await Bun.file(join(ROOT, "README.md")).text();
const dockerfile = await Bun.file(join(ROOT, "Dockerfile")).text();
const defaults = nodeConfig({ dataDir: "unused" });

/** The fenced blocks of one language, without their fences. */
function blocks(language: string): string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map((match) => match[1]!);
}

/** Command lines of shell blocks, and the code spans of the text. */
function commandLines(): string[] {
  const spans = readme.replace(/^```[\s\S]*?^```$/gm, "").matchAll(/`([^`\n]+)`/g);
  const lines = blocks("sh").flatMap((block) => block.split("\n"));
  return [...lines.map((line) => line.replace(/(^|\s)#.*$/, "")), ...[...spans].map((match) => match[1]!)];
}

/** What follows `bun run node.ts`, up to where the shell takes over. */
function ownCommands(): string[][] {
  return commandLines().flatMap((line) =>
    [...line.matchAll(/bun run node\.ts([^|&>;]*)/g)].map((match) =>
      match[1]!
        .trim()
        .split(/\s+/)
        .map((word) => word.replaceAll('"', "").replaceAll("$n", "1")),
    ),
  );
}

function filesCopied(): string[] {
  const lines = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)];
  return [...new Set(lines.flatMap((match) => match[1]!.split(" ")))];
}

test("the scripts that it names exist", () => {
  const named = commandLines().flatMap((line) => [...line.matchAll(/npm (?:run )?(?!install|run)([\w:-]+)/g)]);
  expect(named.length).toBeGreaterThanOrEqual(3);
  for (const [, script] of named) expect(Object.keys(packageJson.scripts)).toContain(script!);
});

test("its command lines are accepted: command, arguments, options and their values", () => {
  const found = ownCommands();
  expect(found.length).toBeGreaterThanOrEqual(5);
  for (const [name, ...argv] of found) {
    const command = COMMANDS.find((candidate) => candidate.name === name);
    expect(command, `bun run node.ts ${name}`).toBeDefined();
    if (argv.includes("--help")) continue;
    const { positionals } = command!;
    const { violations } = loadOptions(command!.options, { argv, environment: {}, positionals });
    expect({ name, argv, violations }).toEqual({ name: name!, argv, violations: [] });
  }
});

test("every option and environment variable that it mentions exists", () => {
  const tables = COMMANDS.flatMap(({ options }) => Object.entries(options));
  const flags = new Set(["--help", "--config", ...tables.map(([key, entry]) => `--${flagName(key, entry)}`)]);
  const names = new Set(tables.map(([key, entry]) => environmentName(key, entry)));
  const ours = `${readme}\n${dockerfile}`
    .replace(/^.*kafka-topics\.sh.*$/gm, "")
    .replace(/^(RUN|COPY|# A node).*$/gm, "");
  for (const [flag] of ours.matchAll(/(?<![-\w])--[a-z][a-z-]*/g)) expect([...flags]).toContain(flag);
  for (const [name] of ours.matchAll(/\b(KAFKA|ZOOKEEPER|VOUCH)_[A-Z_]+\b/g)) expect([...names]).toContain(name);
});

test("its figures are the defaults", () => {
  const settled = quarantineMs(defaults) + defaults.effectSettleMs;
  const rate = Math.floor(defaults.uncommittedSpanMax / (settled / 1_000) / 10) * 10;
  const seconds = (ms: number): string => `${ms / 1_000} s`;
  for (const words of [
    `quarantine_ of ${seconds(quarantineMs(defaults))} = lease ${seconds(defaults.leaseMs)} + grace ` +
      `${seconds(defaults.isolationGraceMs)} + margin ${seconds(defaults.quarantineMarginMs)}`,
    `${seconds(defaults.kafkaSessionMs)} (\`--kafka-session-ms\`)`,
    `(${seconds(defaults.sessionMs)}, \`--session-ms\`;`,
    `\`effectSettleMs\` (${seconds(defaults.effectSettleMs)})`,
    `${defaults.uncommittedSpanMax.toLocaleString("en")} offsets`,
    `in ${seconds(settled)} of quarantine and settling, about ${rate.toLocaleString("en")} tasks a second`,
    `--min-in-sync ${defaults.minInSync}`,
    `--filter-generations ${defaults.filterGenerations}`,
    `--filter-capacity ${defaults.filterCapacity}`,
    `${nodeOptions.zookeeperRoot.default}/${nodeOptions.cell.default}`,
  ]) {
    expect(readme.includes(words), words).toBe(true);
  }
});

test("the table it shows is the one that the demo prints", () => {
  const doubts = {
    attestedExecuted: 0,
    waitedForHolder: 0,
    checkedExecuted: 0,
    checkedNotExecuted: 0,
    falsePositive: 0,
    committed: 0,
    regranted: 0,
    byPolicy: 0,
  };
  const counts = { tasks: 0, executed: 0, executedTwice: 0, lost: 0, starts: 0, seconds: 0 };
  const faults = { nodesAdded: 0, nodesKilled: 0, executingAtKill: 0 };
  const shape = (text: string): string[] =>
    text
      .trim()
      .split("\n")
      .map((line) => line.replace(/\s+[\d.]+$/, "").trim());
  const printed = proofText({ ...counts, ...faults, doubts, complaints: [], notes: [] });
  expect(shape(blocks("text")[0]!)).toEqual(shape(printed));
});

test('"exactly once" is never said, and every file that it links to exists', () => {
  expect(readme).not.toMatch(/exactly[- ]once/i);
  const links = [...readme.matchAll(/\]\((?!http)([^)#]+)\)/g)].map((match) => match[1]!);
  expect(links.length).toBeGreaterThan(0);
  for (const link of links) expect(existsSync(join(ROOT, link)), link).toBe(true);
});

let image = "";

beforeAll(async () => {
  image = await mkdtemp(join(tmpdir(), "vouch-readme-"));
  for (const file of filesCopied()) await cp(join(ROOT, file), join(image, file), { recursive: true });
  await symlink(join(ROOT, "node_modules"), join(image, "node_modules"));
  await Bun.write(join(image, "payments.ts"), blocks("ts")[0]!);
});

afterAll(() => rm(image, { recursive: true, force: true }));

async function inImage(...argv: string[]): Promise<{ code: number; output: string }> {
  const child = Bun.spawn([process.execPath, ...argv], { cwd: image, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, output: out + err };
}

test("the task module type-checks", async () => {
  expect(await inImage("check", "--no-script", "payments.ts")).toMatchObject({ code: 0 });
  const wrong = blocks("ts")[0]!.replace('"not-executed"', '"not executed"');
  await Bun.write(join(image, "wrong.ts"), wrong);
  expect((await inImage("check", "--no-script", "wrong.ts")).code).not.toBe(0);
});

test("the task module loads where the Dockerfile puts it, and its check sees its effect", async () => {
  const use = `
    import { loadTaskModules } from "./src/execution/load.ts";
    const [type] = await loadTaskModules(["payments.ts"]);
    const task = { id: "p-1", payload: { account: "a", cents: 1 } };
    const context = { signal: new AbortController().signal, token: "1-1" };
    const before = await type.check(task, context);
    await type.execute(task, context);
    console.log(type.topic, type.onUnknown, before, await type.check(task, context));
  `;
  expect(await inImage("-e", use)).toEqual({ code: 0, output: "payments park not-executed executed\n" });
});

test("the Dockerfile's entry point runs with what it copies, as no root user", async () => {
  const [, entry] = /^ENTRYPOINT \["bun", (.+)\]$/m.exec(dockerfile)!;
  const [, command] = /^CMD \[(.+)\]$/m.exec(dockerfile)!;
  const argv = JSON.parse(`[${entry}, ${command}]`) as string[];
  const { code, output } = await inImage(...argv);
  expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining("Usage: vouch") });
  expect(dockerfile).toMatch(/^USER [1-9]\d*/m);
});
