import { describe, expect, test } from "bun:test";
import type { Coordinator, TopicRecord } from "../../src/coordinator/coordinator.ts";
import { ConfigurationError, VouchError } from "../../src/errors.ts";
import { resolveTasks } from "../../src/execution/resolve.ts";
import { openTopics } from "../../src/runtime/topics.ts";
import type { TaskAdmin } from "../../src/task-log/task-log.ts";

const tasks = resolveTasks([
  { name: "orders", exported: { topic: "orders", onUnknown: "park", execute() {} } },
  { name: "payments", exported: { topic: "payments", onUnknown: "park", execute() {} } },
]);

function make(records: Record<string, TopicRecord>, existing: Record<string, number>, failures = 0) {
  const created: string[] = [];
  const log: string[] = [];
  let toFail = failures;
  const ensureTopic = async (topic: string, initial: TopicRecord): Promise<TopicRecord> => {
    if (toFail-- > 0) throw new VouchError("unavailable", "no answer");
    return (records[topic] ??= initial);
  };
  const replaceTopic = async (topic: string, record: TopicRecord): Promise<void> => void (records[topic] = record);
  const describeTopic = async (topic: string) => {
    const partitions = existing[topic];
    return partitions === undefined ? null : { topic, partitions };
  };
  const createTopic = async (topic: string, partitions: number): Promise<void> =>
    void created.push(`${topic} ${partitions}`);
  const leading = { names: [] as string[] };
  const observe = async () => ({ members: [], leader: leading.names.map((nodeId) => ({ nodeId }))[0] ?? null });
  const open = (dedupEpoch = 0, signal = new AbortController().signal, startAt: TopicRecord["startAt"] = "earliest") =>
    openTopics({
      coordinator: { ensureTopic, replaceTopic, observe } as unknown as Coordinator,
      admin: { describeTopic, createTopic } as unknown as TaskAdmin,
      tasks,
      dedupEpoch,
      startAt,
      log: (_level, message) => log.push(message),
      signal,
    });
  return { open, records, created, log, leading };
}

describe("opening topics", () => {
  test("records each topic at its first use, and creates what dead and parked records need", async () => {
    const { open, records, created, log } = make({}, { orders: 6, "orders.dead": 1 });
    const opened = await open();
    expect(opened.map(({ task, generation }) => [task.topic, generation])).toEqual([
      ["orders", 1],
      ["payments", 1],
    ]);
    expect(records["orders"]).toEqual({ generation: 1, dedupEpoch: 0, startAt: "earliest" });
    expect(created).toEqual(["orders.parked 6", "payments.dead 1", "payments.parked 1"]);
    expect(log).toEqual(["topic payments does not exist yet: create it, the cell waits for it"]);
  });

  test("what the cell recorded wins", async () => {
    const recorded: TopicRecord = { generation: 4, dedupEpoch: 0, startAt: "earliest" };
    const { open } = make({ orders: recorded }, {});
    expect((await open())[0]!.generation).toBe(4);
  });

  test("R7: a raised dedup epoch is recorded; a lower one is refused", async () => {
    const recorded: TopicRecord = { generation: 1, dedupEpoch: 2, startAt: "earliest" };
    const { open, records } = make({ orders: recorded, payments: recorded }, {});
    await open(3);
    expect(records["orders"]!.dedupEpoch).toBe(3);
    const refused = await open(1).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ConfigurationError);
    expect((refused as ConfigurationError).violations.length).toBe(2);
  });

  test("R7: a raised dedup epoch waits for the last leader under the lower one, and changes nothing before", async () => {
    const recorded: TopicRecord = { generation: 1, dedupEpoch: 2, startAt: "earliest" };
    const { open, records, log, leading } = make({ orders: recorded, payments: recorded }, {});
    leading.names.push("a");
    const opening = open(3);
    while (log.length === 0) await Bun.sleep(1);
    expect(log[0]).toContain(
      "dedup epoch 3 begins when every node under dedup epoch 2 is stopped, and a leads the cell",
    );
    expect(records["orders"]!.dedupEpoch).toBe(2);
    leading.names.pop();
    await opening;
    expect(records["orders"]!.dedupEpoch).toBe(3);
  });

  test("R15: who was refused a takeover may ask for it afterwards, when no node leads without it", async () => {
    const recorded: TopicRecord = { generation: 1, dedupEpoch: 0, startAt: "earliest" };
    const { open, records, log, leading } = make({ orders: recorded, payments: recorded }, {});
    const asked = async () => (await open(0, undefined, "committed")).map(({ startAt }) => startAt);
    leading.names.push("a");
    expect(await asked()).toEqual(["earliest", "earliest"]);
    expect(log[0]).toContain("once every node of the cell was stopped");
    leading.names.pop();
    expect(await asked()).toEqual(["committed", "committed"]);
    expect(records["orders"]!.startAt).toBe("committed");
    expect((await open()).map(({ startAt }) => startAt)).toEqual(["committed", "committed"]);
  });

  test("R15: where to begin is what the cell recorded at the first use; one cell has one", async () => {
    const latest: TopicRecord = { generation: 1, dedupEpoch: 0, startAt: "latest" };
    const recorded = make({ orders: latest, payments: latest }, {});
    expect((await recorded.open()).map(({ startAt }) => startAt)).toEqual(["latest", "latest"]);
    expect(recorded.log[0]).toContain('begins at "latest"');
    const mixed = await make({ orders: latest }, {})
      .open()
      .catch((error: unknown) => error);
    expect(mixed).toBeInstanceOf(ConfigurationError);
  });

  test("keeps trying while nobody answers, and gives up when told", async () => {
    const { open, log } = make({}, {}, 1);
    await open();
    expect(log[0]).toContain("cannot be opened yet");
    const stop = new AbortController();
    const waiting = make({}, {}, Number.POSITIVE_INFINITY).open(0, stop.signal);
    stop.abort();
    expect(await waiting.catch((error: unknown) => (error as VouchError).code)).toBe("closed");
  });
});
