/** Several topics in one cell, with other numbers of partitions: each task runs once, at the handler of its topic. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { judge } from "../../src/cli/demo/proof.ts";
import { openKafkaTaskLog } from "../../src/task-log/kafka/index.ts";
import { type Cluster, withCluster } from "../support/cluster.ts";

const TASK_MODULE = join(import.meta.dir, "several-topics-tasks.ts");
const PARTITIONS = { own: 3, other: 8 };
const TASKS = 3_000; // of each topic
const BATCH = 500;

test("three nodes work on two topics of one cell, and share the partitions of both", async () => {
  await withCluster({ nodes: 0, partitions: PARTITIONS.own }, async (cluster) => {
    const brokers = [cluster.servers.kafka.brokers];
    const log = openKafkaTaskLog({ brokers, clientId: "several", onWarning: () => undefined });
    try {
      const [admin, producer] = [log.admin(), log.producer()];
      const other = `${cluster.topic}.other`;
      await admin.createTopic(other, PARTITIONS.other);
      for (let i = 0; i < 3; i++) await cluster.addNode({ tasks: TASK_MODULE, waitUntilReady: false });
      await cluster.waitFor("every partition of both topics with an owner", async () => {
        const owned = await partitionsOf(cluster);
        return (
          owned.length === 3 && owned.every((count) => count >= 3) && sum(owned) === sum(Object.values(PARTITIONS))
        );
      });

      const ids: string[] = [];
      for (let from = 0; from < TASKS; from += BATCH) {
        for (const topic of [cluster.topic, other]) {
          const batch = Array.from({ length: BATCH }, (_, index) => `${topic}-${from + index}`);
          await producer.send(
            topic,
            batch.map((id) => ({ value: "{}", headers: { "task-id": id } })),
          );
          ids.push(...batch);
        }
      }
      await cluster.settled();
      await cluster.waitFor("every record of the other topic committed", async () => {
        return (await admin.groupOffsets(cluster.group, other)).every(({ committed, logEnd }) => committed === logEnd);
      });
      const counts = {
        tasks: 2 * TASKS,
        executed: 2 * TASKS,
        executedTwice: 0,
        lost: 0,
        foreign: 0,
        starts: 2 * TASKS,
      };
      expect(judge(cluster.effects(), ids)).toMatchObject(counts);
      expect(new Set(cluster.effects().map(({ node }) => node)).size).toBe(3);
      expect([cluster.counter("parked"), cluster.counter("dead")]).toEqual([0, 0]);
    } finally {
      await log.close();
    }
  });
}, 120_000);

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);

async function partitionsOf(cluster: Cluster): Promise<number[]> {
  return [...(await cluster.statuses()).values()].map((status) => status.partitions.length);
}
