// Handlers may return anything that has a `then`; that is what these tests are about.
/* oxlint-disable unicorn/no-thenable */
import { describe, expect, test } from "bun:test";
import { Outcome } from "../../src/core/events.ts";
import { partitionId } from "../../src/core/identity.ts";
import type { Task, TaskContext } from "../../src/execution/define.ts";
import { FailedForGood, OutcomeUnknown } from "../../src/execution/outcome-errors.ts";
import { Bench, executeEffect, PID, record } from "./support.ts";

const { success, failure, unknown, notStarted, failedForGood } = Outcome;

/** A promise that the test ends by hand. */
function held(): { promise: Promise<void>; resolve: () => void; reject: (error: unknown) => void } {
  return Promise.withResolvers<void>();
}

describe("outcomes", () => {
  const endings: [string, () => unknown, number][] = [
    ["returns nothing", () => undefined, success],
    ["returns a value", () => 42, success],
    ["returns a plain object", () => ({ then: "not a function" }), success],
    [
      "throws an error",
      () => {
        throw new Error("no");
      },
      failure,
    ],
    [
      "throws a text",
      () => {
        throw "no";
      },
      failure,
    ],
    [
      "throws undefined",
      () => {
        throw undefined;
      },
      failure,
    ],
    [
      "throws an error whose message cannot be read",
      () => {
        throw Object.defineProperty(new Error("x"), "message", {
          get() {
            throw new Error("y");
          },
        });
      },
      failure,
    ],
    [
      "throws a cyclic object",
      () => {
        const cyclic: Record<string, unknown> = {};
        cyclic["self"] = cyclic;
        throw cyclic;
      },
      failure,
    ],
    ["resolves", async () => undefined, success],
    [
      "rejects",
      async () => {
        throw new Error("no");
      },
      failure,
    ],
    ["rejects with undefined", () => Promise.reject(undefined), failure],
    ["rejects later", () => Bun.sleep(5).then(() => Promise.reject(new Error("late"))), failure],
    ["returns a thenable that resolves", () => ({ then: (ok: () => void) => ok() }), success],
    [
      "returns a thenable that rejects",
      () => ({ then: (_ok: unknown, bad: (e: Error) => void) => bad(new Error("no")) }),
      failure,
    ],
    [
      "returns a thenable that answers twice",
      () => ({
        then: (ok: () => void, bad: () => void) => {
          ok();
          bad();
        },
      }),
      success,
    ],
    [
      "returns an object whose then throws",
      () =>
        Object.defineProperty({}, "then", {
          get() {
            throw new Error("no");
          },
        }),
      failure,
    ],
    [
      "returns a promise with a then of its own that throws",
      () =>
        Object.assign(Promise.resolve(), {
          then() {
            throw new Error("no");
          },
        }),
      success,
    ],
    [
      "returns a proxy that throws at every look",
      () =>
        new Proxy(
          {},
          {
            get() {
              throw new Error("no");
            },
            getPrototypeOf() {
              throw new Error("no");
            },
          },
        ),
      failure,
    ],
  ];
  for (const [name, execute, expected] of endings) {
    test(`a handler that ${name}: ${expected === success ? "success" : "failure"}`, async () => {
      await using bench = new Bench({ execute });
      expect(await bench.outcomes([5])).toEqual([expected]);
      expect(bench.runner.running()).toBe(0);
      expect(bench.batches).toHaveLength(1);
    });
  }

  test("a payload that is no JSON fails the attempt and says where", async () => {
    await using bench = new Bench(
      { execute: (task) => task.payload },
      { record: (_pid, offset) => record(offset, "{") },
    );
    expect(await bench.outcomes([9])).toEqual([failure]);
    expect(String(bench.lines[0]!.fields["error"])).toContain("payments:3:9 cannot be decoded");
  });

  test("R23: throwing after the time-out is unknown, returning after it is success", async () => {
    const ends: Record<number, (context: TaskContext) => unknown> = {
      1: (context) =>
        new Promise((_, reject) => context.signal.addEventListener("abort", () => reject(new Error("stopped")))),
      2: (context) => new Promise<void>((resolve) => context.signal.addEventListener("abort", () => resolve())),
      3: () => Bun.sleep(60).then(() => Promise.reject(new Error("never looked at its signal"))),
      4: async () => {
        throw new Error("in time");
      },
    };
    await using bench = new Bench({ handlerTimeoutMs: 25, execute: (task, context) => ends[task.offset]!(context) });
    expect(await bench.outcomes([1, 2, 3, 4])).toEqual([unknown, success, unknown, failure]);
    expect(bench.runner.counters.timedOut).toBe(3);
  });

  test("R23: a handler says itself that it does not know, or that no attempt will succeed", async () => {
    const foreign = Object.assign(new Error("of another copy"), { [Symbol.for("vouch.outcome")]: "unknown" });
    const ends: Record<number, () => unknown> = {
      1: () => Promise.reject(new OutcomeUnknown("no answer", { cause: new Error("timed out") })),
      2: () => {
        throw new FailedForGood("no such account");
      },
      3: () => Promise.reject(foreign),
      4: () => Promise.reject(Object.assign(new Error("x"), { [Symbol.for("vouch.outcome")]: "nonsense" })),
      5: () => Bun.sleep(60).then(() => Promise.reject(new FailedForGood("too late to be certain"))),
    };
    await using bench = new Bench({ handlerTimeoutMs: 25, execute: (task) => ends[task.offset]!() });
    expect(await bench.outcomes([1, 2, 3, 4, 5])).toEqual([unknown, failedForGood, unknown, failure, unknown]);
    expect(bench.runner.counters).toMatchObject({ failed: 2, unknown: 3 });
    expect(bench.lines.map(({ fields }) => String(fields["error"]))).toContainEqual(
      expect.stringContaining("no answer"),
    );
  });

  test("R23: a handler that blocks the thread past its time and then throws is unknown", async () => {
    let now = 100;
    await using bench = new Bench(
      {
        handlerTimeoutMs: 50,
        execute: () => {
          now += 50;
          throw new Error("late");
        },
      },
      { now: () => now },
    );
    expect(await bench.outcomes([1])).toEqual([unknown]);
  });

  test("R23: what throws after abortAll is unknown, also when it never read its signal; what returns is success", async () => {
    const gates = new Map<number, ReturnType<typeof held>>();
    await using bench = new Bench({
      execute: (task) => {
        const gate = held();
        gates.set(task.offset, gate);
        return gate.promise;
      },
    });
    bench.runner.execute(executeEffect([1, 2]));
    bench.runner.abortAll("isolated");
    bench.runner.execute(executeEffect([3]));
    for (const offset of [1, 3]) gates.get(offset)!.reject(new Error("no"));
    gates.get(2)!.resolve();
    expect(await bench.outcomes([])).toEqual([]);
    const outcomes = new Map(
      bench.batches.flatMap((batch) => batch.offsets.map((offset, i) => [offset, batch.outcomes[i]])),
    );
    expect(Object.fromEntries(outcomes)).toEqual({ 1: unknown, 2: success, 3: failure });
  });

  test("a signal that is first read after the abort is aborted, with the reason", async () => {
    const gate = held();
    let seen: AbortSignal | null = null;
    await using bench = new Bench({
      execute: async (_task, context) => {
        await gate.promise;
        seen = context.signal;
      },
    });
    bench.runner.execute(executeEffect([1]));
    bench.runner.abortAll("isolated from the cell");
    gate.resolve();
    await bench.runner.idle();
    expect(seen!.aborted).toBe(true);
    expect((seen!.reason as Error).message).toBe("isolated from the cell");
  });

  test("a late handler counts as running until it really ends", async () => {
    const gate = held();
    await using bench = new Bench({ handlerTimeoutMs: 20, execute: () => gate.promise });
    bench.runner.execute(executeEffect([1]));
    while (bench.runner.counters.timedOut === 0) await Bun.sleep(2);
    await Bun.sleep(5);
    expect(bench.runner.running()).toBe(1);
    expect(bench.batches).toEqual([]);
    gate.reject(new Error("at last"));
    await bench.runner.idle();
    expect(bench.batches[0]!.outcomes).toEqual([unknown]);
  });
});

describe("the start", () => {
  test("R9: nothing starts at or after validUntil, looked at before each handler of a batch", async () => {
    let now = 0;
    const started: number[] = [];
    await using bench = new Bench(
      {
        execute: (task) => {
          started.push(task.offset);
          now += 10;
        },
      },
      { now: () => now },
    );
    expect(await bench.outcomes([1, 2, 3, 4], { validUntil: 20 })).toEqual([success, success, notStarted, notStarted]);
    expect(started).toEqual([1, 2]);
    expect(bench.runner.counters.notStarted).toBe(2);
  });

  test("R12: nothing starts without a recent answer of the watchdog", async () => {
    let now = 0;
    const guard = { work: () => undefined, healthyUntil: () => 15 };
    await using bench = new Bench(
      {
        execute: () => {
          now += 10;
        },
      },
      { now: () => now, guard },
    );
    expect(await bench.outcomes([1, 2, 3], { validUntil: 1_000 })).toEqual([success, success, notStarted]);
  });

  test("a task without a record is not started", async () => {
    await using bench = new Bench({}, { record: (_pid, offset) => (offset === 1 ? null : record(offset)) });
    expect(await bench.outcomes([1, 2])).toEqual([notStarted, success]);
  });

  test("a closed runner starts nothing", async () => {
    const bench = new Bench({});
    await bench.runner.close();
    expect(await bench.outcomes([1])).toEqual([notStarted]);
  });

  test("R12: the watchdog knows of a handler before it starts, and when its time ends", async () => {
    const told: [number, number][] = [];
    let inside: [number, number] | undefined;
    let now = 1_000;
    const guard = {
      work: (running: number, remainingMs: number) => void told.push([running, remainingMs]),
      healthyUntil: () => 1e9,
    };
    const gate = held();
    await using bench = new Bench(
      {
        handlerTimeoutMs: 100,
        abortGraceMs: 10,
        execute: (task) => {
          inside = told.at(-1);
          return task.offset === 1 ? gate.promise : undefined;
        },
      },
      { now: () => now, guard },
    );
    bench.runner.execute(executeEffect([1]));
    expect(inside).toEqual([1, 110]);
    now += 30;
    bench.runner.execute(executeEffect([2]));
    expect(inside).toEqual([2, 80]);
    expect(told.at(-1)).toEqual([1, 80]);
    bench.runner.abortAll("isolated");
    expect(told.at(-1)).toEqual([1, 10]);
    gate.resolve();
    await bench.runner.idle();
    expect(told.at(-1)).toEqual([0, Number.POSITIVE_INFINITY]);
  });

  test("R12: a first task that cannot start does not hide the next from the watchdog", async () => {
    let running = 0;
    let inside = 0;
    const guard = { work: (count: number) => void (running = count), healthyUntil: () => 1e9 };
    await using bench = new Bench(
      { execute: () => void (inside = running) },
      { guard, now: () => 5, record: (_pid, offset) => (offset === 1 ? null : record(offset)) },
    );
    await bench.outcomes([3]); // the watchdog was told something a moment ago: that nothing runs
    inside = 0;
    await bench.outcomes([1, 2]);
    expect(inside).toBe(1);
  });
});

describe("results", () => {
  test("come once a turn and partition, and never inside a call", async () => {
    await using bench = new Bench({ execute: (task) => (task.offset % 2 === 0 ? undefined : Promise.resolve()) });
    const offsets = Array.from({ length: 1_000 }, (_, i) => i);
    bench.runner.execute(executeEffect(offsets));
    bench.runner.execute(executeEffect([5_000], { pid: partitionId(0, 4) }));
    expect(bench.batches).toEqual([]);
    await bench.runner.idle();
    expect(bench.batches.map((batch) => [batch.pid, batch.offsets.length])).toEqual([
      [PID, 1_000],
      [partitionId(0, 4), 1],
    ]);
    expect(bench.batches[0]!.offsets.toSorted((a, b) => a - b)).toEqual(offsets);
    expect(bench.batches[0]!.outcomes.every((outcome) => outcome === success)).toBe(true);
  });

  test("a second batch has only what is new", async () => {
    await using bench = new Bench({});
    await bench.outcomes([1, 2, 3]);
    await bench.outcomes([4]);
    expect(bench.batches.map((batch) => batch.offsets)).toEqual([[1, 2, 3], [4]]);
  });

  test("handlers may start new ones from the results", async () => {
    const seen: number[] = [];
    let bench: Bench | null = null;
    bench = new Bench(
      {},
      {
        onResults: (_pid, offsets) => {
          seen.push(...offsets);
          if (offsets[0]! < 3) bench!.runner.execute(executeEffect([offsets[0]! + 1]));
        },
      },
    );
    bench.runner.execute(executeEffect([1]));
    while (seen.length < 3) await Bun.sleep(1);
    await bench.runner.close();
    expect(seen).toEqual([1, 2, 3]);
  });

  test("log lines of failing tasks are bounded", async () => {
    await using bench = new Bench(
      {
        execute: () => {
          throw new Error("sink down");
        },
      },
      { now: () => 1 },
    );
    await bench.outcomes(Array.from({ length: 500 }, (_, i) => i));
    expect(bench.lines).toHaveLength(10);
    expect(bench.runner.counters.failed).toBe(500);
  });
});

test("a handler sees its task, its attempt and its token", async () => {
  let seen: { task: Task<unknown>; context: TaskContext } | null = null;
  await using bench = new Bench(
    { execute: (task, context) => void (seen = { task, context }) },
    {
      record: (_pid, offset) =>
        record(offset, '{"amount":3}', { headers: { "task-id": new TextEncoder().encode("p-1") } }),
    },
  );
  await bench.outcomes([12], { attempts: new Uint8Array([2]) });
  const { task, context } = seen!;
  expect(task).toMatchObject({ topic: "payments", partition: 3, offset: 12, id: "p-1", payload: { amount: 3 } });
  expect(task.header("task-id")).toBe("p-1");
  expect(task.header("toString")).toBeNull();
  expect(context.attempt).toBe(2);
  expect([context.token.epoch, context.token.sequence]).toEqual([7, 1_012]);
  expect(context.signal.aborted).toBe(false);
  context.log.info("hello", { a: 1 });
  expect(bench.lines.at(-1)).toEqual({
    level: "info",
    message: "hello",
    fields: { a: 1, task: "payments:3:12", attempt: 2 },
  });
});

test("a record without an id is named by its position", async () => {
  let id = "";
  await using bench = new Bench({ execute: (task) => void (id = task.id) });
  await bench.outcomes([4]);
  expect(id).toBe("payments:3:4");
});

test("each topic has its own definition", async () => {
  const ran: string[] = [];
  const definition = (topic: string) => ({ topic, onUnknown: "park" as const, execute: () => void ran.push(topic) });
  await using bench = new Bench([definition("b"), definition("a")]);
  await bench.outcomes([1], { pid: partitionId(0, 0) });
  await bench.outcomes([2], { pid: partitionId(1, 0) });
  expect(ran).toEqual(["a", "b"]);
});
