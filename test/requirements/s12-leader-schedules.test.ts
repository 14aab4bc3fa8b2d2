/**
 * S12: the leader tracks what each node has consumed and what it has committed, and shows it in /status; Kafka and the
 * record of effects say the same.
 */
import { expect, test } from "bun:test";
import { partitionOf } from "../../src/core/identity.ts";
import type { ProgressRow } from "../../src/core/messages.ts";
import { type Cluster, withCluster } from "../support/cluster.ts";

const PARTITIONS = 6;
const ALL = Array.from({ length: PARTITIONS }, (_, partition) => partition);
const nameOf = (incarnation: string): string => incarnation.split("/")[0] ?? "";

interface Row extends ProgressRow {
  readonly node: string;
}

/** The leader's rows, by partition: of several nodes that had a partition, the one of the highest group generation. */
async function tracked(cluster: Cluster): Promise<Map<number, Row>> {
  const leader = await cluster.leader();
  const peers = (await leader.status())?.core.leaderStatus?.peers ?? [];
  const rows = new Map<number, Row>();
  for (const { incarnation, progress } of peers) {
    for (const row of progress) {
      const partition = partitionOf(row.pid);
      if (row.generation > (rows.get(partition)?.generation ?? -1))
        rows.set(partition, { ...row, node: nameOf(incarnation) });
    }
  }
  return rows;
}

/** What a row must say; `generation` is the owner's own word. */
type Expected = Omit<Row, "pid">;

async function expectTracked(
  cluster: Cluster,
  what: string,
  expected: (partition: number) => Omit<Expected, "node" | "generation">,
) {
  let seen: unknown;
  let wanted: unknown;
  const asExpected = async (): Promise<boolean> => {
    const rows = await tracked(cluster);
    const statuses = await cluster.statuses();
    const owner = (partition: number): { node: string; generation: number } => {
      for (const [node, status] of statuses) {
        const own = status.partitions.find((each) => partitionOf(each.pid) === partition);
        if (own !== undefined) return { node, generation: own.generation };
      }
      return { node: "", generation: -1 };
    };
    seen = ALL.map((partition) => {
      const { pid: _, ...row } = rows.get(partition) ?? { pid: 0 };
      return row;
    });
    wanted = ALL.map((partition) => ({ ...owner(partition), ...expected(partition) }));
    return Bun.deepEquals(seen, wanted);
  };
  // Rows travel with reports, so the leader is a moment behind.
  await cluster.waitFor(what, asExpected, 15_000).catch(() => undefined);
  expect(seen).toEqual(wanted);
}

const committedInKafka = async (cluster: Cluster): Promise<(number | null)[]> =>
  (await cluster.offsets()).toSorted((a, b) => a.partition - b.partition).map((each) => each.committed);

/** Effects of this partition's tasks by the node that owns it now, from the record. */
function effectsIn(cluster: Cluster, partition: number, prefix: string): number {
  return cluster.effects().filter((line) => line.kind === "effect" && line.taskId.startsWith(`${prefix}-${partition}-`))
    .length;
}

/** Different in every partition, so that rows cannot be mistaken for each other. */
const count = (partition: number): number => 10 + 3 * partition;
/** Before it everything is committed, above it everything is executed. */
const stuckAt = (partition: number): number => 2 + partition;

test("S12: /status of the leader tells per node and partition what was delivered, claimed, executed and committed", async () => {
  await withCluster({ partitions: PARTITIONS }, async (cluster) => {
    await cluster.produce(
      ALL.flatMap((partition) =>
        Array.from({ length: count(partition) }, (_, offset) => ({
          partition,
          id: `a-${partition}-${offset}`,
          ...(offset === stuckAt(partition) ? { work: { gate: "open" } } : {}),
        })),
      ),
    );
    await cluster.waitFor("all but the stuck ones executed", () =>
      ALL.every((partition) => effectsIn(cluster, partition, "a") === count(partition) - 1),
    );
    await expectTracked(cluster, "the leader to see the stuck tasks", (partition) => ({
      delivered: count(partition),
      claimed: count(partition),
      executed: effectsIn(cluster, partition, "a"),
      committed: stuckAt(partition),
    }));
    expect(await committedInKafka(cluster)).toEqual(ALL.map(stuckAt));

    cluster.openGate("open");
    await cluster.settled();
    await expectTracked(cluster, "the leader to see the end", (partition) => ({
      delivered: count(partition),
      claimed: count(partition),
      executed: effectsIn(cluster, partition, "a"),
      committed: count(partition),
    }));
    expect(await committedInKafka(cluster)).toEqual(ALL.map(count));

    // Another leader, another assignment: it knows as much. What is executed counts from the new ownership on.
    const generations = [...(await tracked(cluster)).values()].map((row) => row.generation);
    await (await cluster.leader()).kill();
    await cluster.ready();
    await cluster.produce(
      ALL.flatMap((partition) =>
        Array.from({ length: 1 + partition }, (_, i) => ({ partition, id: `b-${partition}-${i}` })),
      ),
    );
    await cluster.settled();
    const end = (partition: number): number => count(partition) + 1 + partition;
    await expectTracked(cluster, "the new leader to see the end", (partition) => ({
      delivered: end(partition),
      claimed: end(partition),
      executed: effectsIn(cluster, partition, "b"),
      committed: end(partition),
    }));
    expect(await committedInKafka(cluster)).toEqual(ALL.map(end));
    const now = [...(await tracked(cluster)).values()].map((row) => row.generation);
    expect(Math.min(...now)).toBeGreaterThan(Math.max(...generations));
    expect(cluster.judgement()).toMatchObject({ lost: 0, executedTwice: 0 });
  });
}, 90_000);
