/**
 * Two records with one task id are one task (beside S3, S5 and S13): whatever the second record's offset, partition, node and
 * moment, one of them runs. And the other side of a seen-set: a false positive costs a question, never a task.
 */
import { describe, expect, test } from "bun:test";
import { type Cluster, withCluster } from "../support/cluster.ts";

const HANDLER_MS = 500;
const APART_MS = 10;

/** Two partitions of one node, and one of another. */
async function threePlaces(cluster: Cluster): Promise<{ here: number; alsoHere: number; elsewhere: number }> {
  const [[here, alsoHere], [elsewhere]] = [...(await cluster.owners()).values()] as [[number, number], [number]];
  return { here, alsoHere, elsewhere };
}

test("S3, S5: a duplicate beside its first record, 500 ms handlers, a check that answers from effects only: one runs", async () => {
  await withCluster({}, async (cluster) => {
    const { here, alsoHere, elsewhere } = await threePlaces(cluster);
    const work = { ms: HANDLER_MS };
    const later = async (id: string, partition: number): Promise<void> => {
      await cluster.produce([{ partition: here, id, work }]);
      await Bun.sleep(APART_MS);
      await cluster.produce([{ partition, id, work }]);
    };
    await later("same-partition", here);
    await later("same-node", alsoHere);
    await later("other-node", elsewhere);
    await cluster.produce([
      { partition: here, id: "one-batch", work },
      { partition: here, id: "one-batch", work },
      { partition: here, id: "three-places", work },
      { partition: alsoHere, id: "three-places", work },
      { partition: elsewhere, id: "three-places", work },
    ]);
    await cluster.settled();

    const { executed, executedTwice, lost, starts } = cluster.judgement();
    expect({ executed, executedTwice, lost, starts }).toEqual({ executed: 5, executedTwice: 0, lost: 0, starts: 5 });
    expect(cluster.counter("dropped")).toBe(6); // the other records, each committed
    expect(cluster.counter("parked")).toBe(0);
  });
}, 90_000);

test("S5: a duplicate that comes when the first record is long committed is checked and not run", async () => {
  await withCluster({}, async (cluster) => {
    const { here, elsewhere } = await threePlaces(cluster);
    await cluster.produce([{ partition: here, id: "paid" }]);
    await cluster.settled();
    await cluster.produce([
      { partition: here, id: "paid" },
      { partition: elsewhere, id: "paid" },
    ]);
    await cluster.settled();

    expect(cluster.starts("paid").length).toBe(1);
    expect(cluster.checks().length).toBeGreaterThan(0);
    expect(cluster.checks().every((line) => line.answer === "executed")).toBe(true);
    expect(cluster.counter("dropped")).toBe(2);
  });
}, 90_000);

/** So small that about one in five of the new ids below is a false positive. */
const SMALL_FILTER = {
  filterFalsePositiveRate: 0.49,
  filterCapacity: 300,
  filterGenerations: 2,
  handlerTimeoutMs: 60_000,
} as const;
const NEW_TASKS = 600;

interface Expected {
  /** A second record whose first is committed: only a Bloom bit speaks against it. */
  readonly seen: { readonly starts: number; readonly parked: number; readonly dropped: number };
  /** A task whose node was killed in the middle of it. */
  readonly interrupted: { readonly starts: number; readonly parked: number; readonly dropped: number };
}

/** Without a check the definition itself says which half it would rather risk. */
const policies: Readonly<Record<"execute" | "drop" | "park", Expected>> = {
  execute: { seen: { starts: 2, parked: 0, dropped: 0 }, interrupted: { starts: 2, parked: 0, dropped: 0 } },
  // R20: a bit alone never drops a task.
  drop: { seen: { starts: 1, parked: 1, dropped: 0 }, interrupted: { starts: 1, parked: 0, dropped: 1 } },
  park: { seen: { starts: 1, parked: 1, dropped: 0 }, interrupted: { starts: 1, parked: 1, dropped: 0 } },
};

describe.each(Object.keys(policies) as (keyof typeof policies)[])("without a check, onUnknown %s", (onUnknown) => {
  const { seen, interrupted } = policies[onUnknown];

  test(`S13: onUnknown "${onUnknown}" decides about a seen id and about an interrupted task, and both are counted`, async () => {
    await withCluster({ check: "none", onUnknown, options: { handlerTimeoutMs: 60_000 } }, async (cluster) => {
      const { here, elsewhere } = await threePlaces(cluster);
      await cluster.produce([{ partition: here, id: "seen" }]);
      await cluster.settled();
      await cluster.produce([{ partition: elsewhere, id: "seen" }]);
      await cluster.settled();
      expect(cluster.starts("seen").length).toBe(seen.starts);
      expect(cluster.counter("parked")).toBe(seen.parked);
      expect(cluster.counter("dropped")).toBe(seen.dropped);
      expect(cluster.doubtsSettled("byPolicy")).toBe(1);

      const [victim] = await cluster.followers();
      const [partition] = (await cluster.owners()).get(victim!.name) ?? [];
      await cluster.produce([{ partition: partition!, id: "interrupted", work: { gate: "end" } }]);
      await cluster.waitFor("its run", () => cluster.starts("interrupted").length === 1);
      await cluster.statuses(); // the last word of the counters that die with it
      await victim!.kill();
      cluster.openGate("end");
      await cluster.settled();
      expect(cluster.starts("interrupted").length).toBe(interrupted.starts);
      expect(cluster.effectsOf("interrupted").length).toBe(interrupted.starts - 1);
      expect(cluster.counter("parked")).toBe(seen.parked + interrupted.parked);
      expect(cluster.counter("dropped")).toBe(seen.dropped + interrupted.dropped);
      expect(cluster.doubtsSettled("byPolicy")).toBe(2);
      expect(await cluster.recordsIn(`${cluster.topic}.parked`)).toBe(seen.parked + interrupted.parked);
    });
  }, 90_000);

  test(`S13: false positives of the filter under onUnknown "${onUnknown}": nothing lost, nothing dropped, nothing run twice`, async () => {
    await withCluster({ check: "none", onUnknown, options: SMALL_FILTER }, async (cluster) => {
      const tasks = Array.from({ length: NEW_TASKS }, (_, index) => {
        const named = index % 2 === 0;
        return { partition: index % 6, ...(named ? { id: `id-${index}` } : {}) };
      });
      // In parts, so that the filter is not filled within one batch.
      for (let at = 0; at < NEW_TASKS; at += 60) await cluster.produce(tasks.slice(at, at + 60));
      await cluster.settled();

      const effects = cluster.effects().filter((line) => line.kind === "effect");
      const ran = new Set(effects.map((line) => line.taskId));
      const parked = await cluster.recordsIn(`${cluster.topic}.parked`);
      expect(effects.length).toBe(ran.size); // nothing twice
      expect(ran.size + parked).toBe(NEW_TASKS); // nothing lost
      expect(cluster.counter("dropped")).toBe(0);
      // A delivery key is in one record only: a false positive of it is proven one, whatever the policy.
      expect([...ran].filter((id) => !id.startsWith("id-")).length).toBe(NEW_TASKS / 2);
      expect(cluster.doubtsSettled("falsePositive")).toBeGreaterThan(0);
      expect(cluster.doubtsSettled("falsePositive") + cluster.doubtsSettled("byPolicy")).toBeGreaterThan(NEW_TASKS / 8);
      // A named one cannot be told from a second record without a check.
      expect(cluster.doubtsSettled("byPolicy")).toBeGreaterThan(0);
      expect(parked).toBe(onUnknown === "execute" ? 0 : cluster.doubtsSettled("byPolicy"));
    });
  }, 90_000);
});

test("S5: false positives of the filter with a check that tells the truth: each task runs once, and none is parked", async () => {
  await withCluster({ options: SMALL_FILTER }, async (cluster) => {
    await cluster.produce(
      Array.from({ length: NEW_TASKS }, (_, index) => ({ partition: index % 6, id: `id-${index}` })),
    );
    await cluster.settled();
    const { executed, executedTwice, lost, starts } = cluster.judgement();
    expect({ executed, executedTwice, lost, starts }).toEqual({
      executed: NEW_TASKS,
      executedTwice: 0,
      lost: 0,
      starts: NEW_TASKS,
    });
    expect(cluster.doubtsSettled("checkedNotExecuted")).toBeGreaterThan(NEW_TASKS / 8);
    expect(cluster.counter("dropped") + cluster.counter("parked")).toBe(0);
  });
}, 90_000);
