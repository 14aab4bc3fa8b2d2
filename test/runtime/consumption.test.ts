import { describe, expect, test } from "bun:test";
import { loadKeyHash } from "../../native-ish/key-hash.ts";
import type { CoreEvent, DeliveredBatch } from "../../src/core/events.ts";
import { BatchHasher } from "../../src/runtime/batch-hasher.ts";
import { Consumption } from "../../src/runtime/consumption.ts";
import { PartitionNames } from "../../src/runtime/partition-names.ts";
import type { TopicIdentity } from "../../src/runtime/topic-identity.ts";
import type {
  Assignment,
  CommitOutcome,
  ConsumerHandlers,
  PartitionCommit,
  PartitionPosition,
  RecordBatch,
  TaskConsumer,
  TaskRecord,
} from "../../src/task-log/task-log.ts";

const hash = await loadKeyHash(1);

class FakeConsumer implements TaskConsumer {
  readonly calls: string[] = [];
  readonly commits: { generation: number; commits: readonly PartitionCommit[] }[] = [];
  handlers: ConsumerHandlers | null = null;
  outcome: CommitOutcome | Error = { outcome: "committed" };
  startError: Error | null = null;

  async start(handlers: ConsumerHandlers): Promise<void> {
    this.handlers = handlers;
    if (this.startError !== null) throw this.startError;
  }
  async commit(generation: number, commits: readonly PartitionCommit[]): Promise<CommitOutcome> {
    this.commits.push({ generation, commits });
    if (this.outcome instanceof Error) throw this.outcome;
    return this.outcome;
  }
  pause = (topic: string, partition: number) => void this.calls.push(`pause ${topic} ${partition}`);
  resume = (topic: string, partition: number) => void this.calls.push(`resume ${topic} ${partition}`);
  seek = (topic: string, partition: number, at: number) => void this.calls.push(`seek ${topic} ${partition} ${at}`);
  async stop(): Promise<void> {
    await this.handlers?.onRevoke();
    this.calls.push("stop");
  }
}

function record(offset: number): TaskRecord {
  return { offset, key: null, value: null, headers: {}, timestampMs: 0 };
}

function batch(generation: number, from: number, to: number, changes: Partial<RecordBatch> = {}): RecordBatch {
  const records = Array.from({ length: to - from }, (_, index) => record(from + index));
  return {
    topic: "orders",
    partition: 2,
    generation,
    fetchedFrom: from,
    nextPosition: to,
    leaderEpoch: 5,
    logEnd: 1_000,
    records,
    ...changes,
  };
}

function make(identity?: TopicIdentity) {
  const consumers: FakeConsumer[] = [];
  const events: CoreEvent[] = [];
  const fatal: Error[] = [];
  const consumption = new Consumption({
    consumer: () => consumers[consumers.push(new FakeConsumer()) - 1]!,
    names: new PartitionNames(["orders"]),
    hasher: new BatchHasher(hash, 0, [{ name: "orders", generation: 1, taskId: () => null }]),
    post: (event) => events.push(event),
    onFatal: (error) => fatal.push(error),
    ...(identity === undefined ? {} : { identity }),
    log: () => undefined,
  });
  const handlers = (): ConsumerHandlers => consumers.at(-1)!.handlers!;
  const assign = async (
    generation: number,
    ownership: number,
    position: number,
  ): Promise<readonly PartitionPosition[]> => {
    const partition = { topic: "orders", partition: 2, committed: position, metadata: "m", logStart: 0, logEnd: 9 };
    const answer = handlers().onAssign({ generation, memberId: "m", partitions: [partition] });
    consumption.positions({
      type: "positions",
      partitions: [{ pid: 2, ownership, position, paused: false, leaderEpoch: -1, keptTo: position }],
    });
    return answer;
  };
  const delivered = (): DeliveredBatch[] =>
    events.flatMap((event) => (event.type === "delivered" ? [event.batch] : []));
  return { consumers, consumption, events, fatal, handlers, assign, delivered };
}

describe("consumption", () => {
  test("R14: the barriers are answered by the core, each once, in the words of the port", async () => {
    const { consumption, events, handlers, assign } = make();
    consumption.join();
    let through = false;
    const barrier = handlers()
      .onRevoke()
      .then(() => (through = true));
    await Bun.sleep(1);
    expect(events).toEqual([{ type: "revoked" }]);
    expect(through).toBe(false);
    consumption.revokeDone();
    await barrier;
    expect(await assign(4, 1, 7)).toEqual([
      { topic: "orders", partition: 2, position: 7, paused: false, leaderEpoch: -1, keptTo: 7 },
    ]);
    expect(events.at(-1)).toEqual({
      type: "assigned",
      generation: 4,
      partitions: [{ pid: 2, committed: 7, metadata: "m", logStart: 0, logEnd: 9 }],
    });
    expect(consumption.joined).toBe(true);
  });

  test("E18: a topic that was replaced stops with its assignment, before anything of it is delivered; added partitions are told", async () => {
    const identity = {
      check: (assignment: Assignment) =>
        assignment.generation === 4 ? null : Promise.resolve(new Map([["orders", "new id"]])),
      addedSince: (_topic: string, partition: number) => partition === 2,
    } as unknown as TopicIdentity;
    const { consumption, events, handlers, assign } = make(identity);
    consumption.join();
    await assign(4, 1, 7);
    expect(events.at(-1)).toMatchObject({ type: "assigned", partitions: [{ pid: 2, added: true }] });
    const partition = { topic: "orders", partition: 2, committed: null, metadata: "", logStart: 0, logEnd: 9 };
    void handlers().onAssign({ generation: 5, memberId: "m", partitions: [partition] });
    await Bun.sleep(1);
    expect(events.at(-1)).toMatchObject({
      type: "assigned",
      partitions: [{ pid: 2, replaced: expect.stringContaining("(new id)") }],
    });
    handlers().onProblem("orders", 2, "replaced", "at work");
    expect(events.at(-1)).toMatchObject({ problem: "replaced", detail: expect.stringContaining("(at work)") });
  });

  test("R14: an assignment whose topics are still being compared when it is revoked reaches the core no more", async () => {
    const comparing = Promise.withResolvers<ReadonlyMap<string, string>>();
    const identity = { check: () => comparing.promise, addedSince: () => false } as unknown as TopicIdentity;
    const { consumption, events, handlers } = make(identity);
    consumption.join();
    const partition = { topic: "orders", partition: 2, committed: null, metadata: "", logStart: 0, logEnd: 9 };
    const assigning = handlers().onAssign({ generation: 5, memberId: "m", partitions: [partition] });
    const revoking = handlers().onRevoke(); // the session ended meanwhile
    consumption.revokeDone();
    await revoking;
    comparing.resolve(new Map());
    expect(await assigning).toEqual([]);
    expect(events.map(({ type }) => type)).toEqual(["revoked"]);
  });

  test("R14: a batch carries the ownership of its assignment; one of an older assignment is discarded", async () => {
    const { consumption, handlers, assign, delivered } = make();
    consumption.join();
    await assign(4, 1, 0);
    handlers().onBatch(batch(4, 0, 3));
    consumption.revokeDone();
    handlers().onBatch(batch(4, 3, 6)); // between the barriers
    await assign(5, 2, 3);
    handlers().onBatch(batch(4, 3, 6)); // late
    handlers().onBatch(batch(5, 3, 5));
    expect(delivered().map(({ ownership, fetchedFrom }) => [ownership, fetchedFrom])).toEqual([
      [1, 0],
      [2, 3],
    ]);
    expect(consumption.staleBatches).toBe(2);
    expect(consumption.record(2, 4)?.offset).toBe(4);
    expect(consumption.record(2, 1)).toBeNull(); // of the assignment before
  });

  test("a batch larger than one event may be is cut into continuous parts", async () => {
    const { consumption, handlers, assign, delivered } = make();
    consumption.join();
    await assign(1, 1, 10);
    const whole = batch(1, 10, 10_010, { nextPosition: 10_050 });
    handlers().onBatch({ ...whole, records: whole.records.filter(({ offset }) => offset !== 5_000) });
    const parts = delivered();
    expect(parts.map(({ offsets }) => offsets.length)).toEqual([4_096, 4_096, 1_807]);
    expect(parts[0]!.fetchedFrom).toBe(10);
    expect(parts.at(-1)!.nextPosition).toBe(10_050);
    for (const [index, part] of parts.entries()) {
      if (index > 0) expect(part.fetchedFrom).toBe(parts[index - 1]!.nextPosition);
      for (const offset of part.offsets) {
        expect(offset >= part.fetchedFrom && offset < part.nextPosition).toBe(true);
        expect(consumption.record(2, offset)?.offset).toBe(offset);
      }
    }
    expect(parts.reduce((sum, { offsets }) => sum + offsets.length, 0)).toBe(9_999);
  });

  test("an empty batch moves the position across a gap", async () => {
    const { consumption, handlers, assign, delivered } = make();
    consumption.join();
    await assign(1, 1, 0);
    handlers().onBatch(batch(1, 0, 0, { nextPosition: 40 }));
    handlers().onBatch(batch(1, 40, 42));
    expect(delivered().map(({ fetchedFrom, nextPosition }) => [fetchedFrom, nextPosition])).toEqual([
      [0, 40],
      [40, 42],
    ]);
    expect(consumption.record(2, 41)).not.toBeNull();
  });

  test("pause, resume, seek and release reach the consumer and the records", async () => {
    const { consumers, consumption, handlers, assign } = make();
    consumption.join();
    await assign(1, 1, 0);
    handlers().onBatch(batch(1, 0, 6));
    handlers().onBatch(batch(1, 6, 12));
    consumption.pause({ type: "pause", pid: 2 });
    consumption.resume({ type: "resume", pid: 2 });
    consumption.seek({ type: "seek", pid: 2, position: 9 });
    consumption.release({ type: "release-records", pid: 2, below: 6 });
    expect(consumers[0]!.calls).toEqual(["pause orders 2", "resume orders 2", "seek orders 2 9"]);
    expect([5, 6, 8, 9].map((offset) => consumption.record(2, offset)?.offset)).toEqual([undefined, 6, 8, undefined]);
  });

  test("R14: a commit has one attempt and one result, also when the call fails or nobody is in the group", async () => {
    const { consumers, consumption, events, assign } = make();
    const commits = [{ pid: 2, position: 5, metadata: "x" }];
    consumption.commit({ type: "commit", number: 1, generation: 3, commits });
    await Bun.sleep(1);
    consumption.join();
    await assign(3, 1, 0);
    const consumer = consumers[0]!;
    const outcomes: (CommitOutcome | Error)[] = [
      { outcome: "committed" },
      { outcome: "refused", reason: "r" },
      { outcome: "unknown", reason: "u" },
      { outcome: "fatal", reason: "f" },
      new Error("broken"),
    ];
    for (const [index, outcome] of outcomes.entries()) {
      consumer.outcome = outcome;
      consumption.commit({ type: "commit", number: index + 2, generation: 3, commits });
      await Bun.sleep(1);
    }
    const results = events.filter((event) => event.type === "commit-result");
    expect(results.map(({ number, outcome, reason }) => [number, outcome, reason])).toEqual([
      [1, "refused", "this node is not in the consumer group"],
      [2, "committed", ""],
      [3, "refused", "r"],
      [4, "unknown", "u"],
      [5, "fatal", "f"],
      [6, "unknown", "broken"],
    ]);
    expect(consumer.commits.length).toBe(5);
    expect(consumer.commits[0]).toEqual({
      generation: 3,
      commits: [{ topic: "orders", partition: 2, position: 5, metadata: "x" }],
    });
  });

  test("leaving runs the last barrier, then says so; joining again makes a new member", async () => {
    const { consumers, consumption, events, assign } = make();
    consumption.join();
    await assign(1, 1, 0);
    consumption.leave();
    consumption.leave();
    await Bun.sleep(1);
    expect(events.at(-1)).toEqual({ type: "revoked" });
    consumption.revokeDone();
    await Bun.sleep(1);
    expect(events.filter((event) => event.type === "group-left").length).toBe(1);
    expect(consumers[0]!.calls).toEqual(["stop"]);
    expect(consumption.joined).toBe(false);
    consumption.join();
    expect(consumers.length).toBe(2);
  });

  test("a consumer that dies, or cannot even start, is told once and left", async () => {
    const { consumers, consumption, events, fatal, handlers } = make();
    consumption.join();
    handlers().onFatal(new Error("dead"));
    handlers().onFatal(new Error("dead"));
    expect(fatal.map(({ message }) => message)).toEqual(["dead"]);
    expect(events).toEqual([{ type: "group-left" }]);
    consumption.join();
    const second = consumers[1]!;
    second.handlers!.onProblem("orders", 2, "out-of-range");
    expect(events.at(-1)).toEqual({ type: "partition-problem", pid: 2, problem: "out-of-range" });
  });

  test("closing answers every barrier that waits, and leaves", async () => {
    const { consumers, consumption, handlers } = make();
    consumption.join();
    const revoke = handlers().onRevoke();
    const assigned = handlers().onAssign({ generation: 1, memberId: "m", partitions: [] });
    await consumption.close();
    await revoke;
    expect(await assigned).toEqual([]);
    expect(consumers[0]!.calls).toEqual(["stop"]);
  });
});
