/** What a member is told of its assignment, when the brokers do not all know the same. */

import { expect, test } from "bun:test";
import type ConsumerGroup from "kafkajs/src/consumer/consumerGroup";
import { describeAssignment } from "../../../src/task-log/kafka/assignment.ts";
import type { Membership } from "../../../src/task-log/kafka/kafkajs-hooks.ts";
import type { TopicLook } from "../../../src/task-log/kafka/log-look.ts";
import { WakeUp } from "../../../src/task-log/kafka/wake-up.ts";

const leaderEpochs = new Map([[0, 0]]);

/** A member with partition 0 of "t", whose coordinator has these looks at the topics, one after another. */
function groupWith(looks: ReadonlyMap<string, TopicLook>[], versions = { 3: { minVersion: 0, maxVersion: 12 } }) {
  const broker = {
    versions,
    connectionPool: { send: async () => ({ looks: looks.length > 1 ? looks.shift() : looks[0] }) },
    offsetFetch: async () => ({
      responses: [{ topic: "t", partitions: [{ partition: 0, offset: "7", metadata: "" }] }],
    }),
    listOffsets: async () => ({ responses: [{ topic: "t", partitions: [{ partition: 0, offset: "9" }] }] }),
  };
  return {
    groupId: "g",
    coordinator: broker,
    assigned: () => [{ topic: "t", partitions: [0] }],
    cluster: {
      findTopicPartitionMetadata: () => [{ partitionId: 0, leader: 1 }],
      findBroker: async () => broker,
      refreshMetadata: async () => undefined,
    },
  } as unknown as ConsumerGroup;
}

const membership = { groupId: "g", generation: 3, memberId: "m" } as Membership;
const idsOf = async (group: ConsumerGroup, patienceMs = 2_000): Promise<(string | undefined)[]> =>
  (await describeAssignment(group, membership, patienceMs, new WakeUp())).partitions.map(({ topicId }) => topicId);

test("E18: a broker that has not heard of the topic yet is asked again: without its id nobody would compare it", async () => {
  const group = groupWith([new Map(), new Map([["t", { id: "new", leaderEpochs }]])]);
  expect(await idsOf(group)).toEqual(["new"]);
  const never = idsOf(groupWith([new Map()]), 0).catch((error: unknown) => error);
  expect(String(await never)).toContain('topic "t"');
});

test("a cluster that knows no ids gives none, and is not asked again", async () => {
  expect(await idsOf(groupWith([new Map([["t", { id: "", leaderEpochs }]])]))).toEqual([undefined]);
  expect(await idsOf(groupWith([new Map()], { 3: { minVersion: 0, maxVersion: 9 } }))).toEqual([undefined]);
});
