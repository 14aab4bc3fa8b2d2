/**
 * Topics as Java producers and brokers make them: every compression, transactions that were aborted, offsets that
 * compaction took away. What is to be executed is what Kafka's own consumer of committed records sees.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Kafka, logLevel } from "kafkajs";
import { judge } from "../../src/cli/demo/proof.ts";
import { type Cluster, withCluster } from "../support/cluster.ts";
import { type ClusterServers, TICK_MS } from "../support/cluster-servers.ts";
import { startKafka } from "../support/servers/kafka.ts";
import { waitUntil } from "../support/servers/processes.ts";
import { startZooKeeper } from "../support/servers/zookeeper.ts";
import { javaClient, type SeenRecord } from "./java-client.ts";

let servers: ClusterServers;
beforeAll(async () => {
  const properties = {
    // What was left open is to be ended, and what is replaced to be removed, while a test waits.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "log.cleaner.backoff.ms": "200",
    "log.initial.task.delay.ms": "100",
  };
  const [kafka, zookeeper] = await Promise.all([startKafka({ properties }), startZooKeeper({ tickMs: TICK_MS })]);
  servers = { kafka, zookeeper };
}, 120_000);
afterAll(async () => {
  await Promise.all([servers.kafka.stop(), servers.zookeeper.stop()]);
}, 60_000);

const PARTITIONS = 4;

/** A cluster whose nodes start when the topic is as the test wants it. */
function withTopic(nodes: number, body: (cluster: Cluster) => Promise<void>): Promise<void> {
  return withCluster({ nodes: 0, partitions: PARTITIONS, servers }, async (cluster) => {
    await body(cluster);
    expect(cluster.alive().length).toBe(nodes);
  });
}

async function startNodes(cluster: Cluster, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await cluster.addNode({ waitUntilReady: false });
  await cluster.ready();
}

/** Each of these tasks has one effect, no other has any, and the group stands at the end of every partition. */
async function expectExactly(cluster: Cluster, seen: readonly SeenRecord[]): Promise<void> {
  await cluster.settled();
  const ids = seen.map(({ id }) => id);
  expect(ids.length).toBeGreaterThan(0);
  expect(judge(cluster.effects(), ids)).toMatchObject({
    tasks: ids.length,
    executed: ids.length,
    executedTwice: 0,
    lost: 0,
    foreign: 0,
    withoutStart: 0,
  });
  for (const { committed, logEnd } of await cluster.offsets()) expect(committed).toBe(logEnd);
  expect(cluster.counter("parked")).toBe(0);
}

const CODECS = ["none", "gzip", "snappy", "lz4", "zstd"];

test("records of a Java producer, compressed in every way, one after another in one topic", async () => {
  await withTopic(2, async (cluster) => {
    const { topic } = cluster;
    const { brokers } = servers.kafka;
    const before = await javaClient(brokers, ...CODECS.map((codec) => ["records", topic, codec, "400", `${codec}-`]), [
      "read",
      topic,
    ]);
    expect(before.length).toBe(CODECS.length * 400);
    await startNodes(cluster, 2);
    // And while the cell runs, in small batches.
    const seen = await javaClient(
      brokers,
      ...CODECS.map((codec) => ["records", topic, codec, "25", `late-${codec}-`]),
      ["read", topic],
    );
    expect(seen.length).toBe(CODECS.length * 425);
    await expectExactly(cluster, seen);
  });
}, 90_000);

test("E19: R14: what aborted transactions left is never executed, and the group's offsets go past it", async () => {
  await withTopic(2, async (cluster) => {
    const { topic } = cluster;
    const { brokers } = servers.kafka;
    await javaClient(
      brokers,
      ["transactions", topic, "zstd", "30", "before-"],
      ["transactions", topic, "lz4", "30", "then-"],
    );
    await startNodes(cluster, 2);
    // One that nobody ends holds up what is behind it, until the broker aborts it.
    await javaClient(
      brokers,
      ["transactions", topic, "none", "10", "running-"],
      ["open", topic, "open-"],
      ["records", topic, "none", "40", "behind-"],
    );
    const ends = (await cluster.offsets()).map(({ logEnd }) => logEnd);
    await waitUntil(
      "the broker's end of the open transaction",
      async () => (await cluster.offsets()).every(({ logEnd }, partition) => logEnd > ends[partition]!),
      20_000,
      100,
    );
    const seen = await javaClient(brokers, ["read", topic]);
    expect(seen.filter(({ id }) => id.startsWith("aborted-"))).toEqual([]);
    expect(seen.length).toBe(70 * 4 + 70 + 40);
    await expectExactly(cluster, seen);
    expect(cluster.effects().filter(({ taskId }) => taskId.startsWith("aborted-"))).toEqual([]);
  });
}, 90_000);

test("E19: R14: a compacted topic: what is left of it is executed, and the group's offsets cross the gaps", async () => {
  await withTopic(2, async (cluster) => {
    const { topic } = cluster;
    const { brokers } = servers.kafka;
    await compact(topic);
    const keyed = (count: number, prefix: string): string[] => ["keyed", topic, String(count), "120", prefix];
    await javaClient(brokers, keyed(3_000, "first-"));
    await waitUntil(
      "the removal of most of each partition",
      async () => {
        // A segment ends when it is old enough and another record comes; what it held may then be removed.
        const seen = await javaClient(brokers, keyed(40, `next${Date.now()}-`), ["read", topic]);
        return (await cluster.offsets()).every(({ partition, logEnd }) => {
          return seen.filter((each) => each.partition === partition).length < logEnd / 3;
        });
      },
      60_000,
      300,
    );
    await stopCompaction(topic);
    const left = await javaClient(brokers, ["read", topic]);
    await startNodes(cluster, 2);
    await expectExactly(cluster, left);
  });
}, 120_000);

const compact = (topic: string): Promise<void> =>
  alterTopic(topic, {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "segment.ms": "200",
    "max.compaction.lag.ms": "200",
    "min.compaction.lag.ms": "0",
  });

/** So that what the witness sees is what the nodes will see. */
const stopCompaction = (topic: string): Promise<void> => alterTopic(topic, { "cleanup.policy": "delete" });

async function alterTopic(topic: string, entries: Readonly<Record<string, string>>): Promise<void> {
  const admin = new Kafka({ brokers: [servers.kafka.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    const configEntries = Object.entries(entries).map(([name, value]) => ({ name, value }));
    await admin.alterConfigs({ validateOnly: false, resources: [{ type: 2, name: topic, configEntries }] });
  } finally {
    await admin.disconnect();
  }
}
