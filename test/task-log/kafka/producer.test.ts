/** Producer, admin and login on a real broker. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { ConfigurationError, VouchError } from "../../../src/errors.ts";
import { openKafkaTaskLog } from "../../../src/task-log/kafka/index.ts";
import type { TaskAdmin, TaskLog, TaskProducer } from "../../../src/task-log/task-log.ts";
import { type KafkaServer, startKafka } from "../../support/servers/kafka.ts";
import { quickOptions, Recorder } from "./recorder.ts";

setDefaultTimeout(40_000);

let kafka: KafkaServer;
let log: TaskLog;
let admin: TaskAdmin;
let producer: TaskProducer;

beforeAll(async () => {
  kafka = await startKafka({ users: { vouch: "secret" } });
  log = openKafkaTaskLog({ brokers: [kafka.brokers], clientId: "test", onWarning: () => undefined });
  admin = log.admin();
  producer = log.producer();
}, 90_000);

afterAll(async () => {
  await log.close();
  await kafka.stop();
}, 30_000);

async function read(topic: string, count: number): Promise<Recorder> {
  const recorder = new Recorder();
  const consumer = log.consumer(quickOptions(`read-${topic}`, [topic]));
  await consumer.start(recorder);
  await recorder.until(`${count} records`, () => recorder.recordCount >= count);
  await consumer.stop();
  return recorder;
}

test("many sends at once are all written, once, in the order of the calls", async () => {
  await admin.createTopic("many", 2);
  const sends = Array.from({ length: 300 }, (_, index) =>
    producer.send("many", [
      { partition: 0, value: `${index}` },
      { partition: 1, value: `${index}` },
    ]),
  );
  await Promise.all(sends);
  const recorder = await read("many", 600);
  const expected = Array.from({ length: 300 }, (_, index) => `${index}`);
  expect(recorder.values(0)).toEqual(expected);
  expect(recorder.values(1)).toEqual(expected);
});

test("a send larger than a request is split; each record is written once, in order", async () => {
  await admin.createTopic("large", 1);
  const values = Array.from({ length: 2_500 }, (_, index) => `${index}-${"x".repeat(1_000)}`);
  await producer.send(
    "large",
    values.map((value) => ({ value })),
  );
  expect((await read("large", 2_500)).values(0)).toEqual(values);
});

test("a record for a partition that does not exist fails its own send only", async () => {
  await admin.createTopic("foreign", 1);
  const outcomes = await Promise.allSettled([
    producer.send("foreign", [{ partition: 0, value: "before" }]),
    producer.send("foreign", [{ partition: 5, value: "wrong" }]),
    producer.send("foreign", [{ partition: 0, value: "after" }]),
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(outcomes[1]).toMatchObject({
    reason: { code: "task-log", message: expect.stringContaining("no partition 5") },
  });
  expect((await read("foreign", 2)).values(0)).toEqual(["before", "after"]);
});

test("a record that the broker finds too large is an error, and the next one is written", async () => {
  await admin.createTopic("too-large", 1);
  const failed = await producer.send("too-large", [{ value: noise(2_000_000) }]).catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(VouchError);
  expect(failed).toMatchObject({
    code: "task-log",
    retriable: false,
    message: expect.stringMatching(/^writing to too-large failed: .*; to do: raise max\.message\.bytes of too-large$/),
  });
  await producer.send("too-large", [{ value: "small" }]);
  expect((await read("too-large", 1)).values(0)).toEqual(["small"]);
});

/** Nothing compresses it. */
function noise(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}

test("a record that is too large as it is and fits when it is compressed is written", async () => {
  await admin.createTopic("compressible", 1);
  const value = "x".repeat(2_000_000);
  await producer.send("compressible", [{ value }]);
  await producer.send("compressible", [{ value: "small" }]);
  const values = (await read("compressible", 2)).values(0);
  expect([values[0] === value, values[1]]).toEqual([true, "small"]);
});

test("a topic that is to hold another one's records takes them with more headers", async () => {
  await admin.createTopic("source", 1);
  await admin.createTopic("source.dead", 1, "source");
  await admin.createTopic("nobody.dead", 1, "nobody"); // of which nothing is known
  const value = noise(1_048_588 - 200); // what a broker takes by default, less its envelope
  await producer.send("source", [{ value }]);
  const headers = { why: noise(10_000) };
  await producer.send("source.dead", [{ value, headers }]);
  const failed = await producer.send("nobody.dead", [{ value, headers }]).catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(VouchError);
});

test("a right password consumes and produces; a wrong one is fatal and says so", async () => {
  await admin.createTopic("login", 1);
  const login = (password: string): TaskLog =>
    openKafkaTaskLog({
      brokers: [kafka.saslBrokers],
      clientId: "login",
      onWarning: () => undefined,
      sasl: { mechanism: "plain", username: "vouch", password },
    });
  const right = login("secret");
  const good = new Recorder();
  await right.producer().send("login", [{ value: "hello" }]);
  await right.consumer(quickOptions("login", ["login"])).start(good);
  await good.until("the record", () => good.recordCount === 1);
  await right.close();

  const wrong = login("guess");
  const bad = new Recorder();
  await wrong.consumer(quickOptions("login", ["login"])).start(bad);
  await bad.until("the end", () => bad.fatals.length > 0);
  expect(bad.fatals[0]?.message).toMatch(/authentication failed/i);
  expect(bad.assignments).toEqual([]);
  const failed = await wrong
    .producer()
    .send("login", [{ value: "x" }])
    .catch((error: unknown) => error);
  expect(failed).toMatchObject({ code: "task-log", retriable: false });
  await wrong.close();
});

test("brokers that are no host:port are a configuration error", () => {
  for (const brokers of [[], ["localhost"], ["localhost:x"], ["a b:1"]]) {
    expect(() => openKafkaTaskLog({ brokers, clientId: "x", onWarning: () => undefined })).toThrow(ConfigurationError);
  }
});

test("a consumer whose options contradict each other is a configuration error that names all of them", () => {
  const options = { ...quickOptions("", []), heartbeatIntervalMs: 6_000 };
  expect(() => log.consumer(options)).toThrow(/3 configuration error/);
});

test("a closed task log opens nothing more", async () => {
  const closed = openKafkaTaskLog({ brokers: [kafka.brokers], clientId: "x", onWarning: () => undefined });
  await closed.close();
  await closed.close();
  expect(() => closed.consumer(quickOptions("g", ["t"]))).toThrow(VouchError);
  expect(() => closed.producer()).toThrow(VouchError);
  expect(() => closed.admin()).toThrow(VouchError);
});
