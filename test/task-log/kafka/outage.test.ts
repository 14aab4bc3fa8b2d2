/** What the Kafka task log does while brokers are not there, silent, or come back. */

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import RequestQueue from "kafkajs/src/network/requestQueue";
import { openKafkaTaskLog } from "../../../src/task-log/kafka/index.ts";
import type { TaskLog } from "../../../src/task-log/task-log.ts";
import { type KafkaServer, startKafka } from "../../support/servers/kafka.ts";
import { freePort } from "../../support/servers/processes.ts";
import { quickOptions, Recorder } from "./recorder.ts";

setDefaultTimeout(60_000);

let kafka: KafkaServer;

beforeAll(async () => {
  kafka = await startKafka();
}, 90_000);

afterAll(() => kafka.stop(), 30_000);

function open(brokers = kafka.brokers, warnings: string[] = []): TaskLog {
  return openKafkaTaskLog({ brokers: [brokers], clientId: "outage", onWarning: (message) => warnings.push(message) });
}

/** How many connections of this process to the broker are established. */
function openConnections(): number {
  const ours = new Set(readdirSync("/proc/self/fd").map(socketOf));
  const remotePort = kafka.port.toString(16).toUpperCase().padStart(4, "0");
  return readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , remote, state, , , , , , inode]) => {
      return state === "01" && remote?.endsWith(`:${remotePort}`) === true && ours.has(`socket:[${inode}]`);
    }).length;
}

function socketOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return ""; // closed meanwhile: the listing's own
  }
}

/** Passes connections on to the broker from a port that may appear late. */
async function proxy(port: number): Promise<Server> {
  const server = createServer((client) => {
    const upstream = connect({ host: "127.0.0.1", port: kafka.port });
    client.pipe(upstream).pipe(client);
    client.on("error", () => upstream.destroy());
    upstream.on("error", () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return server;
}

test("no broker answers: the warning names the address, start goes on trying, and works as soon as one is there", async () => {
  await using log = closing(open());
  await log.admin().createTopic("late", 1);
  await log.producer().send("late", [{ value: "x" }]);
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  await using late = closing(open(address));
  const recorder = new Recorder();
  let started = false;
  const starting = late
    .consumer(quickOptions("late", ["late"]))
    .start(recorder)
    .then(() => {
      started = true;
    });
  await recorder.until(
    "a few tries",
    () => recorder.warnings.filter((each) => each.includes("trying again")).length >= 2,
  );
  expect(recorder.warnings.every((warning) => warning.includes(address))).toBe(true);
  expect(recorder.warnings.some((warning) => warning.includes("ECONNREFUSED"))).toBe(true);
  expect([started, recorder.fatals.length]).toEqual([false, 0]);
  const server = await proxy(port);
  try {
    await starting;
    await recorder.until("the record", () => recorder.recordCount === 1);
  } finally {
    await late.close();
    server.close();
  }
});

test("stop while no broker answers ends at once and leaves nothing behind", async () => {
  const log = open(`127.0.0.1:${await freePort()}`);
  const recorder = new Recorder();
  const consumer = log.consumer(quickOptions("none", ["none"]));
  const starting = consumer.start(recorder);
  await recorder.until("a try", () => recorder.warnings.length > 0);
  await Promise.all([consumer.stop(), starting]);
  await log.close();
  const warned = recorder.warnings.length;
  await Bun.sleep(1_500);
  expect(recorder.warnings).toHaveLength(warned);
  expect(recorder.fatals).toEqual([]);
});

test("producer and admin without a broker fail with an error that may be tried again", async () => {
  const warnings: string[] = [];
  await using log = closing(open(`127.0.0.1:${await freePort()}`, warnings));
  const failures = await Promise.allSettled([
    log.producer().send("t", [{ value: "x" }]),
    log.admin().describeTopic("t"),
  ]);
  for (const failure of failures) {
    expect(failure).toMatchObject({ status: "rejected", reason: { code: "unavailable", retriable: true } });
  }
  expect(warnings.some((warning) => warning.includes("ECONNREFUSED"))).toBe(true);
});

test("after kill -9 of the broker and its restart the consumer goes on by itself: nothing lost, nothing skipped", async () => {
  await using log = closing(open());
  const producer = log.producer();
  await log.admin().createTopic("killed", 2);
  const send = (from: number): Promise<void> =>
    producer.send(
      "killed",
      Array.from({ length: 100 }, (_, index) => ({ partition: index % 2, value: String(from + index) })),
    );
  await send(0);
  const recorder = new Recorder();
  const consumer = log.consumer(quickOptions("killed", ["killed"]));
  await consumer.start(recorder);
  await recorder.until("the first", () => recorder.recordCount === 100);
  const commits = [0, 1].map((partition) => ({ topic: "killed", partition, position: 50, metadata: "" }));
  expect(await consumer.commit(recorder.assignment.generation, commits)).toEqual({ outcome: "committed" });

  await kafka.kill("SIGKILL");
  expect((await consumer.commit(recorder.assignment.generation, commits)).outcome).toBe("unknown");
  await recorder.until("a warning", () => recorder.warnings.some((warning) => warning.includes(kafka.brokers)));
  // It may lose its partitions now without hearing of it: the caller is told before the broker is back.
  await recorder.until("the revoke barrier", () => recorder.atBarrier);
  await kafka.restart();
  const values = (): Set<string> => new Set([...recorder.values(0), ...recorder.values(1)]);
  const written = send(100);
  await recorder.until("all", () => values().size === 200);
  await written;
  const ends = (await log.admin().groupOffsets("killed", "killed")).map(({ logEnd }) => logEnd);
  expect(ends).toEqual([100, 100]); // what the producer repeated was written once
  expect(recorder.fatals).toEqual([]);
  expect(recorder.deliveredAtBarrier).toBe(0);
  expect(recorder.revokes).toBe(recorder.assignments.length); // once before each
  for (const partition of [0, 1]) expect(contiguous(recorder, partition)).toBe(true);
});

test("a silent broker: a commit is unknown in bounded time, what is sent again is written once, and all goes on", async () => {
  await using log = closing(open());
  await log.admin().createTopic("silent", 1);
  const producer = log.producer();
  await producer.send("silent", [{ value: "0" }]);
  const recorder = new Recorder();
  const consumer = log.consumer({
    ...quickOptions("silent", ["silent"]),
    sessionTimeoutMs: 30_000,
    rebalanceTimeoutMs: 30_000,
  });
  await consumer.start(recorder);
  await recorder.until("the first", () => recorder.recordCount === 1);
  const { generation } = recorder.assignment;
  await kafka.kill("SIGSTOP");
  const sending = producer.send("silent", [{ value: "1" }]);
  try {
    const commit = [{ topic: "silent", partition: 0, position: 1, metadata: "" }];
    expect((await consumer.commit(generation, commit)).outcome).toBe("unknown");
    await Bun.sleep(1_500); // the producer has sent its record again by now
  } finally {
    await kafka.kill("SIGCONT");
  }
  await sending;
  await recorder.until("the next", () => recorder.values(0).includes("1"));
  expect((await log.admin().groupOffsets("silent", "silent"))[0]?.logEnd).toBe(2); // and it was written once
  expect(recorder.fatals).toEqual([]);
});

test("stop leaves no connection open", async () => {
  const before = openConnections();
  const log = open();
  await log.admin().createTopic("closed", 1);
  await log.producer().send("closed", [{ value: "x" }]);
  const recorder = new Recorder();
  await log.consumer(quickOptions("closed", ["closed"])).start(recorder);
  await recorder.until("the record", () => recorder.recordCount === 1);
  expect(openConnections()).toBeGreaterThan(before + 2);
  await log.close();
  expect(openConnections()).toBe(before);
});

test("an idle connection does not spin", async () => {
  await using log = closing(open());
  await log.admin().createTopic("idle", 1);
  await log.producer().send("idle", [{ value: "x" }]);
  await Bun.sleep(300);
  const prototype = RequestQueue.prototype as { scheduleCheckPendingRequests: () => void };
  const patched = prototype.scheduleCheckPendingRequests;
  let looks = 0;
  prototype.scheduleCheckPendingRequests = function (): void {
    looks++;
    patched.call(this);
  };
  try {
    await Bun.sleep(500);
  } finally {
    prototype.scheduleCheckPendingRequests = patched;
  }
  expect(looks).toBeLessThan(5); // kafkajs as it comes: about 390 for each connection
});

/** Each batch begins where the last one ended, or, after a new assignment, where it says. */
function contiguous(recorder: Recorder, partition: number): boolean {
  let [position, generation] = [-1, -1];
  for (const batch of recorder.batches.filter((each) => each.partition === partition)) {
    if (batch.generation === generation && batch.fetchedFrom !== position) return false;
    [position, generation] = [batch.nextPosition, batch.generation];
  }
  return true;
}

function closing(log: TaskLog): TaskLog & AsyncDisposable {
  return Object.assign(log, { [Symbol.asyncDispose]: () => log.close() });
}
