/**
 * S6: a second delivery has one of two causes, and each is handled as what it is. A node was added and partitions moved: the
 * previous node executes, the new node commits, and attestation settles it. A node failed and partitions moved: attestation
 * cannot settle it, the check strategy does.
 */
import { expect, test } from "bun:test";
import { type TestNode, withCluster } from "../support/cluster.ts";

const TASKS = 240;
const PARTITIONS = 6;

test("S6: a node was added: the previous node executes, the new node commits, and no check is needed (it throws)", async () => {
  const options = { concurrency: 8, handlerTimeoutMs: 60_000 };
  await withCluster({ check: "throws", onUnknown: "park", options }, async (cluster) => {
    await cluster.produce(
      Array.from({ length: TASKS }, (_, index) => ({
        partition: index % PARTITIONS,
        id: `task-${index}`,
        // However long the new node takes to come, one task of each partition is running when the partitions move.
        work: index < PARTITIONS ? { gate: "moved" } : { ms: 200 },
      })),
    );
    const partitionOf = (taskId: string): number => Number(taskId.slice(5)) % PARTITIONS;
    await cluster.waitFor(
      "work under way in every partition",
      () => new Set(cluster.effects().map((line) => partitionOf(line.taskId))).size === PARTITIONS,
    );
    const before = await cluster.owners();
    const added = await cluster.addNode();
    const moved = (await cluster.owners()).get(added.name) ?? [];
    cluster.openGate("moved");
    await cluster.settled();

    expect(cluster.checks()).toEqual([]);
    expect(cluster.counter("parked")).toBe(0);
    const { executed, executedTwice, lost } = cluster.judgement();
    expect({ executed, executedTwice, lost }).toEqual({ executed: TASKS, executedTwice: 0, lost: 0 });
    const byAttestation = cluster.doubtsSettled("attestedExecuted") + cluster.doubtsSettled("waitedForHolder");
    expect(byAttestation).toBeGreaterThan(0);
    // The partitions' last offsets were committed by the added node, though others executed tasks in them.
    expect(moved.length).toBeGreaterThan(0);
    const status = (await added.status())?.core;
    for (const partition of moved) {
      expect(status?.partitions.find((each) => each.pid === partition)?.position).toBe(TASKS / PARTITIONS);
      const inPartition = cluster.effects().filter((line) => partitionOf(line.taskId) === partition);
      const earlier = inPartition.filter((line) => before.get(line.node)?.includes(partition) === true);
      expect(earlier.length).toBeGreaterThan(0);
    }
  });
}, 90_000);

test("S6: a node failed: nobody can attest to what it was executing, so the check decides about exactly that", async () => {
  await withCluster({}, async (cluster) => {
    const [victim] = (await cluster.followers()) as [TestNode];
    const partitions = (await cluster.owners()).get(victim.name) ?? [];
    await cluster.produce(
      Array.from({ length: PARTITIONS }, (_, partition) => ({
        partition,
        id: `x-${partition}`,
        work: { gate: "end" },
      })),
    );
    await cluster.waitFor("all tasks running", () => cluster.effects().length === PARTITIONS);
    await victim.kill();
    const theirs = partitions.map((partition) => `x-${partition}`);
    await cluster.waitFor("the check of its tasks", () => cluster.checks().length >= theirs.length);
    cluster.openGate("end");
    await cluster.settled();

    expect(
      cluster
        .checks()
        .map((line) => line.taskId)
        .toSorted(),
    ).toEqual(theirs.toSorted());
    expect(cluster.doubtsSettled("checkedNotExecuted")).toBe(theirs.length);
    for (const task of theirs) expect(cluster.effectsOf(task)[0]?.node).not.toBe(victim.name);
    const { executed, executedTwice, lost } = cluster.judgement();
    expect({ executed, executedTwice, lost }).toEqual({ executed: PARTITIONS, executedTwice: 0, lost: 0 });
  });
}, 90_000);
