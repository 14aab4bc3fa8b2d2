/**
 * S2: before a node executes a task it asks the leader. The leader tests its Bloom filter, notifies the other nodes, and
 * returns the union of all nodes' verdicts. A node that drops out during a vote is actively disconnected by the leader.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { type Cluster, type TestNode, withCluster } from "../support/cluster.ts";
import { ROOT } from "../support/cluster-node.ts";
import { BIT_IS_PUT, SEEN_ID_ENVIRONMENT } from "../support/seen-bit-node.ts";

/** Long enough for a vote to be over a hundred times, short enough that nobody is evicted for it. */
const NOTHING_HAPPENS_MS = 600;

/** A partition of this node. */
async function partitionOf(cluster: Cluster, node: TestNode): Promise<number> {
  const [partition] = (await cluster.owners()).get(node.name) ?? [];
  if (partition === undefined) throw new Error(`${node.name} has no partition`);
  return partition;
}

test("S2: a task starts only when every other node has answered the leader's notice; who drops out of the vote is disconnected", async () => {
  await withCluster({ proxies: true }, async (cluster) => {
    const { proxy } = await cluster.leader();
    const [asker, other] = (await cluster.followers()) as [TestNode, TestNode];
    const partition = await partitionOf(cluster, asker);

    // One node's answers are held on their way to the leader: the vote is not over, the task does not start.
    const held = proxy.stall("to-node", other.name);
    const notified = Promise.withResolvers<void>();
    proxy.onFrame = ({ direction, peer, message }) => {
      const tells = message?.kind === "delta" && message.delta.entries.length > 0;
      if (tells && direction === "from-node" && peer === other.name) notified.resolve();
    };
    await cluster.produce([{ partition, id: "voted" }]);
    await notified.promise;
    await Bun.sleep(NOTHING_HAPPENS_MS);
    expect(cluster.starts("voted")).toEqual([]);
    held.release();
    await cluster.waitFor("the task's effect", () => cluster.effectsOf("voted").length === 1);
    expect(cluster.effectsOf("voted")[0]?.node).toBe(asker.name);

    // A stopped process answers nothing and closes nothing: if its link ends, the leader ended it.
    other.pause();
    await cluster.produce([{ partition, id: "voted-without-it" }]);
    await cluster.waitFor("the vote without it", () => cluster.effectsOf("voted-without-it").length === 1);
    await cluster.waitFor("the end of its link", () => !proxy.peers.includes(other.name));
    expect(proxy.peers).toEqual([asker.name]);
    const status = (await (await cluster.leader()).status())?.core.leaderStatus;
    expect(status?.inSync.map((each) => each.split("/")[0])).not.toContain(other.name);

    other.continue();
    await cluster.ready();
    await cluster.settled();
    const { executed, executedTwice, lost } = cluster.judgement();
    expect({ executed, executedTwice, lost }).toEqual({ executed: 2, executedTwice: 0, lost: 0 });
  });
}, 90_000);

test("S2: one node's filter that holds the task id is enough to put the task in doubt (the union of the verdicts)", async () => {
  await withCluster({ nodes: 2 }, async (cluster) => {
    const leader = await cluster.leader();
    const third = await cluster.addNode({
      entry: join(ROOT, "test/support/seen-bit-node.ts"),
      environment: { [SEEN_ID_ENVIRONMENT]: "seen-by-one" },
    });
    await cluster.waitFor("the bit in one filter", () => third.log().includes(BIT_IS_PUT));
    const [asker] = (await cluster.followers()).filter((node) => node !== third);
    expect(await cluster.leader()).toBe(leader);
    const partition = await partitionOf(cluster, asker!);
    await cluster.produce([
      { partition, id: "seen-by-nobody" },
      { partition, id: "seen-by-one" },
    ]);
    await cluster.settled();

    // Doubtful for the one, and settled by the check, which says that it was not executed; granted for the other.
    expect(cluster.counter("unexpectedSeen")).toBe(1);
    expect(cluster.counter("doubts")).toBe(1);
    expect(cluster.checks()).toEqual([{ taskId: "seen-by-one", node: asker!.name, answer: "not-executed" }]);
    const { executed, executedTwice, lost } = cluster.judgement();
    expect({ executed, executedTwice, lost }).toEqual({ executed: 2, executedTwice: 0, lost: 0 });
    expect(cluster.effects().every((line) => line.node === asker!.name)).toBe(true);
  });
}, 90_000);
