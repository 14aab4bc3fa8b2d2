import { expect, test } from "bun:test";
import { nodeConfig } from "../../../src/config/node-config.ts";
import { DEMO_TIMING, type DemoOptions, planDemo, taskLine } from "../../../src/cli/demo/plan.ts";
import { parseTaskLine } from "../../../src/cli/task-lines.ts";

const options: DemoOptions = { nodes: 3, tasks: 20_000, partitions: 6, faults: true, seed: 1 };

test("the seed decides the plan, and nothing else does", () => {
  expect(planDemo(options)).toEqual(planDemo(options));
  expect(planDemo({ ...options, seed: 2 }).tasks).not.toEqual(planDemo(options).tasks);
});

test("handlers take 1 to 20 ms, and with faults some take so long that the faults meet them", () => {
  const { tasks } = planDemo(options);
  const long = tasks.filter(({ ms }) => ms > 20);
  expect(new Set(tasks.filter(({ ms }) => ms <= 20).map(({ ms }) => ms)).size).toBe(20);
  expect(long.length).toBeGreaterThan(100);
  for (const { ms } of long) expect(ms >= 300 && ms <= 1_500).toBe(true);
  expect(planDemo({ ...options, faults: false }).tasks.every(({ ms }) => ms >= 1 && ms <= 20)).toBe(true);
});

test("ids are distinct, and about half of the records carry them in a header", () => {
  const { tasks } = planDemo(options);
  expect(new Set(tasks.map(({ id }) => id)).size).toBe(20_000);
  const named = tasks.filter((task) => task.named).length;
  expect(named).toBeGreaterThan(9_000);
  expect(named).toBeLessThan(11_000);
});

test("the faults come in order and before the end, also with few tasks", () => {
  for (const tasks of [1, 50, 20_000]) {
    const plan = planDemo({ ...options, tasks });
    expect(plan.addNodeAtEffects).toBeLessThanOrEqual(plan.killLeaderAtEffects);
    expect(plan.killLeaderAtEffects).toBeLessThan(tasks);
    expect(plan.killLeaderAtEffects).toBeLessThan(plan.firstWave);
    expect(plan.concurrency).toBeGreaterThanOrEqual(6);
  }
});

test("a line of the plan is a line that produce takes", () => {
  const [first] = planDemo(options).tasks;
  for (const named of [true, false]) {
    const record = parseTaskLine(taskLine({ ...first!, named }));
    expect(record).toEqual({
      key: null,
      value: JSON.stringify({ id: first!.id, ms: first!.ms }),
      headers: named ? { "task-id": first!.id } : {},
    });
  }
});

test("the demo's times hold every relation", () => {
  expect(nodeConfig({ ...DEMO_TIMING, dataDir: "/nowhere" }).leaseMs).toBe(DEMO_TIMING.leaseMs);
});
