/** The task log's rules of groups: commits and their fences, joining, leaving, dying, ending. */
import { expect } from "bun:test";
import { codeOf, range, type Suite } from "./task-log-member.ts";

export function commits({ rule, group }: Suite): void {
  rule("the next member goes on after the commit and gets its metadata back, up to 4,096 bytes", async () => {
    await using g = await group(2);
    await g.produce(0, 10);
    const first = await g.join();
    await g.untilRead(first, 0, 10);
    const metadata = "m".repeat(4_096);
    expect(await first.commit(first.generation(), 0, 7, metadata)).toEqual({ outcome: "committed" });
    expect((await first.commit(first.generation(), 0, 8, `${metadata}m`)).outcome).toBe("fatal");
    await first.stop();
    const second = await g.join();
    await g.untilRead(second, 0, 3);
    const [assignment] = second.assignments;
    const found = [...(assignment?.partitions ?? [])].sort((left, right) => left.partition - right.partition);
    expect(found).toMatchObject([
      { topic: g.topic, partition: 0, committed: 7, metadata, logStart: 0, logEnd: 10 },
      { topic: g.topic, partition: 1, committed: null, metadata: "", logStart: 0, logEnd: 0 },
    ]);
    expect(second.offsets(0)).toEqual(range(7, 10));
  });

  rule("one commit covers several partitions, and a later one may go back", async () => {
    await using g = await group(2);
    await Promise.all([g.produce(0, 5), g.produce(1, 5)]);
    const member = await g.join();
    await g.untilOwned([[member, 2]]);
    const commits = [
      { topic: g.topic, partition: 0, position: 4, metadata: "zero" },
      { topic: g.topic, partition: 1, position: 5, metadata: "one" },
    ];
    expect(await member.consumer.commit(member.generation(), commits)).toEqual({ outcome: "committed" });
    expect(await g.admin.groupOffsets(g.groupId, g.topic)).toEqual([
      { partition: 0, committed: 4, metadata: "zero", logStart: 0, logEnd: 5 },
      { partition: 1, committed: 5, metadata: "one", logStart: 0, logEnd: 5 },
    ]);
    expect(await member.commit(member.generation(), 0, 2)).toEqual({ outcome: "committed" });
    expect(await g.offsets(0)).toEqual({ partition: 0, committed: 2, metadata: "", logStart: 0, logEnd: 5 });
  });

  rule("a commit made in onRevoke counts: when another joins, and at the stop", async () => {
    await using g = await group(2);
    await Promise.all([g.produce(0, 9), g.produce(1, 9)]);
    const outcomes: string[] = [];
    const first = await g.join({
      onRevoke: async (self) => {
        if (self.generation() === 0) return;
        for (const partition of [0, 1]) {
          const position = self.assignments.length + partition;
          outcomes.push((await self.commit(self.generation(), partition, position)).outcome);
        }
      },
    });
    await g.untilOwned([[first, 2]]);
    const second = await g.join();
    await g.untilOwned([
      [first, 1],
      [second, 1],
    ]);
    const moved = second.assignments.at(-1)?.partitions[0];
    expect(moved?.committed).toBe(1 + (moved?.partition ?? 0));
    expect((await g.offsets(0))?.committed).toBe(1);
    await first.stop();
    await g.untilOwned([[second, 2]]);
    const seen = second.assignments.at(-1)?.partitions.map(({ partition, committed }) => (committed ?? 0) - partition);
    expect(seen).toEqual([first.assignments.length, first.assignments.length]);
    expect(new Set(outcomes)).toEqual(new Set(["committed"]));
  });
}

export function fencing({ rule, group }: Suite): void {
  rule("a commit in an old group generation is refused, and changes nothing", async () => {
    await using g = await group(2);
    const first = await g.join();
    await g.untilOwned([[first, 2]]);
    const old = first.generation();
    expect((await first.commit(old, 0, 0, "kept")).outcome).toBe("committed");
    const second = await g.join();
    await g.untilOwned([
      [first, 1],
      [second, 1],
    ]);
    expect(first.generation()).toBeGreaterThan(old);
    expect((await first.commit(old, 0, 5)).outcome).toBe("refused");
    expect((await second.commit(old, 0, 5)).outcome).toBe("refused");
    expect((await g.offsets(0))?.metadata).toBe("kept");
  });

  rule("within the current generation a commit for a partition of another member is accepted", async () => {
    await using g = await group(2);
    const first = await g.join();
    const second = await g.join();
    await g.untilOwned([
      [first, 1],
      [second, 1],
    ]);
    const foreign = second.owned()[0] ?? -1;
    expect((await first.commit(first.generation(), foreign, 0, "by another")).outcome).toBe("committed");
    expect((await g.offsets(foreign))?.metadata).toBe("by another");
  });

  rule("a member that was stopped beyond its session finds its commits refused when it wakes up", async () => {
    await using g = await group(2);
    await Promise.all([g.produce(0, 9), g.produce(1, 9)]);
    const zombie = await g.joinChild(1);
    await zombie.waitForOutput(/^commit committed/m, 15_000);
    zombie.kill("SIGSTOP");
    const heir = await g.join();
    await g.untilOwned([[heir, 2]]);
    for (const partition of [0, 1]) {
      expect((await heir.commit(heir.generation(), partition, 7, "heir")).outcome).toBe("committed");
    }
    zombie.kill("SIGCONT");
    await zombie.waitForOutput(/^commit refused/m, 15_000);
    for (const partition of [0, 1]) {
      expect(await g.offsets(partition)).toMatchObject({ committed: 7, metadata: "heir" });
    }
  });

  rule("a member whose onRevoke does not end is left behind, and its late commit is refused", async () => {
    await using g = await group(2);
    const barrier = Promise.withResolvers<void>();
    const hangs = await g.join({
      onRevoke: async (self) => {
        if (self.assignments.length === 1) await barrier.promise;
      },
    });
    await g.untilOwned([[hangs, 2]]);
    const old = hangs.generation();
    const goesOn = await g.join();
    try {
      await g.untilOwned([[goesOn, 2]]);
      expect((await hangs.commit(old, 0, 0, "late")).outcome).toBe("refused");
      expect((await hangs.commit(goesOn.generation(), 0, 0, "not a member")).outcome).toBe("refused");
    } finally {
      barrier.resolve();
    }
    await g.untilOwned([
      [hangs, 1],
      [goesOn, 1],
    ]);
    expect((await g.offsets(0))?.metadata).toBe("");
  });
}

export function membership({ rule, group, timing }: Suite): void {
  rule("members that join share the partitions, each keeping what it had as far as balance allows", async () => {
    await using g = await group(6);
    const a = await g.join();
    await g.untilOwned([[a, 6]]);
    const b = await g.join();
    await g.untilOwned([
      [a, 3],
      [b, 3],
    ]);
    const before = new Map([a, b].map((member) => [member, member.owned()]));
    const c = await g.join();
    await g.untilOwned([
      [a, 2],
      [b, 2],
      [c, 2],
    ]);
    for (const member of [a, b]) {
      expect(before.get(member)).toEqual(expect.arrayContaining(member.owned()));
      expect(member.events.filter((event) => event !== "batch")).toEqual(
        Array.from({ length: member.assignments.length }, () => ["revoke", "assign"] as const).flat(),
      );
    }
    const keptBefore = new Map([a, b].map((member) => [member, member.owned()]));
    await c.stop();
    await g.untilOwned([
      [a, 3],
      [b, 3],
    ]);
    for (const member of [a, b]) expect(member.owned()).toEqual(expect.arrayContaining(keptBefore.get(member) ?? []));
  });

  rule("a member that stops gives its partitions up at once, not after its session", async () => {
    await using g = await group(2);
    const long = { options: { sessionTimeoutMs: timing.longSessionTimeoutMs } };
    const stays = await g.join(long);
    await g.untilOwned([[stays, 2]]);
    const leaves = await g.join(long);
    await g.untilOwned([
      [stays, 1],
      [leaves, 1],
    ]);
    await leaves.stop();
    await g.untilOwned([[stays, 2]]);
    expect(leaves.events.at(-1)).toBe("revoke");
  });

  rule("the partitions of a killed process go to the others, who read on where it had committed", async () => {
    await using g = await group(2);
    await Promise.all([g.produce(0, 5), g.produce(1, 5)]);
    const dies = await g.joinChild(3);
    await dies.waitForOutput(/^commit committed/m, 15_000);
    const survives = await g.join();
    await g.until("an assignment", () => survives.owned().length === 1);
    dies.kill("SIGKILL");
    await g.untilOwned([[survives, 2]]);
    await Promise.all([g.untilRead(survives, 0, 2), g.untilRead(survives, 1, 2)]);
    const kept = survives.assignments[0]?.partitions[0]?.partition ?? -1;
    expect(survives.offsets(1 - kept)).toEqual([3, 4]);
  });

  rule("more members than partitions: the last one waits with none, and takes over", async () => {
    await using g = await group(1);
    const owner = await g.join();
    await g.untilOwned([[owner, 1]]);
    const waits = await g.join();
    await g.until("an empty assignment", () => waits.assignments.at(-1)?.partitions.length === 0);
    await g.untilOwned([
      [owner, 1],
      [waits, 0],
    ]);
    await owner.stop();
    await g.untilOwned([[waits, 1]]);
  });
}

export function endings({ rule, group }: Suite): void {
  rule("stop may be called twice, and nothing is committed or delivered after it", async () => {
    await using g = await group(1);
    await g.produce(0, 2);
    const member = await g.join();
    await g.untilRead(member, 0, 2);
    const generation = member.generation();
    await Promise.all([member.stop(), member.stop()]);
    const revokes = member.events.filter((event) => event === "revoke").length;
    await member.stop();
    expect((await member.commit(generation, 0, 2)).outcome).not.toBe("committed");
    await g.produce(0, 2, 2);
    const next = await g.join();
    await g.untilRead(next, 0, 4);
    expect(next.assignments[0]?.partitions[0]?.committed).toBeNull();
    expect(member.offsets(0)).toEqual([0, 1]);
    expect(member.events.filter((event) => event === "revoke")).toHaveLength(revokes);
    expect(member.fatal).toEqual([]);
  });

  rule("a handler that fails ends the consumer, which leaves the group to the others", async () => {
    await using g = await group(2);
    const fails = await g.join({
      onAssign: async () => {
        throw new Error("this handler fails");
      },
    });
    await g.until("onFatal", () => fails.fatal.length > 0);
    expect(String(fails.fatal[0]?.message)).toContain("this handler fails");
    const other = await g.join();
    await g.untilOwned([[other, 2]]);
    expect(fails.fatal).toHaveLength(1);
    expect(fails.batches).toEqual([]);
  });

  rule("a producer that was closed sends nothing", async () => {
    await using g = await group(1);
    await g.produce(0, 1);
    await g.producer.close();
    expect(await codeOf(g.produce(0, 1))).toBe("VouchError closed");
    expect((await g.offsets(0))?.logEnd).toBe(1);
  });
}
