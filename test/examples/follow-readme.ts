/**
 * Does what an example's README says: its shell blocks are run as they stand, one after the other in one bash, on the
 * embedded log and coordinator. Only three things differ from a reader's terminal: ports are free ones, the cell's times are
 * the demo's shorter ones, and each `sleep` ends when a cell is settled.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { childEnvironment, freePorts } from "../../src/cli/demo/cell.ts";
import { DEMO_TIMING } from "../../src/cli/demo/plan.ts";
import { environmentName } from "../../src/config/option.ts";
import { nodeOptions } from "../../src/config/option-table.ts";

export const ROOT = resolve(import.meta.dir, "../..");
const README_MS = 100_000;

export interface Followed {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** What the commands left in the temporary folder is kept until the test ends. */
  readonly folder: string;
  /** Processes of the script that still ran when it ended. */
  readonly leftOver: boolean;
  [Symbol.asyncDispose](): Promise<void>;
}

interface FollowOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly mutate?: (script: string) => string;
}

export async function shellBlocks(example: string): Promise<readonly string[]> {
  const text = await readFile(join(ROOT, "examples", example, "README.md"), "utf8");
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1]!);
}

/**
 * Runs the README of `examples/<example>`; `waits`: for each long sleep the arguments of settled.ts. `environment` is
 * for the services; `mutate` changes the commands, for a run that must go wrong.
 */
export async function followReadme(
  example: string,
  waits: readonly string[],
  { mutate = (script: string): string => script, environment = {} }: FollowOptions = {},
): Promise<Followed> {
  const folder = await mkdtemp(join(tmpdir(), `vouch-example-${example}-`));
  const script = mutate(onFreePorts((await shellBlocks(example)).join("\n")));
  const prelude = [
    `waits=(${waits.map((wait) => `"${wait}"`).join(" ")}) waited=0`,
    `sleep() { "${process.execPath}" test/examples/settled.ts \${waits[waited]} && waited=$((waited + 1)); }`,
  ].join("\n");
  // The last `wait` is the test's own: a process that the README never ends makes it run into its limit.
  const ownSession = { detached: true }; // so that whatever the script started can be ended, and nothing else
  const child = spawn("bash", ["-eu", "-o", "pipefail", "-c", `${prelude}\n${script}\nwait`], {
    ...ownSession,
    cwd: ROOT,
    env: childEnvironment({ ...timing(), ...environment, TMPDIR: folder, NODE_ENV: "production" }),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const late = setTimeout(() => endGroup(child.pid!), README_MS);
  const [out, err, code] = await Promise.all([
    textOf(child.stdout),
    textOf(child.stderr),
    new Promise<number>((done) => child.on("exit", (status) => done(status ?? -1))),
  ]);
  clearTimeout(late);
  const leftOver = endGroup(child.pid!);
  return {
    code,
    out,
    err,
    folder,
    leftOver,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

/** The last of the tables "name   number" that a service printed. */
export function lastReport(out: string, firstRow: string): Record<string, number> {
  const rows = [...out.slice(out.lastIndexOf(`${firstRow} `)).matchAll(/^(\S.*?) {2,}(\d+)$/gm)];
  return Object.fromEntries(rows.map(([, name, value]) => [name!, Number(value)]));
}

function timing(): Record<string, string> {
  const entries = Object.entries(DEMO_TIMING) as [keyof typeof DEMO_TIMING, number][];
  return Object.fromEntries(entries.map(([key, ms]) => [environmentName(key, nodeOptions[key]), String(ms)]));
}

/** Each port that the text names becomes a free one, everywhere the same. */
function onFreePorts(script: string): string {
  const named = [...new Set([...script.matchAll(/127\.0\.0\.1:([1-9]\d{3,4})/g)].map((match) => match[1]!))];
  const free = freePorts(named.length);
  return named.reduce((text, port, i) => text.replaceAll(`127.0.0.1:${port}`, `127.0.0.1:${free[i]}`), script);
}

/** Ends the process group that `followReadme` made. @returns whether there was still anybody in it */
function endGroup(pid: number): boolean {
  try {
    process.kill(-pid, "SIGKILL");
    return true;
  } catch {
    return false; // ESRCH: the group is empty
  }
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}
