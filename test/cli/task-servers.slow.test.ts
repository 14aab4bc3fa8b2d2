/** `task` and `status` of a cell on real Kafka and ZooKeeper: found through ZooKeeper, and told across a rebalance. */
import { expect, test } from "bun:test";
import type { TaskRecordReport, TaskReport } from "../../src/ops/task.ts";
import { type Cluster, withCluster } from "../support/cluster.ts";
import { vouch } from "../support/vouch-command.ts";

const LIMIT_MS = 120_000;
const PARTITIONS = [0, 1, 2, 3];

function whom(cluster: Cluster): string[] {
  return ["--zookeeper", cluster.servers.zookeeper.address, "--cell", cluster.cell];
}

async function ask(cluster: Cluster, id: string): Promise<TaskReport> {
  const { code, out, err } = await vouch(["task", id, "--json", ...whom(cluster)]);
  expect([code, err]).toEqual([0, ""]);
  return JSON.parse(out) as TaskReport;
}

/** The task's only record. */
async function one(cluster: Cluster, id: string): Promise<TaskRecordReport> {
  const { records } = await ask(cluster, id);
  expect(records).toHaveLength(1);
  return records[0]!;
}

test(
  "a task that runs on while its partition moves: who runs it, who owns its partition now; then settled and committed",
  () =>
    withCluster({ nodes: 2, partitions: 4, options: { handlerTimeoutMs: 60_000 } }, async (cluster) => {
      await cluster.produce(
        PARTITIONS.map((partition) => ({ partition, id: `t${partition}`, work: { gate: "open" } })),
      );
      await cluster.waitFor("all four run", async () => {
        const statuses = [...(await cluster.statuses()).values()];
        return statuses.reduce((sum, { running }) => sum + running, 0) === 4;
      });
      const runners = new Map<number, string>();
      for (const partition of PARTITIONS) {
        const found = await one(cluster, `t${partition}`);
        expect(found).toMatchObject({ state: "in-flight", topic: cluster.topic, partition, offset: 0 });
        expect(found.runsOn).toBe(found.owner);
        runners.set(partition, found.runsOn);
      }

      const { name: joiner } = await cluster.addNode();
      const moved = (await cluster.owners()).get(joiner)![0]!;
      await cluster.waitFor(
        "doubtful at its new owner",
        async () => (await one(cluster, `t${moved}`)).verdict === "wait",
      );
      expect(await one(cluster, `t${moved}`)).toMatchObject({
        state: "in-flight",
        runsOn: runners.get(moved),
        owner: joiner,
        attestation: "running",
        waitsFor: "its handler to end; the partition has moved",
      });
      const status = await vouch(["status", ...whom(cluster)]);
      expect(status.code).toBe(0);
      expect(status.out.split("\n").filter((line) => line.length > 80)).toEqual([]);

      cluster.openGate("open");
      await cluster.settled();
      expect(await one(cluster, `t${moved}`)).toMatchObject({
        state: "settled",
        outcome: "dropped",
        committed: true,
        settled: { by: joiner, how: "waitedForHolder", ran: false },
      });
      expect(await one(cluster, `${cluster.topic}:${moved}:0`)).toMatchObject({
        state: "settled",
        taskId: `t${moved}`,
      });
      const stayed = PARTITIONS.find((partition) => partition !== moved && runners.get(partition) !== joiner)!;
      expect((await ask(cluster, `${cluster.topic}:${stayed}:900`)).text).toContain("there is no such record yet");
    }),
  LIMIT_MS,
);
