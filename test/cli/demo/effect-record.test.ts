import { afterAll, beforeAll, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EffectReader, EffectWriter, type EffectLine } from "../../../src/cli/demo/effect-record.ts";
import { demoTasks, NODE_ENVIRONMENT, RECORD_ENVIRONMENT } from "../../../src/cli/demo/tasks.ts";
import type { Task, TaskContext } from "../../../src/execution/define.ts";
import { FencingToken } from "../../../src/execution/fencing-token.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "vouch-record-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const line = (taskId: string, kind: EffectLine["kind"] = "start"): EffectLine => ({
  kind,
  taskId,
  node: "n1",
  pid: 7,
  token: "1",
});

test("a reader that comes first sees each line once, in order, as it is added", () => {
  const path = join(folder, "grows");
  using reader = new EffectReader(path);
  expect(reader.readNew()).toEqual([]);
  using writer = new EffectWriter(path);
  writer.append(line("a"));
  writer.append(line("b"));
  expect(reader.readNew().map(({ taskId }) => taskId)).toEqual(["a", "b"]);
  writer.append(line("c"));
  expect(reader.readNew().map(({ taskId }) => taskId)).toEqual(["c"]);
});

test("a line that is only half there is read when it is whole, and a damaged one is counted", () => {
  const path = join(folder, "half");
  using reader = new EffectReader(path);
  appendFileSync(path, "start a n1 7 1\neffect a ");
  expect(reader.readNew()).toEqual([line("a")]);
  expect(reader.unfinished).toBe("effect a ");
  appendFileSync(path, "n1 7 1\ngarbage\n");
  expect(reader.readNew()).toEqual([line("a", "effect")]);
  expect([reader.unfinished, reader.malformed]).toEqual(["", 1]);
});

test("a record larger than the buffer is read whole, with characters of several bytes on its borders", () => {
  const path = join(folder, "large");
  using reader = new EffectReader(path);
  const ids = Array.from({ length: 20_000 }, (_, index) => `täsk-${index}`);
  appendFileSync(path, ids.map((id) => `start ${id} n1 7 1\n`).join(""));
  expect(reader.readNew().map(({ taskId }) => taskId)).toEqual(ids);
  expect(reader.malformed).toBe(0);
});

test("lines of several processes do not mix", async () => {
  const path = join(folder, "processes");
  const module = join(import.meta.dir, "../../../src/cli/demo/effect-record.ts");
  const script = `const { EffectWriter } = await import(${JSON.stringify(module)});
    const writer = new EffectWriter(${JSON.stringify(path)});
    for (let n = 0; n < 2000; n++) writer.append({ kind: "start", taskId: "t" + n, node: "n", pid: process.pid, token: "1" });`;
  const children = [1, 2, 3].map(() => Bun.spawn([process.execPath, "-e", script]));
  expect(await Promise.all(children.map((child) => child.exited))).toEqual([0, 0, 0]);
  using reader = new EffectReader(path);
  const lines = reader.readNew();
  expect([lines.length, reader.malformed, reader.unfinished]).toEqual([6_000, 0, ""]);
  for (const { pid } of children) {
    expect(lines.filter((found) => found.pid === pid).map(({ taskId }) => taskId)).toEqual(
      Array.from({ length: 2_000 }, (_, n) => `t${n}`),
    );
  }
});

test("the demo's tasks write start and effect, and the check tells what the record says, whoever wrote it", async () => {
  const path = join(folder, "tasks");
  const tasks = demoTasks({ [RECORD_ENVIRONMENT]: path, [NODE_ENVIRONMENT]: "n1" });
  const task = (id: string): Task<{ id: string; ms: number }> =>
    ({ payload: { id, ms: 1 } }) as Task<{ id: string; ms: number }>;
  const context = (signal = new AbortController().signal): TaskContext =>
    ({ signal, token: new FencingToken(1, 2), attempt: 1 }) as unknown as TaskContext;
  expect(tasks.check?.(task("a"), context())).toBe("not-executed");
  await tasks.execute(task("a"), context());
  expect(tasks.check?.(task("a"), context())).toBe("executed");
  appendFileSync(path, "start b n2 9 1\n");
  expect(tasks.check?.(task("b"), context())).toBe("not-executed");
  appendFileSync(path, "effect b n2 9 1\n");
  expect(tasks.check?.(task("b"), context())).toBe("executed");

  const aborted = tasks.execute(task("c"), context(AbortSignal.abort(new Error("isolated"))));
  expect(aborted).rejects.toThrow("isolated");
  await Promise.allSettled([aborted]);
  expect(tasks.check?.(task("c"), context())).toBe("not-executed");
});
