/**
 * S8: a node that holds a task in doubt waits while another executes it, listens to the leader, and takes the execution
 * role when that node goes offline; what becomes of the task then is the check's word. Never two run it at once.
 *
 * The quarantine is made longer than any wait here: a takeover can only come from hearing of the death.
 */
import { expect, test } from "bun:test";
import type { NodeConfig } from "../../src/config/option-table.ts";
import { type Cluster, TEST_TIMING, type TestNode, withCluster } from "../support/cluster.ts";

const PARTITIONS = 12;
const MINUTE_LONG_QUARANTINE: Partial<NodeConfig> = {
  isolationGraceMs: 60_000,
  isolateAfterMs: 62_000,
  uncleanStartAfterMs: 70_000,
  quarantineMarginMs: 2_000,
  kafkaSessionMs: 65_000,
  kafkaRebalanceMs: 65_000,
  handlerTimeoutMs: 120_000,
};

/** Each partition runs one task that did not happen yet, and one whose effect happened though its handler still runs. */
async function everyPartitionExecutes(cluster: Cluster): Promise<void> {
  const all = Array.from({ length: PARTITIONS }, (_, partition) => partition);
  await cluster.produce(
    all.flatMap((partition) => [
      { partition, id: `before-${partition}`, work: { gate: `before-${partition}` } },
      { partition, id: `after-${partition}`, work: { linger: `after-${partition}` } },
    ]),
  );
  await cluster.waitFor("all handlers at work", () =>
    all.every((partition) => cluster.starts(`before-${partition}`).length === 1 && effects(cluster, partition) === 1),
  );
}

const effects = (cluster: Cluster, partition: number): number => cluster.effectsOf(`after-${partition}`).length;

/** A fourth node joins; @returns the partitions that moved to it, by the node that still executes their tasks. */
async function fourthNodeWaits(cluster: Cluster): Promise<{ waiting: TestNode; moved: Map<string, number> }> {
  const waiting = await cluster.addNode();
  const mine = (await cluster.owners()).get(waiting.name) ?? [];
  const moved = new Map(mine.map((partition) => [cluster.starts(`before-${partition}`)[0]?.node ?? "", partition]));
  // The sticky assigner takes one partition from each of the three.
  expect([...moved.keys()].toSorted()).toEqual(["n1", "n2", "n3"]);
  await cluster.waitFor(
    "the new node in doubt about all tasks that came with its partitions",
    async () => (await waiting.status())?.core.doubtful === 2 * mine.length,
  );
  await Bun.sleep(4 * (TEST_TIMING.doubtIntervalMs ?? 0)); // some rounds of asking
  expect(cluster.effects().filter((line) => line.kind === "start")).toHaveLength(2 * PARTITIONS);
  expect(cluster.checks()).toEqual([]);
  return { waiting, moved };
}

async function killAndTakeOver(cluster: Cluster, executor: TestNode): Promise<void> {
  await everyPartitionExecutes(cluster);
  const { waiting, moved } = await fourthNodeWaits(cluster);
  const partition = moved.get(executor.name) ?? -1;
  const others = [...moved.values()].filter((each) => each !== partition);

  await executor.kill();
  await cluster.waitFor(
    "the waiting node takes the execution role",
    () => cluster.starts(`before-${partition}`).length === 2,
  );
  const [first, second] = cluster.starts(`before-${partition}`);
  expect([first?.node, second?.node]).toEqual([executor.name, waiting.name]);
  expect((second?.token ?? "") > (first?.token ?? "")).toBe(true);

  cluster.openGate(`before-${partition}`);
  await cluster.waitFor(
    "both tasks committed by the node that held them in doubt",
    async () => (await cluster.offsets()).find((each) => each.partition === partition)?.committed === 2,
  );
  expect(cluster.effectsOf(`before-${partition}`).map((line) => line.node)).toEqual([waiting.name]);
  expect(cluster.starts(`after-${partition}`).map((line) => line.node)).toEqual([executor.name]);
  expect(effects(cluster, partition)).toBe(1);
  expect(cluster.checks()).toEqual(
    expect.arrayContaining([
      { taskId: `before-${partition}`, node: waiting.name, answer: "not-executed" },
      { taskId: `after-${partition}`, node: waiting.name, answer: "executed" },
    ]),
  );
  expect(cluster.checks()).toHaveLength(2); // nobody asked about tasks whose executors live

  // Those whose executors live were waited for all the time, and are dropped on their word.
  for (const each of others) {
    expect(cluster.starts(`before-${each}`)).toHaveLength(1);
    cluster.openGate(`before-${each}`);
    cluster.openGate(`after-${each}`);
  }
  await cluster.waitFor("the other moved partitions committed", async () => {
    const offsets = await cluster.offsets();
    return others.every((each) => offsets.find(({ partition: at }) => at === each)?.committed === 2);
  });
  for (const each of others) {
    expect(cluster.starts(`before-${each}`)).toHaveLength(1);
    expect(cluster.effectsOf(`before-${each}`)).toHaveLength(1);
    expect(cluster.starts(`after-${each}`)).toHaveLength(1);
  }
  expect(cluster.checks()).toHaveLength(2);
  expect(cluster.judgement()).toMatchObject({ executedTwice: 0, tokensFell: 0, withoutStart: 0 });
}

test("S8: the node that waits for an executor hears of its death and takes the execution role; the check decides", async () => {
  await withCluster({ partitions: PARTITIONS, options: MINUTE_LONG_QUARANTINE }, async (cluster) => {
    const [follower] = await cluster.followers();
    await killAndTakeOver(cluster, follower!);
  });
}, 90_000);

test("S8: also when the executor that died was the leader", async () => {
  await withCluster({ partitions: PARTITIONS, options: MINUTE_LONG_QUARANTINE }, async (cluster) => {
    await killAndTakeOver(cluster, await cluster.leader());
  });
}, 90_000);
