/**
 * S3: a task that the filter has seen goes to the asking node's doubtful queue, because "seen" does not prove "executed": it
 * is neither dropped nor run, and nothing behind it is lost.
 */
import { expect, test } from "bun:test";
import { type Cluster, type TestNode, withCluster } from "../support/cluster.ts";

/** A held task would long be dropped or run after this, if anybody did so. */
const HELD_MS = 1_000;

/** @returns the node that got partition `partition` from its first owner when a node was added */
async function addNodeAndFindMoved(cluster: Cluster): Promise<{ partition: number; from: string; to: TestNode }> {
  const before = await cluster.owners();
  const added = await cluster.addNode();
  const [partition] = (await cluster.owners()).get(added.name) ?? [];
  if (partition === undefined) throw new Error("the added node got no partition");
  const from = [...before].find(([, partitions]) => partitions.includes(partition))?.[0] ?? "";
  return { partition, from, to: added };
}

test("S3: a redelivered task whose run is not over is held in doubt: not dropped, not run, not committed", async () => {
  await withCluster({ options: { handlerTimeoutMs: 60_000 } }, async (cluster) => {
    await cluster.produce(
      Array.from({ length: 6 }, (_, partition) => ({ partition, id: `task-${partition}`, work: { gate: "end" } })),
    );
    await cluster.waitFor("all tasks running", () => cluster.effects().length === 6);
    const { partition, from, to } = await addNodeAndFindMoved(cluster);
    const task = `task-${partition}`;
    await cluster.waitFor("the doubt at the new owner", async () => ((await to.status())?.core.doubtful ?? 0) > 0);
    await Bun.sleep(HELD_MS);

    const status = (await to.status())?.core;
    expect(status?.doubtful).toBe(status?.partitions.length); // each of its partitions holds one such task
    expect(status?.counters).toMatchObject({ started: 0, dropped: 0, executed: 0 });
    expect(cluster.starts(task).map((line) => line.node)).toEqual([from]);
    expect((await cluster.offsets())[partition]).toMatchObject({ committed: 0, logEnd: 1 });

    cluster.openGate("end");
    await cluster.settled();
    expect(cluster.starts(task).length).toBe(1);
    const { executed, executedTwice, lost } = cluster.judgement();
    expect({ executed, executedTwice, lost }).toEqual({ executed: 6, executedTwice: 0, lost: 0 });
  });
}, 90_000);

test("S3: a task whose id was seen under another offset is held in doubt on the node that asks, while others go on", async () => {
  await withCluster({ options: { handlerTimeoutMs: 60_000 } }, async (cluster) => {
    const owners = await cluster.owners();
    const [[, [first]], [holder, [second]]] = [...owners] as [[string, [number]], [string, [number]]];
    await cluster.produce([{ partition: first, id: "seen", work: { gate: "end" } }]);
    await cluster.waitFor("the first record's run", () => cluster.starts("seen").length === 1);
    await cluster.produce([
      { partition: second, id: "seen", work: { gate: "end" } },
      { partition: second, id: "behind-it" },
    ]);
    await cluster.waitFor("the task behind it", () => cluster.effectsOf("behind-it").length === 1);
    await Bun.sleep(HELD_MS);
    expect((await cluster.node(holder).status())?.core).toMatchObject({ doubtful: 1, counters: { dropped: 0 } });
    expect(cluster.starts("seen").length).toBe(1);
    expect((await cluster.offsets())[second]).toMatchObject({ committed: 0 });

    cluster.openGate("end");
    await cluster.settled();
    expect(cluster.starts("seen").length).toBe(1);
    expect(cluster.effectsOf("seen").length).toBe(1);
    expect((await cluster.node(holder).status())?.core.counters.dropped).toBe(1);
  });
}, 90_000);
