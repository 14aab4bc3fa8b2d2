/**
 * Somebody changes the topic under a cell on real Kafka: deletes it and creates it again, a disk loses the end of a
 * partition's log, partitions are added. What the cell knows about offsets is then not about what stands there now: the
 * partition stops and says what a person can do; done so, everything new runs once. Judged by the record of effects.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, rmSync, truncateSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { openKafkaTaskLog } from "../../src/task-log/kafka/index.ts";
import { type Cluster, type NewTask, type TestNode, withCluster } from "../support/cluster.ts";
import { sharedServers } from "../support/cluster-servers.ts";
import { addPartitions, createTopicAgain, deleteTopic, foreignCommit } from "../support/foreign-client.ts";
import { type KafkaServer, startKafka } from "../support/servers/kafka.ts";

const TEST_MS = 120_000;
const SETTING = { nodes: 2, partitions: 2, onUnknown: "park" } as const;

let kafka: KafkaServer; // to be killed, and its disk to be cut

beforeAll(async () => {
  kafka = await startKafka();
}, 90_000);
afterAll(() => kafka?.stop(), 30_000);

/** Named tasks, one send each, so that each is a batch of its own. */
async function produceNamed(cluster: Cluster, prefix: string, partition: number, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await produceAnyway(cluster, { partition, id: `${prefix}-${partition}-${i}` });
}

/**
 * The producer of the test is idempotent, and knows the topic as it was: after a cut its sequence numbers are refused, and
 * a partition that was added is not there. What is refused is not written, and its next try begins anew.
 */
async function produceAnyway(cluster: Cluster, task: NewTask): Promise<void> {
  await cluster.produce([task]).catch(() => cluster.produce([task]));
}

const effectsOf = (cluster: Cluster, prefix: string): number =>
  cluster.effects().filter(({ kind, taskId }) => kind === "effect" && taskId.startsWith(prefix)).length;

/** Why a partition of this node stopped, as /readyz says it; "" when none did. */
async function stoppedWhy(node: TestNode): Promise<string> {
  const response = await fetch(`${node.url}/readyz`);
  const { checks } = (await response.json()) as { checks: readonly { name: string; detail: string }[] };
  const detail = checks.find(({ name }) => name === "partitions")?.detail ?? "";
  expect(response.status === 503 || detail === "").toBe(true);
  return detail;
}

async function stoppedTexts(cluster: Cluster): Promise<string> {
  return (await Promise.all(cluster.alive().map(stoppedWhy))).join("; ");
}

async function drainAll(cluster: Cluster): Promise<void> {
  const codes = await Promise.all(cluster.alive().map((node) => node.drain()));
  expect(codes.filter((code) => code !== 0)).toEqual([]);
}

/** What the alarm tells a person to do: offsets set while no node runs, then nodes of a higher dedup epoch. */
async function beginAnew(cluster: Cluster, offsets: readonly { partition: number; offset: number }[]): Promise<void> {
  await drainAll(cluster);
  await foreignCommit(cluster, offsets);
  const options = { dedupEpoch: 1 };
  for (let i = 0; i < 2; i++) await cluster.addNode({ options, waitUntilReady: false });
  await cluster.ready();
}

function expectOnce(cluster: Cluster, tasks: number): void {
  const { executed, executedTwice, lost } = cluster.judgement();
  expect({ executed, executedTwice, lost }).toEqual({ executed: tasks, executedTwice: 0, lost: 0 });
}

test(
  "E18: a topic that is deleted and created again at once is not taken for the old one: it stops, and begins anew when told",
  async () => {
    await withCluster(SETTING, async (cluster) => {
      for (const partition of [0, 1]) await produceNamed(cluster, "old", partition, 5);
      await cluster.settled();
      await deleteTopic(cluster);
      await createTopicAgain(cluster);
      // More than the old one had: its position lies inside the new log, in the same leader epoch.
      for (const partition of [0, 1]) await produceNamed(cluster, "new", partition, 9);
      await cluster.waitFor("both partitions stopped", async () => {
        const text = await stoppedTexts(cluster);
        return text.includes(`${cluster.topic}/0: `) && text.includes(`${cluster.topic}/1: `);
      });
      const text = await stoppedTexts(cluster);
      expect(text).toContain(`topic ${cluster.topic} was deleted and created again (its id was `);
      expect(text).toContain("stop all nodes, set the group's offsets to where to begin (kafka-consumer-groups.sh");
      expect(text).toContain(
        `--group ${cluster.group} --topic ${cluster.topic}), and start them with a higher --dedup-epoch`,
      );
      expect(effectsOf(cluster, "new")).toBe(0);
      // A cell that begins while it is so knows it from its record, whoever gets the partition.
      await Promise.all(cluster.nodes.map((node) => node.restart()));
      await cluster.waitFor("both stopped again", async () => {
        const again = await stoppedTexts(cluster).catch(() => "");
        return again.includes(`${cluster.topic}/0: `) && again.includes(`${cluster.topic}/1: `);
      });
      expect(effectsOf(cluster, "new")).toBe(0);

      await beginAnew(
        cluster,
        [0, 1].map((partition) => ({ partition, offset: 0 })),
      );
      await cluster.settled();
      expectOnce(cluster, 28);
    });
  },
  TEST_MS,
);

/** Leaves the first `batches` record batches in a partition's only segment: what a disk keeps that lost the rest. */
async function cutLog(topic: string, partition: number, batches: number): Promise<void> {
  const folder = join(kafka.dataFolder, `${topic}-${partition}`);
  const segment = join(folder, "00000000000000000000.log");
  const bytes = readFileSync(segment);
  let at = 0;
  for (let i = 0; i < batches; i++) at += 12 + bytes.readInt32BE(at + 8);
  truncateSync(segment, at);
  for (const name of await readdir(folder)) {
    if (/\.(index|timeindex|snapshot)$/.test(name)) rmSync(join(folder, name));
  }
}

test(
  "E18: a log that lost its end and was written anew under a higher leader epoch stops its partition; the other goes on",
  async () => {
    const { zookeeper } = await sharedServers();
    await withCluster({ ...SETTING, servers: { kafka, zookeeper } }, async (cluster) => {
      for (const partition of [0, 1]) await produceNamed(cluster, "old", partition, 10);
      await cluster.settled();
      // Ended in order, and then as if it had not been: killed at once and started again, a broker of Kafka 3.9 keeps the
      // leader epoch, and nothing tells such a log from the one before.
      await kafka.kill("SIGTERM");
      rmSync(join(kafka.dataFolder, ".kafka_cleanshutdown"), { force: true });
      await cutLog(cluster.topic, 0, 5);
      await kafka.restart();
      const [cut] = await cluster.offsets();
      expect([cut?.committed, cut?.logEnd]).toEqual([10, 5]);
      // Offsets 5 to 9 are other records now, and 10 and 11 would be read on as if nothing had happened.
      await produceNamed(cluster, "new", 0, 7);
      await produceNamed(cluster, "more", 1, 5);
      await cluster.waitFor("the alarm", async () => (await stoppedTexts(cluster)).includes(`${cluster.topic}/0: `));
      await cluster.waitFor("the other partition", () => effectsOf(cluster, "more") === 5);
      const text = await stoppedTexts(cluster);
      expect(text).toContain("the log was cut and written anew");
      expect(text).toContain(
        "Restore the log; or, to work on what it holds now, stop all nodes, set the group's offset",
      );
      expect(text).not.toContain(`${cluster.topic}/1: `);
      expect(effectsOf(cluster, "new")).toBe(0);
      // Nodes that never read it know the epoch from the commit.
      await drainAll(cluster);
      await Promise.all(cluster.nodes.map((node) => node.restart()));
      await cluster.waitFor("the alarm again", async () =>
        (await stoppedTexts(cluster).catch(() => "")).includes(`${cluster.topic}/0: `),
      );
      expect(await stoppedTexts(cluster)).toContain("offsets up to 10 were read in leader epoch 0");
      expect(effectsOf(cluster, "new")).toBe(0);

      await beginAnew(cluster, [{ partition: 0, offset: 5 }]);
      await cluster.settled();
      expectOnce(cluster, 32);
    });
  },
  TEST_MS,
);

test(
  "E18: a node that reaches another Kafka cluster with a topic of the same name takes its offsets for nobody's: it stands still",
  async () => {
    await withCluster(SETTING, async (cluster) => {
      for (const partition of [0, 1]) await produceNamed(cluster, "old", partition, 5);
      await cluster.settled();
      const elsewhere = openKafkaTaskLog({
        brokers: [kafka.brokers],
        clientId: "elsewhere",
        onWarning: () => undefined,
      });
      try {
        await elsewhere.admin().createTopic(cluster.topic, 2);
        const others = Array.from({ length: 9 }, (_, i) => ({
          partition: i % 2,
          value: "{}",
          headers: { "task-id": `x${i}` },
        }));
        await elsewhere.producer().send(cluster.topic, others);
      } finally {
        await elsewhere.close();
      }
      const cell = [...cluster.nodes];
      const lost = await cluster.addNode({ identity: { kafkaBrokers: kafka.brokers }, waitUntilReady: false });
      await cluster.waitFor("it to stand still", async () => {
        const text = await stoppedWhy(lost).catch(() => "");
        return text.includes(`${cluster.topic}/0: `) && text.includes("or is this another Kafka cluster?");
      });
      for (const partition of [0, 1]) await produceNamed(cluster, "more", partition, 5);
      await cluster.waitFor("the cell's work", () => effectsOf(cluster, "more") === 10);
      await lost.kill();
      await cluster.ready(cell);
      await cluster.settled();
      expectOnce(cluster, 20);
      expect(cluster.judgement().starts).toBe(20);
    });
  },
  TEST_MS,
);

test(
  "E15: partitions that are added while the cell works are read from their beginning, also by a cell that began at the end",
  async () => {
    await withCluster({ ...SETTING, options: { startAt: "latest" } }, async (cluster) => {
      for (const partition of [0, 1]) await produceNamed(cluster, "before", partition, 5);
      await cluster.produce([{ partition: 0, id: "running", work: { gate: "end" } }]);
      await cluster.waitFor("its run", () => cluster.starts("running").length === 1);
      await addPartitions(cluster, 5);
      await cluster.waitFor("the new partitions to have leaders", async () => (await cluster.offsets()).length === 5);
      for (const partition of [2, 3, 4]) await produceNamed(cluster, "added", partition, 5);
      await cluster.waitFor("the tasks in them", () => effectsOf(cluster, "added") === 15);
      expect(cluster.starts("running").length).toBe(1); // through the rebalance
      cluster.openGate("end");
      await cluster.settled();
      expectOnce(cluster, 26);
      expect(cluster.checks()).toEqual([]);
      const owned = (await Promise.all([0, 1, 2, 3, 4].map((each) => cluster.owner(each)))).map((node) => node?.name);
      expect(new Set(owned).size).toBe(2);
    });
  },
  TEST_MS,
);
