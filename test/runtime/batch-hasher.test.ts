import { describe, expect, test } from "bun:test";
import { loadKeyHash } from "../../native-ish/key-hash.ts";
import { BatchHasher, type HashedBatch, type HashedTopic } from "../../src/runtime/batch-hasher.ts";
import type { TaskRecord } from "../../src/task-log/task-log.ts";

const hash = await loadKeyHash(7);

function record(offset: number, id: string | null = null, value = "v"): TaskRecord {
  const bytes = new TextEncoder();
  return {
    offset,
    key: id === null ? null : bytes.encode(id),
    value: bytes.encode(value),
    headers: {},
    timestampMs: 0,
  };
}

function topic(name: string, generation = 1): HashedTopic {
  return { name, generation, taskId: ({ key }) => (key === null ? null : new TextDecoder().decode(key)) };
}

const orders = new BatchHasher(hash, 0, [topic("orders"), topic("payments")]);

function pair(batch: HashedBatch, index = 0): string {
  return `${batch.hashes[2 * index]}:${batch.hashes[2 * index + 1]}`;
}

describe("batch hasher", () => {
  test("a record without a task id is known by its delivery key alone", () => {
    const batch = orders.hash(0, 3, [record(10, null, "x"), record(11, null, "y")]);
    expect(batch.ids).toBeNull();
    expect(batch.payloads).toBeNull();
    expect([...batch.offsets]).toEqual([10, 11]);
    expect(pair(orders.hash(0, 3, [record(10, null, "other payload")]))).toBe(pair(batch, 0));
  });

  test("delivery keys differ by topic, generation, partition, offset and dedup epoch", () => {
    const far = 2 ** 32;
    const pairs = [
      pair(orders.hash(0, 3, [record(10)])),
      pair(orders.hash(0, 4, [record(10)])),
      pair(orders.hash(1, 3, [record(10)])),
      pair(orders.hash(0, 3, [record(11)])),
      pair(orders.hash(0, 3, [record(10 + far)])),
      pair(orders.hash(0, 3, [record(10 + 2 * far)])),
      pair(new BatchHasher(hash, 1, [topic("orders")]).hash(0, 3, [record(10)])),
      pair(new BatchHasher(hash, 0, [topic("orders", 2)]).hash(0, 3, [record(10)])),
    ];
    expect(new Set(pairs).size).toBe(pairs.length);
  });

  test("a task id is the same task in every topic and partition, and another one in another dedup epoch", () => {
    const here = orders.hash(0, 3, [record(10, "t-1")]);
    expect(pair(orders.hash(1, 9, [record(77, "t-1")]))).toBe(pair(here));
    expect(pair(new BatchHasher(hash, 1, [topic("orders")]).hash(0, 3, [record(10, "t-1")]))).not.toBe(pair(here));
    expect(pair(orders.hash(0, 3, [record(10, "t-2")]))).not.toBe(pair(here));
  });

  test("a task id that reads like a delivery key is not that key", () => {
    const key = pair(orders.hash(0, 3, [record(10)]));
    for (const text of ["orders@1:3:10", "orders:3:10", "orders@1:3", "10"]) {
      expect(pair(orders.hash(0, 3, [record(10, text)]))).not.toBe(key);
    }
  });

  test("ids and payload hashes stand where their records do", () => {
    const batch = orders.hash(0, 0, [record(1), record(2, "a", "p1"), record(3), record(4, "b", "p2")]);
    expect(batch.ids).toEqual([null, "a", null, "b"]);
    const payloads = batch.payloads!;
    expect([payloads[0], payloads[1], payloads[4], payloads[5]]).toEqual([0, 0, 0, 0]);
    const again = orders.hash(0, 0, [record(9, "z", "p1")]).payloads!;
    expect([...payloads.subarray(2, 4)]).toEqual([...again]);
    expect([...payloads.subarray(6, 8)]).not.toEqual([...again]);
  });
});
