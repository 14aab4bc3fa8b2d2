/** The list fits the source and the tests as they are now; `try.ts` runs it. */
import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { mutations } from "./list.ts";

const ROOT = join(import.meta.dir, "..", "..");
const RULES = Array.from({ length: 24 }, (_, i) => `R${i + 1}`);

async function textOf(path: string): Promise<string> {
  return Bun.file(join(ROOT, path)).text();
}

/** Titles of the rules' tests in `test/core`, by file. */
async function ruleTests(): Promise<{ file: string; title: string }[]> {
  const files = (await readdir(join(ROOT, "test/core"))).filter((name) => /^r\d\d.*\.test\.ts$/.test(name));
  const found: { file: string; title: string }[] = [];
  for (const name of files) {
    const text = await textOf(`test/core/${name}`);
    for (const match of text.matchAll(/^test\("(R\d+: .+)", /gm))
      found.push({ file: `test/core/${name}`, title: match[1]! });
  }
  return found;
}

test("each mutation's text occurs exactly once, and changes something", async () => {
  const problems: string[] = [];
  for (const { id, file, find, replace } of mutations) {
    const count = (await textOf(file)).split(find).length - 1;
    if (count !== 1) problems.push(`${id}: its text occurs ${count} times in ${file}`);
    if (find === replace) problems.push(`${id} changes nothing`);
  }
  expect(problems).toEqual([]);
  expect(new Set(mutations.map(({ id }) => id)).size).toBe(mutations.length);
});

test("every test of a rule in test/core is the guard of a mutation, and every guard exists", async () => {
  const tests = await ruleTests();
  const known = new Set(tests.map(({ file, title }) => `${file}: ${title}`));
  const guards = new Set(mutations.map(({ test: file, title }) => `${file}: ${title}`));
  expect([...known].filter((name) => !guards.has(name))).toEqual([]);
  expect([...guards].filter((name) => /: R\d+: /.test(name) && !known.has(name))).toEqual([]);
});

test("every rule has a test and a mutation", async () => {
  const tested = new Set((await ruleTests()).map(({ title }) => title.slice(0, title.indexOf(":"))));
  expect(RULES.filter((rule) => !tested.has(rule))).toEqual([]);
  const mutated = new Set(mutations.map(({ rule }) => rule));
  expect(RULES.filter((rule) => !mutated.has(rule))).toEqual([]);
});
