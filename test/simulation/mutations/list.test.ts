/** The list fits the sources as they are now, and has what the protocol's proof needs; `mutations.ts` runs it. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { candidates, mutated, seededBugs } from "./list.ts";

const ROOT = join(import.meta.dir, "..", "..", "..");
const RULES = Array.from({ length: 24 }, (_, i) => `R${i + 1}`);

test("each bug's text occurs exactly once, and changes something", async () => {
  const problems: string[] = [];
  const all = [...seededBugs, ...candidates];
  for (const bug of all) {
    if (bug.finder !== "simulator") continue;
    const source = await Bun.file(join(ROOT, bug.file)).text();
    try {
      if (mutated(bug, source) === source) problems.push(`${bug.id} changes nothing`);
    } catch (error) {
      problems.push(String(error));
    }
  }
  expect(problems).toEqual([]);
  expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
});

test("a model's bug names a test that exists", async () => {
  const missing: string[] = [];
  for (const bug of seededBugs) {
    if (bug.finder !== "model") continue;
    const there = await Bun.file(join(ROOT, bug.test)).exists();
    if (!there) missing.push(`${bug.id}: ${bug.test}`);
  }
  expect(missing).toEqual([]);
});

test("at least 90 bugs, and every rule weakened at least once", () => {
  expect(seededBugs.length).toBeGreaterThanOrEqual(90);
  const weakened = new Set(seededBugs.map(({ rule }) => rule));
  expect(RULES.filter((rule) => !weakened.has(rule))).toEqual([]);
});

test("docs/simulation/mutations.md has every bug, found", async () => {
  const table = await Bun.file(join(ROOT, "docs/simulation/mutations.md")).text();
  const rows = table.split("\n").filter((line) => /^\| (r\d|chaos-|zk-|filter-|shell-)/.test(line));
  expect(rows.map((row) => row.split("|")[1]!.trim())).toEqual(seededBugs.map(({ id }) => id));
  expect(rows.filter((row) => row.includes("MISSED"))).toEqual([]);
});
