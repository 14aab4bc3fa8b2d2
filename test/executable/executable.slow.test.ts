/**
 * The executable as people have it: built from these sources, in a root directory that holds libc, the executable and the
 * task modules, and nothing else.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { buildExecutable } from "../../scripts/build.ts";
import { BareRoot } from "../support/bare-root.ts";

const PROJECT = join(import.meta.dir, "../..");
const LIMIT_MS = 60_000;
const NODE = ["--data-dir", "/data", "--single-node", "--peer-listen", "127.0.0.1:0", "--http-listen", "off"];

/** Appends each task's id to a file; the package or the relative file that it imports makes the line. */
const tasks = (imports: string, line: string, more = ""): string => `
  import { appendFileSync } from "node:fs";
  import { defineTasks } from "vouch";
  ${imports}
  export default defineTasks<{ readonly n: number }>({
    topic: "t",
    onUnknown: "park",
    execute(task) { appendFileSync("/data/effects", ${line} + "\\n"); ${more} },
  });
`;

let folder = "";
let executable = "";
let commit = "";
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "vouch-executable-"));
  executable = join(folder, "vouch");
  ({ commit } = await buildExecutable(executable));
}, LIMIT_MS);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly signal: string | number | null;
  readonly out: string;
  readonly err: string;
}

/** No environment: nothing of this machine may help. */
function start(command: readonly string[]): {
  readonly pid: number;
  readonly kill: () => void;
  readonly ended: Promise<Ended>;
} {
  const child = Bun.spawn([...command], {
    env: { PATH: process.env["PATH"] ?? "" },
    stdout: "pipe",
    stderr: "pipe",
    timeout: LIMIT_MS - 5_000,
    killSignal: "SIGQUIT", // so that our own limit is never taken for the watchdog's kill
  });
  const ended = Promise.all([child.stdout.text(), child.stderr.text(), child.exited]).then(([out, err]) => ({
    code: child.exitCode,
    signal: child.signalCode,
    out,
    err,
  }));
  return { pid: child.pid, kill: () => child.kill("SIGTERM"), ended };
}

/** Produces `count` tasks, runs the module until all have had their effect, and drains. @returns the lines of effects */
async function work(root: BareRoot, module: string, count: number): Promise<string[]> {
  const produced = await start(root.command("/vouch", "produce", "t", "--count", String(count), "--data-dir", "/data"))
    .ended;
  expect(produced).toMatchObject({ code: 0 });
  const node = start(root.command("/vouch", "run", module, ...NODE));
  const effects = (): string[] =>
    existsSync(root.path("/data/effects")) ? readFileSync(root.path("/data/effects"), "utf8").trim().split("\n") : [];
  let over = false;
  void node.ended.then(() => (over = true));
  while (!over && effects().length < count) await Bun.sleep(50);
  node.kill();
  const { code, err } = await node.ended;
  expect({ code, drained: err.includes('"drained"') || err }).toEqual({ code: 0, drained: true });
  return effects();
}

describe("the executable, alone with libc", () => {
  test(
    "says its version and the commit that it was built from",
    async () => {
      expect(readdirSync(folder)).toEqual(["vouch"]);
      using root = new BareRoot(executable);
      expect(root.files().filter((file) => !/^\/lib(64)?\/.*(ld-linux|libc|libm|libdl|libpthread)/.test(file))).toEqual(
        ["/vouch"],
      );
      const { code, out } = await start(root.command("/vouch", "--version")).ended;
      expect({ code, out }).toEqual({ code: 0, out: `${packageJson.version}${commit === "" ? "" : ` (${commit})`}\n` });
    },
    LIMIT_MS,
  );

  test(
    "demo: the proof holds over a killed leader, with the executable itself as its nodes",
    async () => {
      using root = new BareRoot(executable);
      const { code, out, err } = await start(root.command("/vouch", "demo", "--tasks", "6000", "--json")).ended;
      expect({ code, err: code === 0 ? "" : err }).toEqual({ code: 0, err: "" });
      expect(JSON.parse(out)).toMatchObject({ tasks: 6000, executed: 6000, lost: 0, executedTwice: 0 });
    },
    LIMIT_MS,
  );

  test(
    "run: a task module that imports `vouch` and a file beside it",
    async () => {
      using root = new BareRoot(executable);
      root.write("/app/name.ts", "export const name = (id: string): string => `did ${id}`;");
      root.write("/app/tasks.ts", tasks('import { name } from "./name.ts";', "name(task.id)"));
      const effects = await work(root, "/app/tasks.ts", 20);
      expect(new Set(effects).size).toBe(20);
      expect(effects.every((line) => line.startsWith("did "))).toBe(true);
    },
    LIMIT_MS,
  );

  test(
    "run: a task module with packages of the node_modules folder beside it",
    async () => {
      using root = new BareRoot(executable);
      // One with conditional exports and a scope, one in CommonJS that has packages of its own.
      for (const name of ["@msgpack/msgpack", "prom-client", "tdigest", "bintrees", "@opentelemetry/api"]) {
        root.copy(join(PROJECT, "node_modules", name), `/app/node_modules/${name}`);
      }
      const imports = 'import { encode } from "@msgpack/msgpack"; import { Counter, Registry } from "prom-client";';
      const counter = 'const done = new Counter({ name: "done", help: "done", registers: [new Registry()] });';
      const line = 'Buffer.from(encode([task.id, typeof done.inc])).toString("base64")';
      root.write("/app/tasks.ts", tasks(`${imports} ${counter}`, line));
      const effects = await work(root, "/app/tasks.ts", 20);
      expect(new Set(effects).size).toBe(20);
      expect(Buffer.from(effects[0]!, "base64").toString("latin1")).toContain("function");
    },
    LIMIT_MS,
  );

  test(
    "run: a package that is not there is named, with the module that wants it, and nothing is joined",
    async () => {
      using root = new BareRoot(executable);
      root.write("/app/tasks.ts", tasks('import left from "left-out";', "left(task.id)"));
      const { code, err } = await start(root.command("/vouch", "run", "/app/tasks.ts", ...NODE)).ended;
      expect(code).toBe(2);
      expect(err).toContain("Cannot find package 'left-out' imported from /app/tasks.ts");
      expect(err).toContain('"npm install left-out" in /app');
    },
    LIMIT_MS,
  );
});

describe("R12: the watchdog of the executable kills a node whose handler blocks the event loop", () => {
  const blocking = tasks("", "task.id", "for (;;);").replace(
    'topic: "t",',
    'topic: "t", handlerTimeoutMs: 500, abortGraceMs: 200,',
  );
  const LAST_WORDS = /vouch watchdog: the handler of t:\d+:0 neither ended in its time .* killing process (\d+)\b/;

  async function blocked(command: (root: BareRoot, ...argv: string[]) => string[]): Promise<Ended> {
    using root = new BareRoot(executable);
    root.write("/app/tasks.ts", blocking);
    const produce = root.command("/vouch", "produce", "t", "--count", "1", "--data-dir", "/data");
    expect(await start(produce).ended).toMatchObject({ code: 0 });
    const ended = await start(command(root, "/vouch", "run", "/app/tasks.ts", ...NODE)).ended;
    expect(readFileSync(root.path("/data/effects"), "utf8").trim().split("\n").length).toBe(1);
    return ended;
  }

  test(
    "as any process",
    async () => {
      const { signal, err } = await blocked((root, ...argv) => root.command(...argv));
      expect(err).toMatch(LAST_WORDS);
      expect(signal).toBe("SIGKILL");
    },
    LIMIT_MS,
  );

  test(
    "as process 1 of a container, which no signal from inside reaches",
    async () => {
      const { code, err } = await blocked((root, ...argv) => root.commandAsProcessOne(...argv));
      expect(LAST_WORDS.exec(err)?.[1]).toBe("1");
      expect(code).toBe(137);
    },
    LIMIT_MS,
  );
});

test(
  "in the executable, too, keys are hashed without the package's wrapper",
  async () => {
    const entry = join(folder, "hash.ts");
    const hash = JSON.stringify(join(PROJECT, "native-ish/key-hash.ts"));
    writeFileSync(entry, `import { loadKeyHash } from ${hash}; console.log((await loadKeyHash()).isDirect);`);
    await buildExecutable(join(folder, "hash"), entry);
    const { code, out, err } = await start([join(folder, "hash")]).ended;
    expect({ code, out, err }).toEqual({ code: 0, out: "true\n", err: "" });
  },
  LIMIT_MS,
);
