/** The task log's rules of reading: what is delivered, from where, and in which order. */
import { expect } from "bun:test";
import { range, startOf, type Suite, text } from "./task-log-member.ts";

export function delivery({ rule, group }: Suite): void {
  rule("a record comes back as it was sent: key, value, headers, null and empty", async () => {
    await using g = await group(1);
    const before = Date.now();
    await g.producer.send(g.topic, [
      { key: "k\u00e9y", value: "value", headers: { "task-id": "t-1", raw: new Uint8Array([0, 255]), empty: "" } },
      { key: null, value: null },
      { value: new Uint8Array() },
    ]);
    const member = await g.join();
    await g.untilRead(member, 0, 3);
    const [full, nulls, empty] = member.records(0);
    expect([full?.offset, nulls?.offset, empty?.offset]).toEqual([0, 1, 2]);
    expect([text(full?.key), text(full?.value)]).toEqual(["k\u00e9y", "value"]);
    expect(Object.entries(full?.headers ?? {}).map(([header, value]) => [header, [...value]])).toEqual([
      ["task-id", [116, 45, 49]],
      ["raw", [0, 255]],
      ["empty", []],
    ]);
    expect([nulls?.key, nulls?.value]).toEqual([null, null]);
    expect(Object.keys(nulls?.headers ?? {})).toEqual([]);
    expect(empty?.value).toHaveLength(0);
    expect(full?.timestampMs).toBeGreaterThanOrEqual(before);
    expect(full?.timestampMs).toBeLessThanOrEqual(Date.now());
  });

  rule("each partition is delivered in the order of its offsets, also what comes while it is read", async () => {
    await using g = await group(3);
    await Promise.all([g.produce(0, 500), g.produce(1, 300)]);
    const member = await g.join();
    await g.untilRead(member, 0, 500);
    for (let from = 0; from < 200; from += 20) await g.produce(2, 20, from);
    await Promise.all([g.untilRead(member, 1, 300), g.untilRead(member, 2, 200)]);
    for (const [partition, count] of [500, 300, 200].entries()) {
      expect(member.offsets(partition)).toEqual(range(0, count));
      expect(member.records(partition).map((record) => text(record.value))).toEqual(range(0, count).map(String));
    }
  });

  rule("records of one key go to one partition; those without a key are spread", async () => {
    await using g = await group(4);
    for (let round = 0; round < 5; round++) {
      await g.producer.send(g.topic, [
        { key: "a", value: "keyed" },
        { key: "b", value: "keyed" },
      ]);
    }
    await g.producer.send(
      g.topic,
      Array.from({ length: 40 }, () => ({ value: "spread" })),
    );
    const member = await g.join();
    const all = (): number => member.batches.reduce((total, batch) => total + batch.records.length, 0);
    await g.until("all records", () => all() === 50);
    const partitionsOf = (key: string | null): Set<number> =>
      new Set(range(0, 4).filter((partition) => member.records(partition).some((record) => text(record.key) === key)));
    expect(partitionsOf("a").size).toBe(1);
    expect(partitionsOf("b").size).toBe(1);
    expect(partitionsOf(null).size).toBeGreaterThan(1);
  });

  rule("many small batches cover the partition without a gap or an overlap", async () => {
    await using g = await group(1);
    const value = "x".repeat(500);
    for (let index = 0; index < 30; index++) await g.producer.send(g.topic, [{ value }]);
    const member = await g.join({ options: { maxBytesPerPartition: 2_000 } });
    await g.untilRead(member, 0, 30);
    expect(member.offsets(0)).toEqual(range(0, 30));
    expect(member.batches.length).toBeGreaterThan(3);
    expect(member.batches.every((batch) => batch.logEnd === 30)).toBe(true);
  });

  rule("groups read the same records, each by itself", async () => {
    await using g = await group(1);
    await g.produce(0, 5);
    const here = await g.join();
    const there = await g.join({ options: { groupId: `${g.groupId}-other` } });
    await Promise.all([g.untilRead(here, 0, 5), g.untilRead(there, 0, 5)]);
    expect((await here.commit(here.generation(), 0, 5)).outcome).toBe("committed");
    const other = await g.admin.groupOffsets(`${g.groupId}-other`, g.topic);
    expect(other).toEqual([{ partition: 0, committed: null, metadata: "", logStart: 0, logEnd: 5 }]);
  });
}

export function positions({ rule, group, timing }: Suite): void {
  rule("reading begins where onAssign says; what it pauses waits for resume", async () => {
    await using g = await group(2);
    await Promise.all([g.produce(0, 10), g.produce(1, 10)]);
    const member = await g.join({
      onAssign: async (assignment) =>
        assignment.partitions.map(({ topic, partition }) => {
          return { topic, partition, position: partition === 0 ? 4 : 7, paused: partition === 1 };
        }),
    });
    await g.untilRead(member, 0, 6);
    await Bun.sleep(timing.quietMs);
    expect(member.offsets(0)).toEqual(range(4, 10));
    expect(member.offsets(1)).toEqual([]);
    member.consumer.resume(g.topic, 1);
    await g.untilRead(member, 1, 3);
    expect(member.offsets(1)).toEqual(range(7, 10));
  });

  rule("after a rejoin every partition, kept or not, begins where onAssign says", async () => {
    await using g = await group(2);
    await Promise.all([g.produce(0, 6), g.produce(1, 6)]);
    const stays = await g.join();
    await Promise.all([g.untilRead(stays, 0, 6), g.untilRead(stays, 1, 6)]);
    await stays.commit(stays.generation(), 0, 2);
    await stays.commit(stays.generation(), 1, 3);
    const comes = await g.join();
    await g.untilOwned([
      [stays, 1],
      [comes, 1],
    ]);
    const kept = stays.owned()[0] ?? -1;
    const moved = comes.owned()[0] ?? -1;
    const committed = (partition: number): number => partition + 2;
    await Promise.all([
      g.untilRead(stays, kept, 6 + 6 - committed(kept)),
      g.untilRead(comes, moved, 6 - committed(moved)),
    ]);
    expect(stays.offsets(kept)).toEqual([...range(0, 6), ...range(committed(kept), 6)]);
    expect(comes.offsets(moved)).toEqual(range(committed(moved), 6));
  });

  rule("a paused partition delivers nothing more, the others do; resume goes on without a gap", async () => {
    await using g = await group(2);
    const member = await g.join();
    await g.untilOwned([[member, 2]]);
    await g.produce(0, 3);
    await g.untilRead(member, 0, 3);
    member.consumer.pause(g.topic, 0);
    await Bun.sleep(timing.quietMs); // a fetch that was under way may still deliver
    await Promise.all([g.produce(0, 3, 3), g.produce(1, 3)]);
    await g.untilRead(member, 1, 3);
    await Bun.sleep(timing.quietMs);
    expect(member.offsets(0)).toEqual(range(0, 3));
    member.consumer.resume(g.topic, 0);
    await g.untilRead(member, 0, 6);
    expect(member.offsets(0)).toEqual(range(0, 6));
  });

  rule("pause and seek while onAssign runs hold for the new assignment", async () => {
    await using g = await group(2);
    await Promise.all([g.produce(0, 5), g.produce(1, 5)]);
    const member = await g.join({
      onAssign: async (assignment, self) => {
        self.consumer.pause(g.topic, 0);
        self.consumer.seek(g.topic, 1, 3);
        return startOf(assignment).map((start) => (start.partition === 1 ? { ...start, position: 3 } : start));
      },
    });
    await g.untilRead(member, 1, 2);
    await Bun.sleep(timing.quietMs);
    expect(member.offsets(0)).toEqual([]);
    expect(member.offsets(1)).toEqual([3, 4]);
  });

  rule("seek moves the next batch, backwards and forwards", async () => {
    await using g = await group(1);
    await g.produce(0, 10);
    const member = await g.join();
    await g.untilRead(member, 0, 10);
    member.seek(0, 6);
    await g.untilRead(member, 0, 14);
    expect(member.offsets(0)).toEqual([...range(0, 10), ...range(6, 10)]);
    member.consumer.pause(g.topic, 0);
    await Bun.sleep(timing.quietMs);
    await g.produce(0, 10, 10);
    member.seek(0, 17);
    member.consumer.resume(g.topic, 0);
    await g.untilRead(member, 0, 17);
    expect(member.offsets(0).slice(14)).toEqual(range(17, 20));
  });

  rule("what is asked of an unassigned partition is not remembered", async () => {
    await using g = await group(1);
    await g.produce(0, 4);
    const member = await g.join({
      onRevoke: async (self) => {
        self.consumer.pause(g.topic, 0);
        self.consumer.seek(g.topic, 0, 3);
      },
    });
    await g.untilRead(member, 0, 4);
    expect(member.offsets(0)).toEqual(range(0, 4));
  });

  rule("a position beyond the log pauses its partition, says so, and commits nothing", async () => {
    await using g = await group(2);
    await Promise.all([g.produce(0, 3), g.produce(1, 3)]);
    const member = await g.join({
      onAssign: async (assignment) =>
        startOf(assignment).map((start) => (start.partition === 0 ? { ...start, position: 1_000 } : start)),
    });
    await g.until("a problem", () => member.problems.length > 0);
    await g.untilRead(member, 1, 3);
    await Bun.sleep(timing.quietMs);
    expect(member.problems).toHaveLength(1);
    expect(member.problems[0]).toMatch(new RegExp(`^${g.topic}#0 (out-of-range|truncated)$`));
    expect((await g.offsets(0))?.committed).toBeNull();
    member.seek(0, 0);
    member.consumer.resume(g.topic, 0);
    await g.untilRead(member, 0, 3);
    expect(member.offsets(0)).toEqual(range(0, 3));
  });
}
