/**
 * Records that are odd, on real Kafka and ZooKeeper: no value, no key, a task id that is empty, no UTF-8 or 10 KB long, a
 * megabyte, and one task id with two payloads. Each ends as one would wish, and the cell goes on.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { sharedServers } from "../support/cluster-servers.ts";
import { READS_PAYLOAD } from "../support/misbehaving-tasks.ts";
import { type CellRecord, ProcessCell } from "../support/process-cell.ts";

const LIMIT_MS = 60_000;
const PARTITIONS = 4;

let cell: ProcessCell;

beforeAll(async () => {
  cell = await ProcessCell.open({
    name: "odd",
    nodes: 2,
    partitions: PARTITIONS,
    servers: await sharedServers(),
    options: { attemptsMax: 2, retryBackoffMs: 20 },
  });
}, 2 * LIMIT_MS);

afterAll(async () => cell?.[Symbol.asyncDispose]());

type OddRecord = Omit<CellRecord, "partition">;

const text = (bytes: Uint8Array | null | undefined): string => new TextDecoder().decode(bytes ?? new Uint8Array(0));

/** Produces them into one partition; @returns where each lies: "topic:partition:offset". */
async function produce(partition: number, records: readonly OddRecord[]): Promise<string[]> {
  const offset = (await cell.offsets()).find((each) => each.partition === partition)?.logEnd ?? 0;
  await cell.produce(records.map((record) => ({ ...record, partition })));
  return records.map((_, index) => `${cell.topic}:${partition}:${offset + index}`);
}

interface Found {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** What was set aside of the record at this place. */
async function found(kind: "dead" | "parked", origin: string | undefined): Promise<Found> {
  const records = (await cell.setAside(kind)).filter(({ headers }) => text(headers["vouch-origin"]) === origin);
  expect(records).toHaveLength(1);
  const { key, value, headers } = records[0]!;
  return { key, value, headers: Object.fromEntries(Object.entries(headers).map(([name, each]) => [name, text(each)])) };
}

const effectsOf = (ids: readonly string[]): number[] => ids.map((id) => cell.effectsOf(id).length);

test(
  "records without a value or a key run once; one whose payload is read all the same is dead, and stays what it was",
  async () => {
    const places = await produce(0, [
      { value: null, key: "k" },
      { value: null, key: "k", id: "named-tombstone" },
      { key: null },
      { value: null, key: null },
      { value: null, key: "k", headers: { [READS_PAYLOAD]: "", trace: "t-1" } },
      { value: "", key: "" }, // empty is not missing, and is no JSON either
    ]);
    await cell.settled();
    expect(effectsOf([places[0]!, "named-tombstone", places[2]!, places[3]!])).toEqual([1, 1, 1, 1]);
    const dead = await found("dead", places[4]);
    expect([dead.value, text(dead.key)]).toEqual([null, "k"]);
    expect(dead.headers).toMatchObject({ trace: "t-1", "vouch-reason": "attempts", "vouch-attempts": "2" });
    expect(dead.headers["vouch-error"]).toBe(
      `the payload of ${places[4]} cannot be decoded: the record has no value to decode`,
    );
    const empty = await found("dead", places[5]);
    expect([empty.value?.length, empty.key?.length]).toEqual([0, 0]);
  },
  LIMIT_MS,
);

test(
  "a task id that is empty names nothing; one that is no UTF-8 is exact to the byte; one of 10 KB is as good as a short one",
  async () => {
    const named = (id: Uint8Array | string): OddRecord => ({ headers: { "task-id": id }, work: { ms: 50 } });
    const before = cell.effects().length;
    const empty = await produce(1, [named(""), named("")]);
    // As text both would be the same two replacement characters.
    const [one, other] = [Uint8Array.of(0xff, 0xfe), Uint8Array.of(0xff, 0xfd)];
    await produce(1, [named(one), named(one), named(other)]);
    const long = "payment-".repeat(1_280);
    await produce(1, [named(`${long}1`), named(`${long}1`), named(`${long}2`)]);
    await cell.settled();
    const effects = cell
      .effects()
      .slice(before)
      .filter(({ kind }) => kind === "effect");
    const digests = effects.filter(({ taskId }) => /^sha256:[0-9a-f]{64}$/.test(taskId));
    expect(effectsOf(empty)).toEqual([1, 1]);
    expect(digests).toHaveLength(4);
    expect(new Set(digests.map(({ taskId }) => taskId)).size).toBe(4);
    expect(effects).toHaveLength(2 + 4);
  },
  LIMIT_MS,
);

test(
  "records of a megabyte run once, and one that fails is in .dead whole",
  async () => {
    const value = (work: object): string => JSON.stringify({ ...work, pad: "x".repeat(1_000_000) });
    const failing = value({ handler: "throws-string" });
    // As large as a broker takes it by default, and nothing compresses it: only its headers make the copy larger.
    const noise = (bytes: number): string => crypto.getRandomValues(Buffer.alloc(bytes)).toString("base64");
    const pad = Array.from({ length: 12 }, () => noise(65_535)).join("");
    const full = JSON.stringify({ handler: "throws-string", pad: pad.slice(0, 1_048_588 - 150) });
    const values = [value({}), failing, value({}), full];
    const places = await produce(
      2,
      values.map((each) => ({ value: each })),
    );
    await cell.settled();
    expect(effectsOf(places)).toEqual([1, 0, 1, 0]);
    for (const at of [1, 3]) expect(text((await found("dead", places[at])).value) === values[at]).toBe(true);
  },
  LIMIT_MS,
);

test(
  "R6: one task id with another payload is parked, with both payload hashes and where the first is; an equal one is dropped",
  async () => {
    const [first] = await produce(0, [{ id: "paid", work: { ms: 1_500 } }]);
    await cell.waitFor("its run", () => cell.starts("paid").length === 1);
    const [second] = await produce(1, [{ id: "paid", work: { ms: 1_501 } }]);
    const [third] = await produce(3, [{ id: "paid", work: { ms: 1_502 } }]);
    await produce(2, [{ id: "paid", work: { ms: 1_500 } }]);
    const innocents = await produce(1, [{}, {}]);
    await cell.waitFor("those above the waiting ones", () => effectsOf(innocents).every((count) => count === 1));
    expect(effectsOf(["paid"])).toEqual([0]);
    await cell.settled();
    expect(cell.starts("paid")).toHaveLength(1);
    expect(effectsOf(["paid"])).toEqual([1]);
    const conflicts = [await found("parked", second), await found("parked", third)];
    expect(conflicts.map(({ value }) => text(value))).toEqual(['{"ms":1501}', '{"ms":1502}']);
    for (const { headers } of conflicts) {
      expect(headers).toMatchObject({ "task-id": "paid", "vouch-reason": "conflict", "vouch-conflict-origin": first! });
    }
    const hashes = conflicts.map(({ headers }) => headers["vouch-payload-hash"]);
    const firsts = new Set(conflicts.map(({ headers }) => headers["vouch-conflict-payload-hash"]));
    expect(firsts.size).toBe(1);
    expect(new Set([...hashes, ...firsts]).size).toBe(3);
    for (const hash of [...hashes, ...firsts]) expect(hash).toMatch(/^[0-9a-f]{16}$/);
    expect(await cell.setAside("parked")).toHaveLength(2); // the equal one was dropped
    expect(cell.output()).toContain(`a task is parked: its task id was executed with another payload (${first}); its`);
  },
  LIMIT_MS,
);

test("all of it: nothing twice, and no node ended", () => {
  const effects = cell.effects().filter(({ kind }) => kind === "effect");
  expect(new Set(effects.map(({ taskId }) => taskId)).size).toBe(effects.length);
  expect(cell.restarts).toBe(0);
});
