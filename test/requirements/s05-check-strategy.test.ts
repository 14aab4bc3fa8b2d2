/**
 * S5: a doubtful task that nobody attests to goes to the user's idempotency check, and executes if it was not done. A node
 * that is killed attests to nothing: of its two tasks one had its effect, which it could tell nobody, and one had not.
 */
import { expect, test } from "bun:test";
import { type Cluster, type TestNode, withCluster } from "../support/cluster.ts";

interface Victim {
  readonly node: TestNode;
  /** Task ids. */
  readonly done: string;
  readonly notDone: string;
}

/** Kills a follower while one task of its is done and unreported, and another is not done. */
async function killWhileRunning(cluster: Cluster): Promise<Victim> {
  const [node] = (await cluster.followers()) as [TestNode];
  const [first, second] = (await cluster.owners()).get(node.name) ?? [];
  await cluster.produce([
    { partition: first!, id: "done", work: { linger: "end" } },
    { partition: second!, id: "not-done", work: { gate: "end" } },
  ]);
  await cluster.waitFor("one effect, one start", () => cluster.effects().length === 3);
  await node.kill();
  cluster.openGate("end"); // for whoever runs it next
  return { node, done: "done", notDone: "not-done" };
}

test("S5: what nobody attests to is checked: executed before, it is dropped and committed; not executed, it runs", async () => {
  await withCluster({}, async (cluster) => {
    const { node, done, notDone } = await killWhileRunning(cluster);
    await cluster.settled();

    const answers = cluster.checks().map(({ taskId, answer }) => `${taskId}: ${answer}`);
    expect(answers.toSorted()).toEqual([`${done}: executed`, `${notDone}: not-executed`]);
    expect(cluster.doubtsSettled("checkedExecuted")).toBe(1);
    expect(cluster.doubtsSettled("checkedNotExecuted")).toBe(1);
    expect(cluster.starts(done).map((line) => line.node)).toEqual([node.name]);
    expect(cluster.effectsOf(notDone).map((line) => line.node)).not.toContain(node.name);
    const { executed, executedTwice, lost, tokensFell } = cluster.judgement();
    expect({ executed, executedTwice, lost, tokensFell }).toEqual({
      executed: 2,
      executedTwice: 0,
      lost: 0,
      tokensFell: 0,
    });
  });
}, 90_000);

test("S5: a check that does not know leaves the task to onUnknown: parked, not run and not lost", async () => {
  const options = { checkAttemptsMax: 2, checkBackoffMs: 50 };
  await withCluster({ check: "unknown", onUnknown: "park", options }, async (cluster) => {
    const { done, notDone } = await killWhileRunning(cluster);
    await cluster.settled();

    expect(cluster.checks().length).toBe(4); // each is asked twice before the policy decides
    expect(cluster.doubtsSettled("byPolicy")).toBe(2);
    expect(cluster.counter("parked")).toBe(2);
    expect(cluster.starts(done).length).toBe(1);
    expect(cluster.starts(notDone).length).toBe(1);
    expect(await cluster.recordsIn(`${cluster.topic}.parked`)).toBe(2);
  });
}, 90_000);
