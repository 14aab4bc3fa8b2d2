import { expect, test } from "bun:test";
import type { TaskDefinition } from "../../src/execution/define.ts";
import type { CheckEffect } from "../../src/execution/runner.ts";
import { Bench, PID } from "./support.ts";

const effect: CheckEffect = { type: "check", pid: PID, offset: 8, epoch: 2, stamp: 31 };

const answers: [string, unknown, string][] = [
  ["executed", () => "executed", "executed"],
  ["not-executed", () => "not-executed", "not-executed"],
  ["unknown", () => "unknown", "unknown"],
  ["a promise of an answer", async () => "executed", "executed"],
  ["nothing", () => undefined, "unknown"],
  ["true", () => true, "unknown"],
  ["another word", async () => "done", "unknown"],
  ["an object", () => ({ executed: true }), "unknown"],
  [
    "an error",
    () => {
      throw new Error("sink down");
    },
    "unknown",
  ],
  ["a rejection", () => Promise.reject(new Error("sink down")), "unknown"],
];
for (const [name, check, expected] of answers) {
  test(`R6: a check that answers ${name} counts as ${expected}`, async () => {
    await using bench = new Bench({ check: check as NonNullable<TaskDefinition["check"]> });
    bench.runner.check(effect);
    expect(bench.checks).toEqual([]); // never inside the call
    await bench.runner.idle();
    expect(bench.checks as unknown[]).toEqual([{ offset: 8, stamp: 31, answer: expected }]);
    expect(bench.lines.length).toBe(expected === "unknown" && name !== "unknown" ? 1 : 0);
  });
}

test("R6: a check that takes too long counts as unknown, once, and is aborted; its late answer is ignored", async () => {
  const gate = Promise.withResolvers<"executed">();
  let aborted = false;
  await using bench = new Bench({
    checkTimeoutMs: 20,
    check: (_task, context) => {
      context.signal.addEventListener("abort", () => (aborted = true));
      return gate.promise;
    },
  });
  bench.runner.check(effect);
  await bench.runner.idle();
  expect(bench.checks).toEqual([{ offset: 8, stamp: 31, answer: "unknown" }]);
  expect(aborted).toBe(true);
  gate.resolve("executed");
  await Bun.sleep(5);
  expect(bench.checks).toHaveLength(1);
  expect(bench.runner.counters).toMatchObject({ checks: 1, checksTimedOut: 1, checksUseless: 0 });
});

test("a check sees the task and the token of its adoption", async () => {
  let seen = "";
  await using bench = new Bench({
    check: (task, context) => {
      seen = `${task.offset} ${context.token.epoch}-${context.token.sequence} ${context.attempt}`;
      return "executed";
    },
  });
  bench.runner.check(effect);
  await bench.runner.idle();
  expect(seen).toBe("8 2-31 0");
});

test("without a check or without its record the answer is unknown, and says so", async () => {
  await using without = new Bench({});
  without.runner.check(effect);
  await without.runner.idle();
  expect(without.checks[0]!.answer).toBe("unknown");
  await using lost = new Bench({ check: () => "executed" }, { record: () => null });
  lost.runner.check(effect);
  await lost.runner.idle();
  expect(lost.checks[0]!.answer).toBe("unknown");
  expect(lost.lines[0]!.message).toContain("not kept any more");
});

test("R12: a check that blocks the thread is on the watchdog's books", async () => {
  const told: number[] = [];
  let inside = 0;
  const guard = { work: (running: number) => void told.push(running), healthyUntil: () => 1e9 };
  await using bench = new Bench(
    {
      check: () => {
        inside = told.at(-1)!;
        return "executed";
      },
    },
    { guard },
  );
  bench.runner.check(effect);
  expect(inside).toBe(1);
  expect(told.at(-1)).toBe(0);
});
