/**
 * S11: a returning former leader synchronises from the cluster and does nothing wrong. A leader that dies in the middle of
 * a vote leaves followers without their verdicts: these tasks go into doubt, the new leader grants them anew, and nobody's
 * check is troubled for a verdict that was merely lost.
 */
import { expect, test } from "bun:test";
import type { NodeConfig } from "../../src/config/option-table.ts";
import { type Cluster, type PassingFrame, type TestNode, withCluster } from "../support/cluster.ts";

const clean = { lost: 0, executedTwice: 0, tokensFell: 0, foreign: 0 };
const nameOf = (incarnation: string): string => incarnation.split("/")[0] ?? "";

/** A handler may outlive a stop of its process that costs the leadership. */
const LONG_GRACE: Partial<NodeConfig> = {
  isolationGraceMs: 9_000,
  isolateAfterMs: 10_500,
  uncleanStartAfterMs: 11_500,
  kafkaSessionMs: 11_500,
  kafkaRebalanceMs: 11_500,
};

test("S11: a former leader that was stopped beyond its session synchronises, and what it was doing happens once", async () => {
  await withCluster({ options: LONG_GRACE, proxies: true }, async (cluster) => {
    const former = await cluster.leader();
    const others = await cluster.followers();
    const epoch = (await former.status())?.core.epoch ?? 0;
    const mine = (await cluster.owners()).get(former.name) ?? [];
    await cluster.produce([
      ...mine.map((partition) => ({ partition, id: `long-${partition}`, work: { gate: "long" } })),
      ...Array.from({ length: 60 }, (_, index) => ({ partition: index % 6, id: `before-${index}` })),
    ]);
    await cluster.waitFor(
      "its long handlers at work, the rest done",
      () =>
        mine.every((partition) => cluster.starts(`long-${partition}`).length === 1) &&
        cluster.judgement().executed === 60,
    );
    // It is stopped with as much as possible under way.
    await cluster.produce(Array.from({ length: 600 }, (_, index) => ({ partition: index % 6, id: `during-${index}` })));
    await cluster.waitFor("the next tasks begun", () => cluster.judgement().executed > 100);
    former.pause();

    await cluster.waitFor("another leader", async () => (await activeLeader(others)) !== null);
    const next = (await activeLeader(others))!;
    await cluster.produce(Array.from({ length: 60 }, (_, index) => ({ partition: index % 6, id: `after-${index}` })));
    const [third] = others.filter((node) => node !== next);
    await cluster.waitFor("the others at work without it", () =>
      [next, third!].every((node) => startedBy(cluster, node).some((id) => id.startsWith("after-"))),
    );

    const said: PassingFrame[] = [];
    next.proxy.onFrame = (frame) => void (frame.peer === former.name && said.push(frame));
    former.continue();
    await cluster.waitFor("it is a member again", async () => {
      const core = (await former.status())?.core;
      return core?.role === "member" && core.epoch > epoch;
    });
    cluster.openGate("long");
    await cluster.settled();

    const core = (await former.status())?.core;
    expect(core).toMatchObject({ member: true, leaderStatus: null });
    expect(nameOf(core?.leader ?? "")).toBe(next.name);
    expect(core?.counters.syncs).toBeGreaterThan(0);
    const kinds = said.map((frame) => frame.message?.kind);
    expect(kinds.indexOf("state-chunk")).toBeGreaterThanOrEqual(0);
    expect(kinds.indexOf("admitted")).toBeGreaterThan(kinds.indexOf("state-chunk"));
    expect(said.every(({ message }) => message === null || message.epoch > epoch || message.kind === "attach")).toBe(
      true,
    );

    expect(cluster.judgement()).toMatchObject({ ...clean, tasks: mine.length + 720 });
    for (const partition of mine)
      expect(cluster.starts(`long-${partition}`).map((line) => line.node)).toEqual([former.name]);
    expect(cluster.checks()).toEqual([]); // it lived, and said itself what it had done
  });
}, 90_000);

async function activeLeader(among: readonly TestNode[]): Promise<TestNode | null> {
  const statuses = await Promise.all(among.map((node) => node.status()));
  const at = statuses.findIndex((status) => status?.core.leaderStatus?.active === true);
  return at < 0 ? null : among[at]!;
}

const startedBy = (cluster: Cluster, node: TestNode): string[] =>
  cluster.effects().flatMap((line) => (line.kind === "start" && line.node === node.name ? [line.taskId] : []));

/** Nobody is evicted while the test holds acknowledgements back. */
const PATIENT: Partial<NodeConfig> = { inSyncEvictionMs: 20_000 };
const TASKS = 60;

test("S11: a leader dies with decided, unreleased verdicts: its followers' tasks go into doubt and are granted anew, unchecked", async () => {
  await withCluster({ options: PATIENT, proxies: true }, async (cluster) => {
    const leader = await cluster.leader();
    const followers = await cluster.followers();
    const [holder] = followers;
    const seq = (await leader.status())?.core.leaderStatus?.deltaSeq ?? Infinity;
    // One member's acknowledgements do not arrive: whatever is decided from now on is not released to anybody.
    const hold = leader.proxy.hold(
      ({ direction, peer, message }) =>
        direction === "to-node" && peer === holder?.name && message?.kind === "report" && message.appliedSeq > seq,
    );
    const ids = await cluster.produce(
      Array.from({ length: TASKS }, (_, index) => ({ partition: index % 6, id: `vote-${index}` })),
    );
    await hold.begun;
    const claimed = async (): Promise<number> =>
      [...(await cluster.statuses()).values()].reduce((sum, { counters }) => sum + counters.claimed, 0);
    await cluster.waitFor("all tasks asked for, and those of the other two decided", async () => {
      const decided = (await leader.status())?.core.leaderStatus?.tableEntries ?? 0;
      return (await claimed()) === TASKS && decided >= (TASKS * 2) / 3;
    });
    expect(cluster.effects()).toEqual([]); // no grant was released
    const owners = await cluster.owners();
    const ofFollowers = new Set(followers.flatMap((node) => owners.get(node.name) ?? []));
    await leader.kill();

    await cluster.waitFor("the followers' tasks in doubt", async () => {
      const statuses = await cluster.statuses();
      return followers.every(({ name }) => (statuses.get(name)?.counters.verdictsLost ?? 0) >= TASKS / 3);
    });
    await cluster.settled();
    expect(cluster.judgement()).toMatchObject({ ...clean, tasks: TASKS });
    for (const id of ids) expect(cluster.starts(id)).toHaveLength(1);

    const lost = cluster.counter("verdictsLost");
    expect(lost).toBeGreaterThanOrEqual((TASKS * 2) / 3);
    // Whether their copies had heard of the decision when the leader died is a race: if not, nobody ever gave them.
    const grantedAnew = cluster.doubtsSettled("regranted") + cluster.doubtsSettled("falsePositive");
    expect(grantedAnew).toBeGreaterThanOrEqual((TASKS * 2) / 3);
    const unchecked = ids.filter((_, index) => ofFollowers.has(index % 6));
    expect(unchecked).toHaveLength((TASKS * 2) / 3);
    const checked = cluster.checks().map((line) => line.taskId);
    expect(checked.filter((id) => unchecked.includes(id))).toEqual([]);
    // The dead leader held grants of its own, and nobody can know that it had not begun: those are checked.
    for (const id of checked) expect(ids).toContain(id);
  });
}, 90_000);
