/** The demo as a user runs it: real processes, a real kill -9. Slow; each test names its own limit. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { judge } from "../../../src/cli/demo/proof.ts";
import { parseLine } from "../../../src/cli/demo/effect-record.ts";
import type { DemoResult } from "../../../src/cli/demo/report.ts";

const ENTRY = join(import.meta.dir, "../../../node.ts");

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "vouch-demo-test-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

interface Finished {
  readonly code: number;
  readonly result: DemoResult;
  readonly err: string;
  readonly dataDir: string;
}

function start(name: string, ...argv: string[]): { child: Bun.Subprocess<"ignore", "pipe", "pipe">; dataDir: string } {
  const dataDir = join(folder, name);
  const command = [process.execPath, ENTRY, "demo", "--json", "--data-dir", dataDir, ...argv];
  // A user's own settings must not reach the demo's nodes.
  const env = { ...process.env, KAFKA_BROKERS: "127.0.0.1:1", VOUCH_CELL: "mine" };
  return { child: Bun.spawn(command, { stdio: ["ignore", "pipe", "pipe"], env }), dataDir };
}

async function demo(name: string, ...argv: string[]): Promise<Finished> {
  const { child, dataDir } = start(name, ...argv);
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  const last = out.trimEnd().split("\n").at(-1) ?? "";
  expect({ code, last, err }).toMatchObject({ last: expect.stringMatching(/^\{.*\}$/) });
  return { code, result: JSON.parse(last) as DemoResult, err, dataDir };
}

/** Processes whose command line names the folder. */
function processesOf(dataDir: string): string[] {
  const { stdout } = Bun.spawnSync(["ps", "-eo", "pid,args"]);
  return stdout
    .toString()
    .split("\n")
    .filter((line) => line.includes(dataDir) && line.includes(" run "));
}

test("S6: a node is added and the leader killed while handlers run, and the proof holds", async () => {
  const { code, result, err, dataDir } = await demo("faults", "--tasks", "2000", "--nodes", "3", "--seed", "7");
  expect({ complaints: result.complaints, code, err }).toMatchObject({ complaints: [], code: 0 });
  expect(result).toMatchObject({
    tasks: 2_000,
    executed: 2_000,
    executedTwice: 0,
    lost: 0,
    nodesAdded: 1,
    nodesKilled: 1,
  });
  expect(result.executingAtKill).toBeGreaterThan(0);
  expect(result.doubts.attestedExecuted + result.doubts.waitedForHolder).toBeGreaterThan(0);
  expect(result.doubts.checkedExecuted + result.doubts.checkedNotExecuted).toBeGreaterThan(0);
  expect(processesOf(dataDir)).toEqual([]);

  // The same record judged here, with ids counted from the file that was produced.
  const lines = readFileSync(join(dataDir, "effects.log"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => parseLine(line)!);
  const waves = ["task-0.ndjson", "task-1000.ndjson"].map((name) => readFileSync(join(dataDir, name), "utf8"));
  const tasks = waves.join("").trimEnd().split("\n");
  const ids = tasks.map((line) => (JSON.parse(line) as { value: { id: string } }).value.id);
  expect(judge(lines, ids)).toMatchObject({ tasks: 2_000, executed: 2_000, executedTwice: 0, lost: 0, tokensFell: 0 });
  const opened = lines.filter(({ kind }) => kind === "start").length;
  expect(opened - lines.filter(({ kind }) => kind === "effect").length).toBe(result.executingAtKill);
}, 90_000);

test("without faults it is done sooner, and nobody asks for them", async () => {
  const { code, result } = await demo("calm", "--tasks", "500", "--nodes", "2", "--no-faults");
  expect({ code, complaints: result.complaints }).toEqual({ code: 0, complaints: [] });
  expect(result).toMatchObject({ executed: 500, nodesAdded: 0, nodesKilled: 0, executingAtKill: 0 });
}, 60_000);

test("faults that met no running task fail the demo, and it says which", async () => {
  const { code, result, err } = await demo("idle", "--tasks", "2");
  expect(code).toBe(1);
  expect(result).toMatchObject({ executed: 2, lost: 0, executedTwice: 0, executingAtKill: 0 });
  expect(result.complaints).toContain("the killed node was executing nothing");
  expect(err).toContain("THE PROOF FAILS");
}, 60_000);

test("a folder with another demo in it and too few partitions are refused, and a signal leaves no node behind", async () => {
  const { child, dataDir } = start("twice", "--tasks", "100000", "--no-faults");
  while (processesOf(dataDir).length < 3 && child.exitCode === null) await Bun.sleep(50);
  const again = start("twice", "--tasks", "10");
  expect(await again.child.exited).toBe(2);
  const narrow = start("narrow", "--partitions", "3");
  expect(await narrow.child.exited).toBe(2);
  expect(await narrow.child.stderr.text()).toContain("--partitions of at least 4, got 3");
  child.kill("SIGTERM");
  expect(await child.exited).toBe(3);
  expect(processesOf(dataDir)).toEqual([]);
}, 60_000);
