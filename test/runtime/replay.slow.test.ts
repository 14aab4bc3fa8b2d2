import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineTasks, startNode } from "../../src/index.ts";
import { openEmbeddedTaskLog } from "../../src/task-log/embedded/embedded-task-log.ts";

/**
 * E17: whoever replays on purpose stops the nodes, sets the group's offsets back and raises the dedup epoch. What an
 * older dedup epoch finished must not answer "committed" for the new one.
 */
test("E17: a raised dedup epoch runs every record from the group's offsets again", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "vouch-replay-"));
  const log = openEmbeddedTaskLog({ directory: dataDir });
  try {
    await log.admin().createTopic("payments", 1);
    await log.producer().send(
      "payments",
      Array.from({ length: 10 }, (_, n) => ({ value: JSON.stringify({ n }) })),
    );

    expect(await runUntil(dataDir, { dedupEpoch: 0 }, 10)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await setOffset(log, 4);
    expect(await runUntil(dataDir, { dedupEpoch: 1 }, 6)).toEqual([4, 5, 6, 7, 8, 9]);
    expect((await log.admin().groupOffsets("vouch", "payments"))[0]?.committed).toBe(10);
  } finally {
    await log.close();
    await rm(dataDir, { recursive: true, force: true });
  }
}, 30_000);

async function runUntil(dataDir: string, options: { dedupEpoch: number }, count: number): Promise<number[]> {
  const ran: number[] = [];
  const done = Promise.withResolvers<void>();
  const tasks = defineTasks<{ n: number }>({
    topic: "payments",
    onUnknown: "park",
    execute(task) {
      ran.push(task.payload.n);
      if (ran.length === count) done.resolve();
    },
  });
  const address = { host: "127.0.0.1", port: 0 };
  await using node = await startNode(
    { nodeId: "n1", dataDir, singleNode: true, minInSync: 1, peerListen: address, httpListen: address, ...options },
    tasks,
  );
  await done.promise;
  expect(node.status()?.core.role).toBe("leader");
  return ran.toSorted((a, b) => a - b);
}

/** What an operator's tool does while no node runs: a commit without metadata. */
async function setOffset(log: ReturnType<typeof openEmbeddedTaskLog>, position: number): Promise<void> {
  const consumer = log.consumer({
    groupId: "vouch",
    topics: ["payments"],
    sessionTimeoutMs: 3_000,
    rebalanceTimeoutMs: 3_000,
    heartbeatIntervalMs: 300,
    maxWaitMs: 100,
    maxBytesPerPartition: 1_048_576,
  });
  const assigned = Promise.withResolvers<number>();
  await consumer.start({
    onRevoke: async () => {},
    onAssign: async ({ generation, partitions }) => {
      assigned.resolve(generation);
      return partitions.map(({ topic, partition }) => ({ topic, partition, position, paused: true }));
    },
    onBatch: () => {},
    onProblem: () => {},
    onWarning: () => {},
    onFatal: (error) => assigned.reject(error),
  });
  const outcome = await consumer.commit(await assigned.promise, [
    { topic: "payments", partition: 0, position, metadata: "" },
  ]);
  expect(outcome).toEqual({ outcome: "committed" });
  await consumer.stop();
}
