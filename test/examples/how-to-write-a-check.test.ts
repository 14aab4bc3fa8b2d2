/** docs/how-to-write-a-check.md and the examples' READMEs: what they link to exists, their figures are the defaults. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { Glob } from "bun";
import { nodeConfig } from "../../src/config/node-config.ts";
import { environmentName, flagName } from "../../src/config/option.ts";
import { nodeOptions } from "../../src/config/option-table.ts";
import { ROOT } from "./follow-readme.ts";

const GUIDE = "docs/how-to-write-a-check.md";
const texts = [GUIDE, "examples/README.md", ...new Glob("examples/*/README.md").scanSync(ROOT)];
const textOf = (path: string): Promise<string> => Bun.file(join(ROOT, path)).text();
const defaults = nodeConfig({ dataDir: "unused" });

for (const path of texts) {
  test(`${path}: every file that it links to exists, and "exactly once" is never said`, async () => {
    const text = await textOf(path);
    expect(text).not.toMatch(/exactly[- ]once/i);
    const links = [...text.matchAll(/\]\((?!http)([^)#]+)\)/g)].map((match) => join(dirname(path), match[1]!));
    expect(links.length).toBeGreaterThan(0);
    for (const link of links) expect(existsSync(join(ROOT, link)), link).toBe(true);
  });

  test(`${path}: every option that it names exists`, async () => {
    const text = (await textOf(path)).replace(/`kafka-[^`]*`/g, "");
    const entries = Object.entries(nodeOptions);
    const flags = entries.map(([key, entry]) => `--${flagName(key, entry)}`);
    for (const [flag] of text.matchAll(/(?<![-\w])--[a-z][a-z-]+/g)) expect(flags).toContain(flag);
    const names = entries.map(([key, entry]) => environmentName(key, entry));
    for (const [name] of text.matchAll(/\b(KAFKA|ZOOKEEPER|VOUCH)_[A-Z_]+\b/g)) expect(names).toContain(name);
  });
}

test("the guide's figures are the defaults", async () => {
  const guide = await textOf(GUIDE);
  for (const words of [
    `${["one", "two", "three", "four"][defaults.checkAttemptsMax - 1]} times in all (\`--check-attempts-max\`) with back-off from ${defaults.checkBackoffMs / 1_000} s`,
    `\`checkTimeoutMs\`, ${defaults.checkTimeoutMs / 1_000} s`,
    `\`effectSettleMs\` (${defaults.effectSettleMs / 1_000} s)`,
    `about ${(Math.floor((2 * defaults.claimBatchMax) / 1_000) * 1_000).toLocaleString("en")} (twice \`--claim-batch-max\`)`,
  ]) {
    expect(guide.includes(words), words).toBe(true);
  }
  expect(defaults.checkConcurrency).toBe(10); // "ten at once"
});

test("each example's task module is short enough to be copied, and imports nothing of the sources", async () => {
  for (const path of new Glob("examples/*/*.ts").scanSync(ROOT)) {
    const text = await textOf(path);
    expect(text.split("\n").length, path).toBeLessThanOrEqual(path.endsWith("/service.ts") ? 80 : 61);
    expect(text, path).not.toMatch(/from "\.\.?\//);
  }
});
