/** `vouch` as a dependency: packed, installed by npm into a project of its own, its command and its library used there. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PROJECT = join(import.meta.dir, "../..");
const INSTALL_MS = 120_000;
const LIMIT_MS = 60_000;

const TASKS = `
  import { appendFileSync } from "node:fs";
  import { defineTasks } from "vouch";
  export default defineTasks<{ readonly n: number }>({
    topic: "t",
    onUnknown: "park",
    execute(task) { appendFileSync("effects", task.id + "\\n"); },
  });
`;
const OWN = `
  import { startNode } from "vouch";
  import tasks from "./tasks.ts";
  const port0 = { host: "127.0.0.1", port: 0 };
  await using node = await startNode(
    { nodeId: "own", dataDir: "data-own", singleNode: true, peerListen: port0, httpListen: port0 },
    tasks,
  );
  console.log("started");
`;

const RIGHT = `
  import { defineTasks, type NodeConfig, startNode } from "vouch";
  const config: Partial<NodeConfig> = { nodeId: "n1", peerListen: { host: "127.0.0.1", port: 0 } };
  const tasks = defineTasks<{ readonly cents: number }>({
    topic: "t",
    onUnknown: "park",
    execute(task, { signal, token }): void {
      const cents: number = task.payload.cents;
      void [cents, signal.aborted, token];
    },
    check: () => "executed",
  });
  export const node = await startNode(config, tasks);
`;

let project = "";
beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), "vouch-project-"));
  await done(["npm", "pack", "--silent", "--pack-destination", project], PROJECT);
  const tarball = [...new Bun.Glob("*.tgz").scanSync(project)][0]!;
  writeFileSync(join(project, "package.json"), '{ "name": "user", "type": "module", "private": true }');
  await done(["npm", "install", "--silent", "--prefer-offline", "--no-audit", "--no-fund", tarball], project);
  writeFileSync(join(project, "tasks.ts"), TASKS);
  writeFileSync(join(project, "own.ts"), OWN);
}, INSTALL_MS);
afterAll(() => rmSync(project, { recursive: true, force: true }));

function start(command: readonly string[], cwd: string): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  return Bun.spawn([...command], { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: INSTALL_MS });
}

async function done(command: readonly string[], cwd: string): Promise<string> {
  const child = start(command, cwd);
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${command.join(" ")}: exit code ${code}\n${out}${err}`);
  return out;
}

/** Runs `command` until it has done the one task that is produced first, and drains it. */
async function work(vouch: readonly string[], module: string, cwd: string): Promise<string> {
  await done([...vouch, "produce", "t", "--count", "1", "--data-dir", "data"], cwd);
  const listen = ["--peer-listen", "127.0.0.1:0", "--http-listen", "off"];
  const node = start([...vouch, "run", module, "--data-dir", "data", "--single-node", ...listen], cwd);
  while (node.exitCode === null && !existsSync(join(cwd, "effects"))) await Bun.sleep(50);
  node.kill("SIGTERM");
  expect({ code: await node.exited, err: await node.stderr.text() }).toEqual({
    code: 0,
    err: expect.stringContaining('"drained"'),
  });
  return readFileSync(join(cwd, "effects"), "utf8");
}

test(
  "the command of the installed package runs a task module that imports the library",
  async () => {
    // Typed as a path: without the folder of npm's commands in PATH there is no `bun` to be found there.
    expect(
      (await work([join(project, "node_modules/.bin/vouch")], "tasks.ts", project)).trim().split("\n").length,
    ).toBe(1);
  },
  LIMIT_MS,
);

test(
  "the library of the installed package starts a node in the project's own process",
  async () => {
    expect(await done([process.execPath, "own.ts"], project)).toBe("started\n");
  },
  LIMIT_MS,
);

test(
  "the library's types: right code has no error under a stricter checker, wrong code has its own and no other",
  async () => {
    const folder = join(project, "typed");
    mkdirSync(folder);
    const strict = { strict: true, exactOptionalPropertyTypes: true, noPropertyAccessFromIndexSignature: true };
    const module = { module: "Preserve", moduleResolution: "bundler", noEmit: true, skipLibCheck: true };
    const compilerOptions = { ...module, ...strict, target: "ESNext", lib: ["ESNext"], types: [] };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions }));
    writeFileSync(join(folder, "right.ts"), RIGHT);
    writeFileSync(join(folder, "wrong.ts"), RIGHT.replace('topic: "t"', "topic: 1"));
    const check = start([process.execPath, "check", "--no-script", "--no-pretty"], folder);
    const [out, err] = await Promise.all([check.stdout.text(), check.stderr.text(), check.exited]);
    const errors = (out + err).split("\n").filter((line) => line.includes("error"));
    expect(errors.filter((line) => !/^Found|^\s/.test(line))).toEqual([
      expect.stringMatching(/^wrong\.ts.*Type 'number' is not assignable to type 'string'/),
    ]);
  },
  LIMIT_MS,
);

test(
  "from this repository: a module inside it by the package's own name, a module anywhere through node.ts",
  async () => {
    const own = 'import { defineTasks } from "vouch"; console.log(typeof defineTasks);';
    expect(await done([process.execPath, "-e", own], PROJECT)).toBe("function\n");
    const elsewhere = mkdtempSync(join(tmpdir(), "vouch-elsewhere-"));
    try {
      writeFileSync(join(elsewhere, "tasks.ts"), TASKS);
      const vouch = [process.execPath, "run", join(PROJECT, "node.ts")];
      expect((await work(vouch, "tasks.ts", elsewhere)).trim().split("\n").length).toBe(1);
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
  },
  LIMIT_MS,
);
