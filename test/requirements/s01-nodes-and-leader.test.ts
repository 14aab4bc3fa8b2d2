/**
 * S1: every node, the leader included, consumes tasks from Kafka; the leader alone decides votes. It is elected through an
 * ephemeral node in ZooKeeper, and synchronises with its followers.
 */
import { expect, test } from "bun:test";
import { decodeInSync, decodeLeader } from "../../src/coordinator/records.ts";
import { CellPaths } from "../../src/coordinator/zookeeper/connect-string.ts";
import { connectedSessions, readNode } from "../conformance/zookeeper-client.ts";
import { type Cluster, withCluster } from "../support/cluster.ts";

const TASKS = 600;

const paths = (cluster: Cluster): CellPaths => new CellPaths("", "/vouch", cluster.cell);

test("S1: every node executes tasks, the leader included, and the leader alone decides who does", async () => {
  await withCluster({ proxies: true }, async (cluster) => {
    const leader = await cluster.leader();
    const speakers = new Set<string>();
    const verdictsFrom = new Set<string>();
    for (const node of cluster.nodes) {
      node.proxy.onFrame = ({ peer, direction, message }) => {
        // A link is dialled by a follower: what the node behind the proxy says goes "from-node".
        const speaker = direction === "from-node" ? node.name : peer;
        speakers.add(speaker);
        if (message?.kind === "verdicts") verdictsFrom.add(speaker);
      };
    }
    await cluster.produce(
      Array.from({ length: TASKS }, (_, index) => ({ partition: index % 6, id: `task-${index}`, work: { ms: 2 } })),
    );
    await cluster.settled();

    const { executed, executedTwice, lost } = cluster.judgement();
    expect({ executed, executedTwice, lost }).toEqual({ executed: TASKS, executedTwice: 0, lost: 0 });
    const workers = new Set(cluster.effects().map((line) => line.node));
    expect([...workers].toSorted()).toEqual(["n1", "n2", "n3"]);
    expect(workers).toContain(leader.name);
    expect([...speakers].toSorted()).toEqual(["n1", "n2", "n3"]);
    expect([...verdictsFrom]).toEqual([leader.name]);
  });
}, 60_000);

test("S1: the leader holds an ephemeral ZooKeeper node, and what it decided is in its followers' copies", async () => {
  await withCluster({}, async (cluster) => {
    const { zookeeper } = cluster.servers;
    const first = await cluster.leader();
    const node = await readNode(zookeeper.address, paths(cluster).leader);
    expect(decodeLeader(node.text)?.nodeId).toBe(first.name);
    expect(node.owner).not.toBeNull(); // of a session: ephemeral
    expect(await connectedSessions(zookeeper.port)).toContain(node.owner ?? "");

    const inSync = decodeInSync((await readNode(zookeeper.address, paths(cluster).inSync)).text);
    expect(inSync?.incarnations.map((each) => each.split("/")[0]).toSorted()).toEqual(["n1", "n2", "n3"]);
    await cluster.produce(Array.from({ length: 60 }, (_, index) => ({ partition: index % 6, id: `a-${index}` })));
    await cluster.settled();

    // The followers know as much as the leader: with it gone, none of the tasks runs again.
    await first.kill();
    const second = await cluster.leader();
    expect(second.name).not.toBe(first.name);
    const next = await readNode(zookeeper.address, paths(cluster).leader);
    expect(decodeLeader(next.text)?.nodeId).toBe(second.name);
    expect(decodeLeader(next.text)?.epoch).toBeGreaterThan(decodeLeader(node.text)?.epoch ?? Infinity);
    expect(next.owner).not.toBe(node.owner);

    await cluster.produce(Array.from({ length: 60 }, (_, index) => ({ partition: index % 6, id: `b-${index}` })));
    await cluster.settled();
    const { executed, executedTwice, lost } = cluster.judgement();
    expect({ executed, executedTwice, lost }).toEqual({ executed: 120, executedTwice: 0, lost: 0 });
  });
}, 90_000);
