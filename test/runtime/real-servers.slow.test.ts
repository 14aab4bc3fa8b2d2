/** Whole nodes on a real Kafka broker and a real ZooKeeper: sharing, a node that comes, a node that goes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { nodeConfig } from "../../src/config/node-config.ts";
import { resolveTasks } from "../../src/execution/resolve.ts";
import { createLogger } from "../../src/ops/log.ts";
import { startNode, type RunningNode } from "../../src/runtime/node.ts";
import { openTaskLog } from "../../src/runtime/servers.ts";
import type { OutgoingRecord, TaskLog } from "../../src/task-log/task-log.ts";
import { startKafka, type KafkaServer } from "../support/servers/kafka.ts";
import { startZooKeeper, type ZooKeeperServer } from "../support/servers/zookeeper.ts";

let kafka: KafkaServer;
let zookeeper: ZooKeeperServer;
beforeAll(async () => {
  [kafka, zookeeper] = await Promise.all([startKafka(), startZooKeeper()]);
}, 180_000);
afterAll(async () => {
  await Promise.all([kafka.stop(), zookeeper.stop()]);
}, 60_000);

const TASKS = 3_000;
const lines: string[] = [];
const logger = createLogger({ level: "info", plain: true, write: (line) => lines.push(line), now: Date.now });

function configOf(nodeId: string) {
  return nodeConfig({
    nodeId,
    kafkaBrokers: [kafka.brokers],
    zookeeper: zookeeper.address,
    peerListen: { host: "127.0.0.1", port: 0 },
    httpListen: null,
    kafkaSessionMs: 16_000,
    kafkaRebalanceMs: 16_000,
    kafkaHeartbeatMs: 500,
    drainTimeoutMs: 10_000,
    electionBackoffMs: 100,
  });
}

async function produce(log: TaskLog, from: number, to: number): Promise<void> {
  const producer = log.producer();
  const record = (_: unknown, index: number): OutgoingRecord => ({
    value: `${from + index}`,
    headers: (from + index) % 2 === 0 ? { "task-id": `task-${from + index}` } : {},
  });
  await producer.send("orders", Array.from({ length: to - from }, record));
  await producer.close();
}

test("S1, S6: nodes come and go on real servers, and every task has one effect", async () => {
  const log = openTaskLog(configOf("feeder"), "feeder", () => undefined);
  const admin = log.admin();
  await admin.createTopic("orders", 6);
  const effects = new Map<string, number>();
  const startsBy = new Map<string, number>();
  const tasksOf = (id: string) =>
    resolveTasks([
      {
        name: "test",
        exported: {
          topic: "orders",
          onUnknown: "park",
          async execute({ partition, offset }: { partition: number; offset: number }) {
            startsBy.set(id, (startsBy.get(id) ?? 0) + 1);
            await Bun.sleep(1 + Math.random() * 10);
            const name = `${partition}:${offset}`;
            effects.set(name, (effects.get(name) ?? 0) + 1);
          },
        },
      },
    ]);
  const nodes: RunningNode[] = [];
  const start = async (id: string): Promise<void> =>
    void nodes.push(await startNode(configOf(id), tasksOf(id), { logger }));
  const reach = async (count: number): Promise<void> => {
    while (effects.size < count) await Bun.sleep(20);
  };
  try {
    await start("a");
    await start("b");
    await produce(log, 0, TASKS / 3);
    await reach(TASKS / 6);
    await start("c"); // partitions move while handlers run (S6)
    await produce(log, TASKS / 3, (2 * TASKS) / 3);
    await reach(TASKS / 2);
    const [left] = nodes.splice(0, 1);
    const leaving = left!.stop(); // and again
    await produce(log, (2 * TASKS) / 3, TASKS);
    await reach(TASKS);
    expect(await leaving).toMatchObject({ clean: true, error: null });
    await Bun.sleep(500); // a second run would come soon after the first
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
  }
  expect([...effects].filter(([, times]) => times > 1)).toEqual([]);
  expect(effects.size).toBe(TASKS);
  expect([...startsBy.keys()].sort()).toEqual(["a", "b", "c"]);
  const positions = await admin.groupOffsets("vouch", "orders");
  expect(positions.reduce((sum, { committed }) => sum + (committed ?? 0), 0)).toBe(TASKS);
  for (const side of ["orders.dead", "orders.parked"]) {
    const ends = await admin.groupOffsets("vouch", side);
    expect(ends.reduce((sum, { logEnd }) => sum + logEnd, 0)).toBe(0); // I23: no needless doubt
  }
  await admin.close();
  await log.close();
}, 120_000);
