/**
 * Handlers that misbehave, in a cell of three node processes under a supervisor that starts again what ended. Whatever one
 * handler does, the others' tasks run once, nothing is lost, and the task itself ends where a person finds it, with why.
 * On the embedded log and coordinator: Kafka has no part in any of it.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ProcessCell } from "../support/process-cell.ts";
import type { CheckTrick, HandlerTrick, Misbehaviour } from "../support/misbehaving-tasks.ts";

const PARTITIONS = 6;
const UNKNOWN_MAX = 2;
const ATTEMPTS_MAX = 2;
const CHECKS_MAX = 2;
const EFFECT_SETTLE_MS = 1_200;
/** With its jitter 1.6 to 4.8 s: longer than the lease. */
const BACKOFF_MS = 3_200;
const LIMIT_MS = 60_000;
const ALL = Array.from({ length: PARTITIONS }, (_, partition) => partition);

let cell: ProcessCell;

beforeAll(async () => {
  cell = await ProcessCell.open({
    name: "jobs",
    nodes: 3,
    partitions: PARTITIONS,
    options: {
      handlerTimeoutMs: 800,
      abortGraceMs: 300,
      effectSettleMs: EFFECT_SETTLE_MS,
      unknownMax: UNKNOWN_MAX,
      attemptsMax: ATTEMPTS_MAX,
      retryBackoffMs: BACKOFF_MS,
      checkTimeoutMs: 400,
      checkAttemptsMax: CHECKS_MAX,
      checkBackoffMs: 400,
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

type Headers = Readonly<Record<string, string>>;

/** Headers of all that is in `<topic>.dead` or `<topic>.parked`, by task id. A node that dies while it writes leaves a second copy. */
async function foundIn(kind: "dead" | "parked"): Promise<Map<string, Headers>> {
  const found = new Map<string, Headers>();
  for (const { headers } of await cell.setAside(kind)) {
    const read = Object.fromEntries(Object.entries(headers).map(([name, bytes]) => [name, text(bytes)]));
    const id = read["task-id"] ?? "";
    for (const name of ["vouch-origin", "vouch-reason"]) expect(found.get(id)?.[name] ?? read[name]).toBe(read[name]);
    found.set(id, read);
  }
  return found;
}

test(
  "R23: whatever a handler throws is a failure with a text: tried again, then dead, and the node is none the worse",
  async () => {
    const texts: Partial<Record<HandlerTrick, string>> = {
      "throws-string": "the provider said no",
      "throws-undefined": "a non-error was thrown: undefined",
      "throws-null": "a non-error was thrown: null",
      "throws-symbol": "a non-error was thrown: Symbol(no)",
      "throws-bigint": "a non-error was thrown: 7",
      "throws-hostile-text": "a non-error was thrown: something that has no text",
      "throws-proxy": "something was thrown that has no text",
      "throws-error-without-text": "something was thrown that has no text",
      "throws-its-own-cause": "round",
      "rejects-undefined": "a non-error was thrown: undefined",
    };
    const { restarts } = cell;
    const tricks = Object.keys(texts) as HandlerTrick[];
    await cell.produce(
      tricks.map((handler, index) => ({ partition: index % PARTITIONS, id: handler, work: { handler } })),
    );
    const innocents = await produceInnocents();
    await cell.settled();
    expectOnceEach(innocents);
    const dead = await foundIn("dead");
    for (const id of tricks) {
      expect(cell.starts(id)).toHaveLength(ATTEMPTS_MAX);
      expect(cell.effectsOf(id)).toEqual([]);
      const attempts = String(ATTEMPTS_MAX);
      expect(dead.get(id)).toMatchObject({
        "vouch-reason": "attempts",
        "vouch-attempts": attempts,
        "vouch-error": texts[id]!,
      });
    }
    expect(cell.output()).toContain("a task is dead: every attempt failed; its record is in jobs.dead");
    expect(cell.checks()).toEqual([]); // a failure is certain: nobody need be asked
    expect(cell.restarts).toBe(restarts);
  },
  LIMIT_MS,
);

test(
  "a rejection that a handler leaves to nobody is told, and the node goes on",
  async () => {
    const { restarts } = cell;
    await cell.produce([{ partition: 0, id: "floating", work: { handler: "leaves-a-rejection" } }]);
    await cell.settled();
    expectOnceEach(["floating"]);
    expect(cell.output()).toContain(
      "a promise was rejected and nobody awaited it: a rejection that nobody handles; to do: await every promise",
    );
    expect(cell.restarts).toBe(restarts);
  },
  LIMIT_MS,
);

/** Each fails once; in every partition one. */
async function produceFailing(name: string): Promise<string[]> {
  const tasks = ALL.map((partition) => ({
    partition,
    id: `${name}-${partition}`,
    work: { handler: "throws-string", runs: 1 } as const,
  }));
  await cell.produce(tasks);
  const ids = tasks.map(({ id }) => id);
  await cell.waitFor("every first attempt", () => ids.every((id) => cell.starts(id).length === 1));
  return ids;
}

test(
  "R10, R23: a back-off longer than the lease, and the leader dies in it: every second attempt is made once",
  async () => {
    const leader = await cell.leader();
    const ids = await produceFailing("leader");
    const mine = cell
      .effects()
      .filter(({ kind, node, taskId }) => kind === "start" && node === leader.name && ids.includes(taskId));
    expect(mine.length).toBeGreaterThan(0);
    await leader.kill();
    await cell.settled();
    expectOnceEach(ids);
    for (const id of ids) expect(cell.starts(id)).toHaveLength(2);
    // Nobody is left to say that the leader's own attempts had failed: these, and no others, were checked.
    const checked = new Set(cell.checks().map((line) => line.split(" ")[0]!));
    expect([...checked].toSorted()).toEqual(mine.map(({ taskId }) => taskId).toSorted());
    await cell.ready();
  },
  LIMIT_MS,
);

test(
  "R22, R23: a node is drained in the back-off: others make the second attempts, and nothing is checked",
  async () => {
    const leader = await cell.leader();
    const [drained] = cell.nodes.filter((node) => node !== leader);
    const before = cell.checks().length;
    const ids = await produceFailing("drained");
    const moved = ids.filter((id) => cell.starts(id)[0]?.node === drained!.name);
    expect(moved.length).toBeGreaterThan(0);
    expect(await drained!.drain()).toBe(0);
    await cell.settled();
    expectOnceEach(ids);
    for (const id of ids) expect(cell.starts(id)).toHaveLength(2);
    for (const id of moved) expect(cell.effectsOf(id)[0]?.node).not.toBe(drained!.name);
    expect(cell.checks()).toHaveLength(before);
    await cell.ready();
  },
  LIMIT_MS,
);

test(
  "R12: an effect that lands 500 ms after kill -9, within effectSettleMs: the check waits for it, and nothing runs twice",
  async () => {
    const leader = await cell.leader();
    const owners = await Promise.all(ALL.map((partition) => cell.owner(partition)));
    const place = owners.findIndex((node) => node !== leader);
    const elsewhere = owners.indexOf(leader);
    await cell.produce([{ partition: place, id: "courier", work: { courierMs: 500, handler: "never-ends", runs: 1 } }]);
    await cell.waitFor("its run", () => cell.starts("courier").length === 1);
    // A second record of the task waits for the first one: who has it asks as soon as the first one's node counts as gone.
    await cell.produce([{ partition: elsewhere, id: "courier" }]);
    await cell.waitFor("the doubt", async () => (await leader.status())?.core.doubtful === 1);
    await owners[place]!.kill();
    const diedAt = performance.now();
    expect(cell.effectsOf("courier")).toEqual([]);
    await cell.waitFor("the check", () => cell.checks().some((line) => line === `courier ${leader.name} truth`));
    const checkedAfterMs = performance.now() - diedAt;
    await cell.settled();
    expect(cell.starts("courier").map(({ node }) => node)).toEqual([owners[place]!.name]);
    expect(cell.effectsOf("courier").map(({ node }) => node)).toEqual([owners[place]!.name]);
    expect(checkedAfterMs).toBeGreaterThan(EFFECT_SETTLE_MS - 100); // counted from the proof, which may be quicker than the kill's return
    await cell.ready();
  },
  LIMIT_MS,
);

test(
  "R20: checks that hang, throw, block or answer nonsense count as unknown: onUnknown decides, nothing runs twice",
  async () => {
    const texts: Partial<Record<CheckTrick, string>> = {
      hangs: "it ran longer than 400 ms",
      throws: "it threw: the provider is down",
      "throws-undefined": "it threw: a non-error was thrown: undefined",
      "rejects-hostile": "it threw: something was thrown that has no text",
      "answers-true": "it answered boolean, expected",
      "answers-yes": 'it answered "yes", expected',
      "answers-nothing": "it answered undefined, expected",
      "answers-an-object": "it answered object, expected",
      "answers-hostile": "it threw: no property of this may be read",
      "says-unknown": "", // that is an answer
    };
    const tricks = Object.keys(texts) as CheckTrick[];
    // One dies with its node, and all others of the partition with it.
    const work = (check: CheckTrick) => ({ check, handler: "never-ends", runs: 1 }) as const;
    const place = 3;
    await cell.produce(tricks.map((check) => ({ partition: place, id: `check-${check}`, work: work(check) })));
    const innocents = await produceInnocents();
    await cell.waitFor("their runs", () => tricks.every((check) => cell.starts(`check-${check}`).length === 1));
    await cell.settled();
    expectOnceEach(innocents);
    const parked = await foundIn("parked");
    for (const check of tricks) {
      const id = `check-${check}`;
      expect(cell.starts(id)).toHaveLength(1);
      expect(cell.effectsOf(id)).toEqual([]);
      expect(cell.checks().filter((line) => line.startsWith(`${id} `))).toHaveLength(CHECKS_MAX);
      expect(parked.get(id)).toMatchObject({ "vouch-reason": "unknown" });
      expect(cell.output().replaceAll('\\"', '"')).toContain(texts[check]!);
    }
    await cell.ready();
  },
  LIMIT_MS,
);

/** Tricks that are played at the same time, each in a partition of its own, and what the output says of each. */
const dying: readonly (readonly [name: string, tricks: Partial<Record<HandlerTrick | "check-blocks", RegExp>>])[] = [
  [
    "a handler that ignores its signal, and one that blocks the event loop",
    {
      "ignores-its-signal": watchdogSays(
        "the handler of jobs:\\d:\\d+ neither ended in its time nor obeyed its abort signal; killing process \\d+. " +
          ".* To do: end it when its signal is aborted",
      ),
      blocks: watchdogSays(
        "the handler of jobs:\\d:\\d+ .*the event loop has stood still for \\d+ ms; .* To do: do not compute",
      ),
    },
  ],
  [
    "a handler that kills its process, and a check that blocks the event loop",
    {
      "check-blocks": watchdogSays("the check of jobs:\\d:\\d+ neither ended in its time"),
      "kills-itself": /a task is parked: its runs took their process down/, // it cannot say a word itself
    },
  ],
  [
    "a handler that calls process.exit, and one whose timer throws",
    {
      "exits-with-0":
        /vouch: this process ends while the handler of jobs:\d:\d+ ran, and nobody stopped the node: .* To do: /,
      "throws-in-a-timer": /an error was thrown that nobody caught: thrown in a timer of a handler/,
    },
  ],
];

function watchdogSays(what: string): RegExp {
  return new RegExp(`vouch watchdog: ${what}`);
}

describe("R23: handlers that take their process down are parked as poison, and everything else runs once:", () => {
  test.each(dying)(
    "%s",
    async (_, tricks) => {
      const names = Object.keys(tricks) as (HandlerTrick | "check-blocks")[];
      const work = (name: HandlerTrick | "check-blocks"): Misbehaviour =>
        name === "check-blocks" ? { handler: "kills-itself", runs: 1, check: "blocks" } : { handler: name };
      const earlier = await foundIn("parked");
      const before = await produceInnocents();
      await cell.produce(names.map((id, index) => ({ partition: (index * 2) % PARTITIONS, id, work: work(id) })));
      const after = await produceInnocents();
      await cell.settled();
      const parked = await foundIn("parked");
      expectOnceEach([...before, ...after]);
      for (const id of names) {
        expect(cell.effectsOf(id)).toEqual([]);
        expect(cell.starts(id).length).toBeLessThanOrEqual(UNKNOWN_MAX);
        expect(parked.get(id)).toMatchObject({ "vouch-reason": "poison" });
        expect(cell.output()).toMatch(tricks[id]!);
      }
      expect(new Set(parked.keys())).toEqual(new Set([...earlier.keys(), ...names])); // and nobody else
      await cell.ready();
    },
    2 * LIMIT_MS,
  );
});
