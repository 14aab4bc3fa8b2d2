/** A group that worked before Vouch came, and a group that is set back on purpose: on real servers, with Kafka's own tools. */
import { expect, test } from "bun:test";
import { Kafka, logLevel } from "kafkajs";
import { type Cluster, withCluster } from "../support/cluster.ts";
import type { EffectLine } from "../../src/cli/demo/effect-record.ts";

const PARTITIONS = 4;
const EACH = 50; // tasks of a partition

const idOf = (partition: number, offset: number): string => `${partition}-${offset}`;

/** One partition after another, so that a task's id names its place. */
async function fill(cluster: Cluster): Promise<void> {
  for (let partition = 0; partition < PARTITIONS; partition++) {
    await cluster.produce(Array.from({ length: EACH }, (_, offset) => ({ partition, id: idOf(partition, offset) })));
  }
}

/** What another consumer of the group, or an operator's tool, leaves behind: offsets without metadata. */
async function setOffsets(cluster: Cluster, offsets: readonly number[]): Promise<void> {
  const admin = new Kafka({ brokers: [cluster.servers.kafka.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    await admin.setOffsets({
      groupId: cluster.group,
      topic: cluster.topic,
      partitions: offsets.map((offset, partition) => ({ partition, offset: String(offset) })),
    });
  } finally {
    await admin.disconnect();
  }
}

function idsFrom(offsets: readonly number[]): string[] {
  return offsets.flatMap((offset, partition) =>
    Array.from({ length: EACH - offset }, (_, index) => idOf(partition, offset + index)),
  );
}

const effectsIn = (lines: readonly EffectLine[]): string[] =>
  lines.filter(({ kind }) => kind === "effect").map(({ taskId }) => taskId);

test("R15: an existing group is refused as it is, and taken over with --start-at committed, from its offsets on", async () => {
  const committed = [10, 0, 50, 23];
  await withCluster({ nodes: 0, partitions: PARTITIONS }, async (cluster) => {
    await fill(cluster);
    await setOffsets(cluster, committed);

    const first = await cluster.addNode({ waitUntilReady: false });
    const second = await cluster.addNode({ waitUntilReady: false });
    await cluster.ready();
    await cluster.waitFor("the refusal of every partition", () => {
      const logs = first.log() + second.log();
      return [0, 1, 2, 3].every((partition) =>
        logs.includes(`${cluster.topic}/${partition} stopped: takeover refused`),
      );
    });
    expect(first.log() + second.log()).toContain(
      "all nodes stopped and started with --start-at committed to take the group over",
    );
    expect(cluster.effects()).toEqual([]);
    await Promise.all([first.drain(), second.drain()]);

    await cluster.addNode({ options: { startAt: "committed" }, waitUntilReady: false });
    await cluster.addNode({ options: { startAt: "committed" }, waitUntilReady: false });
    await cluster.ready();
    await cluster.settled();
    expect(effectsIn(cluster.effects()).toSorted()).toEqual(idsFrom(committed).toSorted());
    expect(cluster.checks()).toEqual([]);
  });
}, 120_000);

test("E17: records before the group's new offsets stay done, those behind run once more under a raised --dedup-epoch", async () => {
  const backTo = [0, 45, 50, 20];
  await withCluster({ nodes: 2, partitions: PARTITIONS }, async (cluster) => {
    await fill(cluster);
    await cluster.settled();
    const before = cluster.effects().length;
    expect(effectsIn(cluster.effects()).length).toBe(PARTITIONS * EACH);
    await Promise.all(cluster.nodes.map((node) => node.drain()));

    await setOffsets(cluster, backTo);
    await cluster.addNode({ options: { dedupEpoch: 1 }, waitUntilReady: false });
    await cluster.addNode({ options: { dedupEpoch: 1 }, waitUntilReady: false });
    await cluster.ready();
    await cluster.settled();
    expect(effectsIn(cluster.effects().slice(before)).toSorted()).toEqual(idsFrom(backTo).toSorted());
    expect(cluster.checks()).toEqual([]); // new work, not doubts
    await Promise.all(cluster.alive().map((node) => node.drain()));

    // The former epoch is over: a node that was forgotten with it does not start.
    const forgotten = await cluster.addNode({ waitUntilReady: false });
    forgotten.expectEnd();
    expect(await forgotten.exited).toBe(2);
    expect(forgotten.log()).toContain("dedup epoch 1");
  });
}, 120_000);

test("E16: offsets set back by mistake, without a raised --dedup-epoch, run nothing again", async () => {
  await withCluster({ nodes: 2, partitions: PARTITIONS }, async (cluster) => {
    await fill(cluster);
    await cluster.settled();
    await Promise.all(cluster.nodes.map((node) => node.drain()));
    await setOffsets(cluster, [0, 0, 0, 0]);
    await cluster.addNode({ waitUntilReady: false });
    await cluster.addNode({ waitUntilReady: false });
    await cluster.ready();
    await cluster.settled();
    expect(effectsIn(cluster.effects()).length).toBe(PARTITIONS * EACH);
    expect(cluster.judgement()).toMatchObject({ executedTwice: 0, lost: 0 });
  });
}, 120_000);
