/** The simulated group coordinator, in virtual time: who is a member, what its commits are worth, who hears of what. */
import { describe, expect, test } from "bun:test";
import { Bench, REBALANCE_MS, SESSION_MS } from "./bench.ts";

describe("simulated group", () => {
  test("a rebalance waits for every barrier; commits of the old generation count until it is over", () => {
    const bench = new Bench(2);
    const [a, b] = bench.startAll("a", "b") as [ReturnType<Bench["start"]>, ReturnType<Bench["start"]>];
    const barrier = Promise.withResolvers<void>();
    a.barrier = barrier.promise;
    const before = bench.kafka.generation;
    bench.kafka.rebalance();
    bench.time.advance(2_000);
    expect([bench.kafka.generation, a.reads, b.reads]).toEqual([before, false, false]);
    a.commit(0, 3);
    bench.time.advance(100);
    expect(a.outcomes).toEqual(["committed"]);
    a.process.enter(() => barrier.resolve());
    bench.until(() => a.reads && b.reads);
    expect(bench.kafka.generation).toBe(before + 1);
    a.commit(0, 4, before);
    bench.time.advance(100);
    expect(a.outcomes).toEqual(["committed", "refused"]);
    expect(bench.kafka.committed[0]).toBe(3);
  });

  test("a barrier that does not end costs the membership: after the session, or the rebalance time-out if that is shorter", () => {
    for (const rebalanceTimeoutMs of [REBALANCE_MS, 2_000]) {
      const bench = new Bench(2);
      const [a, b] = [bench.start("a", { rebalanceTimeoutMs }), bench.start("b", { rebalanceTimeoutMs })];
      bench.until(() => a.owned().length === 1 && b.owned().length === 1);
      const barrier = Promise.withResolvers<void>();
      a.barrier = barrier.promise;
      const old = a.assignments.at(-1)!;
      bench.kafka.rebalance();
      const ms = bench.until(() => b.owned().length === 2);
      // No heartbeat comes out of a barrier.
      expect(Math.abs(ms - Math.min(SESSION_MS, rebalanceTimeoutMs))).toBeLessThan(500);
      a.commit(0, 9, old.generation);
      bench.time.advance(100);
      expect(a.outcomes).toEqual(["refused"]);
      a.process.enter(() => barrier.resolve());
      bench.until(() => a.owned().length === 1 && b.owned().length === 1);
      expect(a.assignments.at(-1)!.memberId).not.toBe(old.memberId);
      expect(a.assignments.at(-1)!.generation).toBe(b.generation);
    }
  });

  test("a member that was thrown out commits nothing, also while its generation is not over yet", () => {
    const bench = new Bench(2);
    const [a, b] = bench.startAll("a", "b") as [ReturnType<Bench["start"]>, ReturnType<Bench["start"]>];
    const barrier = Promise.withResolvers<void>();
    a.process.stop();
    b.barrier = barrier.promise; // the group waits for it
    bench.until(() => bench.kafka.evictions === 1);
    expect(bench.kafka.generation).toBe(a.generation);
    a.process.continue();
    a.commit(0, 5);
    bench.time.advance(50);
    expect(a.outcomes).toEqual(["refused"]);
    expect(bench.kafka.committed[0]).toBeNull();
  });

  test("a stopped member is thrown out after its session, and finds its commits refused when it wakes up", () => {
    const bench = new Bench(2);
    const [a, b] = bench.startAll("a", "b") as [ReturnType<Bench["start"]>, ReturnType<Bench["start"]>];
    const old = a.generation;
    a.process.stop();
    bench.time.advance(SESSION_MS - 1_000);
    expect(b.owned()).toHaveLength(1);
    bench.until(() => b.owned().length === 2);
    expect(bench.kafka.evictions).toBe(1);
    expect([...new Set(bench.kafka.owner)]).toEqual(["b"]);
    expect(a.reads).toBe(true); // it knows nothing
    a.process.continue();
    a.commit(0, 5, old);
    bench.time.advance(50);
    expect(a.outcomes).toEqual(["refused"]);
    bench.until(() => a.owned().length === 1);
    expect(bench.kafka.committed).toEqual([null, null]);
  });

  test("a stop within the session costs nothing", () => {
    const bench = new Bench(2);
    const [a] = bench.startAll("a", "b") as [ReturnType<Bench["start"]>];
    const before = bench.kafka.generation;
    a.process.stop();
    bench.time.advance(SESSION_MS - 1_000);
    a.process.continue();
    bench.time.advance(20_000);
    expect([bench.kafka.generation, bench.kafka.evictions]).toEqual([before, 0]);
  });

  test("a killed member is missed after its session; started again it is another member", () => {
    const bench = new Bench(2);
    const [a, b] = bench.startAll("a", "b") as [ReturnType<Bench["start"]>, ReturnType<Bench["start"]>];
    a.process.kill();
    const again = bench.start("a");
    bench.time.advance(3_000);
    expect(b.reads).toBe(false); // the group waits for the one that is dead
    bench.until(() => again.owned().length === 1 && b.owned().length === 1);
    expect(again.assignments.at(-1)!.memberId).not.toBe(a.assignments.at(-1)!.memberId);
  });

  test("a member that is cut off loses its partitions, is told so by its client, and joins again when it can", () => {
    const bench = new Bench(2);
    const [a, b] = bench.startAll("a", "b") as [ReturnType<Bench["start"]>, ReturnType<Bench["start"]>];
    bench.cut.add("a");
    bench.until(() => b.owned().length === 2);
    bench.until(() => !a.reads);
    bench.time.advance(30_000);
    expect(a.assignments).toHaveLength(1);
    bench.cut.delete("a");
    expect(bench.until(() => a.owned().length === 1 && b.owned().length === 1)).toBeLessThan(5_000);
  });

  test("members keep what they had as far as balance allows; a move goes to whom it is told", () => {
    const bench = new Bench(6);
    const [a, b] = bench.startAll("a", "b") as [ReturnType<Bench["start"]>, ReturnType<Bench["start"]>];
    const [from, to] = a.owned().includes(5) ? [a, b] : [b, a];
    bench.kafka.move(5, to.process.name);
    bench.until(() => to.owned().includes(5) && from.owned().length === 2);
    expect(bench.kafka.owner[5]).toBe(to.process.name);
    bench.kafka.rebalance();
    bench.until(() => b.owned().length === 3 && a.owned().length === 3); // a move is not for ever
    const balanced = [a.owned(), b.owned()] as const;
    const c = bench.start("c");
    bench.until(() => c.owned().length === 2 && a.owned().length === 2 && b.owned().length === 2);
    expect(balanced[0]).toEqual(expect.arrayContaining(a.owned()));
    expect(balanced[1]).toEqual(expect.arrayContaining(b.owned()));
  });

  test("lostRevocation: a member reads on under the generation it knows until its commit is refused", () => {
    for (let seed = 1; seed <= 8; seed++) {
      const bench = new Bench(2, {}, seed);
      const [a, b] = bench.startAll("a", "b") as [ReturnType<Bench["start"]>, ReturnType<Bench["start"]>];
      const [partition] = a.owned() as [number];
      const old = a.generation;
      bench.kafka.lostRevocation.add("a");
      bench.kafka.rebalance();
      bench.until(() => b.generation > old); // the client of `a` joined, or the group went on without it
      const { revokes } = a;
      bench.append(partition, 5);
      bench.until(() => a.offsets(partition).length === 5);
      expect([a.reads, a.batches.at(-1)!.generation, a.revokes]).toEqual([true, old, revokes]);
      a.commit(partition, 5);
      bench.until(() => a.outcomes.length === 1);
      expect(a.outcomes).toEqual(["refused"]);
      bench.until(() => a.revokes === revokes + 1);
      bench.kafka.lostRevocation.delete("a");
      bench.until(() => a.generation === bench.kafka.generation && b.generation === a.generation);
      expect([...a.owned(), ...b.owned()].toSorted((x, y) => x - y)).toEqual([0, 1]);
    }
  });

  test("lostRevocation: with nothing to commit, it hears of it when the fault is over", () => {
    for (let seed = 1; seed <= 8; seed++) {
      const bench = new Bench(2, {}, seed);
      const [a, b] = bench.startAll("a", "b") as [ReturnType<Bench["start"]>, ReturnType<Bench["start"]>];
      const old = a.generation;
      bench.kafka.lostRevocation.add("a");
      bench.kafka.rebalance();
      bench.until(() => b.generation > old);
      bench.time.advance(5_000);
      expect(a.generation).toBe(old);
      bench.kafka.lostRevocation.delete("a");
      bench.until(() => a.generation > old && a.generation === b.generation && a.reads && b.reads);
    }
  });

  test("no batch and no second barrier between a revocation and its assignment, in storms with cuts and stops", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const bench = new Bench(5, { prefetchChance: 0.3 }, seed);
      const members = bench.startAll("a", "b", "c");
      const faults = bench.random.split("faults");
      for (let round = 0; round < 30; round++) {
        const member = faults.pick(members);
        const what = faults.below(4);
        if (what === 0) bench.kafka.rebalance();
        else if (what === 1) bench.cut.add(member.process.name);
        else if (what === 2) bench.cut.clear();
        else if (member.process.state === "running") member.process.stop();
        else member.process.continue();
        bench.append(faults.below(5), 3);
        bench.time.advance(faults.below(4_000));
      }
      bench.cut.clear();
      for (const { process } of members) process.continue();
      bench.until(() => members.flatMap((member) => member.owned()).length === 5);
      bench.until(() => new Set(members.map(({ generation }) => generation)).size === 1);
      expect(members.map(({ deliveredOutside }) => deliveredOutside)).toEqual([0, 0, 0]);
      for (const member of members) {
        expect(member.revokes - member.assignments.length).toBe(0);
        const generations = member.assignments.map(({ generation }) => generation);
        expect(generations).toEqual([...new Set(generations)].toSorted((x, y) => x - y));
      }
    }
  });

  test("the same seed tells the same story; idle members cost a look, not polls", () => {
    const story = (): unknown => {
      const bench = new Bench(3, {}, 5);
      const members = bench.startAll("a", "b", "c");
      bench.append(0, 100);
      bench.time.advance(5_000);
      return [bench.time.now, bench.time.events, members.map(({ batches }) => batches.map((b) => b.nextPosition))];
    };
    expect(story()).toEqual(story());
    const bench = new Bench(3);
    bench.startAll("a", "b", "c");
    const before = bench.time.events;
    bench.time.advance(100_000);
    expect(bench.time.events - before).toBeLessThan(510); // five looks a second at all of them
  });
});
