/** Cells of every size on topics of one and of many partitions: nothing lost, nothing twice, no needless doubt. */
import { expect, test } from "bun:test";
import type { NodeConfig } from "../../src/config/option-table.ts";
import { withCluster } from "../support/cluster.ts";

const TASKS = 20_000;
const BATCH = 2_000;
const ALONE: Partial<NodeConfig> = { singleNode: true, minInSync: 1 };

for (const partitions of [1, 256]) {
  for (const nodes of [1, 2, 3, 5, 7]) {
    test(`${nodes} node(s) drain ${TASKS} tasks of ${partitions} partition(s)`, async () => {
      const options: Partial<NodeConfig> = { concurrency: 200, ...(nodes === 1 ? ALONE : {}) };
      await withCluster({ nodes: 0, partitions, options }, async (cluster) => {
        for (let i = 0; i < nodes; i++) await cluster.addNode({ waitUntilReady: false });
        await cluster.ready(cluster.nodes, 60_000); // seven processes that start at once on two cores
        for (let from = 0; from < TASKS; from += BATCH) {
          await cluster.produce(
            Array.from({ length: BATCH }, (_, index) => ({
              partition: (from + index) % partitions,
              id: `task-${from + index}`,
            })),
          );
        }
        await cluster.settled();
        expect(cluster.judgement()).toMatchObject({
          tasks: TASKS,
          executed: TASKS,
          executedTwice: 0,
          lost: 0,
          foreign: 0,
          withoutStart: 0,
          tokensFell: 0,
          starts: TASKS,
        });
        expect(cluster.checks()).toEqual([]);
        expect([cluster.counter("parked"), cluster.counter("dead")]).toEqual([0, 0]);
        const workers = new Set(cluster.effects().map(({ node }) => node));
        expect(workers.size).toBe(Math.min(nodes, partitions));
      });
    }, 180_000);
  }
}

test("M16: one node in single-node mode, killed at work and started again: the check decides about what it ran", async () => {
  await withCluster({ nodes: 1, partitions: 6, options: ALONE }, async (cluster) => {
    const [node] = cluster.nodes;
    const ids = Array.from({ length: 1_500 }, (_, index) => `task-${index}`);
    await cluster.produce(ids.map((id, index) => ({ partition: index % 6, id, work: { ms: index % 15 } })));
    await cluster.waitFor("work under way", () => cluster.effects().length > 800);
    await node!.kill();
    await node!.restart();
    await cluster.settled();
    expect(cluster.judgement()).toMatchObject({ tasks: 1_500, executed: 1_500, executedTwice: 0, lost: 0 });
    expect(cluster.checks().length).toBeGreaterThan(0);
    expect(cluster.counter("parked")).toBe(0);
  });
}, 90_000);
