/**
 * Somebody else touches the group's offsets, or the log's beginning, of a cell on real Kafka and ZooKeeper: a foreign client
 * commits backwards and forwards, the offsets expire, records are deleted before they were read. Judged by the record of
 * effects; every case that skips or stops something says so in words that name the partition and the numbers.
 */
import { expect, test } from "bun:test";
import { type Cluster, type TestNode, withCluster } from "../support/cluster.ts";
import { deleteGroup, deleteRecordsBelow, foreignCommit } from "../support/foreign-client.ts";

const TEST_MS = 90_000;
const PARTITIONS = 3;
const SETTING = { nodes: 2, partitions: PARTITIONS, onUnknown: "park" } as const;

/** Tasks that their position names: nothing but position and watermark tells that they were done. */
async function produceUnnamed(cluster: Cluster, partition: number, count: number): Promise<void> {
  await cluster.produce(Array.from({ length: count }, () => ({ partition })));
}

/** Effects by partition, as sorted offsets; each as often as it took place. */
function effectsIn(cluster: Cluster, partition: number): number[] {
  return cluster
    .effects()
    .filter((line) => line.kind === "effect")
    .map((line) => line.taskId.split(":").map(Number))
    .filter((parts) => parts.at(-2) === partition)
    .map((parts) => parts.at(-1)!)
    .toSorted((a, b) => a - b);
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);

async function drainAll(cluster: Cluster): Promise<void> {
  expect(await Promise.all(cluster.nodes.map((node) => node.drain()))).toEqual(cluster.nodes.map(() => 0));
}

async function startAll(cluster: Cluster): Promise<void> {
  await Promise.all(cluster.nodes.map((node) => node.restart()));
  await cluster.ready();
}

/** The commits being gone or another's, what is above the watermark is asked about; what was done before never is. */
function expectOnlyNewChecked(cluster: Cluster): void {
  expect(cluster.checks().filter(({ answer }) => answer !== "not-executed")).toEqual([]);
}

const logs = (cluster: Cluster): string => cluster.nodes.map((node) => node.log()).join("\n");

test(
  "E8: R7, R14: a foreign client commits backwards and forwards while the cell works: nothing runs twice, what is skipped is told",
  async () => {
    await withCluster({ ...SETTING, check: "throws", options: { handlerTimeoutMs: 60_000 } }, async (cluster) => {
      for (let partition = 0; partition < PARTITIONS; partition++) await produceUnnamed(cluster, partition, 20);
      await cluster.settled();
      const owner = async (partition: number): Promise<string> => (await cluster.owner(partition))!.name;
      // Partition 2: its first task runs, what is above it is done, and the foreign commit lands in the middle of that.
      await cluster.produce([{ partition: 2, work: { gate: "head" } }]);
      await produceUnnamed(cluster, 2, 9);
      await cluster.waitFor("all but the head", () => effectsIn(cluster, 2).length === 29);
      await cluster.waitFor("its bitmap", async () => ((await cluster.offsets())[2]?.metadata ?? "").length > 0);

      await foreignCommit(cluster, [{ partition: 0, offset: 4 }], await owner(0));
      await foreignCommit(cluster, [{ partition: 2, offset: 25 }], await owner(2));
      expect((await cluster.offsets()).map(({ committed }) => committed)).toEqual([4, 20, 25]);
      await cluster.addNode({ waitUntilReady: false }); // a rebalance: the foreign offsets are fetched
      await cluster.ready();
      await cluster.waitFor("partition 0 where it was", async () => (await cluster.offsets())[0]?.committed === 20);
      cluster.openGate("head");
      for (let partition = 0; partition < PARTITIONS; partition++) await produceUnnamed(cluster, partition, 5);
      await cluster.settled();
      expect(effectsIn(cluster, 0)).toEqual(range(0, 25));
      expect(effectsIn(cluster, 1)).toEqual(range(0, 25));
      expect(effectsIn(cluster, 2)).toEqual(range(0, 35));
      expect(cluster.checks()).toEqual([]);
      expect(logs(cluster)).toMatch(/\/0: committed offset 4 was not written by this cell \(watermark 20\)/);
      await cluster.ready();
    });
  },
  TEST_MS,
);

test(
  "E16: R7, R15: offsets are set by hand while the cell is down: backwards runs nothing again, forwards skips exactly what it says",
  async () => {
    await withCluster(SETTING, async (cluster) => {
      for (let partition = 0; partition < PARTITIONS; partition++) await produceUnnamed(cluster, partition, 20);
      await cluster.settled();
      await drainAll(cluster);
      await foreignCommit(cluster, [
        { partition: 0, offset: 0 },
        { partition: 1, offset: 27 },
      ]);
      for (let partition = 0; partition < PARTITIONS; partition++) await produceUnnamed(cluster, partition, 10);
      await startAll(cluster);
      await cluster.settled();
      expect(effectsIn(cluster, 0)).toEqual(range(0, 30));
      expect(effectsIn(cluster, 1)).toEqual([...range(0, 20), ...range(27, 30)]); // a person's will, and told
      expect(effectsIn(cluster, 2)).toEqual(range(0, 30));
      expectOnlyNewChecked(cluster);
      expect(logs(cluster)).toMatch(/\/0: committed offset 0 was not written by this cell \(watermark 20\)/);
      expect(logs(cluster)).toMatch(/\/1: 7 offsets were skipped by a commit that is not this cell's/);
      expect(cluster.counter("skipped")).toBe(7);
    });
  },
  TEST_MS,
);

test(
  "E15: R15: the group's offsets are gone (expired, deleted): the watermarks answer for what was done, and an alarm says so",
  async () => {
    await withCluster(SETTING, async (cluster) => {
      for (let partition = 0; partition < PARTITIONS; partition++) await produceUnnamed(cluster, partition, 20);
      await cluster.settled();
      await drainAll(cluster);
      await deleteGroup(cluster);
      expect((await cluster.offsets()).map(({ committed }) => committed)).toEqual([null, null, null]);
      for (let partition = 0; partition < PARTITIONS; partition++) await produceUnnamed(cluster, partition, 5);
      await startAll(cluster);
      await cluster.settled();
      for (let partition = 0; partition < PARTITIONS; partition++) {
        expect(effectsIn(cluster, partition)).toEqual(range(0, 25));
      }
      expectOnlyNewChecked(cluster);
      expect(logs(cluster)).toMatch(/\/1: the group's committed offset is gone; \[0, 20\) stays valid/);
    });
  },
  TEST_MS,
);

test(
  "E15: R15: the offsets are gone and every node was killed with tasks in hand: what may have run is checked, nothing is lost",
  async () => {
    await withCluster({ ...SETTING, check: "truth" }, async (cluster) => {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        await produceUnnamed(cluster, partition, 10);
        await cluster.produce([{ partition, work: { gate: "never" } }]);
        await produceUnnamed(cluster, partition, 10);
      }
      await cluster.waitFor(
        "all but three",
        () => cluster.effects().filter(({ kind }) => kind === "effect").length === 60,
      );
      await Promise.all(cluster.nodes.map((node) => node.kill()));
      cluster.openGate("never");
      await cluster.waitFor("an empty group", async () => {
        try {
          await deleteGroup(cluster);
          return true;
        } catch {
          return false; // it has members until their sessions end
        }
      });
      await startAll(cluster);
      await cluster.settled();
      for (let partition = 0; partition < PARTITIONS; partition++) {
        expect(effectsIn(cluster, partition)).toEqual(range(0, 21));
      }
      expect(cluster.checks().length).toBeGreaterThan(0);
      expect(logs(cluster)).toContain("the group's committed offset is gone");
    });
  },
  TEST_MS,
);

/** The partition's own answer on /readyz, "" when it has none. */
async function readiness(node: TestNode): Promise<{ readonly code: number; readonly partitions: string }> {
  const response = await fetch(`${node.url}/readyz`);
  const { checks } = (await response.json()) as { checks: readonly { name: string; detail: string }[] };
  return { code: response.status, partitions: checks.find(({ name }) => name === "partitions")?.detail ?? "" };
}

test(
  "E18: records are deleted before they were read: that partition stops and says what to do, the others go on; done so, it goes on",
  async () => {
    await withCluster(SETTING, async (cluster) => {
      for (let partition = 0; partition < PARTITIONS; partition++) await produceUnnamed(cluster, partition, 20);
      await cluster.settled();
      await drainAll(cluster);
      for (let partition = 0; partition < PARTITIONS; partition++) await produceUnnamed(cluster, partition, 10);
      await deleteRecordsBelow(cluster, 2, 26);
      await startAll(cluster);
      await cluster.waitFor("the others", () => effectsIn(cluster, 0).length + effectsIn(cluster, 1).length === 60);
      const owner = (await cluster.owner(2))!;
      await cluster.waitFor("the alarm on /readyz", async () => (await readiness(owner)).partitions !== "");
      const { code, partitions } = await readiness(owner);
      expect(code).toBe(503);
      expect(partitions).toContain(`${cluster.topic}/2`);
      expect(partitions).toContain("offsets 20 to 25 were deleted from the log before they were read");
      expect(partitions).toContain("stop all nodes, set the group's offset");
      expect(effectsIn(cluster, 2)).toEqual(range(0, 20));

      await drainAll(cluster);
      await foreignCommit(cluster, [{ partition: 2, offset: 26 }]);
      await startAll(cluster);
      await cluster.settled();
      expect(effectsIn(cluster, 2)).toEqual([...range(0, 20), ...range(26, 30)]);
      expect(effectsIn(cluster, 0)).toEqual(range(0, 30));
      expectOnlyNewChecked(cluster);
      expect(logs(cluster)).toMatch(/\/2: 6 offsets were skipped/);
    });
  },
  TEST_MS,
);
