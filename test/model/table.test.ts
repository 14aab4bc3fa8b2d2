import { expect, test } from "bun:test";
import { join } from "node:path";

function table(...models: string[]): { code: number; said: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync(
    [process.execPath, "run", join(import.meta.dirname, "table.ts"), ...models],
    { stdout: "pipe", stderr: "pipe" },
  );
  return { code: exitCode, said: `${stdout.toString()}${stderr.toString()}` };
}

test("the table says states, seconds and counterexamples of a model, and its stories when asked", () => {
  const { code, said } = table("restart", "--stories");
  expect(said).toMatch(/all rules on +3,159 states +\d+\.\d\d s {2}nothing found: crashes 2, restarts 2, rebalances 2/);
  expect(said).toMatch(/without R12 .*double in 14 steps: r12SettleBeforeTheCheck/);
  expect(said).toContain("    FAULT n1 crashes");
  expect(said).toContain("0 unexpected");
  expect(code).toBe(0);
});

test("the table names the models when one is unknown", () => {
  const { code, said } = table("nothing");
  expect(said).toContain("no such model: nothing; there are grant, membership");
  expect(code).toBe(2);
});
