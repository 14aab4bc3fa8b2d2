/**
 * The yardstick: a plain kafkajs consumer with the same fetch settings as a node, a no-op a record, one commit a batch.
 * It remembers nothing and promises nothing. `BENCH_PATCHED=1` takes the idle-spin patch that nodes have.
 */
import { Kafka, logLevel } from "kafkajs";
import { nodeConfig } from "../../src/config/node-config.ts";
import { Meter } from "./meter.ts";
import { BENCH_TOPIC } from "./topic.ts";

if (process.env["BENCH_PATCHED"] === "1") await import("../../src/task-log/kafka/kafkajs-hooks.ts");

const meter = new Meter(Number(process.env["BENCH_RESIDENT_EVERY"] ?? 0));
const { fetchWaitMs, fetchBytesMax } = nodeConfig({ dataDir: "unused" });
const records = Number(process.env["BENCH_RECORDS"]);
let handled = 0;

const kafka = new Kafka({
  brokers: [process.env["BENCH_BROKERS"] ?? ""],
  clientId: "plain",
  logLevel: logLevel.NOTHING,
});
const consumer = kafka.consumer({
  groupId: process.env["BENCH_GROUP"] ?? "",
  maxWaitTimeInMs: fetchWaitMs,
  maxBytesPerPartition: fetchBytesMax,
});
const done = Promise.withResolvers<void>();
await consumer.connect();
await consumer.subscribe({ topics: [BENCH_TOPIC], fromBeginning: true });
await consumer.run({
  autoCommit: false,
  eachBatchAutoResolve: false,
  eachBatch: async (payload) => {
    const { batch } = payload;
    if (handled === 0) meter.count(0);
    for (const message of batch.messages) noop(message);
    meter.count(batch.messages.length);
    const next = String(BigInt(batch.lastOffset()) + 1n);
    payload.resolveOffset(batch.lastOffset());
    await consumer.commitOffsets([{ topic: BENCH_TOPIC, partition: batch.partition, offset: next }]);
    handled += batch.messages.length;
    if (handled >= records) done.resolve();
  },
});
await done.promise;
await consumer.disconnect();
process.exit(0);

function noop(_message: unknown): void {}
