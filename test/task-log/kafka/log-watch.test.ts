/** What stands behind a topic's name now, looked at while nothing is fetched of it. */

import { expect, test } from "bun:test";
import type ConsumerGroup from "kafkajs/src/consumer/consumerGroup";
import { LogWatch } from "../../../src/task-log/kafka/log-watch.ts";
import { PartitionPositions } from "../../../src/task-log/kafka/partition-positions.ts";

test("E18: a partition that is paused at its span hears that its topic was replaced: its handlers' ends are still committed", async () => {
  const at = { topic: "t", partition: 0 };
  const partition = { ...at, committed: null, metadata: "", logStart: 0, logEnd: 9, topicId: "old" };
  const assignment = { generation: 1, memberId: "m", partitions: [partition] };
  const positions = new PartitionPositions();
  positions.replace(assignment, [{ ...at, position: 5, paused: true }]);
  const problems: string[] = [];
  const watch = new LogWatch(["t"], positions, {
    onProblem: (topic, number, problem, detail) => problems.push(`${topic}/${number} ${problem}: ${detail}`),
  });
  watch.assigned(assignment);
  const looks = new Map([["t", { id: "new", leaderEpochs: new Map([[0, 0]]) }]]);
  const broker = {
    versions: { 3: { minVersion: 0, maxVersion: 12 } },
    connectionPool: { send: async () => ({ looks }) },
  };
  const cluster = { findBroker: async () => broker, findTopicPartitionMetadata: () => [{}] };
  await watch.look({ cluster } as unknown as ConsumerGroup, "1");
  expect(problems).toEqual(["t/0 replaced: its id was old, is new"]);
  expect(positions.get("t", 0)?.paused).toBe(true);
});
