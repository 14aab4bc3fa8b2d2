import { describe, expect, test } from "bun:test";
import { VouchError } from "../../src/errors.ts";
import { defineTasks } from "../../src/execution/define.ts";
import { resolveTasks, TASK_DEFAULTS } from "../../src/execution/resolve.ts";
import { record } from "./support.ts";

const good = { topic: "payments", execute: () => undefined, onUnknown: "park" };

function violationsOf(...exported: unknown[]): string[] {
  try {
    resolveTasks(exported.map((value, index) => ({ name: `m${index}`, exported: value })));
    return [];
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(VouchError);
    expect((thrown as VouchError).code).toBe("task-module");
    return (thrown as VouchError).message.split("\n  - ").slice(1);
  }
}

describe("a definition is refused", () => {
  const cases: [string, unknown, string][] = [
    [
      "that is nothing",
      undefined,
      "m0: expected a task definition (an object with topic, execute and onUnknown), got nothing",
    ],
    ["that is null", null, "m0: expected a task definition (an object with topic, execute and onUnknown), got null"],
    [
      "that is a function",
      () => good,
      "m0: expected a task definition (an object with topic, execute and onUnknown), got a function",
    ],
    [
      "that is an empty array",
      [],
      "m0: expected a task definition (an object with topic, execute and onUnknown), got nothing",
    ],
    ["without execute", { ...good, execute: undefined }, "m0: execute: expected a function, got nothing"],
    [
      "with a check that is no function",
      { ...good, check: "executed" },
      'm0: check: expected a function, got "executed"',
    ],
    ["with a decode that is null", { ...good, decode: null }, "m0: decode: expected a function, got null"],
    [
      "without a topic",
      { ...good, topic: undefined },
      'm0: topic: expected a name of 1 to 242 letters, digits, ".", "_" or "-", got nothing',
    ],
    [
      "with a topic that is no name",
      { ...good, topic: "a b" },
      'm0: topic: expected a name of 1 to 242 letters, digits, ".", "_" or "-", got "a b"',
    ],
    [
      "with a topic that leaves no room for .parked",
      { ...good, topic: "x".repeat(243) },
      `m0: topic: expected a name of 1 to 242 letters, digits, ".", "_" or "-", got "${"x".repeat(57)}..."`,
    ],
    [
      "with the topic ..",
      { ...good, topic: ".." },
      'm0: topic: expected a name of 1 to 242 letters, digits, ".", "_" or "-", got ".."',
    ],
    [
      "with a taskId that is no rule",
      { ...good, taskId: { headers: "x" } },
      'm0: taskId: expected "key", { header: "name" } or a function, got an object',
    ],
    [
      "with a fraction of an attempt",
      { ...good, attemptsMax: 1.5 },
      "m0: attemptsMax: expected a whole number from 1 to 255, got 1.5",
    ],
    [
      "with more attempts than a byte holds",
      { ...good, attemptsMax: 256 },
      "m0: attemptsMax: expected a whole number from 1 to 255, got 256",
    ],
    [
      "with a handler time-out that never comes (R23)",
      { ...good, handlerTimeoutMs: Number.POSITIVE_INFINITY },
      "m0: handlerTimeoutMs: expected a whole number from 1 to 86400000, got Infinity",
    ],
    [
      "with a number as text",
      { ...good, effectSettleMs: "2000" },
      'm0: effectSettleMs: expected a whole number from 0 to 86400000, got "2000"',
    ],
    [
      "whose first back-off is above the longest",
      { ...good, retryBackoffMs: 500, retryBackoffMaxMs: 100 },
      "m0: retryBackoffMaxMs (100) must not be below retryBackoffMs (500)",
    ],
  ];
  for (const [name, exported, expected] of cases) {
    test(name, () => expect(violationsOf(exported)).toEqual([expected]));
  }

  for (const onUnknown of [undefined, "retry", null, "Park"]) {
    test(`R20: with onUnknown ${String(onUnknown)}, also when it has a check`, () => {
      const found = violationsOf({ ...good, check: () => "executed", onUnknown });
      expect(found).toHaveLength(1);
      expect(found[0]).toStartWith('m0: onUnknown: expected "execute", "drop" or "park", got ');
      expect(found[0]).toEndWith("and has no default");
    });
  }

  test("with a misspelt key, which is named beside those that exist", () => {
    const found = violationsOf({ ...good, onUnkown: "park" });
    expect(found).toHaveLength(1);
    expect(found[0]).toStartWith('m0: unknown key "onUnkown"; known are topic, taskId, onUnknown, execute');
  });

  test("with all its violations at once, and those of the other modules", () => {
    const found = violationsOf([good, { topic: 7, timeout: 5 }], { ...good, topic: "orders", attemptsMax: 0 }, good);
    expect(found.map((line) => line.split(":").slice(0, 2).join(":"))).toEqual([
      'm0[1]: unknown key "timeout"; known are topic, taskId, onUnknown, execute, check, decode, attemptsMax, retryBackoffMs, retryBackoffMaxMs, handlerTimeoutMs, abortGraceMs, checkTimeoutMs, effectSettleMs',
      "m0[1]: topic",
      "m0[1]: execute",
      "m0[1]: onUnknown",
      "m1: attemptsMax",
      'm2: topic "payments" is already defined by m0[0]',
    ]);
  });

  test("when there is none", () => expect(violationsOf()).toEqual(["no task module was given"]));
});

describe("a definition that is accepted", () => {
  test("gets the defaults where it is silent, and keeps what it says", () => {
    const [type] = resolveTasks([{ name: "m", exported: { ...good, handlerTimeoutMs: 5, attemptsMax: 1 } }]);
    expect(type).toMatchObject({
      ...TASK_DEFAULTS,
      topic: "payments",
      onUnknown: "park",
      handlerTimeoutMs: 5,
      attemptsMax: 1,
      check: null,
    });
    expect(Object.values(TASK_DEFAULTS).every(Number.isFinite)).toBe(true);
    expect(TASK_DEFAULTS.effectSettleMs).toBe(2_000);
  });

  test("may begin its back-off above the default's end", () => {
    const [type] = resolveTasks([{ name: "m", exported: { ...good, retryBackoffMs: 60_000 } }]);
    expect(type!.retryBackoffMaxMs).toBe(60_000);
  });

  test("R19: is found at the index of its topic in the order of names", () => {
    const exported = ["b", "a", "B", "a.b"].map((topic) => ({ ...good, topic }));
    expect(resolveTasks([{ name: "m", exported }]).map((type) => type.topic)).toEqual(["B", "a", "a.b", "b"]);
  });

  test("has its methods called on itself", () => {
    const definition = {
      ...good,
      word: undefined,
      execute(): unknown {
        return this;
      },
      decode(): unknown {
        return this;
      },
    };
    delete definition.word;
    const [type] = resolveTasks([{ name: "m", exported: definition }]);
    expect(type!.execute({} as never, {} as never)).toBe(definition);
    expect(type!.decode(record(1))).toBe(definition);
  });

  test("decodes JSON unless it says otherwise", () => {
    const [type] = resolveTasks([{ name: "m", exported: good }]);
    expect(type!.decode(record(1, '{"a":[1]}'))).toEqual({ a: [1] });
    expect(() => type!.decode(record(1, null))).toThrow("no value to decode");
    expect(() => type!.decode(record(1, "{"))).toThrow();
  });

  test("may be an array of several payload types", () => {
    const tasks = [
      defineTasks<{ amount: number }>({
        topic: "a",
        execute: (task) => task.payload.amount.toFixed(2),
        onUnknown: "park",
      }),
      defineTasks<string[]>({ topic: "b", execute: (task) => task.payload.join(), onUnknown: "drop" }),
    ];
    expect(resolveTasks([{ name: "m", exported: tasks }])).toHaveLength(2);
  });
});

describe("the task id", () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const idOf = (taskId: unknown, more: Parameters<typeof record>[2], problems: string[] = []): string | null => {
    const [type] = resolveTasks(
      [{ name: "m", exported: { ...good, ...(taskId === undefined ? {} : { taskId }) } }],
      TASK_DEFAULTS,
      (topic, message) => problems.push(`${topic} ${message}`),
    );
    return type!.taskId(record(5, "{}", more));
  };

  test("is the header task-id, or null", () => {
    expect(idOf(undefined, { headers: { "task-id": bytes("p-1") } })).toBe("p-1");
    expect(idOf(undefined, {})).toBeNull();
    expect(idOf(undefined, { headers: { "task-id": bytes("") } })).toBeNull();
  });

  test("is another header, or the key", () => {
    expect(idOf({ header: "order" }, { headers: { order: bytes("o-1"), "task-id": bytes("no") } })).toBe("o-1");
    expect(idOf({ header: "toString" }, {})).toBeNull();
    expect(idOf("key", {})).toBe("k5");
    expect(idOf("key", { key: null })).toBeNull();
  });

  test("is what a function makes of the record, as text or as bytes", () => {
    expect(idOf((one: { offset: number }) => `n${one.offset}`, {})).toBe("n5");
    expect(
      idOf((one: { headers: Record<string, Uint8Array> }) => one.headers["x"], { headers: { x: bytes("ü") } }),
    ).toBe("ü");
    expect(idOf(() => undefined, {})).toBeNull();
  });

  test("is null, with a problem told, when the function throws or answers nonsense", () => {
    const problems: string[] = [];
    expect(
      idOf(
        () => {
          throw new Error("no order");
        },
        {},
        problems,
      ),
    ).toBeNull();
    expect(idOf(() => 7, {}, problems)).toBeNull();
    expect(problems).toEqual([
      "payments taskId threw: no order",
      "payments taskId answered number, expected a string, bytes, null or undefined",
    ]);
  });

  test("is replaced by its fingerprint when it is long, the same for the same text", () => {
    const long = "x".repeat(257);
    const id = idOf(() => long, {});
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(idOf("key", { key: bytes(long) })).toBe(id!);
    expect(idOf(() => "ü".repeat(128), {})).toBe("ü".repeat(128));
    expect(idOf(() => `${"ü".repeat(128)}x`, {})).toStartWith("sha256:");
  });
});
