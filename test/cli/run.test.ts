import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "../../src/cli/demo/cell.ts";

const ENTRY = join(import.meta.dir, "../../node.ts");

let folder = "";
let child: Bun.Subprocess | null = null;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "vouch-run-"));
});
afterEach(async () => {
  child?.kill("SIGKILL");
  await child?.exited;
  child = null;
  rmSync(folder, { recursive: true });
});

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 20_000; performance.now() < end; await Bun.sleep(20)) if (await holds()) return;
  throw new Error(`${what} did not come within 20 s; log:\n${readFileSync(join(folder, "log"), "utf8")}`);
}

/** One node that is a cell by itself; its only task takes `ms` and writes a file at its start and one at its end. */
async function startCell(ms: number): Promise<{ node: Bun.Subprocess; http: string }> {
  const module = join(folder, "tasks.ts");
  const touch = (name: string): string => `require("node:fs").writeFileSync(${JSON.stringify(join(folder, name))}, "")`;
  writeFileSync(
    module,
    `export default { topic: "t", onUnknown: "park", async execute() { ${touch("start")}; await Bun.sleep(${ms}); ${touch("end")}; } };`,
  );
  const produce = Bun.spawn([process.execPath, ENTRY, "produce", "t", "--count", "1", "--data-dir", folder], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  expect(await produce.exited).toBe(0);
  const [peer, http] = freePorts(2);
  const argv = [
    "run",
    module,
    "--data-dir",
    folder,
    "--single-node",
    "--peer-listen",
    `127.0.0.1:${peer}`,
    "--http-listen",
    `127.0.0.1:${http}`,
  ];
  const log = Bun.file(join(folder, "log"));
  const node = Bun.spawn([process.execPath, ENTRY, ...argv], { stdio: ["ignore", "ignore", log] });
  child = node;
  return { node, http: `http://127.0.0.1:${http}` };
}

const touched = (name: string): boolean => existsSync(join(folder, name));

test("R22: a node becomes ready, works, and SIGTERM lets its handler end before it exits with 0", async () => {
  const { node, http } = await startCell(700);
  await until("readiness", async () => (await fetch(`${http}/readyz`).catch(() => null))?.status === 200);
  await until("the handler's start", () => touched("start"));
  expect(await (await fetch(`${http}/metrics`)).text()).toContain('vouch_role{role="leader"} 1');
  node.kill("SIGTERM");
  expect(await node.exited).toBe(0);
  expect(touched("end")).toBe(true);
  expect(readFileSync(join(folder, "log"), "utf8")).toContain('"message":"drained"');
}, 60_000);

test("a second signal ends the node at once, in the middle of its handler, with exit code 3", async () => {
  const { node } = await startCell(60_000);
  await until("the handler's start", () => touched("start"));
  node.kill("SIGINT");
  await until("the drain", () => readFileSync(join(folder, "log"), "utf8").includes("SIGINT: draining"));
  expect(node.exitCode).toBeNull();
  node.kill("SIGINT");
  expect(await node.exited).toBe(3);
  expect(touched("end")).toBe(false);
}, 60_000);
