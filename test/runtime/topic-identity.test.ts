/** E18: which topic a cell works on, by the id that its first reader recorded. */
import { describe, expect, test } from "bun:test";
import type { Coordinator, TopicRecord } from "../../src/coordinator/coordinator.ts";
import { VouchError } from "../../src/errors.ts";
import type { OpenedTopic } from "../../src/runtime/options.ts";
import { replacedText, TopicIdentity } from "../../src/runtime/topic-identity.ts";
import type { Assignment } from "../../src/task-log/task-log.ts";

const FIRST: TopicRecord = { generation: 1, dedupEpoch: 0, startAt: "latest" };

function make(stored: TopicRecord = FIRST, opened: TopicRecord = FIRST) {
  let record = stored;
  let down = false;
  const answered = async (): Promise<TopicRecord> => {
    if (down) throw new VouchError("unavailable", "nobody answers");
    return record;
  };
  const coordinator: Pick<Coordinator, "ensureTopic" | "replaceTopic"> = {
    ensureTopic: answered,
    replaceTopic: async (_topic, next) => {
      await answered();
      record = next;
    },
  };
  const log: string[] = [];
  const topics = [{ task: { topic: "orders" }, record: opened, partitions: 2 }] as unknown as OpenedTopic[];
  return {
    identity: new TopicIdentity(coordinator, topics, (_level, message) => log.push(message)),
    record: () => record,
    log,
    down: (is: boolean) => {
      down = is;
    },
  };
}

function assigned(topicId?: string): Assignment {
  const partition = { topic: "orders", partition: 0, committed: null, metadata: "", logStart: 0, logEnd: 0 };
  return { generation: 1, memberId: "m", partitions: [topicId === undefined ? partition : { ...partition, topicId }] };
}

describe("E18: the identity of a topic", () => {
  test("the first id is recorded, with how many partitions there were; another one is a replaced topic", async () => {
    const { identity, record } = make();
    expect(await identity.check(assigned("one"))).toEqual(new Map());
    expect(record()).toEqual({ ...FIRST, topicId: "one", partitions: 2 });
    expect([0, 1, 2].map((partition) => identity.addedSince("orders", partition))).toEqual([false, false, true]);
    expect(await identity.check(assigned("two"))).toEqual(
      new Map([["orders", "its id was one, is two; or is this another Kafka cluster?"]]),
    );
    expect(record().topicId).toBe("one");
  });

  test("what another node recorded meanwhile counts, and a record that was read at the start too", async () => {
    const meanwhile = make({ ...FIRST, topicId: "other" });
    expect((await meanwhile.identity.check(assigned("mine")))?.get("orders")).toContain("its id was other");
    const before = make(FIRST, { ...FIRST, topicId: "before" });
    expect((await before.identity.check(assigned("now")))?.get("orders")).toContain("its id was before");
  });

  test("a log without ids is not compared; without an answer of the coordinator the next join asks", async () => {
    const { identity, record, log, down } = make();
    expect(identity.check(assigned())).toBeNull();
    down(true);
    expect(await identity.check(assigned("one"))).toEqual(new Map());
    expect(log[0]).toContain("the id of topic orders could not be recorded");
    down(false);
    await identity.check(assigned("one"));
    expect(record().topicId).toBe("one");
  });

  test("the text says what happened, where, and what to do", () => {
    const text = replacedText("orders", "billing", "its id was one, is two");
    expect(text).toContain("topic orders was deleted and created again (its id was one, is two)");
    expect(text).toContain("--reset-offsets --group billing --topic orders");
    expect(text).toEndWith("start them with a higher --dedup-epoch");
  });
});
