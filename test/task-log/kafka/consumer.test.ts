/** The consumer on a real broker: a test for each trap of kafkajs that src/task-log/kafka closes. */

import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { CompressionTypes, Kafka, logLevel } from "kafkajs";
import { openKafkaTaskLog } from "../../../src/task-log/kafka/index.ts";
import type { TaskAdmin, TaskConsumer, TaskLog, TaskProducer } from "../../../src/task-log/task-log.ts";
import { type KafkaServer, startKafka } from "../../support/servers/kafka.ts";
import { fromCommitted, quickOptions, Recorder } from "./recorder.ts";

setDefaultTimeout(40_000);

let kafka: KafkaServer;
let log: TaskLog;
let admin: TaskAdmin;
let producer: TaskProducer;
let plain: Kafka; // kafkajs without our port, for what the port cannot do
let started: TaskConsumer[] = [];
let topicNumber = 0;

beforeAll(async () => {
  kafka = await startKafka();
  log = openKafkaTaskLog({ brokers: [kafka.brokers], clientId: "test", onWarning: () => undefined });
  admin = log.admin();
  producer = log.producer();
  plain = new Kafka({ brokers: [kafka.brokers], clientId: "plain", logLevel: logLevel.NOTHING });
}, 90_000);

afterEach(async () => {
  await Promise.all(started.map((consumer) => consumer.stop()));
  started = [];
});

afterAll(async () => {
  await log.close();
  await kafka.stop();
}, 30_000);

async function newTopic(partitions: number): Promise<string> {
  const topic = `topic-${topicNumber++}`;
  await admin.createTopic(topic, partitions);
  return topic;
}

async function fill(topic: string, partition: number, count: number, prefix = ""): Promise<void> {
  await producer.send(
    topic,
    Array.from({ length: count }, (_, index) => ({ partition, value: `${prefix}${index}` })),
  );
}

async function consume(groupId: string, topic: string, recorder: Recorder): Promise<TaskConsumer> {
  const consumer = log.consumer(quickOptions(groupId, [topic]));
  started.push(consumer);
  await consumer.start(recorder);
  return consumer;
}

test("records come whole, in order, contiguous by fetch position", async () => {
  const topic = await newTopic(2);
  await producer.send(topic, [
    { partition: 0, key: "k", value: "first", headers: { "task-id": "t-1", raw: new Uint8Array([1, 2]) } },
    { partition: 0, key: null, value: null },
    { partition: 0, key: new Uint8Array([0, 255]), value: new Uint8Array(0) },
  ]);
  await fill(topic, 1, 2_500);
  const recorder = new Recorder();
  await consume("whole", topic, recorder);
  await recorder.until("all records", () => recorder.recordCount === 2_503);

  const [first, second, third] = recorder.batches.filter((batch) => batch.partition === 0).flatMap((b) => b.records);
  expect(first?.offset).toBe(0);
  expect(Buffer.from(first!.key!).toString()).toBe("k");
  expect(Buffer.from(first!.value!).toString()).toBe("first");
  expect(Object.keys(first!.headers)).toEqual(["task-id", "raw"]);
  expect(Buffer.from(first!.headers["task-id"]!).toString()).toBe("t-1");
  expect([...first!.headers["raw"]!]).toEqual([1, 2]);
  expect(Math.abs(first!.timestampMs - Date.now())).toBeLessThan(60_000);
  expect([second!.key, second!.value]).toEqual([null, null]);
  expect([...third!.key!]).toEqual([0, 255]);
  expect(third!.value!.length).toBe(0);

  let position = 0;
  for (const batch of recorder.batches.filter((each) => each.partition === 1)) {
    expect(batch.fetchedFrom).toBe(position);
    expect(batch.records.map(({ offset }) => offset)).toEqual(
      Array.from({ length: batch.nextPosition - position }, (_, index) => position + index),
    );
    expect(batch.leaderEpoch).toBe(0);
    expect(batch.logEnd).toBeGreaterThanOrEqual(batch.nextPosition);
    expect(batch.generation).toBe(recorder.assignment.generation);
    position = batch.nextPosition;
  }
  expect(position).toBe(2_500);
});

test("R14: offset and metadata of the last commit come with the assignment, together with the log's bounds", async () => {
  const topic = await newTopic(2);
  await fill(topic, 0, 10);
  const metadata = "m".repeat(4_000);
  const before = new Recorder();
  const first = await consume("committed", topic, before);
  await before.until("an assignment", () => before.assignments.length === 1);
  expect(before.assignment.partitions).toMatchObject([
    { topic, partition: 0, committed: null, metadata: "", logStart: 0, logEnd: 10 },
    { topic, partition: 1, committed: null, metadata: "", logStart: 0, logEnd: 0 },
  ]);
  const commit = [{ topic, partition: 0, position: 7, metadata }];
  expect(await first.commit(before.assignment.generation, commit)).toEqual({ outcome: "committed" });
  await first.stop();

  const after = new Recorder();
  await consume("committed", topic, after);
  await after.until("the rest", () => after.recordCount === 3);
  expect(after.assignment.partitions[0]).toMatchObject({
    topic,
    partition: 0,
    committed: 7,
    metadata,
    logStart: 0,
    logEnd: 10,
  });
  expect(after.values(0)).toEqual(["7", "8", "9"]);
  expect(await admin.groupOffsets("committed", topic)).toEqual([
    { partition: 0, committed: 7, metadata, logStart: 0, logEnd: 10 },
    { partition: 1, committed: null, metadata: "", logStart: 0, logEnd: 0 },
  ]);
});

test("R14: metadata that the broker does not take is a fatal commit, and commits nothing", async () => {
  const topic = await newTopic(1);
  const recorder = new Recorder();
  const consumer = await consume("too-large", topic, recorder);
  await recorder.until("an assignment", () => recorder.assignments.length === 1);
  const commit = [{ topic, partition: 0, position: 0, metadata: "m".repeat(5_000) }];
  const outcome = await consumer.commit(recorder.assignment.generation, commit);
  expect(outcome).toMatchObject({ outcome: "fatal", reason: expect.stringContaining("OFFSET_METADATA_TOO_LARGE") });
  expect((await admin.groupOffsets("too-large", topic))[0]?.committed).toBeNull();
});

test("R14: a commit inside the revoke barrier counts, and the next owner begins behind it", async () => {
  const topic = await newTopic(2);
  await fill(topic, 0, 20);
  await fill(topic, 1, 20);
  const a = new Recorder();
  const first = await consume("revoke", topic, a);
  await a.until("everything", () => a.recordCount === 40);
  const { generation } = a.assignment;
  a.whenRevoked = async () => {
    a.whenRevoked = async () => undefined;
    const commits = [0, 1].map((partition) => ({ topic, partition, position: 20, metadata: `p${partition}` }));
    expect(await first.commit(generation, commits)).toEqual({ outcome: "committed" });
  };

  const b = new Recorder();
  await consume("revoke", topic, b);
  await b.until("an assignment", () => b.assignments.length > 0 && b.owned().length === 1);
  await a.until("a smaller assignment", () => a.owned().length === 1);
  expect(new Set([...a.owned(), ...b.owned()])).toEqual(new Set([0, 1]));
  for (const { committed, metadata, partition } of [...a.assignment.partitions, ...b.assignment.partitions]) {
    expect([committed, metadata]).toEqual([20, `p${partition}`]);
  }
  expect(b.recordCount).toBe(0);
  expect(a.recordCount).toBe(40);
});

test("R14: a commit of a generation that is over is refused and leaves the new owner's commit alone", async () => {
  const topic = await newTopic(2);
  await fill(topic, 0, 200);
  await fill(topic, 1, 200);
  const a = new Recorder();
  const first = await consume("fence", topic, a);
  await a.until("an assignment", () => a.assignments.length === 1);
  const old = a.assignment.generation;
  const b = new Recorder();
  const second = await consume("fence", topic, b);
  await b.until("a share", () => b.assignments.length > 0 && b.owned().length === 1);
  await a.until("a share", () => a.owned().length === 1);

  const moved = b.owned()[0]!;
  const newer = [{ topic, partition: moved, position: 100, metadata: "owner" }];
  expect(await second.commit(b.assignment.generation, newer)).toEqual({ outcome: "committed" });
  const stale = [{ topic, partition: moved, position: 7, metadata: "zombie" }];
  expect(await first.commit(old, stale)).toMatchObject({ outcome: "refused" });
  const [found] = (await admin.groupOffsets("fence", topic)).filter(({ partition }) => partition === moved);
  expect(found).toMatchObject({ committed: 100, metadata: "owner" });
});

test("R14: nothing is delivered from the begin of the revoke barrier to the end of the assign barrier", async () => {
  const topic = await newTopic(4);
  for (let partition = 0; partition < 4; partition++) await fill(topic, partition, 500);
  const a = new Recorder();
  a.whenRevoked = () => Bun.sleep(150);
  a.whenAssigned = async ({ partitions }) => {
    await Bun.sleep(150);
    return partitions.map(fromCommitted);
  };
  await consume("barrier", topic, a);
  await a.until("the first records", () => a.recordCount > 0);
  const b = new Recorder();
  await consume("barrier", topic, b);
  await b.until("a share", () => b.assignments.length > 0 && b.owned().length === 2);
  await a.until(
    "its share again",
    () => a.owned().length === 2 && a.batches.at(-1)?.generation === a.assignment.generation,
  );
  expect(a.deliveredAtBarrier).toBe(0);
  // What was kept is delivered again from its committed position, under the new generation.
  const again = a.batches.filter(({ generation }) => generation === a.assignment.generation);
  expect(new Set(again.map(({ partition }) => partition))).toEqual(new Set(a.owned()));
  for (const partition of a.owned()) {
    expect(again.find((batch) => batch.partition === partition)?.fetchedFrom).toBe(0);
  }
});

test("R14: a seek or pause for a partition that left does not act when it comes back", async () => {
  const topic = await newTopic(2);
  await fill(topic, 0, 300);
  await fill(topic, 1, 300);
  const a = new Recorder();
  const first = await consume("comes-back", topic, a);
  await a.until("everything", () => a.recordCount === 600);
  const commits = [0, 1].map((partition) => ({ topic, partition, position: 10, metadata: "" }));
  expect(await first.commit(a.assignment.generation, commits)).toEqual({ outcome: "committed" });

  const b = new Recorder();
  const second = await consume("comes-back", topic, b);
  await b.until("a share", () => b.assignments.length > 0 && b.owned().length === 1);
  await a.until("a share", () => a.owned().length === 1);
  const left = b.owned()[0]!;
  first.seek(topic, left, 250);
  first.pause(topic, left);
  await second.stop();
  await a.until("both again", () => a.owned().length === 2);
  const { generation } = a.assignment;
  await a.until("it is read", () =>
    a.batches.some((batch) => batch.generation === generation && batch.partition === left),
  );
  const again = a.batches.filter((batch) => batch.generation === generation && batch.partition === left);
  expect(again[0]?.fetchedFrom).toBe(10);
  expect(again.flatMap(({ records }) => records)[0]?.offset).toBe(10);
});

test("the sticky assigner moves only what balance needs, through real joins and leaves", async () => {
  const topic = await newTopic(6);
  const a = new Recorder();
  await consume("sticky", topic, a);
  await a.until("all", () => a.assignments.length > 0 && a.owned().length === 6);
  const b = new Recorder();
  const second = await consume("sticky", topic, b);
  await b.until("half", () => b.assignments.length > 0 && b.owned().length === 3);
  await a.until("half", () => a.owned().length === 3);
  const kept = a.owned();
  const moved = b.owned();
  const c = new Recorder();
  await consume("sticky", topic, c);
  await c.until("a third", () => c.assignments.length > 0 && c.owned().length === 2);
  await a.until("a third", () => a.owned().length === 2);
  await b.until("a third", () => b.owned().length === 2);
  expect(a.owned().every((partition) => kept.includes(partition))).toBe(true);
  expect(b.owned().every((partition) => moved.includes(partition))).toBe(true);
  const beforeLeave = [a.owned(), c.owned()];
  await second.stop();
  await a.until("half again", () => a.owned().length === 3);
  await c.until("half again", () => c.owned().length === 3);
  expect(beforeLeave[0]!.every((partition) => a.owned().includes(partition))).toBe(true);
  expect(beforeLeave[1]!.every((partition) => c.owned().includes(partition))).toBe(true);
});

test("pause delivers nothing more, resume goes on where it was, seek begins where it says", async () => {
  const topic = await newTopic(2);
  await fill(topic, 0, 100);
  const recorder = new Recorder();
  const consumer = await consume("pause", topic, recorder);
  await recorder.until("all", () => recorder.recordCount === 100);
  consumer.pause(topic, 0);
  await fill(topic, 0, 50, "late-");
  await fill(topic, 1, 5);
  await recorder.until("the other partition", () => recorder.values(1).length === 5);
  await Bun.sleep(300);
  expect(recorder.values(0)).toHaveLength(100);

  consumer.resume(topic, 0);
  await recorder.until("what came meanwhile", () => recorder.values(0).length === 150);
  expect(recorder.values(0).slice(100)).toEqual(Array.from({ length: 50 }, (_, index) => `late-${index}`));

  consumer.seek(topic, 0, 140);
  await recorder.until("the repetition", () => recorder.values(0).length === 160);
  expect(recorder.values(0).slice(150)).toEqual(Array.from({ length: 10 }, (_, index) => `late-${40 + index}`));
});

test("a handler that pauses inside a delivery gets nothing more of that partition", async () => {
  const topic = await newTopic(1);
  const recorder = new Recorder();
  recorder.whenDelivered = () => consumer.pause(topic, 0);
  const consumer = await consume("inside", topic, recorder);
  await recorder.until("an assignment", () => recorder.assignments.length === 1);
  await fill(topic, 0, 10);
  await recorder.until("the first", () => recorder.recordCount > 0);
  const count = recorder.recordCount;
  await fill(topic, 0, 10);
  await Bun.sleep(400);
  expect(recorder.recordCount).toBe(count);
});

test("R14: positions that onAssign pauses are kept but not read", async () => {
  const topic = await newTopic(2);
  await fill(topic, 0, 10);
  await fill(topic, 1, 10);
  const recorder = new Recorder();
  recorder.whenAssigned = async ({ partitions }) =>
    partitions.map(({ partition }) => ({ topic, partition, position: 4, paused: partition === 1 }));
  const consumer = await consume("paused", topic, recorder);
  await recorder.until("one partition", () => recorder.values(0).length === 6);
  await Bun.sleep(300);
  expect(recorder.values(1)).toEqual([]);
  consumer.resume(topic, 1);
  await recorder.until("the other one", () => recorder.values(1).length === 6);
  expect(recorder.values(1)[0]).toBe("4");
});

test("R14: aborted records and control records move the position on without a record", async () => {
  const topic = await newTopic(1);
  const transactional = plain.producer({ transactionalId: "tx", idempotent: true, maxInFlightRequests: 1 });
  await transactional.connect();
  try {
    await fill(topic, 0, 3, "before-");
    const aborted = await transactional.transaction();
    await aborted.send({
      topic,
      messages: [
        { partition: 0, value: "aborted-0" },
        { partition: 0, value: "aborted-1" },
      ],
    });
    await aborted.abort();
    const committed = await transactional.transaction();
    await committed.send({ topic, messages: [{ partition: 0, value: "committed" }] });
    await committed.commit();
  } finally {
    await transactional.disconnect();
  }
  // 0-2 before, 3-4 aborted, 5 control, 6 committed, 7 control.
  const recorder = new Recorder();
  const consumer = await consume("control", topic, recorder);
  await recorder.until("the end", () => recorder.batches.at(-1)?.nextPosition === 8);
  expect(recorder.values(0)).toEqual(["before-0", "before-1", "before-2", "committed"]);
  expect(recorder.batches.flatMap(({ records }) => records.map(({ offset }) => offset))).toEqual([0, 1, 2, 6]);

  consumer.seek(topic, 0, 7); // from here on there is a control record only
  const seen = recorder.batches.length;
  await recorder.until("the control record", () => recorder.batches.length > seen);
  expect(recorder.batches.at(-1)).toMatchObject({ fetchedFrom: 7, nextPosition: 8, records: [], logEnd: 8 });
});

test("R14: a position outside the log pauses the partition, says so, and commits nothing", async () => {
  const topic = await newTopic(3);
  for (const partition of [0, 1, 2]) await fill(topic, partition, 10);
  const plainAdmin = plain.admin();
  await plainAdmin.connect();
  await plainAdmin.fetchTopicOffsets(topic); // loads the metadata that the next call stands on
  await plainAdmin.deleteTopicRecords({ topic, partitions: [{ partition: 1, offset: "5" }] });
  await plainAdmin.disconnect();
  const recorder = new Recorder();
  recorder.whenAssigned = async ({ partitions }) =>
    partitions.map(({ partition }) => ({ topic, partition, position: partition === 0 ? 1_000 : 2, paused: false }));
  const consumer = await consume("range", topic, recorder);
  await recorder.until("both problems", () => recorder.problems.length === 2);
  await recorder.until("the healthy one", () => recorder.values(2).length === 8);
  expect(recorder.problems.toSorted((a, b) => a.partition - b.partition)).toEqual([
    { topic, partition: 0, problem: "truncated" },
    { topic, partition: 1, problem: "out-of-range" },
  ]);
  expect(recorder.assignment.partitions.map(({ logStart }) => logStart)).toEqual([0, 5, 0]);
  await Bun.sleep(400);
  expect(recorder.problems).toHaveLength(2);
  expect((await admin.groupOffsets("range", topic)).map(({ committed }) => committed)).toEqual([null, null, null]);

  consumer.seek(topic, 1, 5);
  consumer.resume(topic, 1);
  await recorder.until("it goes on", () => recorder.values(1).length === 5);
  expect(recorder.values(1)[0]).toBe("5");
});

test("records that a producer compressed with gzip are read", async () => {
  const topic = await newTopic(1);
  const gzip = plain.producer({
    createPartitioner:
      () =>
      ({ message }) =>
        message.partition ?? 0,
  });
  await gzip.connect();
  await gzip.send({
    topic,
    compression: CompressionTypes.GZIP,
    messages: Array.from({ length: 50 }, (_, index) => ({ partition: 0, key: "k", value: `zipped-${index}` })),
  });
  await gzip.disconnect();
  const recorder = new Recorder();
  await consume("gzip", topic, recorder);
  await recorder.until("all", () => recorder.recordCount === 50);
  expect(recorder.values(0).at(-1)).toBe("zipped-49");
});

test("a topic that is missing is reported, and read as soon as it exists", async () => {
  const topic = `topic-${topicNumber++}`;
  const recorder = new Recorder();
  const consumer = log.consumer(quickOptions("missing", [topic]));
  started.push(consumer);
  const starting = consumer.start(recorder);
  await recorder.until("the report", () => recorder.problems.length > 0);
  expect(recorder.problems).toEqual([{ topic, partition: -1, problem: "missing-topic" }]);
  await admin.createTopic(topic, 1);
  await fill(topic, 0, 3);
  await starting;
  await recorder.until("all", () => recorder.recordCount === 3);
  expect(recorder.warnings.some((warning) => warning.includes(`topic ${topic} does not exist`))).toBe(true);
  expect(recorder.problems).toHaveLength(1);
});

test("a missing topic does not keep the others waiting", async () => {
  const present = await newTopic(1);
  const missing = `topic-${topicNumber++}`;
  await fill(present, 0, 3);
  const recorder = new Recorder();
  const consumer = log.consumer(quickOptions("some-missing", [missing, present]));
  started.push(consumer);
  await consumer.start(recorder);
  await recorder.until("what is there", () => recorder.recordCount === 3);
  expect(recorder.problems).toEqual([{ topic: missing, partition: -1, problem: "missing-topic" }]);
  await admin.createTopic(missing, 1);
  await fill(missing, 0, 2);
  await recorder.until("the late one", () => recorder.batches.some(({ topic }) => topic === missing));
});

test("a topic that is deleted while it is read is reported; its successor is read from its own start", async () => {
  const topic = await newTopic(1);
  await fill(topic, 0, 5);
  const recorder = new Recorder();
  const consumer = await consume("deleted", topic, recorder);
  await recorder.until("all", () => recorder.recordCount === 5);
  const commit = [{ topic, partition: 0, position: 5, metadata: "of the first" }];
  expect(await consumer.commit(recorder.assignment.generation, commit)).toEqual({ outcome: "committed" });
  const plainAdmin = plain.admin();
  await plainAdmin.connect();
  await plainAdmin.deleteTopics({ topics: [topic] });
  await plainAdmin.disconnect();
  await recorder.until("the report", () => recorder.problems.length > 0);
  expect(recorder.problems).toEqual([{ topic, partition: -1, problem: "missing-topic" }]);
  await admin.createTopic(topic, 1);
  await fill(topic, 0, 2, "successor-");
  await recorder.until("the successor", () => recorder.recordCount === 7);
  expect(recorder.assignment.partitions[0]).toMatchObject({ committed: null, metadata: "" });
  const ids = recorder.assignments.flatMap(({ partitions }) => partitions.map(({ topicId }) => topicId));
  expect(new Set(ids).size).toBe(2); // by which the caller knows that it is another topic
  expect(ids[0]).toMatch(/^[0-9a-f]{32}$/);
  expect(recorder.values(0).slice(5)).toEqual(["successor-0", "successor-1"]);
  expect(recorder.fatals).toEqual([]);
});

test("an error of a handler is fatal, says which, and leaves the group at once", async () => {
  const topic = await newTopic(1);
  const recorder = new Recorder();
  recorder.whenAssigned = async () => {
    throw new Error("a bug in the caller");
  };
  const failing = log.consumer({
    ...quickOptions("bug", [topic]),
    sessionTimeoutMs: 60_000,
    rebalanceTimeoutMs: 60_000,
  });
  started.push(failing);
  await failing.start(recorder);
  await recorder.until("the end", () => recorder.fatals.length > 0);
  expect(recorder.fatals[0]?.message).toContain("a bug in the caller");
  const other = new Recorder();
  await consume("bug", topic, other); // would wait for the ghost's session otherwise
  await other.until("an assignment", () => other.assignments.length > 0);
  expect(recorder.fatals).toHaveLength(1);
});

test("stop runs the revoke barrier once, leaves the group at once, and refuses what comes later", async () => {
  const topic = await newTopic(1);
  const a = new Recorder();
  const first = await consume("leave", topic, a);
  await a.until("an assignment", () => a.assignments.length === 1);
  const { generation } = a.assignment;
  const revokes = a.revokes;
  const commit = [{ topic, partition: 0, position: 0, metadata: "last" }];
  a.whenRevoked = async () => {
    expect(await first.commit(generation, commit)).toEqual({ outcome: "committed" });
  };
  await Promise.all([first.stop(), first.stop()]);
  expect(a.revokes).toBe(revokes + 1);
  expect(await first.commit(generation, commit)).toMatchObject({ outcome: "refused" });
  const b = new Recorder();
  const startedMs = performance.now();
  await consume("leave", topic, b);
  await b.until("an assignment", () => b.assignments.length === 1);
  expect(b.assignment.partitions[0]?.metadata).toBe("last");
  expect(performance.now() - startedMs).toBeLessThan(5_000); // the session is 6,000: it was not waited for
});

test("R19: a member that names another cluster is not let into the group, and is told why in words", async () => {
  const topic = await newTopic(1);
  const a = new Recorder();
  const first = log.consumer({ ...quickOptions("one-cell", [topic]), clusterUuid: "a".repeat(32) });
  started.push(first);
  await first.start(a);
  await a.until("an assignment", () => a.assignments.length === 1);
  const b = new Recorder();
  const second = log.consumer({ ...quickOptions("one-cell", [topic]), clusterUuid: "b".repeat(32) });
  started.push(second);
  void second.start(b);
  await b.until("a word", () => b.warnings.some((text) => text.includes("is in use by another cell")));
  expect(b.assignments).toEqual([]);
  expect(a.assignments.length).toBe(1); // not disturbed
  await first.stop();
  await b.until("its turn", () => b.assignments.length === 1);
});

test("partitions that are added are read within seconds, not after kafkajs's minute", async () => {
  const topic = await newTopic(1);
  const recorder = new Recorder();
  await consume("grows", topic, recorder);
  await recorder.until("an assignment", () => recorder.assignments.length === 1);
  const plainAdmin = plain.admin();
  await plainAdmin.connect();
  await plainAdmin.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
  await plainAdmin.disconnect();
  await recorder.until("all of them", () => recorder.owned().length === 3);
});
