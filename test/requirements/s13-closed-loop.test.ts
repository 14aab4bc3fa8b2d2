/**
 * S13: a task that is pulled again goes to doubt; attestation and the check strategy give every task a definite final
 * state. All ways to an end at once, with a node added and one killed: every produced record is done (its task has exactly
 * one effect), dead or parked, counted from the topics and the record of effects.
 */
import { expect, test } from "bun:test";
import type { NodeConfig } from "../../src/config/option-table.ts";
import { type Cluster, type NewTask, type TaskWork, type TestNode, withCluster } from "../support/cluster.ts";
import { type OutsideRecord, readTopic } from "../support/cluster-outside.ts";

const PARTITIONS = 6;
const ATTEMPTS = 3;
const OPTIONS: Partial<NodeConfig> = {
  attemptsMax: ATTEMPTS,
  retryBackoffMs: 20,
  handlerTimeoutMs: 1_500,
  checkBackoffMs: 50,
  checkAttemptsMax: 2,
  unknownMax: 3,
  // A busy machine must not take a node down for a handler that was about to end.
  abortGraceMs: 1_500,
  quarantineMarginMs: 1_600,
  isolationGraceMs: 4_700,
  isolateAfterMs: 6_200,
  uncleanStartAfterMs: 8_000,
  kafkaSessionMs: 6_500,
  kafkaRebalanceMs: 6_500,
};

type End = "done" | "dead" | "parked" | "done or parked";

/** A produced record: `origin` is its place in Kafka, `taskId` what its handler is told. */
interface Produced {
  readonly origin: string;
  readonly taskId: string;
  readonly end: End;
  /** Its header in the dead or parked topic. */
  readonly reason: string;
}

interface Kind extends Omit<NewTask, "partition"> {
  readonly end: End;
  readonly reason?: string;
}

const named = (prefix: string, count: number, kind: Omit<Kind, "id">): Kind[] =>
  Array.from({ length: count }, (_, index) => ({ ...kind, id: `${prefix}-${index}` }));
/** Records of the first wave that end as dead letters. */
const DEAD = 9 + 6;
const never: TaskWork = { gate: "never" };

/** Both waves; what a wave repeats of itself or of the other is a duplicate. */
function waves(): readonly [Kind[], Kind[]] {
  const quick = named("quick", 120, { end: "done" });
  const slow = named("slow", 60, { end: "done", work: { ms: 150 } });
  const first = [
    ...quick,
    ...Array.from({ length: 60 }, (): Kind => ({ end: "done" })), // named by their positions
    ...slow,
    ...named("flaky", 12, { end: "done", work: { fail: ATTEMPTS - 1 } }),
    ...named("bad", 9, { end: "dead", reason: "attempts", work: { fail: 99 } }),
    ...named("broken", 6, { end: "dead", reason: "attempts", value: "{ no json" }),
    ...named("poison", 6, { end: "parked", reason: "poison", work: never }),
    ...named("torn", 6, { end: "parked", reason: "unknown", work: { ...never, check: "unknown" } }),
    ...quick.slice(0, 30),
  ];
  const second = [
    ...named("later", 60, { end: "done", work: { ms: 400 } }),
    ...quick.slice(0, 60),
    ...slow.slice(0, 30),
    // The id of another task: a conflict while exact evidence is at hand, else the check's word that it was done.
    ...quick
      .slice(60, 66)
      .map(({ id }): Kind => ({ id: id!, end: "done or parked", reason: "conflict", work: { ms: 1 } })),
  ];
  return [first, second];
}

class Ledger {
  readonly records: Produced[] = [];
  readonly #ends: number[] = Array.from({ length: PARTITIONS }, () => 0);
  readonly #cluster: Cluster;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  async produce(kinds: readonly Kind[]): Promise<void> {
    const tasks = kinds.map((kind, index) => ({ ...kind, partition: index % PARTITIONS }));
    await this.#cluster.produce(tasks); // which looks at nothing but what a task has
    for (const { partition, id, end, reason = "" } of tasks) {
      const origin = `${this.#cluster.topic}:${partition}:${this.#ends[partition]!++}`;
      this.records.push({ origin, taskId: id ?? origin, end, reason });
    }
  }

  /** What Kafka holds must be what was produced, or the origins are wrong. */
  async verify(): Promise<void> {
    const offsets = await this.#cluster.offsets();
    expect(offsets.toSorted((a, b) => a.partition - b.partition).map((each) => each.logEnd)).toEqual(this.#ends);
  }
}

/** Tasks of the second wave that the node began and did not end. */
function interruptible(cluster: Cluster, node: TestNode): string[] {
  const begun = cluster.effects().filter((line) => line.kind === "start" && line.node === node.name);
  const ids = begun.map((line) => line.taskId).filter((id) => id.startsWith("later-"));
  return ids.filter((id) => cluster.effectsOf(id).length === 0);
}

/** By origin: a write that was perhaps made twice counts once, and must say the same. */
function byOrigin(records: readonly OutsideRecord[]): Map<string, OutsideRecord> {
  const found = new Map<string, OutsideRecord>();
  for (const record of records) {
    const origin = record.headers["vouch-origin"] ?? "";
    expect(record.headers["vouch-reason"]).toBe(
      found.get(origin)?.headers["vouch-reason"] ?? record.headers["vouch-reason"]!,
    );
    found.set(origin, record);
  }
  return found;
}

test("S13: every record reaches exactly one definite final state", async () => {
  await withCluster({ partitions: PARTITIONS, options: OPTIONS }, async (cluster) => {
    const ledger = new Ledger(cluster);
    const [first, second] = waves();
    const effects = (): number => cluster.effects().filter((line) => line.kind === "effect").length;

    await ledger.produce(first);
    await cluster.waitFor("work under way", () => effects() > 60);
    await cluster.addNode();
    await ledger.produce(second);
    const [victim] = (await cluster.followers()) as [TestNode];
    await cluster.waitFor("what must be dead to be dead, and the victim at work", async () => {
      await cluster.statuses(); // the counters are of the last answers
      return cluster.counter("dead") >= DEAD && interruptible(cluster, victim).length > 2;
    });
    await victim.kill();
    const interrupted = interruptible(cluster, victim);
    expect(interrupted.length).toBeGreaterThan(0);
    await victim.restart();
    await cluster.settled();
    await ledger.verify();

    const dead = byOrigin(await readTopic(cluster, `${cluster.topic}.dead`));
    const parked = byOrigin(await readTopic(cluster, `${cluster.topic}.parked`));
    const effectsOf = new Map<string, number>();
    const startsOf = new Map<string, number>();
    for (const { kind, taskId } of cluster.effects()) {
      const counts = kind === "effect" ? effectsOf : startsOf;
      counts.set(taskId, (counts.get(taskId) ?? 0) + 1);
    }

    // One state each, and the one that its kind must come to.
    const ends = ledger.records.map((record) => {
      const states = [
        ...(dead.has(record.origin) ? ["dead"] : []),
        ...(parked.has(record.origin) ? ["parked"] : []),
        // Its own effect, or that of the record which it repeats.
        ...(!dead.has(record.origin) && !parked.has(record.origin) && effectsOf.get(record.taskId) === 1
          ? ["done"]
          : []),
      ];
      return { ...record, states };
    });
    expect(ends.filter(({ states, end }) => states.length !== 1 || !end.split(" or ").includes(states[0]!))).toEqual(
      [],
    );
    const inState = (state: string): number => ends.filter(({ states }) => states[0] === state).length;
    expect(inState("done") + inState("dead") + inState("parked")).toBe(ledger.records.length);
    expect(dead.size).toBe(inState("dead")); // nothing else is there
    expect(parked.size).toBe(inState("parked"));
    expect([...effectsOf].filter(([, count]) => count !== 1)).toEqual([]);
    expect(effectsOf.size).toBe(120 + 60 + 60 + 12 + 60);

    // What a person finds with those that were set aside.
    for (const { origin, taskId, reason, states } of ends) {
      const record = dead.get(origin) ?? parked.get(origin);
      if (record === undefined) continue;
      expect(record.headers).toMatchObject({ "task-id": taskId, "vouch-reason": reason, "vouch-origin": origin });
      if (states[0] === "dead") expect(record.headers["vouch-attempts"]).toBe(String(ATTEMPTS));
      if (taskId.startsWith("bad-")) expect(record.headers["vouch-error"]).toContain("was told to fail");
      if (taskId.startsWith("broken-"))
        expect([record.value, record.headers["vouch-error"]]).toEqual(["{ no json", expect.stringMatching(/JSON/)]);
      if (taskId.startsWith("bad-")) expect(JSON.parse(record.value ?? "")).toEqual({ fail: 99 });
    }
    // Nothing was run more often than the rules allow.
    for (const [taskId, starts] of startsOf) {
      if (/^(bad|flaky)-/.test(taskId)) expect(starts).toBeGreaterThanOrEqual(ATTEMPTS);
      if (taskId.startsWith("poison-")) expect(starts).toBeLessThanOrEqual(OPTIONS.unknownMax!);
    }
    // Doubts there were, of both kinds, and of each task that the killed node was at, the check was asked.
    expect(cluster.doubtsSettled("attestedExecuted") + cluster.doubtsSettled("waitedForHolder")).toBeGreaterThan(0);
    const checked = new Set(cluster.checks().map((line) => line.taskId));
    expect(interrupted.filter((id) => !checked.has(id))).toEqual([]);
    expect(cluster.judgement()).toMatchObject({ tokensFell: 0, withoutStart: 0, executedTwice: 0 });
  });
}, 120_000);
