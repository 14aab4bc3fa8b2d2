/** One fetch against a broker that answers what the test says, and when: what may be handed on, and what may not. */

import { expect, test } from "bun:test";
import type ConsumerGroup from "kafkajs/src/consumer/consumerGroup";
import { createErrorFromCode } from "kafkajs/src/protocol/error";
import { decodeFetchResponse } from "../../../src/task-log/kafka/fetch-response.ts";
import { PartitionFetcher } from "../../../src/task-log/kafka/partition-fetcher.ts";
import { PartitionPositions } from "../../../src/task-log/kafka/partition-positions.ts";
import type { Assignment, RecordBatch } from "../../../src/task-log/task-log.ts";
import { type BatchSpec, fetchAnswer, type PartitionSpec, recordBatch } from "./fetch-bytes.ts";
import { quickOptions } from "./recorder.ts";

const ERROR_CODES = {
  outOfRange: 1,
  corruptMessage: 2,
  notLeader: 6,
  forbidden: 29,
  fencedLeaderEpoch: 74,
  unknownLeaderEpoch: 75,
} as const;

function assignmentOf(count: number): Assignment {
  const partitions = Array.from({ length: count }, (_, partition) => {
    return { topic: "t", partition, committed: null, metadata: "", logStart: 0, logEnd: 100 };
  });
  return { generation: 1, memberId: "m", partitions };
}

/** A fetcher for partitions of topic `t`, all at position 0, and a broker whose answer is held back until `answer`. */
function setUp(count = 1) {
  const positions = new PartitionPositions();
  const start = (): void => {
    const assignment = assignmentOf(count);
    const at = assignment.partitions.map(({ partition }) => ({ topic: "t", partition, position: 0, paused: false }));
    positions.replace(assignment, at);
  };
  start();
  const batches: RecordBatch[] = [];
  const problems: string[] = [];
  const details: string[] = [];
  const warnings: string[] = [];
  const requests: unknown[] = [];
  let epochEnds = 1_000; // where the leader says that the epoch asked about ends
  let brokersEpoch = 9; // in which the broker leads
  let epochsAsked = 0;
  let refreshed = 0;
  let answered = Promise.withResolvers<Buffer>();
  let whenDelivered: (batch: RecordBatch) => void = () => undefined;
  const broker = {
    connectionPool: {
      async send(protocol: { request: { apiName: string; encode(): Promise<unknown> } }) {
        if (protocol.request.apiName === "OffsetForLeaderEpoch") {
          epochsAsked++;
          const current = await leaderEpochIn(protocol.request);
          if (current > brokersEpoch) throw createErrorFromCode(ERROR_CODES.unknownLeaderEpoch);
          if (current >= 0 && current < brokersEpoch) throw createErrorFromCode(ERROR_CODES.fencedLeaderEpoch);
          return { leaderEpoch: 0, endOffset: epochEnds };
        }
        requests.push(protocol.request);
        const bytes = await answered.promise;
        answered = Promise.withResolvers<Buffer>();
        return decodeFetchResponse(bytes);
      },
    },
    async listOffsets({ topics }: { topics: { partitions: { partition: number; timestamp: number }[] }[] }) {
      const partitions = topics.flatMap((topic) =>
        topic.partitions.map(({ partition, timestamp }) => ({ partition, offset: timestamp === -2 ? "5" : "50" })),
      );
      return { responses: [{ topic: "t", partitions }] };
    },
  };
  const group = {
    cluster: {
      findTopicPartitionMetadata: () => Array.from({ length: count }, (_, partitionId) => ({ partitionId, leader: 1 })),
      findBroker: async () => broker,
      refreshMetadata: async () => {
        refreshed++;
      },
    },
  } as unknown as ConsumerGroup;
  const fetcher = new PartitionFetcher(quickOptions("g", ["t"]), positions, {
    onBatch: (batch) => {
      batches.push(batch);
      whenDelivered(batch);
    },
    onProblem: (_, partition, problem, detail = "") => {
      problems.push(`${partition} ${problem}`);
      details.push(detail);
    },
    onWarning: (message) => warnings.push(message),
  });
  return {
    positions,
    batches,
    problems,
    details,
    warnings,
    requests,
    start,
    refreshed: () => refreshed,
    epochsAsked: () => epochsAsked,
    leadsIn: (epoch: number) => {
      brokersEpoch = epoch;
    },
    epochEndsAt: (offset: number) => {
      epochEnds = offset;
    },
    onDelivery: (handler: (batch: RecordBatch) => void) => {
      whenDelivered = handler;
    },
    /** Begins a fetch; what is returned waits for `answer`. */
    fetch: (nodeId = "1") => fetcher.fetch(group, nodeId, 1),
    answer: (...partitions: readonly Partial<PartitionSpec>[]) => {
      answered.resolve(fetchAnswer(partitions.map((each) => ({ topic: "t", partition: 0, ...each }))));
    },
  };
}

const records = (...specs: readonly BatchSpec[]): Buffer => Buffer.concat(specs.map(recordBatch));
const three = records({ baseOffset: 0, deltas: [0, 1, 2] });

test("what was fetched is handed on, and the next fetch begins behind it", async () => {
  const { fetch, answer, batches, positions } = setUp();
  const fetching = fetch();
  answer({ records: three });
  expect(await fetching).toBe(true);
  expect(batches).toHaveLength(1);
  expect(batches[0]).toMatchObject({
    topic: "t",
    partition: 0,
    generation: 1,
    fetchedFrom: 0,
    nextPosition: 3,
    logEnd: 100,
  });
  expect(positions.get("t", 0)?.position).toBe(3);
});

test("R14: a batch that was fetched under an old assignment is never handed on", async () => {
  const { fetch, answer, batches, positions, start } = setUp();
  const fetching = fetch();
  await Bun.sleep(1);
  start(); // the same partition at the same position, in a new assignment
  answer({ records: three });
  await fetching;
  expect(batches).toEqual([]);
  expect(positions.get("t", 0)?.position).toBe(0);
});

test("R14: what was fetched before a pause or a seek is not handed on", async () => {
  const paused = setUp();
  const first = paused.fetch();
  await Bun.sleep(1);
  paused.positions.get("t", 0)!.paused = true;
  paused.answer({ records: three });
  await first;
  expect(paused.batches).toEqual([]);

  const sought = setUp();
  const second = sought.fetch();
  await Bun.sleep(1);
  sought.positions.seek("t", 0, 0); // even to the same place
  sought.answer({ records: three });
  await second;
  expect(sought.batches).toEqual([]);
  expect(sought.positions.get("t", 0)?.position).toBe(0);
});

test("a handler that pauses, seeks or ends between two runs of one fetch gets no more of it", async () => {
  const twoRuns = records({ baseOffset: 0, leaderEpoch: 1 }, { baseOffset: 1, leaderEpoch: 2 });
  for (const act of ["pause", "seek", "end"] as const) {
    const { fetch, answer, batches, positions, onDelivery } = setUp();
    onDelivery(() => {
      if (act === "pause") positions.get("t", 0)!.paused = true;
      if (act === "seek") positions.seek("t", 0, 77);
      if (act === "end") positions.clear();
    });
    const fetching = fetch();
    answer({ records: twoRuns });
    await fetching;
    expect(batches.map(({ leaderEpoch }) => leaderEpoch)).toEqual([1]);
    if (act === "seek") expect(positions.get("t", 0)?.position).toBe(77);
  }
});

test("R14: a leader epoch that falls while reading on is a replaced log: the partition stops", async () => {
  const { fetch, answer, batches, problems, positions } = setUp();
  const first = fetch();
  answer({ records: records({ baseOffset: 0, deltas: [0, 1], leaderEpoch: 4 }) });
  await first;
  const second = fetch();
  answer({ records: records({ baseOffset: 2, leaderEpoch: 2 }) });
  await second;
  expect(batches).toHaveLength(1);
  expect(problems).toEqual(["0 truncated"]);
  expect(positions.get("t", 0)).toMatchObject({ position: 2, paused: true });
});

const higher = records({ baseOffset: 3, leaderEpoch: 9, deltas: [0, 1] });

test("E18: a higher leader epoch is handed on only when its leader has what was read before", async () => {
  for (const [end, kept] of [
    [3, true],
    [2, false],
    [-1, true], // it knows no such epoch, and what was read lies before its log's start
  ] as const) {
    const { fetch, answer, batches, problems, details, positions, epochsAsked, epochEndsAt } = setUp();
    const reading = fetch();
    answer({ records: three });
    await reading;
    epochEndsAt(end);
    const first = fetch();
    answer({ records: higher });
    await first;
    expect([batches.length, epochsAsked()]).toEqual([1, 0]); // the next fetch asks
    const second = fetch();
    answer({ records: higher });
    await second;
    expect(epochsAsked()).toBe(1);
    expect(batches.length).toBe(kept ? 2 : 1);
    expect(problems).toEqual(kept ? [] : ["0 truncated"]);
    expect(positions.get("t", 0)).toMatchObject({ position: kept ? 5 : 3, paused: !kept });
    if (!kept) expect(details[0]).toContain("its leader of epoch 9 has them up to 2 only");
  }
});

test("E18: an assignment that tells the epoch read last is held against the leader's, once for each of its epochs", async () => {
  const { fetch, answer, batches, positions, epochsAsked } = setUp();
  const assignment = assignmentOf(1);
  positions.replace(assignment, [{ topic: "t", partition: 0, position: 3, paused: false, leaderEpoch: 4 }]);
  positions.leaderHeardOf("t", 0, 4);
  positions.leaderHeardOf("t", 0, 9);
  for (let i = 0; i < 2; i++) {
    const fetching = fetch();
    answer({ records: i === 0 ? Buffer.alloc(0) : higher });
    await fetching;
    positions.leaderHeardOf("t", 0, 9);
  }
  expect(epochsAsked()).toBe(1);
  expect(batches.map(({ fetchedFrom, nextPosition }) => [fetchedFrom, nextPosition])).toEqual([[3, 5]]);
});

test("E18: a broker that has not heard that it leads no more is not believed; a leader of a later epoch is", async () => {
  const { fetch, answer, positions, problems, refreshed, leadsIn, epochEndsAt } = setUp();
  positions.replace(assignmentOf(1), [{ topic: "t", partition: 0, position: 3, paused: false, leaderEpoch: 4 }]);
  positions.leaderHeardOf("t", 0, 9);
  leadsIn(4); // its log ends where ours does, and the leader of epoch 9 has less
  const zombie = fetch();
  answer({ records: Buffer.alloc(0) });
  await zombie;
  expect([problems.length, refreshed()]).toEqual([0, 1]);
  leadsIn(10);
  epochEndsAt(2);
  const asking = fetch();
  answer({ records: higher });
  await asking;
  expect(problems).toEqual(["0 truncated"]);
});

test("E18: what is known as final above the position must be in the log as well: other records there are never handed on", async () => {
  for (const [end, kept] of [
    [5, true],
    [4, false],
  ] as const) {
    const { fetch, answer, batches, positions, problems, details, epochEndsAt } = setUp();
    const at = { topic: "t", partition: 0, position: 3, paused: false, leaderEpoch: 4, keptTo: 5 };
    positions.replace(assignmentOf(1), [at]);
    epochEndsAt(end);
    const log = records({ baseOffset: 3, leaderEpoch: 4 }, { baseOffset: 4, leaderEpoch: 9, deltas: [0, 1] });
    for (let i = 0; i < 2; i++) {
      const fetching = fetch();
      answer({ records: log });
      await fetching;
    }
    expect(batches.map(({ leaderEpoch }) => leaderEpoch)).toEqual(kept ? [4, 9] : [4]);
    expect(problems).toEqual(kept ? [] : ["0 truncated"]);
    if (!kept) expect(details[0]).toContain("offsets up to 5 were read in leader epoch 4");
  }
});

test("going back by a seek or a new assignment may meet older epochs", async () => {
  const { fetch, answer, batches, problems, positions } = setUp();
  const first = fetch();
  answer({ records: records({ baseOffset: 0, leaderEpoch: 4 }) });
  await first;
  positions.seek("t", 0, 0);
  const second = fetch();
  answer({ records: records({ baseOffset: 0, leaderEpoch: 3 }) });
  await second;
  expect([batches.length, problems.length]).toEqual([2, 0]);
});

test("R14: out of range pauses the partition alone and tells which end it fell off", async () => {
  const { fetch, answer, batches, problems, positions } = setUp(3);
  positions.seek("t", 1, 60); // the log is [5, 50)
  const fetching = fetch();
  answer(
    { partition: 0, errorCode: ERROR_CODES.outOfRange },
    { partition: 1, errorCode: ERROR_CODES.outOfRange },
    { partition: 2, records: three },
  );
  await fetching;
  expect(problems).toEqual(["0 out-of-range", "1 truncated"]);
  expect([0, 1, 2].map((partition) => positions.get("t", partition)?.paused)).toEqual([true, true, false]);
  expect(batches.map(({ partition }) => partition)).toEqual([2]);
});

test("what cannot be decoded pauses its partition alone, behind what can", async () => {
  const { fetch, answer, batches, problems, warnings, positions } = setUp(2);
  const fetching = fetch();
  const damaged = records({ baseOffset: 3, compression: "lz4" });
  damaged[70]! ^= 1;
  answer({ partition: 0, records: Buffer.concat([three, damaged]) }, { partition: 1, records: three });
  await fetching;
  expect(problems).toEqual(["0 unreadable"]);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain("t#0 stands still, since the record batch at offset 3 cannot be read: its checksum");
  expect(positions.get("t", 0)).toMatchObject({ position: 3, paused: true });
  expect(positions.get("t", 1)).toMatchObject({ position: 3, paused: false });
  expect(batches.map(({ partition, nextPosition }) => [partition, nextPosition])).toEqual([
    [0, 3],
    [1, 3],
  ]);
});

test("what the broker cannot read pauses its partition alone", async () => {
  const { fetch, answer, batches, problems, warnings, positions } = setUp(2);
  const fetching = fetch();
  answer({ partition: 0, errorCode: ERROR_CODES.corruptMessage }, { partition: 1, records: three });
  await fetching;
  expect(problems).toEqual(["0 unreadable"]);
  expect(warnings[0]).toContain("its broker answers CORRUPT_MESSAGE at offset 0");
  expect(positions.get("t", 0)).toMatchObject({ position: 0, paused: true });
  expect(batches.map(({ partition }) => partition)).toEqual([1]);
});

test("another leader: the metadata is refreshed, nothing else happens", async () => {
  const { fetch, answer, batches, problems, refreshed, positions } = setUp();
  const fetching = fetch();
  answer({ errorCode: ERROR_CODES.notLeader });
  expect(await fetching).toBe(true);
  expect([refreshed(), batches.length, problems.length, positions.get("t", 0)?.position]).toEqual([1, 0, 0, 0]);
});

test("a forbidden topic is an error that names it", async () => {
  const { fetch, answer } = setUp();
  const fetching = fetch().catch((error: unknown) => error);
  answer({ errorCode: ERROR_CODES.forbidden });
  expect(await fetching).toMatchObject({ type: "TOPIC_AUTHORIZATION_FAILED", retriable: false });
});

test("only unpaused partitions of this leader are asked for, in turns; with none there is no request", async () => {
  const { fetch, answer, requests, positions } = setUp(3);
  positions.get("t", 1)!.paused = true;
  const orders: number[][] = [];
  for (let round = 0; round < 2; round++) {
    const fetching = fetch();
    answer();
    await fetching;
    orders.push(await askedPartitions(requests.at(-1)));
  }
  expect(orders).toEqual([
    [0, 2],
    [2, 0],
  ]);
  expect(await fetch("2")).toBe(false);
  positions.clear();
  expect(await fetch()).toBe(false);
  expect(requests).toHaveLength(2);
});

/** In which epoch the asked one must lead, of an OffsetForLeaderEpoch request, version 3, about topic "t". */
async function leaderEpochIn(request: { encode(): Promise<unknown> }): Promise<number> {
  const { buffer } = (await request.encode()) as { buffer: Buffer };
  return buffer.readInt32BE(4 + 4 + 2 + 1 + 4 + 4);
}

/** Reads a Fetch request, version 11, as kafkajs encodes it: one topic entry a partition. */
async function askedPartitions(request: unknown): Promise<number[]> {
  const { buffer } = await (request as { encode(): Promise<{ buffer: Buffer }> }).encode();
  const count = buffer.readInt32BE(25);
  const entryBytes = 2 + 1 + 4 + 28; // the name "t", one partition of 28 bytes
  return Array.from({ length: count }, (_, index) => buffer.readInt32BE(29 + index * entryBytes + 7));
}
