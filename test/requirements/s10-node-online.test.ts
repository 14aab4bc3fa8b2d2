/**
 * S10: a node that comes online synchronises with the leader first and only then is a member. An observer that wins an
 * election while better-informed nodes exist costs no correctness: it takes their state, or leaves the leadership to them.
 */
import { expect, test } from "bun:test";
import type { NodeConfig } from "../../src/config/option-table.ts";
import { type Cluster, type PassingFrame, type TestNode, withCluster } from "../support/cluster.ts";
import { groupMembers, removeLeaderNode } from "../support/cluster-outside.ts";

const BATCH = 30;

/** Produces without a pause until it is told to stop. */
function load(cluster: Cluster): { stop(): Promise<void> } & AsyncDisposable {
  let stopped = false;
  let produced = 0;
  const running = (async () => {
    while (!stopped) {
      const tasks = Array.from({ length: BATCH }, () => ({ partition: produced % 6, id: `load-${produced++}` }));
      await cluster.produce(tasks);
      await Bun.sleep(10);
    }
  })();
  const stop = async (): Promise<void> => {
    stopped = true;
    await running;
  };
  return { stop, [Symbol.asyncDispose]: stop };
}

const fromNode = (peer: string, kind: string) => (frame: PassingFrame) =>
  frame.direction === "from-node" && frame.peer === peer && frame.message?.kind === kind;

test("S10: under load a new node is a learner until it has the leader's state, and a member and consumer only then", async () => {
  await withCluster({ proxies: true }, async (cluster) => {
    const leader = await cluster.leader();
    const frames: PassingFrame[] = [];
    leader.proxy.onFrame = (frame) => void (frame.peer === "n4" && frames.push(frame));
    await using work = load(cluster);
    await cluster.waitFor("tasks on their way", () => cluster.effects().length > 500);

    const sync = leader.proxy.hold(fromNode("n4", "state-chunk"));
    const joiner = await cluster.addNode({ waitUntilReady: false });
    await sync.begun;
    await cluster.waitFor("the new node waits", async () => (await joiner.status())?.core.role === "learner");
    const before = cluster.judgement().executed;
    await cluster.waitFor("the others are not held up by it", () => cluster.judgement().executed > before + 500);
    const learning = await joiner.status();
    expect(learning?.groupJoined).toBe(false);
    expect(learning?.core).toMatchObject({
      role: "learner",
      member: false,
      partitions: [],
      waitingFor: expect.stringMatching(/./),
    });
    const seen = (await leader.status())?.core.leaderStatus;
    expect(seen?.inSync.map(nameOf).toSorted()).toEqual(["n1", "n2", "n3"]);
    expect(seen?.peers.find((peer) => nameOf(peer.incarnation) === "n4")?.standing).toBe("learner");
    expect((await groupMembers(cluster)).members).toBe(3);

    sync.release();
    await cluster.ready();
    await cluster.waitFor("it works", () => cluster.effects().some((line) => line.node === "n4"));
    await work.stop();
    await cluster.settled();
    expect(cluster.judgement()).toMatchObject({ lost: 0, executedTwice: 0, tokensFell: 0 });
    orderOfJoining(frames);
  });
}, 60_000);

const nameOf = (incarnation: string): string => incarnation.split("/")[0] ?? "";

/** On the wire: the whole state, its acknowledgement, the admission, and the first claim after that. */
function orderOfJoining(frames: readonly PassingFrame[]): void {
  const find = (matches: (message: NonNullable<PassingFrame["message"]>) => boolean): number =>
    frames.findIndex(({ message }) => message !== null && matches(message));
  const whole = find((message) => message.kind === "state-chunk" && message.last);
  const chunk = frames[whole]?.message;
  const seq = chunk?.kind === "state-chunk" ? chunk.seq : Infinity;
  const acknowledged = find(
    (message) => message.kind === "report" && message.appliedEpoch > 0 && message.appliedSeq >= seq,
  );
  const admitted = find((message) => message.kind === "admitted");
  const claimed = find((message) => message.kind === "report" && message.claims.length > 0);
  expect([whole, acknowledged, admitted, claimed].every((index) => index >= 0)).toBe(true);
  expect([whole, acknowledged, admitted, claimed]).toEqual(
    [whole, acknowledged, admitted, claimed].toSorted((a, b) => a - b),
  );
}

/** An activating leader may wait so long for members of the last set; the relations then ask for a longer grace. */
const PATIENT: Partial<NodeConfig> = {
  syncMaxMs: 2_000,
  isolationGraceMs: 6_500,
  isolateAfterMs: 8_000,
  uncleanStartAfterMs: 9_000,
  kafkaSessionMs: 9_000,
  kafkaRebalanceMs: 9_000,
};
const IDS = Array.from({ length: 60 }, (_, index) => `task-${index}`);
const produceAll = (cluster: Cluster) => cluster.produce(IDS.map((id, index) => ({ partition: index % 6, id })));

/**
 * Three nodes have executed everything and know it; two of them execute more. A fourth comes, and gets no state. Then the
 * leader dies while its followers are stopped (shorter than their sessions): nobody competes but the fourth, and it wins.
 */
async function observerWins(cluster: Cluster): Promise<{ usurper: TestNode; informed: TestNode[] }> {
  const leader = await cluster.leader();
  const informed = await cluster.followers();
  await produceAll(cluster);
  await cluster.settled();
  const owners = await cluster.owners();
  await cluster.produce(
    informed.map(({ name }) => ({
      partition: owners.get(name)?.[0] ?? -1,
      id: `long-${name}`,
      work: { gate: "long" },
    })),
  );
  await cluster.waitFor("long handlers at work", () =>
    informed.every(({ name }) => cluster.starts(`long-${name}`).length === 1),
  );
  const sync = leader.proxy.hold(fromNode("n4", "state-chunk"));
  const usurper = await cluster.addNode({ waitUntilReady: false });
  await sync.begun;
  expect((await usurper.status())?.core).toMatchObject({ member: false });

  for (const node of informed) node.pause();
  await leader.kill();
  await removeLeaderNode(cluster);
  await cluster.waitFor(
    "the observer to win the election",
    async () => (await usurper.status())?.core.counters.elections === 1,
  );
  return { usurper, informed };
}

async function nothingWasForgotten(cluster: Cluster): Promise<void> {
  cluster.openGate("long");
  await cluster.ready();
  await produceAll(cluster); // each once more: whoever knows nothing would grant them
  await cluster.settled();
  expect(cluster.judgement()).toMatchObject({ tasks: IDS.length + 2, lost: 0, executedTwice: 0, tokensFell: 0 });
  for (const id of IDS) expect(cluster.starts(id)).toHaveLength(1);
  // Those that ran on went on: their executors were never in doubt.
  expect(cluster.effects().filter((line) => line.kind === "start" && line.taskId.startsWith("long-"))).toHaveLength(2);
  const checked = new Set(cluster.checks().map((line) => line.taskId));
  expect([...checked].filter((id) => id.startsWith("long-"))).toEqual([]);
}

test("S10: an observer that wins while better-informed nodes are in reach leads with their state", async () => {
  await withCluster({ proxies: true, options: PATIENT }, async (cluster) => {
    const { usurper, informed } = await observerWins(cluster);
    expect((await usurper.status())?.core.role).toBe("activating"); // it does not vote
    for (const node of informed) node.continue();
    expect((await cluster.leader()).name).toBe(usurper.name);
    await nothingWasForgotten(cluster);
    expect((await cluster.leader()).name).toBe(usurper.name);
  });
}, 90_000);

test("S10: an observer that wins while better-informed nodes live out of its reach leaves the leadership to them", async () => {
  await withCluster({ proxies: true, options: PATIENT }, async (cluster) => {
    const { usurper, informed } = await observerWins(cluster);
    usurper.proxy.refuse(true);
    for (const node of informed) node.continue();
    const leader = await cluster.leader();
    expect(informed.map(({ name }) => name)).toContain(leader.name);
    await nothingWasForgotten(cluster);
    expect(usurper.log()).not.toContain('"now leader"');
    expect((await usurper.status())?.core.counters.elections).toBe(1); // having resigned it stays out for a while
    expect((await usurper.status())?.core).toMatchObject({ member: true });
  });
}, 90_000);
