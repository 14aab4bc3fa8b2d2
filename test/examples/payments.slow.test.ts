/** examples/payments, as its README tells. */
import { expect, test } from "bun:test";
import { followReadme, lastReport } from "./follow-readme.ts";

test("payments: a node dies at work, nothing is lost and nothing is paid twice", async () => {
  await using run = await followReadme("payments", ["default 2000"]);
  expect({ code: run.code, err: run.err }).toMatchObject({ code: 0 });
  expect(run.leftOver).toBe(false);
  const report = lastReport(run.out, "payments");
  expect(report).toMatchObject({ payments: 2_000, "paid twice": 0, cents: (2_000 * 2_001) / 2 });
  // The faults met running work, and the check settled what they left: one look-up finds each that was answered too late,
  // and more find what the dead node had paid and not told.
  expect(report["refused for a moment"]).toBeGreaterThan(0);
  expect(report["booked, but answered too late"]).toBeGreaterThan(0);
  expect(report["look-ups: paid"]).toBeGreaterThan(report["booked, but answered too late"]!);
  expect(report["look-ups: not paid"]).toBeGreaterThan(0);
}, 120_000);

test("payments: with a check that looks at the wrong place the same run pays twice", async () => {
  const mutate = (script: string): string =>
    script.replace("examples/payments/tasks.ts", "test/examples/payments-wrong-check.ts");
  await using run = await followReadme("payments", ["default 2000"], { mutate });
  const report = lastReport(run.out, "payments");
  expect(report["payments"]).toBe(2_000);
  expect(report["paid twice"]).toBeGreaterThan(0);
}, 120_000);
