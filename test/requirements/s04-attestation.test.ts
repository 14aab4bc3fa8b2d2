/**
 * S4: at intervals other nodes are asked about doubtful tasks: is anyone about to execute, executing, or has anyone executed
 * but not yet committed this one? Attested: the holder drops the task and still commits it. As built: only "executed" (or
 * "committed") licenses drop and commit; "executing" means wait, and "about to" is given back.
 *
 * The check throws in all of these tests, and what it cannot tell is parked: so whatever is settled was settled by attestation.
 */
import { expect, test } from "bun:test";
import type { Attestation } from "../../src/core/messages.ts";
import { type Cluster, withCluster } from "../support/cluster.ts";

const PARTITIONS = 6;
/** Several intervals at which doubts are asked about. */
const HELD_MS = 700;
const NO_CHECK_HELPS = {
  check: "throws",
  onUnknown: "park",
  proxies: true,
  options: { handlerTimeoutMs: 60_000 },
} as const;

/** What nodes answered the leader about a task's partition, as it passed on the wire. */
function attestations(cluster: Cluster): { of(partition: number): Attestation[] } {
  const seen: { readonly pid: number; readonly status: Attestation }[] = [];
  for (const node of cluster.nodes) {
    node.proxy.onFrame = ({ message }) => {
      if (message?.kind === "answer") seen.push(...message.items);
    };
  }
  return { of: (partition) => seen.filter((item) => item.pid === partition).map((item) => item.status) };
}

test("S4: while another node executes a doubtful task its holder waits; once it is executed the holder drops and commits it", async () => {
  await withCluster(NO_CHECK_HELPS, async (cluster) => {
    const leader = await cluster.leader();
    const answers = attestations(cluster);
    await cluster.produce(
      Array.from({ length: PARTITIONS }, (_, partition) => ({
        partition,
        id: `x-${partition}`,
        work: { gate: "end" },
      })),
    );
    await cluster.waitFor("all tasks running", () => cluster.effects().length === PARTITIONS);
    const before = await cluster.owners();
    // Two nodes, so that at least one partition comes from a follower: its word passes a proxy, the leader's own does not.
    const added = [await cluster.addNode(), await cluster.addNode()];
    const after = await cluster.owners();
    const moved = added.flatMap((node) => after.get(node.name) ?? []);
    const fromFollowers = moved.filter((partition) => before.get(leader.name)?.includes(partition) !== true);
    expect(fromFollowers.length).toBeGreaterThan(0);
    await cluster.waitFor("the attestations that they are executing", () =>
      fromFollowers.every((partition) => answers.of(partition).includes("running")),
    );
    const doubtful = async (): Promise<number> => {
      const statuses = await Promise.all(added.map((node) => node.status()));
      return statuses.reduce((sum, status) => sum + (status?.core.doubtful ?? 0), 0);
    };
    await cluster.waitFor("the doubts", async () => (await doubtful()) === moved.length);
    await Bun.sleep(HELD_MS);
    expect(await doubtful()).toBe(moved.length);
    expect(cluster.effects().length).toBe(PARTITIONS);

    cluster.openGate("end");
    await cluster.settled();
    expect(cluster.doubtsSettled("waitedForHolder")).toBe(moved.length);
    expect(cluster.counter("dropped")).toBe(moved.length);
    for (const node of added) {
      const status = (await node.status())?.core;
      expect(status?.counters).toMatchObject({ started: 0, parked: 0 });
      for (const { pid, position } of status?.partitions ?? []) {
        // Executed there, committed here.
        expect(before.get(cluster.effectsOf(`x-${pid}`)[0]?.node ?? "")).toContain(pid);
        expect(position).toBe(1);
      }
    }
    expect(cluster.checks()).toEqual([]);
    const { executed, executedTwice, lost } = cluster.judgement();
    expect({ executed, executedTwice, lost }).toEqual({ executed: PARTITIONS, executedTwice: 0, lost: 0 });
  });
}, 90_000);

test("S4: a task that another node is about to execute is given back and runs on the partition's new owner, without a check", async () => {
  // Two handlers a node: both are busy, so what comes next is granted and waits.
  const options = { ...NO_CHECK_HELPS.options, concurrency: 2 };
  await withCluster({ ...NO_CHECK_HELPS, options }, async (cluster) => {
    const each = (name: string, work: object) =>
      Array.from({ length: PARTITIONS }, (_, partition) => ({ partition, id: `${name}-${partition}`, work }));
    await cluster.produce(each("running", { gate: "end" }));
    await cluster.waitFor("all handlers busy", () => cluster.effects().length === PARTITIONS);
    await cluster.produce(each("about-to", {}));
    await cluster.waitFor("grants that wait for a handler", async () => {
      await cluster.statuses();
      return cluster.counter("granted") === 2 * PARTITIONS;
    });

    const added = await cluster.addNode();
    const moved = (await cluster.owners()).get(added.name) ?? [];
    expect(moved.length).toBeGreaterThan(0);
    await cluster.waitFor("the tasks that were about to run", () =>
      moved.every((partition) => cluster.effectsOf(`about-to-${partition}`).length === 1),
    );
    for (const partition of moved) expect(cluster.effectsOf(`about-to-${partition}`)[0]?.node).toBe(added.name);
    for (const partition of moved) expect(cluster.effectsOf(`running-${partition}`)).toEqual([]);
    expect((await added.status())?.core.doubtful).toBe(moved.length);

    cluster.openGate("end");
    await cluster.settled();
    expect(cluster.checks()).toEqual([]);
    expect(cluster.counter("parked")).toBe(0);
    const { executed, executedTwice, lost, starts } = cluster.judgement();
    expect({ executed, executedTwice, lost, starts }).toEqual({
      executed: 2 * PARTITIONS,
      executedTwice: 0,
      lost: 0,
      starts: 2 * PARTITIONS,
    });
  });
}, 90_000);
