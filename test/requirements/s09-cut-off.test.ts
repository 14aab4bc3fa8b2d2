/**
 * S9: a node that is cut off from the leader, and from nothing else, guards itself and gives up consuming; the leader
 * lets go of it, the others take its work over, and it comes back when the cut has healed.
 */
import { expect, test } from "bun:test";
import { type Cluster, type TestNode, withCluster } from "../support/cluster.ts";
import { groupMembers } from "../support/cluster-outside.ts";

const TASKS = 20; // a partition

const startsOf = (cluster: Cluster, node: TestNode): number =>
  cluster.effects().filter((line) => line.kind === "start" && line.node === node.name).length;

/** Nothing passes between leader and node, and no new link comes about; Kafka and ZooKeeper are as near as before. */
function cutOff(leader: TestNode, node: TestNode): { heal(): void } {
  const holds = [leader.proxy.stall("to-node", node.name), leader.proxy.stall("from-node", node.name)];
  leader.proxy.refuse(true);
  return {
    heal() {
      for (const hold of holds) hold.release();
      leader.proxy.refuse(false);
    },
  };
}

test("S9: cut off from the leader: nothing starts after the lease, long handlers are aborted, the group is left", async () => {
  await withCluster({ proxies: true }, async (cluster) => {
    const leader = await cluster.leader();
    const [lonely] = (await cluster.followers()) as [TestNode];
    const partitions = (await cluster.owners()).get(lonely.name) ?? [];
    const [first = -1] = partitions;
    await cluster.produce([
      { partition: first, id: "long", work: { gate: "long" } },
      ...partitions.map((partition) => ({ partition, id: `quick-${partition}` })),
    ]);
    await cluster.waitFor("the long handler at work", () => cluster.starts("long").length === 1);
    expect(cluster.starts("long")[0]?.node).toBe(lonely.name);
    await cluster.waitFor("the quick ones done", () =>
      partitions.every((partition) => cluster.effectsOf(`quick-${partition}`).length === 1),
    );

    const cut = cutOff(leader, lonely);
    await cluster.waitFor(
      "the end of its lease",
      async () =>
        (await lonely.status())?.core.leaseRemainingMs === 0 && (await lonely.status())?.core.member === false,
    );
    const started = startsOf(cluster, lonely);
    await cluster.produce(
      partitions.flatMap((partition) =>
        Array.from({ length: TASKS }, (_, index) => ({ partition, id: `cut-${partition}-${index}` })),
      ),
    );
    expect(cluster.journal("long").map((line) => line.what)).toEqual(["start"]); // the grace is for it

    await cluster.waitFor("the long handler aborted", () =>
      cluster.journal("long").some((each) => each.what === "abort"),
    );
    expect(await groupMembers(cluster)).toEqual({ state: "Stable", members: 3 }); // not while its handlers may run
    await cluster.waitFor("it left the group", async () => (await lonely.status())?.groupJoined === false);
    await cluster.waitFor("the group goes on without it", async () => {
      const { state, members } = await groupMembers(cluster);
      return state === "Stable" && members === 2;
    });
    expect((await lonely.status())?.core).toMatchObject({
      role: "isolated",
      member: false,
      partitions: [],
      running: 0,
    });

    cluster.openGate("long");
    await cluster.waitFor("the others did all of its work", () => cluster.judgement().lost === 0);
    expect(startsOf(cluster, lonely)).toBe(started);
    expect(cluster.effects().filter((line) => line.taskId.startsWith("cut-") && line.node === lonely.name)).toEqual([]);
    const [, , again] = cluster.journal("long");
    expect(cluster.journal("long")).toEqual([
      { what: "start", taskId: "long", node: lonely.name },
      { what: "abort", taskId: "long", node: lonely.name },
      { what: "start", taskId: "long", node: again?.node ?? "" },
    ]);
    expect(again?.node).not.toBe(lonely.name);
    expect(cluster.checks()).toContainEqual({ taskId: "long", node: again?.node ?? "", answer: "not-executed" });
    const { leaderStatus } = (await leader.status())?.core ?? {};
    expect(leaderStatus?.inSync.map((incarnation) => incarnation.split("/")[0])).not.toContain(lonely.name);

    cut.heal();
    await cluster.ready();
    expect((await cluster.leader()).name).toBe(leader.name);
    await cluster.produce(Array.from({ length: 60 }, (_, index) => ({ partition: index % 6, id: `healed-${index}` })));
    await cluster.settled();
    expect(startsOf(cluster, lonely)).toBeGreaterThan(started);
    expect(cluster.judgement()).toMatchObject({ lost: 0, executedTwice: 0, tokensFell: 0, foreign: 0 });
  });
}, 90_000);
