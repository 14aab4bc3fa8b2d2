/**
 * The README says what the code does, in its order and on four screens: figures are the defaults, the table is the demo's,
 * the tree is the one that is there, the task module type-checks and works. Commands, options, links: `test/docs`.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { existsSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { proofText } from "../src/cli/demo/report.ts";
import { nodeConfig } from "../src/config/node-config.ts";
import { nodeOptions } from "../src/config/option-table.ts";
import { quarantineMs } from "../src/core/settings.ts";
import { blocks, commandLines } from "./docs/markdown.ts";

const ROOT = resolve(import.meta.dir, "..");
const readme = await Bun.file(join(ROOT, "README.md")).text();
const defaults = nodeConfig({ dataDir: "unused" });

/** What a node needs of the repository. */
const NODE_FILES = ["package.json", "bunfig.toml", "tsconfig.json", "node.ts", "native-ish", "src"];
/** Four screens of text; tables, code and diagrams come on top. */
const TEXT_LINES_MAX = 200;

/** What a person who has never heard of it asks, in this order. */
const SECTIONS = [
  "# Vouch",
  "## When to use it, and when not",
  "## The promise",
  "## Try it",
  "## A task module",
  "## What happens to a task",
  "## Three nodes on your own Kafka and ZooKeeper",
  "## What it costs",
  "## Replaying on purpose, parked and dead tasks",
  "## Troubleshooting",
  "## Where to change what",
];

test("it answers a new user's questions in their order, on four screens", () => {
  const text = readme.replace(/^```[\s\S]*?^```$/gm, "");
  expect([...text.matchAll(/^#{1,2} .+$/gm)].map(([heading]) => heading)).toEqual(SECTIONS);
  // As a terminal or a page of 120 columns shows it.
  const lines = text.split("\n").reduce((sum, line) => sum + Math.ceil(line.length / 120), 0);
  expect(lines).toBeLessThanOrEqual(TEXT_LINES_MAX);
  const proofAt = readme.indexOf("```text\nProof");
  expect(proofAt > 0 && proofAt < readme.indexOf(SECTIONS[1]!)).toBe(true);
});

test("the tree that it shows is the one that is there", () => {
  const tree = blocks(readme, "text").at(-1)!;
  const named = [...tree.matchAll(/(?:^|\s{4})((?:[a-z-]+\/)+|[a-z]+\.ts)(?=\s)/gm)].map((match) => match[1]!);
  const paths = [...named, "src/core/leader", "src/core/member"].filter((path) => !/^(leader|member)\//.test(path));
  expect(paths.length).toBeGreaterThanOrEqual(14);
  expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  const rooms = readdirSync(join(ROOT, "src"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(rooms.map(({ name }) => `src/${name}/`).filter((room) => !paths.includes(room))).toEqual([]);
});

test("the scripts that it names exist", () => {
  const named = commandLines(readme).flatMap((line) => [...line.matchAll(/npm (?:run )?(?!install|run)([\w:-]+)/g)]);
  expect(named.length).toBeGreaterThanOrEqual(3);
  for (const [, script] of named) expect(Object.keys(packageJson.scripts)).toContain(script!);
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
  expect(shape(blocks(readme, "text")[0]!)).toEqual(shape(printed));
});

let image = "";

beforeAll(async () => {
  image = await mkdtemp(join(tmpdir(), "vouch-readme-"));
  for (const file of NODE_FILES) await cp(join(ROOT, file), join(image, file), { recursive: true });
  await symlink(join(ROOT, "node_modules"), join(image, "node_modules"));
  await Bun.write(join(image, "payments.ts"), blocks(readme, "ts")[0]!);
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

/** A type check on a machine that is busy with other things. */
const CHECK_LIMIT_MS = 60_000;

test(
  "the task module type-checks",
  async () => {
    expect(await inImage("check", "--no-script", "payments.ts")).toMatchObject({ code: 0 });
    const wrong = blocks(readme, "ts")[0]!.replace('"not-executed"', '"not executed"');
    await Bun.write(join(image, "wrong.ts"), wrong);
    expect((await inImage("check", "--no-script", "wrong.ts")).code).not.toBe(0);
  },
  CHECK_LIMIT_MS,
);

test(
  "the task module loads where the Dockerfile puts it, and its check sees its effect",
  async () => {
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
  },
  CHECK_LIMIT_MS,
);
