/** What the simulated log holds and how it is read, in virtual time. */
import { describe, expect, test } from "bun:test";
import { VouchError } from "../../../src/errors.ts";
import { Bench, type BenchMember } from "./bench.ts";

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);

function one(bench: Bench): BenchMember {
  return bench.startAll("a")[0]!;
}

describe("simulated log", () => {
  test("batches cover the log without a gap or an overlap; gaps are covered and not delivered", () => {
    const bench = new Bench(1, { batchRecords: [1, 7] });
    bench.kafka.gap(0, 3);
    bench.append(0, 40);
    bench.kafka.gap(0, 5);
    bench.append(0, 2);
    bench.kafka.gap(0, 4);
    const a = one(bench);
    bench.until(() => a.batches.at(-1)?.nextPosition === 54);
    expect(a.offsets(0)).toEqual([...range(3, 43), 48, 49]);
    expect(a.batches.length).toBeGreaterThan(6);
    let position = 0;
    for (const { fetchedFrom, nextPosition, logEnd } of a.batches) {
      expect([fetchedFrom, logEnd]).toEqual([position, 54]);
      position = nextPosition;
    }
  });

  test("a record wakes the reader at once; a paused partition waits; resume and seek take effect", () => {
    const bench = new Bench(2);
    const a = one(bench);
    bench.time.advance(1_000);
    bench.append(0, 1);
    expect(bench.until(() => a.offsets(0).length === 1)).toBeLessThan(30);
    a.process.enter(() => a.consumer.pause("tasks", 0));
    bench.append(0, 3);
    bench.append(1, 3);
    bench.time.advance(1_000);
    expect([a.offsets(0), a.offsets(1)]).toEqual([[0], [0, 1, 2]]);
    const { events } = bench.time;
    bench.time.advance(1_000);
    expect(bench.time.events - events).toBeLessThan(10); // what is paused is not asked for
    a.process.enter(() => a.consumer.resume("tasks", 0));
    expect(bench.until(() => a.offsets(0).length === 4)).toBeLessThan(250);
    a.process.enter(() => a.consumer.seek("tasks", 0, 2));
    expect(bench.until(() => a.offsets(0).length === 6)).toBeLessThan(250);
    expect(a.offsets(0)).toEqual([0, 1, 2, 3, 2, 3]);
  });

  test("prefetch: a batch may come after the pause or the seek that it was fetched before, and in order", () => {
    const bench = new Bench(1, { prefetchChance: 1, prefetchMs: [50, 50], batchRecords: [2, 2] });
    bench.append(0, 6);
    const a = one(bench);
    bench.until(() => bench.kafka.counters.heldBatches === 1);
    bench.time.advance(20);
    a.process.enter(() => a.consumer.pause("tasks", 0));
    bench.time.advance(500);
    expect(a.offsets(0)).toEqual(range(0, 6));
    expect(a.batches.map(({ fetchedFrom }) => fetchedFrom)).toEqual([0, 2, 4]);
  });

  test("what is held back at a rebalance is dropped, or comes late and stamped with its generation", () => {
    for (const late of [false, true]) {
      const bench = new Bench(1, { prefetchChance: 1, prefetchMs: [2_000, 2_000] });
      const a = one(bench);
      const old = a.generation;
      if (late) bench.kafka.spurious.lateBatches.add("a");
      bench.append(0, 3);
      for (let i = 0; bench.kafka.counters.heldBatches === 0 && i < 20; i++) {
        bench.time.advance(200);
        bench.append(0, 1);
      }
      a.batches.length = 0;
      bench.kafka.rebalance();
      bench.until(() => a.generation > old);
      bench.time.advance(4_500);
      expect(a.deliveredOutside).toBe(0);
      expect(a.batches.some(({ generation }) => generation === old)).toBe(late);
      expect(a.batches.some(({ generation }) => generation === a.generation)).toBe(true);
    }
  });

  test("after a rebalance every partition is read again from what was committed", () => {
    const bench = new Bench(1);
    bench.append(0, 10);
    const a = one(bench);
    bench.until(() => a.offsets(0).length === 10);
    a.commit(0, 4);
    bench.time.advance(100);
    bench.kafka.rebalance();
    bench.until(() => a.offsets(0).length === 16);
    expect(a.offsets(0)).toEqual([...range(0, 10), ...range(4, 10)]);
  });

  test("truncation: beyond the end it is a problem; below, the records of the next leader follow", () => {
    const bench = new Bench(2);
    bench.append(0, 10);
    const a = one(bench);
    bench.until(() => a.offsets(0).length === 10);
    bench.kafka.truncate(0, 6);
    bench.time.advance(500);
    expect(a.problems).toEqual(["0 truncated"]);
    bench.append(0, 4);
    a.process.enter(() => {
      a.consumer.seek("tasks", 0, 6);
      a.consumer.resume("tasks", 0);
    });
    bench.time.advance(500);
    expect(a.offsets(0)).toEqual([...range(0, 10), ...range(6, 10)]);
    expect([a.batches[0]!.leaderEpoch, a.batches.at(-1)!.leaderEpoch]).toEqual([0, 1]);
  });

  test("a topic that was created anew has leader epochs from 0 on: whoever read a higher one stops", () => {
    const bench = new Bench(1);
    bench.append(0, 3);
    bench.kafka.truncate(0, 3);
    bench.append(0, 3);
    const a = one(bench);
    bench.until(() => a.offsets(0).length === 6);
    a.commit(0, 6);
    bench.time.advance(100);
    bench.cut.add("a"); // it does not see that the log was empty for a moment
    bench.kafka.recreateTopic("dropped");
    bench.append(0, 20);
    bench.cut.delete("a");
    bench.time.advance(2_000);
    expect(a.problems).toEqual(["0 truncated"]);
    expect(a.offsets(0)).toHaveLength(6);
    expect(bench.kafka.committed).toEqual([null]);
  });

  test("retention: a position below the log's start is out of range, and nothing is committed", () => {
    const bench = new Bench(1);
    bench.append(0, 10);
    const a = one(bench);
    bench.until(() => a.offsets(0).length === 10);
    bench.kafka.raiseLogStart(0, 8);
    a.process.enter(() => a.consumer.seek("tasks", 0, 3));
    bench.time.advance(500);
    expect(a.problems).toEqual(["0 out-of-range"]);
    expect([bench.kafka.logStart, bench.kafka.committed]).toEqual([[8], [null]]);
  });

  test("dead and parked records are the truth's; their writes fail, hang or are slow when they are to", () => {
    const bench = new Bench(1);
    const a = one(bench);
    const results: string[] = [];
    const send = (topic: string): void => {
      const headers = { "vouch-origin": "tasks:0:7", "vouch-reason": "why", "vouch-attempts": "3", "task-id": "t" };
      a.process.enter(() => {
        producer.send(topic, [{ value: "x", headers }]).then(
          () => results.push("sent"),
          (error: unknown) => results.push(error instanceof VouchError ? error.code : String(error)),
        );
      });
    };
    const producer = a.log.producer();
    const admin = a.log.admin();
    a.process.enter(() => void admin.createTopic("tasks.dead", 1));
    bench.time.advance(100);
    send("tasks.dead");
    send("tasks.parked");
    bench.time.advance(100);
    expect(results.splice(0)).toEqual(["sent", "task-log"]);
    expect(bench.kafka.setAsideRecords).toHaveLength(1);
    const truth = { kind: "dead", reason: "why", attempts: 3, partition: 0, offset: 7, taskId: "t" };
    expect(bench.kafka.setAsideRecords[0]).toMatchObject(truth);
    for (const [trouble, written, result] of [
      ["failed", 0, "unavailable"],
      ["refused", 0, "task-log"],
      ["lostAnswer", 1, "unavailable"],
    ] as const) {
      bench.kafka.sendTrouble[trouble] = 1;
      bench.kafka.setAsideRecords.length = 0;
      send("tasks.dead");
      bench.time.advance(11_000);
      expect([trouble, results.splice(0), bench.kafka.setAsideRecords.length]).toEqual([trouble, [result], written]);
      bench.kafka.sendTrouble[trouble] = 0;
    }
    bench.kafka.sendTrouble.slow = 1;
    send("tasks.dead");
    bench.time.advance(90);
    expect(results).toEqual([]);
    bench.time.advance(6_000);
    expect(results.splice(0)).toEqual(["sent"]);
    bench.cut.add("a");
    send("tasks.dead");
    bench.time.advance(11_000);
    expect(results).toEqual(["unavailable"]);
  });
});
