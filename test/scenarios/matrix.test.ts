/** The table in docs/failure-matrix.md is complete, names files that exist, and agrees with the titles of the scenarios. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");
const LAST = { A: 13, B: 14, C: 19, D: 12, E: 25, F: 16, M: 17 };
const expectedRows = Object.entries(LAST).flatMap(([part, last]) =>
  Array.from({ length: last }, (_, i) => `${part}${i + 1}`),
);

interface Row {
  readonly id: string;
  readonly files: readonly string[];
  readonly later: string;
}

const text = await Bun.file(join(ROOT, "docs/failure-matrix.md")).text();
const rows = text
  .split("\n")
  .map((line) => line.split("|").map((cell) => cell.trim()))
  .filter((cells) => /^[A-Z]\d+$/.test(cells[1] ?? ""))
  .map((cells): Row => ({
    id: cells[1]!,
    files: [...cells[4]!.matchAll(/`(test\/[^`]+)`/g)].map((match) => match[1]!),
    later: /^later: (.+)/.exec(cells[4]!)?.[1] ?? "",
  }));

/** Row numbers before the colon of each test's title, by file of this folder. */
const titled = new Map<string, Set<string>>();
for (const name of readdirSync(import.meta.dir).filter((file) => file.endsWith(".test.ts"))) {
  const source = await Bun.file(join(import.meta.dir, name)).text();
  const ids = [...source.matchAll(/\btest\(\s*[`"]([A-Z]\d+(?:, [A-Z]\d+)*):/g)].flatMap((match) =>
    match[1]!.split(", "),
  );
  titled.set(`test/scenarios/${name}`, new Set(ids.filter((id) => expectedRows.includes(id))));
}

test("every row A1 to M17 is in the table, once and in order", () => {
  expect(rows.map((row) => row.id)).toEqual(expectedRows);
});

test("every row names a test, or says what it waits for", () => {
  expect(rows.filter((row) => (row.files.length === 0) === (row.later === "")).map((row) => row.id)).toEqual([]);
});

test("every file that a row names exists", () => {
  expect(rows.flatMap((row) => row.files).filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
});

test("a scenario that a row names has a test whose title begins with the row", () => {
  const missing = rows.flatMap((row) =>
    row.files.filter((file) => titled.has(file) && !titled.get(file)!.has(row.id)).map((file) => `${row.id} ${file}`),
  );
  expect(missing).toEqual([]);
});

test("a scenario whose title begins with a row is named by it", () => {
  const byId = new Map(rows.map((row) => [row.id, row]));
  const missing = [...titled].flatMap(([file, ids]) =>
    [...ids].filter((id) => byId.get(id)?.files.includes(file) !== true).map((id) => `${id} ${file}`),
  );
  expect(missing).toEqual([]);
});
