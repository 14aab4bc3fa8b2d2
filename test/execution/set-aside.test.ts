import { expect, test } from "bun:test";
import { VouchError } from "../../src/errors.ts";
import type { SetAsideEffect } from "../../src/execution/runner.ts";
import { Bench, PID, record } from "./support.ts";

function effect(offset: number, more: Partial<SetAsideEffect> = {}): SetAsideEffect {
  return {
    type: "set-aside",
    kind: "dead",
    pid: PID,
    offset,
    reason: "attempts-max",
    attempts: 5,
    conflict: null,
    ...more,
  };
}

const text = (bytes: Uint8Array | string | null | undefined): string | null =>
  bytes === null || bytes === undefined ? null : typeof bytes === "string" ? bytes : new TextDecoder().decode(bytes);

test("a dead record is written with its key, value and headers, and with why", async () => {
  const bytes = new TextEncoder().encode("p-1");
  await using bench = new Bench(
    {
      execute: () => {
        throw new Error("card refused");
      },
    },
    { record: (_pid, offset) => record(offset, "x", { headers: { "task-id": bytes, "vouch-error": bytes } }) },
  );
  await bench.outcomes([6]);
  bench.runner.setAside(effect(6));
  await bench.runner.idle();
  expect(bench.setAsides).toEqual([{ offset: 6, acknowledged: true }]);
  const { topic, records } = bench.producer.sent[0]!;
  expect(topic).toBe("payments.dead");
  expect([text(records[0]!.key), text(records[0]!.value)]).toEqual(["k6", "x"]);
  expect(Object.fromEntries(Object.entries(records[0]!.headers!).map(([name, value]) => [name, text(value)]))).toEqual({
    "task-id": "p-1",
    "vouch-reason": "attempts-max",
    "vouch-attempts": "5",
    "vouch-origin": "payments:3:6",
    "vouch-error": "card refused",
  });
});

test("a parked record without an error of this node carries none, not even that of its former life", async () => {
  const headers = { "vouch-error": new TextEncoder().encode("old") };
  await using bench = new Bench({}, { record: (_pid, offset) => record(offset, null, { key: null, headers }) });
  bench.runner.setAside(effect(1, { kind: "parked", reason: "poison" }));
  await bench.runner.idle();
  const { topic, records } = bench.producer.sent[0]!;
  expect(topic).toBe("payments.parked");
  expect(records[0]).toMatchObject({ key: null, value: null });
  expect(Object.keys(records[0]!.headers!).toSorted()).toEqual(["vouch-attempts", "vouch-origin", "vouch-reason"]);
});

test("requests of one turn go together, those of the time of a write with the next, in bounded batches", async () => {
  const gate = Promise.withResolvers<void>();
  await using bench = new Bench({});
  let writing = 0;
  let writingMost = 0;
  bench.producer.guard = async () => {
    writingMost = Math.max(writingMost, ++writing);
    await gate.promise;
    writing--;
  };
  for (let offset = 0; offset < 3; offset++) bench.runner.setAside(effect(offset));
  await Bun.sleep(1);
  for (let offset = 3; offset < 504; offset++) bench.runner.setAside(effect(offset));
  gate.resolve();
  await bench.runner.idle();
  expect(bench.producer.sent.map((sent) => sent.records.length)).toEqual([3, 200, 200, 101]);
  expect(writingMost).toBe(1);
  expect(bench.setAsides.map((result) => result.offset)).toEqual(Array.from({ length: 504 }, (_, i) => i));
});

test("large records close a batch by their bytes", async () => {
  const value = "v".repeat(300 * 1_024);
  await using bench = new Bench({}, { record: (_pid, offset) => record(offset, value) });
  for (let offset = 0; offset < 3; offset++) bench.runner.setAside(effect(offset));
  await bench.runner.idle();
  expect(bench.producer.sent.map((sent) => sent.records.length)).toEqual([1, 1, 1]);
});

test("R23: a write that is not acknowledged is reported so, and the next try is a new write", async () => {
  await using bench = new Bench({});
  bench.producer.guard = async () => {
    throw new VouchError("unavailable", "no broker answers");
  };
  bench.runner.setAside(effect(1));
  bench.runner.setAside(effect(2));
  await bench.runner.idle();
  expect(bench.setAsides).toEqual([
    { offset: 1, acknowledged: false },
    { offset: 2, acknowledged: false },
  ]);
  expect(bench.lines.map((line) => line.message)).toEqual(["could not write to payments.dead; it will be tried again"]);
  bench.producer.guard = async () => undefined;
  bench.runner.setAside(effect(1));
  await bench.runner.idle();
  expect(bench.setAsides.at(-1)).toEqual({ offset: 1, acknowledged: true });
});

test("a record that the log never takes does not hold up its neighbours", async () => {
  await using bench = new Bench({});
  bench.producer.guard = async (_topic, records) => {
    if (records.some((one) => text(one.key) === "k2")) throw new VouchError("task-log", "too large");
  };
  for (const offset of [1, 2, 3]) bench.runner.setAside(effect(offset));
  await bench.runner.idle();
  expect(bench.setAsides).toEqual([
    { offset: 1, acknowledged: true },
    { offset: 2, acknowledged: false },
    { offset: 3, acknowledged: true },
  ]);
});

test("without its record nothing is written and nothing is acknowledged", async () => {
  await using bench = new Bench({}, { record: () => null });
  bench.runner.setAside(effect(1));
  await bench.runner.idle();
  expect(bench.setAsides).toEqual([{ offset: 1, acknowledged: false }]);
  expect(bench.producer.sent).toEqual([]);
});

test("what takes no records is told, with since when and why, for as long as it is tried, and also while there is no answer", async () => {
  let now = 10_000;
  await using bench = new Bench({}, { now: () => now });
  const refuses = async (): Promise<void> => {
    throw new VouchError("task-log", "the record is too large; to do: raise max.message.bytes");
  };
  const write = async (): Promise<void> => {
    bench.runner.setAside(effect(1));
    await bench.runner.idle();
  };
  const waits = "the commits of the partitions of its records wait for it";
  bench.producer.guard = refuses;
  await write();
  now += 2_000;
  await write();
  const trouble = bench.runner.setAsideTrouble();
  expect(trouble).toBe(
    `payments.dead takes no records, for 2 s; ${waits}: the record is too large; to do: raise max.message.bytes`,
  );
  now += 5_001; // nobody tried again: the partition is another node's
  expect(bench.runner.setAsideTrouble()).toBe("");
  await write();
  expect(bench.runner.setAsideTrouble()).toContain("for 7 s");
  expect(bench.lines.map(({ level, fields }) => [level, fields["alarm"]])).toEqual([
    ["error", "set-aside-refused"],
    ["warn", undefined],
    ["warn", undefined],
  ]);

  const answer = Promise.withResolvers<void>();
  bench.producer.guard = () => answer.promise;
  bench.runner.setAside(effect(2, { kind: "parked" }));
  await Bun.sleep(0);
  now += 2_999;
  expect(bench.runner.setAsideTrouble()).not.toContain("parked");
  now += 1;
  expect(bench.runner.setAsideTrouble()).toContain(`payments.parked: no answer to a write for 3 s; ${waits}`);
  answer.resolve();
  await bench.runner.idle();
  await write();
  expect(bench.runner.setAsideTrouble()).toBe("");
  expect(bench.lines.map(({ message }) => message)).toContain("payments.dead takes records again");
});

test("a conflict: the headers tell both payload hashes and which record executed; a redriven record loses those of its former life", async () => {
  const former = { "vouch-conflict-origin": new TextEncoder().encode("payments:1:1") };
  await using bench = new Bench({}, { record: (_pid, offset) => record(offset, "{}", { headers: former }) });
  const conflict = { pid: PID, offset: 7, payloadHi: 0xa, payloadLo: 0xb0000000, ownHi: 1, ownLo: 2 };
  bench.runner.setAside(effect(1, { kind: "parked", reason: "conflict", conflict }));
  bench.runner.setAside(effect(2, { kind: "parked", reason: "unknown" }));
  await bench.runner.idle();
  const [first, second] = bench.producer.sent[0]!.records;
  expect(first!.headers).toMatchObject({
    "vouch-reason": "conflict",
    "vouch-payload-hash": "0000000100000002",
    "vouch-conflict-payload-hash": "0000000ab0000000",
    "vouch-conflict-origin": "payments:3:7",
  });
  expect(Object.keys(second!.headers!).toSorted()).toEqual(["vouch-attempts", "vouch-origin", "vouch-reason"]);
  expect(bench.lines.map(({ message }) => message)).toEqual([
    "a task is parked: its task id was executed with another payload (payments:3:7); its record is in payments.parked",
    "a task is parked: nobody can say whether it ran; its record is in payments.parked",
  ]);
});
