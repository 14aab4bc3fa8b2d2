/** The command itself, on the real simulation: what it prints, how it ends, and that it finds a bug that is plugged in. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import type { Summary } from "./summary.ts";

const MAIN = join(import.meta.dir, "main.ts");
const LIMIT_MS = 60_000;

async function simulate(...args: string[]): Promise<{ code: number; out: string[]; err: string }> {
  const child = Bun.spawn([process.execPath, MAIN, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, out: out.trimEnd().split("\n"), err };
}

const summaryOf = (out: readonly string[]): Summary => JSON.parse(out.at(-1) ?? "") as Summary;

test(
  "a few seeds: the last line is the summary, and the exit code is 0",
  async () => {
    const { code, out, err } = await simulate("--seeds", "4", "--from", "2", "--json");
    const summary = summaryOf(out);
    expect(err).not.toContain("VIOLATION");
    expect(code).toBe(0);
    expect(summary).toMatchObject({ from: 2, seeds: 4, violations: 0, failures: [], rowsTotal: 116 });
    expect(summary.tasks).toBeGreaterThan(100);
    expect(summary.virtualHours).toBeGreaterThan(0.05);
    expect(Object.keys(summary.faults).length).toBeGreaterThan(2);
    expect(summary.averages.faultSecondsPerSeed).toBeGreaterThanOrEqual(60);
    expect(summary.rowsHit + summary.rowsMissed.length).toBe(116);
  },
  LIMIT_MS,
);

test(
  "a bug that is plugged in is a violation: seed, settings, commit and the command are told, and the exit code is 1",
  async () => {
    const { code, out, err } = await simulate("--seeds", "2", "--json", "--mutation", "r3-lowest");
    expect(code).toBe(1);
    expect(summaryOf(out)).toMatchObject({ seeds: 2, violations: 2 });
    expect(summaryOf(out).failures.map(({ invariant }) => invariant)).toEqual(["I10", "I10"]);
    expect(err).toContain("VIOLATION in seed 0");
    expect(err).toContain("commit");
    expect(err).toContain('settings {"nodes":');
    expect(err).toContain("bun run simulate --seed 0 --mutation r3-lowest --trace");
  },
  LIMIT_MS,
);

test(
  "--trace tells the story up to the violation",
  async () => {
    const { code, out } = await simulate("--seed", "0", "--mutation", "r3-lowest", "--trace");
    expect(code).toBe(1);
    const text = out.join("\n");
    expect(text).toContain("LEADS epoch 1");
    expect(out.at(-2)).toContain("VIOLATION I10: ");
    expect(out.at(-1)).toContain("bun run simulate --seed 0 --mutation r3-lowest --trace");
  },
  LIMIT_MS,
);

test(
  "--shrink leaves fewer faults, tasks and nodes",
  async () => {
    const { code, out } = await simulate(
      "--seed",
      "0",
      "--mutation",
      "r3-lowest",
      "--tasks",
      "4",
      "--faults",
      "0",
      "--shrink",
    );
    expect(code).toBe(1);
    const smallest = out.find((line) => line.startsWith("smallest: ")) ?? "";
    expect(smallest).toContain("2 nodes, 1 partitions");
    expect(smallest).toContain(" 0 faults");
  },
  LIMIT_MS,
);

test(
  "the clock ends a run without failing it; a wrong command line is told apart",
  async () => {
    const { code, out } = await simulate("--minutes", "0.02", "--from", "2", "--json");
    expect(code).toBe(0);
    expect(summaryOf(out).seeds).toBeGreaterThan(0);
    const wrong = await simulate("--seeds", "none");
    expect(wrong.code).toBe(2);
    expect(wrong.err).toContain('got "none"');
  },
  LIMIT_MS,
);
