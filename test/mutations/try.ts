/**
 * Takes one rule out of a copy of the source and runs the test that guards it: the test must fail. A mutation whose test
 * still passes proves that nothing guards the rule.
 *
 *   bun test/mutations/try.ts            all of the list
 *   bun test/mutations/try.ts R3 r9-era  those of a rule, or by id
 *
 * Works on a temporary copy; the work tree is only read. Exit code 1 when a mutation survived, or a test fails unmutated.
 */
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Mutation, mutations } from "./list.ts";

const ROOT = join(import.meta.dir, "..", "..");
const RUN_MS_MAX = 60_000;

interface Outcome {
  readonly passed: boolean;
  readonly failedTests: readonly string[];
  readonly output: string;
}

async function copySource(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "vouch-mutation-"));
  for (const name of ["src", "native-ish", "test", "package.json", "bunfig.toml", "tsconfig.json"]) {
    await cp(join(ROOT, name), join(folder, name), { recursive: true });
  }
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  return folder;
}

async function runTest(folder: string, file: string): Promise<Outcome> {
  const child = Bun.spawn([process.execPath, "test", file], { cwd: folder, stdout: "pipe", stderr: "pipe" });
  const timer = setTimeout(() => child.kill("SIGKILL"), RUN_MS_MAX);
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const code = await child.exited;
  clearTimeout(timer);
  const output = out + err;
  const failedTests = [...output.matchAll(/^\(fail\) (.+?)(?: \[[\d.]+m?s\])?$/gm)].map((match) => match[1]!);
  return { passed: code === 0, failedTests, output };
}

/** Null when the guard noticed; else what went wrong. */
async function tryMutation(folder: string, { file, find, replace, test, title }: Mutation): Promise<string | null> {
  const path = join(folder, file);
  const source = await readFile(path, "utf8");
  const pieces = source.split(find);
  if (pieces.length !== 2) return `its text occurs ${pieces.length - 1} times in ${file}, expected once`;
  await writeFile(path, pieces.join(replace));
  const outcome = await runTest(folder, test);
  await writeFile(path, source);
  if (outcome.passed) return `survived: ${test} passes without the rule`;
  if (outcome.failedTests.includes(title)) return null;
  return `"${title}" did not fail; failed: ${outcome.failedTests.join("; ") || outcome.output.slice(-2_000)}`;
}

async function main(wanted: readonly string[]): Promise<number> {
  const chosen = mutations.filter(
    ({ id, rule }) => wanted.length === 0 || wanted.includes(id) || wanted.includes(rule),
  );
  const folder = await copySource();
  let bad = 0;
  try {
    for (const test of new Set(chosen.map((mutation) => mutation.test))) {
      const { passed, failedTests } = await runTest(folder, test);
      if (passed) continue;
      bad++;
      console.log(`FAILS UNMUTATED ${test}: ${failedTests.join("; ")}`);
    }
    for (const mutation of chosen) {
      const problem = await tryMutation(folder, mutation);
      if (problem !== null) bad++;
      console.log(
        `${problem === null ? "killed  " : "SURVIVED"} ${mutation.id}${problem === null ? "" : `: ${problem}`}`,
      );
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  console.log(`${chosen.length} mutations, ${bad} problems`);
  return bad === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
