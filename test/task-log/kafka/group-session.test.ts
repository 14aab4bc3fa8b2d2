/** The gate of a session, driven as kafkajs would with several brokers: joins and fetches that overlap. */

import { afterEach, expect, test } from "bun:test";
import type ConsumerGroup from "kafkajs/src/consumer/consumerGroup";
import { decodeFetchResponse } from "../../../src/task-log/kafka/fetch-response.ts";
import { GroupSession } from "../../../src/task-log/kafka/group-session.ts";
import { NO_OWNERSHIP } from "../../../src/task-log/kafka/sticky-assigner.ts";
import type { RecordBatch } from "../../../src/task-log/task-log.ts";
import { fetchAnswer, recordBatch } from "./fetch-bytes.ts";
import { fromCommitted, quickOptions } from "./recorder.ts";

let sessions: GroupSession[] = [];

afterEach(async () => {
  await Promise.all(sessions.map((session) => session.close({ leave: false })));
  sessions = [];
});

/** A session that was never opened, a group of two brokers that lead a partition each, and what the handlers saw. */
function setUp() {
  const seen: string[] = [];
  const batches: RecordBatch[] = [];
  const answers = new Map<string, PromiseWithResolvers<Buffer>>();
  let listing = true;
  const assigning = { gate: Promise.resolve() };
  const session = new GroupSession(
    { brokers: ["127.0.0.1:1"], clientId: "test" },
    { ...quickOptions("g", ["t"]), sessionTimeoutMs: 300 },
    {
      onRevoke: async () => void seen.push("revoke"),
      onAssign: async ({ generation, partitions }) => {
        await assigning.gate;
        seen.push(`assign ${generation}`);
        return partitions.map(fromCommitted);
      },
      onBatch: (batch) => {
        seen.push(`batch ${batch.partition}`);
        batches.push(batch);
      },
      onProblem: () => undefined,
      onWarning: () => undefined,
      onMissing: () => undefined,
    },
    { memberId: null, ownership: NO_OWNERSHIP },
  );
  sessions.push(session);
  const brokerOf = (nodeId: string) => ({
    connectionPool: {
      async send() {
        const held = Promise.withResolvers<Buffer>();
        answers.set(nodeId, held);
        return decodeFetchResponse(await held.promise);
      },
    },
    async listOffsets({ topics }: { topics: { topic: string; partitions: { partition: number }[] }[] }) {
      if (!listing) throw new Error("the leader does not answer");
      return {
        responses: topics.map(({ topic, partitions }) => ({
          topic,
          partitions: partitions.map(({ partition }) => ({ partition, offset: "0" })),
        })),
      };
    },
  });
  const membership = { generationId: 0, memberId: "m" };
  const group = {
    groupId: "g",
    memberId: "m",
    get offsetManager() {
      return { ...membership };
    },
    coordinator: { offsetFetch: async () => ({ responses: [] }) },
    assigned: () => [{ topic: "t", partitions: [0, 1] }],
    checkForStaleAssignment: () => undefined,
    recoverFromFetch: async (error: unknown) => {
      throw error;
    },
    cluster: {
      findTopicPartitionMetadata: () => [0, 1].map((partitionId) => ({ partitionId, leader: partitionId })),
      findBroker: async ({ nodeId }: { nodeId: string }) => brokerOf(nodeId),
      refreshMetadata: async () => undefined,
      refreshMetadataIfNecessary: async () => undefined,
    },
  } as unknown as ConsumerGroup;
  let joins = 0;
  return {
    session,
    group,
    seen,
    batches,
    joins: () => joins,
    holdAssign: (gate: Promise<void>) => {
      assigning.gate = gate;
    },
    setListing: (works: boolean) => {
      listing = works;
    },
    join: () =>
      session.join(group, async () => {
        joins++;
        membership.generationId++;
        await Bun.sleep(1);
      }),
    answer: (partition: number) => {
      const records = recordBatch({ baseOffset: 0 });
      answers.get(String(partition))?.resolve(fetchAnswer([{ topic: "t", partition, records }]));
    },
  };
}

test("R14: what another broker answers after a join has begun is not handed on, neither in it nor after it", async () => {
  const { session, group, seen, batches, join, answer, holdAssign } = setUp();
  await join();
  const first = session.fetch(group, "0");
  const second = session.fetch(group, "1");
  await Bun.sleep(5); // both requests are on their way
  answer(0);
  await first;
  expect(batches.map(({ partition, generation }) => [partition, generation])).toEqual([[0, 1]]);

  const assigned = Promise.withResolvers<void>();
  holdAssign(assigned.promise);
  const joining = join();
  answer(1); // fetched in generation 1, comes while generation 2 is being assigned
  await second;
  assigned.resolve();
  await joining;
  expect(seen).toEqual(["revoke", "assign 1", "batch 0", "revoke", "assign 2"]);

  const third = session.fetch(group, "1");
  await Bun.sleep(5);
  answer(1);
  await third;
  expect(batches.at(-1)).toMatchObject({ partition: 1, generation: 2, fetchedFrom: 0 });
});

test("R14: a fetch that another broker's loop begins during a join asks for nothing", async () => {
  const { session, group, seen, join, holdAssign } = setUp();
  const assigned = Promise.withResolvers<void>();
  holdAssign(assigned.promise);
  const joining = join();
  const fetching = session.fetch(group, "0");
  await Bun.sleep(5);
  assigned.resolve();
  await Promise.all([joining, fetching]);
  expect(seen).toEqual(["revoke", "assign 1"]);
});

test("two joins at once are one", async () => {
  const { join, joins, seen } = setUp();
  await Promise.all([join(), join()]);
  expect(joins()).toBe(1);
  expect(seen).toEqual(["revoke", "assign 1"]);
});

test("R14: a join whose positions could not be asked for leaves the gate closed; the next fetch asks to join again", async () => {
  const { session, group, seen, join, setListing } = setUp();
  setListing(false);
  const failed = await join().catch((error: unknown) => error);
  expect(String(failed)).toContain("the leader does not answer");
  const asked = await session.fetch(group, "0").catch((error: unknown) => error);
  expect(asked).toMatchObject({ type: "REBALANCE_IN_PROGRESS" });
  setListing(true);
  await join();
  expect(seen).toEqual(["revoke", "revoke", "assign 2"]);
});

test("after suspend nothing is handed on, and neither fetch nor join goes on", async () => {
  const { session, group, seen, join, answer } = setUp();
  await join();
  const fetching = session.fetch(group, "0");
  await Bun.sleep(5);
  session.suspend();
  answer(0);
  await fetching;
  expect(await session.fetch(group, "0").catch((error: unknown) => String(error))).toContain("stopping");
  expect(await join().catch((error: unknown) => String(error))).toContain("stopping");
  expect(seen).toEqual(["revoke", "assign 1"]);
});
