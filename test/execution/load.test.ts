import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { describeError, VouchError } from "../../src/errors.ts";
import { loadTaskModules } from "../../src/execution/load.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** Writes each text as a module of its own and returns the paths. */
function modules(...texts: string[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), "vouch-load-"));
  folders.push(folder);
  return texts.map((text, index) => {
    const path = join(folder, `m${index}.ts`);
    writeFileSync(path, text);
    return path;
  });
}

async function refused(paths: readonly string[]): Promise<VouchError> {
  const error = await loadTaskModules(paths).then(
    () => new Error("it was loaded"),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(VouchError);
  expect((error as VouchError).code).toBe("task-module");
  return error as VouchError;
}

const task = (topic: string): string => `{ topic: "${topic}", execute() {}, onUnknown: "park" }`;

test("several modules, one of them with several topics, in the order of topics", async () => {
  const paths = modules(
    `export default [${task("c")}, ${task("a")}];`,
    `const one: object = ${task("b")}; export default one;`,
  );
  expect((await loadTaskModules(paths)).map((type) => type.topic)).toEqual(["a", "b", "c"]);
});

test("a path is relative to the working directory", async () => {
  const [path] = modules(`export default ${task("a")};`);
  expect(await loadTaskModules([relative(process.cwd(), path!)])).toHaveLength(1);
});

test("a definition made with defineTasks", async () => {
  const index = JSON.stringify(join(import.meta.dir, "../../src/index.ts"));
  const [path] = modules(`import { defineTasks } from ${index}; export default defineTasks<string>(${task("a")});`);
  expect((await loadTaskModules([path!]))[0]!.topic).toBe("a");
});

test("several syntax errors: the first one, and where it is", async () => {
  const [path] = modules(`export default {\n  topic: "a"\n  async execute() {},\n  onUnknown: "park",\n};`);
  expect((await refused([path!])).message).toMatch(
    /throws while it is imported: Expected "}" but found "async" \(at .*m0\.ts:3:3\), the first of \d+ errors/,
  );
});

test("a file that does not exist", async () => {
  expect((await refused(["no-such-tasks.ts"])).message).toStartWith(
    "1 task module error:\n  - no-such-tasks.ts: no such file (looked for /",
  );
});

test("a module that throws while it is imported: what, where, and its own error as the cause", async () => {
  const [path] = modules(`throw new Error("PAYMENT_URL is not set");`);
  const error = await refused([path!]);
  expect(error.message).toMatch(/: throws while it is imported: PAYMENT_URL is not set \(at \/.*m0\.ts:1:\d+\)$/);
  expect((error.cause as Error).message).toBe("PAYMENT_URL is not set");
  expect(describeError(error)).toBe(error.message); // said once
});

test("a module that cannot be parsed, and one that imports what is not there", async () => {
  const paths = modules("export default {", `import "./not-there.ts";`);
  const { message } = await refused(paths);
  expect(message).toContain("m0.ts: throws while it is imported");
  expect(message).toContain("m1.ts: throws while it is imported");
  expect(message).toContain("not-there.ts");
});

test("a module without a default export, with what it exports instead", async () => {
  const paths = modules(`export const tasks = ${task("a")};`, "export {};");
  const { message } = await refused(paths);
  expect(message).toContain("m0.ts: has no default export (it exports tasks); write");
  expect(message).toContain("m1.ts: has no default export (it exports nothing); write");
});

test("errors of import and of definition are told together", async () => {
  const paths = modules("throw 'stop';", `export default { topic: "a", execute: 1 };`);
  const { message } = await refused(paths);
  expect(message).toContain("m0.ts: throws while it is imported: stop");
  expect(message).toStartWith("3 task module errors:");
  expect(message).toContain("m1.ts: execute: expected a function, got 1");
  expect(message).toContain("m1.ts: onUnknown: expected");
});

test("a package that is not installed: its name without the path inside it, and where to install it", async () => {
  const paths = modules(
    'import a from "@left/out/deep.js"; export default a;',
    'import "./none.ts"; export default 1;',
  );
  const { message } = await refused(paths);
  expect(message).toContain(`"npm install @left/out" in ${join(paths[0]!, "..")}`);
  // A file of the module's own that is missing is no package.
  expect(message.split("\n").find((line) => line.includes("none.ts"))).not.toContain("npm install");
});
