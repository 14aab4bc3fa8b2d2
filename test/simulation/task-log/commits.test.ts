/** Commits at the simulated brokers, in virtual time. */
import { describe, expect, test } from "bun:test";
import { Bench, type BenchMember } from "./bench.ts";
import type { CommittedTruth } from "./kafka.ts";

function twoMembers(bench: Bench): [BenchMember, BenchMember] {
  return bench.startAll("a", "b") as [BenchMember, BenchMember];
}

describe("simulated commits", () => {
  test("within the generation a commit for a partition of another member is accepted, and may go back", () => {
    const bench = new Bench(2);
    const seen: CommittedTruth[] = [];
    bench.kafka.onCommitted = (commit) => void seen.push(commit);
    const [a, b] = twoMembers(bench);
    const [foreign] = b.owned() as [number];
    b.commit(foreign, 9);
    bench.time.advance(100);
    a.commit(foreign, 7, undefined, "by another");
    bench.time.advance(100);
    expect([b.outcomes, a.outcomes]).toEqual([["committed"], ["committed"]]);
    expect([bench.kafka.committed[foreign], bench.kafka.metadata[foreign]]).toEqual([7, "by another"]);
    const { commitsOfOthers, commitsBackwards } = bench.kafka.counters;
    expect([commitsOfOthers, commitsBackwards]).toEqual([1, 1]);
    expect(seen.map(({ node, before, position }) => [node, before, position])).toEqual([
      ["b", null, 9],
      ["a", 9, 7],
    ]);
  });

  test("a member that is cut off hears nothing, and its commit is unknown after the time-out", () => {
    const bench = new Bench(2);
    const [a] = twoMembers(bench);
    bench.cut.add("a");
    a.commit(0, 5);
    bench.time.advance(9_900);
    expect(a.outcomes).toEqual([]);
    bench.time.advance(200);
    expect(a.outcomes).toEqual(["unknown"]);
    expect(bench.kafka.committed[0]).toBeNull();
  });

  test("a request is lost at its sending or on its way, and an answer on its way back", () => {
    const bench = new Bench(1, { latencyMs: [10, 10] });
    const [a] = bench.startAll("a") as [BenchMember];
    for (const [cutAfterMs, applied] of [
      [0, null],
      [5, null],
      [15, 1],
    ] as const) {
      if (cutAfterMs === 0) bench.cut.add("a");
      a.commit(0, 1);
      bench.time.advance(cutAfterMs);
      bench.cut.add("a");
      if (cutAfterMs > 0) bench.time.advance(8);
      bench.cut.clear();
      bench.time.advance(10_100);
      expect(a.outcomes.splice(0)).toEqual(["unknown"]);
      expect(bench.kafka.committed[0]).toBe(applied);
    }
  });

  test("an unknown commit was applied, or it was not", () => {
    for (const trouble of ["unknownApplied", "unknownLost"] as const) {
      const bench = new Bench(2);
      const [a] = twoMembers(bench);
      bench.kafka.commitTrouble[trouble] = 1;
      for (let position = 1; position <= 20; position++) a.commit(0, position);
      bench.time.advance(11_000);
      expect(a.outcomes).toEqual(Array.from({ length: 20 }, () => "unknown"));
      expect(bench.kafka.committed[0]).toBe(trouble === "unknownApplied" ? 20 : null);
    }
  });

  test("a refusal out of nothing is followed by a rebalance; a fatal one by nothing", () => {
    for (let seed = 1; seed <= 4; seed++) {
      const bench = new Bench(2, {}, seed);
      const [a, b] = twoMembers(bench);
      const before = bench.kafka.generation;
      bench.kafka.commitTrouble.refused = 1;
      a.commit(0, 5);
      bench.until(() => a.outcomes.length === 1);
      bench.kafka.commitTrouble.refused = 0;
      bench.until(() => a.generation > before && a.reads && b.generation === a.generation && b.reads);
      bench.kafka.commitTrouble.fatal = 1;
      a.commit(0, 5);
      bench.time.advance(5_000);
      expect(a.outcomes).toEqual(["refused", "fatal"]);
      expect(bench.kafka.committed[0]).toBeNull();
      expect(a.generation).toBe(bench.kafka.generation);
    }
  });

  test("metadata beyond the broker's limit is fatal, and what went along is stored", () => {
    const bench = new Bench(2);
    const [a] = twoMembers(bench);
    const entry = { topic: "tasks", position: 1 };
    const commits = [
      { ...entry, partition: 0, metadata: "x".repeat(4_097) },
      { ...entry, partition: 1, metadata: "fits" },
    ];
    const outcomes: string[] = [];
    a.process.enter(() => {
      void a.consumer.commit(a.generation, commits).then(({ outcome }) => outcomes.push(outcome));
    });
    bench.time.advance(100);
    expect(outcomes).toEqual(["fatal"]);
    expect(bench.kafka.committed).toEqual([null, 1]);
  });

  test("acceptsStaleCommits: a commit of a generation that is over goes through", () => {
    const bench = new Bench(2);
    const [a, b] = twoMembers(bench);
    const old = a.generation;
    bench.kafka.rebalance();
    bench.until(() => a.generation > old && b.generation > old);
    a.commit(0, 5, old);
    bench.time.advance(100);
    bench.kafka.acceptsStaleCommits = true;
    a.commit(0, 6, old);
    bench.time.advance(100);
    expect(a.outcomes).toEqual(["refused", "committed"]);
    expect([bench.kafka.committed[0], bench.kafka.counters.staleCommitsAccepted]).toEqual([6, 1]);
  });

  test("commits of one member arrive in their order", () => {
    const bench = new Bench(1, { latencyMs: [1, 200] });
    const [a] = bench.startAll("a") as [BenchMember];
    for (let position = 1; position <= 50; position++) a.commit(0, position);
    bench.time.advance(2_000);
    expect(a.outcomes).toHaveLength(50);
    expect([bench.kafka.committed[0], bench.kafka.counters.commitsBackwards]).toEqual([50, 0]);
  });

  test("foreign commits and lost offsets are what the next assignment shows", () => {
    const bench = new Bench(2);
    const [a] = bench.startAll("a") as [BenchMember];
    const shown = (): unknown =>
      a.assignments.at(-1)!.partitions.map(({ committed, metadata }) => [committed, metadata]);
    const rebalanced = (): void => {
      const { generation } = a;
      bench.kafka.rebalance();
      bench.until(() => a.generation > generation);
    };
    a.commit(0, 4, undefined, "mine");
    bench.time.advance(100);
    bench.kafka.foreignCommit(1, 8, "theirs");
    rebalanced();
    expect(shown()).toEqual([
      [4, "mine"],
      [8, "theirs"],
    ]);
    bench.kafka.foreignCommit(0, 2);
    bench.kafka.foreignCommit(1, 99);
    rebalanced();
    expect(shown()).toEqual([
      [2, ""],
      [99, ""],
    ]);
    bench.kafka.loseOffsets();
    rebalanced();
    expect(shown()).toEqual([
      [null, ""],
      [null, ""],
    ]);
  });
});
