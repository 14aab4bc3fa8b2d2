/**
 * Handlers that misbehave, in a cell of three node processes under a supervisor that starts again what ended. Whatever one
 * handler does, the others' tasks run once, nothing is lost, and the task itself ends where a person finds it, with why.
 * On the embedded log and coordinator: Kafka has no part in any of it.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ProcessCell } from "../support/process-cell.ts";
import type { HandlerTrick } from "../support/misbehaving-tasks.ts";

const PARTITIONS = 6;
const UNKNOWN_MAX = 3;
const ATTEMPTS_MAX = 2;
const LIMIT_MS = 60_000;

let cell: ProcessCell;

beforeAll(async () => {
  cell = await ProcessCell.open({
    name: "jobs",
    nodes: 3,
    partitions: PARTITIONS,
    options: {
      handlerTimeoutMs: 800,
      abortGraceMs: 300,
      effectSettleMs: 1_200,
      unknownMax: UNKNOWN_MAX,
      attemptsMax: ATTEMPTS_MAX,
      retryBackoffMs: 50,
    },
  });
}, LIMIT_MS);

afterAll(async () => cell?.[Symbol.asyncDispose]());

let batches = 0;

/** Twelve well-behaved tasks, two a partition. @returns their ids */
async function produceInnocents(): Promise<string[]> {
  const batch = ++batches;
  const tasks = Array.from({ length: 12 }, (_, index) => ({
    partition: index % PARTITIONS,
    id: `innocent-${batch}-${index}`,
    work: { ms: 20 },
  }));
  await cell.produce(tasks);
  return tasks.map(({ id }) => id);
}

function expectOnceEach(ids: readonly string[]): void {
  const { executed, executedTwice, lost, tokensFell } = cell.judge(ids);
  expect({ executed, executedTwice, lost, tokensFell }).toEqual({
    executed: ids.length,
    executedTwice: 0,
    lost: 0,
    tokensFell: 0,
  });
}

const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

/** The headers of the one record of this task id in `<topic>.dead` or `<topic>.parked`. */
async function foundIn(kind: "dead" | "parked", id: string): Promise<Record<string, string>> {
  const found = (await cell.setAside(kind)).filter(({ headers }) => text(headers["task-id"]) === id);
  expect(found).toHaveLength(1);
  return Object.fromEntries(Object.entries(found[0]!.headers).map(([name, bytes]) => [name, text(bytes)]));
}

const dying: readonly (readonly [HandlerTrick, RegExp])[] = [
  ["never-ends", /./],
  ["blocks", /./],
  ["exits-with-0", /./],
  ["kills-itself", /./],
];

describe("R23: a handler that takes its process down is parked as poison, and everything else runs once:", () => {
  test.each(dying)("%s", async (handler, message) => {
    const id = `poison-${handler}`;
    const parked = await cell.countSetAside("parked");
    const before = await produceInnocents();
    await cell.produce([{ partition: batches % PARTITIONS, id, work: { handler } }]);
    const after = await produceInnocents();
    await cell.waitFor("the poison parked", async () => (await cell.countSetAside("parked")) > parked);
    await cell.settled();
    expect(cell.starts(id)).toHaveLength(UNKNOWN_MAX);
    expect(cell.effectsOf(id)).toEqual([]);
    expectOnceEach([...before, ...after]);
    expect(await foundIn("parked", id)).toMatchObject({ "vouch-reason": "poison" });
    expect(cell.output()).toMatch(message);
    await cell.ready();

  }, LIMIT_MS);
});
