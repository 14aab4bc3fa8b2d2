/**
 * Nodes that do not belong together, on real Kafka and ZooKeeper: two cells with one consumer group, and nodes of one cell
 * with different parameters. Who does not belong is told so, where and what to do; the cell goes on and nothing runs twice.
 */
import { expect, test } from "bun:test";
import { type Cluster, type TestNode, withCluster } from "../support/cluster.ts";
import { removeLeaderNode } from "../support/cluster-outside.ts";

const TEST_MS = 120_000;
const PARTITIONS = 4;
const SETTING = { partitions: PARTITIONS, onUnknown: "park" } as const;

/** All that /readyz says is missing; null while the node does not answer, or misses nothing (yet). */
async function missing(node: TestNode): Promise<string | null> {
  const response = await fetch(`${node.url}/readyz`).catch(() => null);
  if (response === null || response.status === 200) return null;
  expect(response.status).toBe(503);
  const { checks, waitingFor } = (await response.json()) as {
    readonly checks: readonly { readonly name: string; readonly detail: string }[];
    readonly waitingFor: string;
  };
  return [waitingFor, ...checks.map(({ detail }) => detail)].join("; ");
}

async function untilMissing(cluster: Cluster, node: TestNode, text: string): Promise<void> {
  await cluster.waitFor(`${node.name} to say: ${text}`, async () => (await missing(node))?.includes(text) === true);
}

async function produceEverywhere(cluster: Cluster, prefix: string, count: number): Promise<void> {
  await cluster.produce(
    Array.from({ length: count }, (_, i) => ({ partition: i % PARTITIONS, id: `${prefix}-${i}`, work: { ms: 20 } })),
  );
}

function expectOnce(cluster: Cluster, tasks: number): void {
  const { executed, executedTwice, lost } = cluster.judgement();
  expect({ executed, executedTwice, lost }).toEqual({ executed: tasks, executedTwice: 0, lost: 0 });
}

const generations = async (nodes: readonly TestNode[]): Promise<(number | undefined)[]> =>
  Promise.all(nodes.map(async (node) => (await node.status())?.core.partitions[0]?.generation));

test(
  "M14: a second cell with the consumer group of the first: Kafka lets it not in while the first works, and it takes nothing over afterwards",
  async () => {
    await withCluster({ ...SETTING, nodes: 2 }, async (cluster) => {
      const [a, b] = cluster.nodes as [TestNode, TestNode];
      await produceEverywhere(cluster, "first", 40);
      const before = await generations([a, b]);
      // It may begin at what is committed, whoever committed it: the most that its owner can ask for.
      const stranger = await cluster.addNode({
        identity: { cell: `${cluster.cell}-other` },
        options: { minInSync: 1, singleNode: true, startAt: "committed" },
        waitUntilReady: false,
      });
      await untilMissing(cluster, stranger, `group ${cluster.group} is in use by another cell or another program`);
      expect(await missing(stranger)).toContain(
        "give this cell a group of its own (--kafka-group-id), or stop the other",
      );
      await produceEverywhere(cluster, "second", 40);
      await cluster.waitFor("all of it", () => cluster.judgement().executed === 80);
      expect(await generations([a, b])).toEqual(before); // nobody was disturbed

      // The first cell goes: what it committed is not the second one's to go on from.
      await cluster.produce([{ partition: 0, id: "left", work: { gate: "end" } }]);
      await cluster.waitFor("its run", () => cluster.starts("left").length === 1);
      await Promise.all([a.kill(), b.kill()]);
      await untilMissing(cluster, stranger, "is another cell's: either two cells share this consumer group");
      await cluster.waitFor("all partitions refused", async () => {
        const partitions = (await stranger.status())?.core.partitions ?? [];
        return (
          partitions.length === PARTITIONS && partitions.every(({ stopped }) => stopped.includes("takeover refused"))
        );
      });
      expect(cluster.starts("left").length).toBe(1);

      // And back: the first one says who is in its way, and goes on as soon as that is gone.
      await Promise.all([a.restart(), b.restart()]);
      await untilMissing(cluster, a, `group ${cluster.group} is in use by another cell or another program`);
      expect(await stranger.drain()).toBe(0);
      cluster.openGate("end");
      await cluster.ready([a, b]);
      await cluster.settled();
      expectOnce(cluster, 81);
    });
  },
  TEST_MS,
);

test(
  "M8: nodes with another filter, other topics, another min-in-sync or lease are refused by name; the cell goes on, also through an election",
  async () => {
    await withCluster({ ...SETTING, nodes: 2 }, async (cluster) => {
      const cell = [...cluster.nodes] as [TestNode, TestNode];
      await produceEverywhere(cluster, "first", 20);
      const odd = [
        { more: { options: { filterCapacity: 12_345 } }, text: "parameter filter capacity: " },
        { more: { topic: `${cluster.topic}-2` }, text: `parameter topics: ` },
        { more: { options: { minInSync: 3 } }, text: "parameter min in sync: " },
      ];
      const refused: TestNode[] = [];
      for (const { more } of odd) refused.push(await cluster.addNode({ ...more, waitUntilReady: false }));
      const leader = await cluster.leader();
      for (const [index, { text }] of odd.entries()) {
        await untilMissing(cluster, refused[index]!, text);
        const said = (await missing(refused[index]!))!;
        expect(said).toContain(
          `waiting for a link to the leader ${leader.name}: no link to ${leader.name}: the other end refused`,
        );
        expect(said).toMatch(new RegExp(`${text}${leader.name} has ".+", ${refused[index]!.name} has ".+"`));
      }
      // One of them may win: nobody of the cell is in its reach, and it leaves the leadership to those who are.
      for (let round = 0; round < 3; round++) {
        await removeLeaderNode(cluster);
        await produceEverywhere(cluster, `round${round}`, 20);
        await cluster.waitFor(`the tasks of round ${round}`, () => cluster.judgement().executed === 20 * (round + 2));
      }
      for (const node of refused) expect((await node.status())?.core.counters.started ?? 0).toBe(0);
      await Promise.all(refused.map((node) => node.kill()));
      await cluster.ready(cell);
      await cluster.settled();
      expectOnce(cluster, 80);
    });
  },
  TEST_MS,
);
