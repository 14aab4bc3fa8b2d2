/**
 * S7: a failed commit means that a rebalance happened: the node then submits the task to the leader, and the leader takes
 * care of that executed but uncommitted task (the ledger).
 */
import { expect, test } from "bun:test";
import { Phase } from "../../src/core/messages.ts";
import { type TestNode, withCluster } from "../support/cluster.ts";
import { evictFromGroup, memberIdOf } from "../support/group-eviction.ts";

const TASKS = 400;
const ROUNDS = 2;
/** A member that was taken out of the group learns of it late, by its commit. */
const LATE_HEARTBEAT = { kafkaHeartbeatMs: 1_800, handlerTimeoutMs: 60_000 };

test("S7: after a commit that a rebalance made fail the task is submitted to the leader, and committed without another run", async () => {
  // The check throws: it cannot be what settles the task.
  const setting = { check: "throws", onUnknown: "park", proxies: true, options: LATE_HEARTBEAT } as const;
  await withCluster(setting, async (cluster) => {
    const leader = await cluster.leader();
    const [executor] = (await cluster.followers()) as [TestNode];
    const [partition] = (await cluster.owners()).get(executor.name) ?? [];
    let submitted = false;
    leader.proxy.onFrame = ({ peer, message }) => {
      if (peer !== executor.name || message?.kind !== "report") return;
      submitted ||= message.finished.some(({ pid, phase }) => pid === partition && phase === Phase.executed);
    };
    await cluster.produce([{ partition: partition!, id: "uncommitted", work: { gate: "end" } }]);
    await cluster.waitFor("its run", () => cluster.starts("uncommitted").length === 1);

    // The broker takes the executor out of the group; then the task ends, and its commit is refused.
    await evictFromGroup(cluster, executor.name);
    cluster.openGate("end");
    await cluster.waitFor("the refused commit", async () => {
      return ((await executor.status())?.core.counters.commitsRefused ?? 0) > 0;
    });
    await cluster.waitFor("its submission to the leader", () => submitted);

    await cluster.settled();
    expect(cluster.starts("uncommitted").length).toBe(1);
    expect(cluster.effectsOf("uncommitted").length).toBe(1);
    expect(cluster.checks()).toEqual([]);
    expect(cluster.counter("parked")).toBe(0);
    expect((await leader.status())?.core.leaderStatus?.ledger).toBe(0); // below the watermark: taken care of
  });
}, 90_000);

test("S7: a task that ends after its partition moved is entered into the ledger, and outlives its executor", async () => {
  const options = { handlerTimeoutMs: 60_000 };
  await withCluster({ check: "throws", onUnknown: "park", proxies: true, options }, async (cluster) => {
    const leader = await cluster.leader();
    const before = await cluster.owners();
    await cluster.produce(
      Array.from({ length: 6 }, (_, partition) => ({
        partition,
        id: `x-${partition}`,
        work: { gate: `end-${partition}` },
      })),
    );
    await cluster.waitFor("all tasks running", () => cluster.effects().length === 6);
    // Two nodes, so that at least one partition comes from a follower.
    const added = [await cluster.addNode(), await cluster.addNode()];
    const after = await cluster.owners();
    const wasLeaders = before.get(leader.name) ?? [];
    const move = added
      .flatMap((owner) => (after.get(owner.name) ?? []).map((partition) => ({ owner, partition })))
      .find(({ partition }) => !wasLeaders.includes(partition))!;
    const executor = cluster.node(cluster.starts(`x-${move.partition}`)[0]!.node);
    // It shall have nothing else in its hands when it is killed.
    for (let partition = 0; partition < 6; partition++)
      if (partition !== move.partition) cluster.openGate(`end-${partition}`);
    await cluster.waitFor("all other tasks committed", async () =>
      (await cluster.offsets()).every(({ partition, committed }) => committed === 1 || partition === move.partition),
    );

    // The new owner cannot ask while its reports are held: when it can, the executor is dead.
    const held = leader.proxy.stall("to-node", move.owner.name);
    cluster.openGate(`end-${move.partition}`);
    await cluster.waitFor("the ledger's entry", async () => {
      return ((await leader.status())?.core.leaderStatus?.ledger ?? 0) === 1;
    });
    expect((await cluster.offsets())[move.partition]?.committed).toBe(0);
    await executor.kill();
    held.release();

    await cluster.settled();
    expect(cluster.counter("ledgerEntries")).toBeGreaterThan(0);
    expect(cluster.checks()).toEqual([]);
    expect(cluster.counter("parked")).toBe(0);
    const { executed, executedTwice, lost, starts } = cluster.judgement();
    expect({ executed, executedTwice, lost, starts }).toEqual({ executed: 6, executedTwice: 0, lost: 0, starts: 6 });
  });
}, 90_000);

test("S7: a member that missed a rebalance commits nothing over the new owner, and everything is executed once", async () => {
  const options = { ...LATE_HEARTBEAT, concurrency: 4 };
  await withCluster({ check: "throws", onUnknown: "park", options }, async (cluster) => {
    const [evicted] = (await cluster.followers()) as [TestNode];
    const positions: number[][] = [];
    const refused = async (): Promise<number> => (await evicted.status())?.core.counters.commitsRefused ?? 0;
    await cluster.produce(
      Array.from({ length: TASKS }, (_, index) => ({ partition: index % 6, id: `task-${index}`, work: { ms: 150 } })),
    );
    for (let round = 1; round <= ROUNDS; round++) {
      await cluster.waitFor("its membership", async () => (await memberIdOf(cluster, evicted.name)) !== null);
      await cluster.ready();
      await cluster.waitFor("work under way", () => cluster.effects().length > (TASKS / ROUNDS) * (round - 1));
      const before = await refused();
      await evictFromGroup(cluster, evicted.name);
      await cluster.waitFor("a refused commit", async () => (await refused()) > before);
      // A commit of the evicted one would show here as a position that falls.
      positions.push((await cluster.offsets()).map(({ committed }) => committed ?? 0));
    }
    await cluster.settled();
    positions.push((await cluster.offsets()).map(({ committed }) => committed ?? 0));
    for (let at = 1; at < positions.length; at++) {
      positions[at]?.forEach((position, partition) => {
        expect(position).toBeGreaterThanOrEqual(positions[at - 1]?.[partition] ?? 0);
      });
    }
    expect(cluster.checks()).toEqual([]);
    const { executed, executedTwice, lost } = cluster.judgement();
    expect({ executed, executedTwice, lost }).toEqual({ executed: TASKS, executedTwice: 0, lost: 0 });
  });
}, 90_000);
