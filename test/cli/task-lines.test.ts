import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generatedTasks, openInput, parseTaskLine } from "../../src/cli/task-lines.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "vouch-lines-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

test("a full line becomes a record", () => {
  const line = '{"value":{"n":1},"id":"order-7","key":"customer","headers":{"trace":"x"},"partition":3}';
  expect(parseTaskLine(line)).toEqual({
    value: '{"n":1}',
    key: "customer",
    headers: { trace: "x", "task-id": "order-7" },
    partition: 3,
  });
});

test("a text is written as it is, null stays null, any other value is JSON", () => {
  const values = ['"plain"', "null", "0", "false", "[1]"].map((value) => parseTaskLine(`{"value":${value}}`));
  expect(values.map((record) => (typeof record === "string" ? record : record.value))).toEqual([
    "plain",
    null,
    "0",
    "false",
    "[1]",
  ]);
});

test.each([
  ["", "JSON"],
  ["[]", "JSON object"],
  ["{}", "value"],
  ['{"value":1,"ID":"x"}', "ID"],
  ['{"value":1,"id":""}', '"id"'],
  ['{"value":1,"id":7}', '"id"'],
  ['{"value":1,"key":7}', '"key"'],
  ['{"value":1,"partition":-1}', '"partition"'],
  ['{"value":1,"partition":1.5}', '"partition"'],
  ['{"value":1,"headers":[]}', '"headers"'],
  ['{"value":1,"headers":{"a":1}}', '"headers"'],
])("%p is no task, and it is said why", (line, word) => {
  const found = parseTaskLine(line);
  expect(typeof found).toBe("string");
  expect(found as string).toContain(word);
});

test("generated tasks are numbered from 0", async () => {
  const tasks = await Array.fromAsync(generatedTasks(2, "p-"));
  expect(tasks).toEqual([
    { value: '{"n":0}', headers: { "task-id": "p-0" } },
    { value: '{"n":1}', headers: { "task-id": "p-1" } },
  ]);
});

test("a file is read line by line, the last one also without a line break, across chunks", async () => {
  const path = join(folder, "lines");
  const lines = Array.from({ length: 20_000 }, (_, index) => `líne ${index}`);
  writeFileSync(path, lines.join("\n"));
  expect(await Array.fromAsync(openInput(path))).toEqual(lines);
});

test("a file that is missing, or a folder, is an error that names it", async () => {
  for (const path of [join(folder, "missing"), folder]) {
    expect(Array.fromAsync(openInput(path))).rejects.toThrow(path);
    await Promise.allSettled([]);
  }
});
