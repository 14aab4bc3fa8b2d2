/** Which modules of the product a simulation runs, and why it does not run the others (SIM2). */
import { Glob } from "bun";
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const ROOT = join(import.meta.dir, "..", "..");

/** Folders and files that no simulation runs, though some are loaded with others. A module that is neither loaded nor named fails the test. */
const NOT_RUN: Readonly<Record<string, string>> = {
  "node.ts": "the process itself",
  "src/cli": "the command line; a simulated node is made from the same options",
  "src/index.ts": "what a user imports; it only passes on",
  "src/config/load.ts": "reads arguments, environment and files",
  "src/config/flags.ts": "reads arguments",
  "src/config/help.ts": "text for a person",
  "src/coordinator/zookeeper/connection.ts": "the client library on a socket; the simulated ensemble is in its place",
  "src/coordinator/boot-clock.ts": "reads /proc/uptime",
  "src/coordinator/embedded": "another coordinator, on SQLite files; it passes the same conformance suite",
  "src/coordinator/session-notes.ts": "of the embedded coordinator",
  "src/task-log/kafka":
    "kafkajs on sockets; the simulated task log is in its place and passes the same conformance suite",
  "src/task-log/embedded": "another task log, on SQLite files; it passes the same conformance suite",
  "src/ops/log.ts": "writes to standard error; the notes of a simulated node go into its history",
  "src/ops/status.ts": "text for a person",
  "src/ops/ask.ts": "asks nodes over HTTP, for the command line",
  "src/ops/task-merge.ts": "joins what nodes answered about a task, for the command line",
  "src/ops/task-text.ts": "text for a person",
  "src/runtime/process-identity.ts": "reads /proc; the simulated kernel answers in its place",
  "src/execution/load.ts": "imports task modules from files",
  "src/execution/watchdog-worker.ts": "the thread; the simulated one runs the same eye",
  "src/runtime/node.ts": "opens the real servers; what it assembles is loaded",
  "src/runtime/servers.ts": "opens the real servers",
};

async function loadedFrom(entry: string): Promise<Set<string>> {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  const seen = new Set<string>();
  const queue = [entry];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    if (!path.endsWith(".ts")) continue;
    const text = await Bun.file(join(ROOT, path)).text();
    for (const { path: imported } of transpiler.scanImports(text)) {
      if (imported.startsWith(".")) queue.push(relative(ROOT, join(ROOT, dirname(path), imported)));
    }
  }
  return seen;
}

const loaded = await loadedFrom("test/simulation/run-seed.ts");
const product: string[] = [];
for (const pattern of ["node.ts", "src/**/*.ts", "native-ish/**/*.ts"]) {
  for await (const path of new Glob(pattern).scan(ROOT)) if (!path.endsWith(".d.ts")) product.push(path);
}

/** Modules of types alone vanish when they are loaded. */
async function isOnlyTypes(path: string): Promise<boolean> {
  const code = new Bun.Transpiler({ loader: "ts" }).transformSync(await Bun.file(join(ROOT, path)).text());
  return code.replace(/^import .*$|^export \{\s*\};?$|^\/\/.*$/gm, "").trim() === "";
}

test("every module of the product is run by a simulation, or the reason why not is given", async () => {
  const missing: string[] = [];
  for (const path of product.sort()) {
    const named = Object.keys(NOT_RUN).some((place) => path === place || path.startsWith(`${place}/`));
    if (!loaded.has(path) && !named && !(await isOnlyTypes(path))) missing.push(path);
  }
  expect(missing).toEqual([]);
});

test("every place that is named exists", () => {
  expect(Object.keys(NOT_RUN).filter((place) => !existsSync(join(ROOT, place)))).toEqual([]);
});
