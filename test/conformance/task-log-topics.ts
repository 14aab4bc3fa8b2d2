/** The task log's rules of topics: creating them, and what happens where there is none. */
import { expect } from "bun:test";
import { codeOf, type Suite } from "./task-log-member.ts";

export function topics({ rule, group, groupWithoutTopic }: Suite): void {
  rule("createTopic is idempotent and leaves an existing topic as it is", async () => {
    await using g = await group(3);
    await g.produce(2, 4);
    await g.admin.createTopic(g.topic, 3);
    await g.admin.createTopic(g.topic, 5);
    expect(await g.admin.describeTopic(g.topic)).toEqual({ topic: g.topic, partitions: 3 });
    expect(await g.admin.groupOffsets(g.groupId, g.topic)).toEqual([
      { partition: 0, committed: null, metadata: "", logStart: 0, logEnd: 0 },
      { partition: 1, committed: null, metadata: "", logStart: 0, logEnd: 0 },
      { partition: 2, committed: null, metadata: "", logStart: 0, logEnd: 4 },
    ]);
  });

  rule("a topic that cannot be created is an error", async () => {
    await using g = groupWithoutTopic();
    expect(await codeOf(g.admin.createTopic("no topic/name", 1))).toStartWith("VouchError");
    expect(await codeOf(g.admin.createTopic(g.topic, 0))).toStartWith("VouchError");
    expect(await g.admin.describeTopic(g.topic)).toBeNull();
  });

  rule("a topic that does not exist is described as null, and nothing can be sent to it", async () => {
    await using g = groupWithoutTopic();
    expect(await g.admin.describeTopic(g.topic)).toBeNull();
    expect(await codeOf(g.produce(0, 1))).toStartWith("VouchError");
    expect(await codeOf(g.admin.groupOffsets(g.groupId, g.topic))).toStartWith("VouchError");
    expect(await g.admin.describeTopic(g.topic)).toBeNull();
  });

  rule("a record to a partition that the topic has not is refused", async () => {
    await using g = await group(2);
    expect(await codeOf(g.produce(2, 1))).toStartWith("VouchError");
    await g.produce(1, 1);
    expect((await g.offsets(1))?.logEnd).toBe(1);
  });

  rule("a consumer whose topic does not exist says so, and reads it once it was created", async () => {
    await using g = groupWithoutTopic();
    const { member, started } = g.launch();
    await g.until("the problem", () => member.problems.length > 0 && member.warnings.length > 0);
    expect(member.problems[0]).toMatch(/#-1 missing-topic$/);
    await g.admin.createTopic(g.topic, 2);
    await g.produce(1, 3);
    await started;
    await g.untilRead(member, 1, 3);
    expect(member.owned()).toEqual([0, 1]);
    expect(member.fatal).toEqual([]);
  });
}
