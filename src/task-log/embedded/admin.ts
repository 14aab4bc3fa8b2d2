/** Topics and the positions of groups, as an operator or a node's start-up asks for them. */

import { VouchError } from "../../errors.ts";
import type { GroupOffset, TaskAdmin, TopicDescription } from "../task-log.ts";
import { limits } from "./limits.ts";
import type { RecordStore } from "./record-store.ts";

const topicName = /^[a-zA-Z0-9._-]{1,249}$/; // Kafka's rule

export class EmbeddedAdmin implements TaskAdmin {
  readonly #open: () => Promise<RecordStore>;
  readonly #onTopicCreated: () => void;

  constructor(open: () => Promise<RecordStore>, onTopicCreated: () => void) {
    this.#open = open;
    this.#onTopicCreated = onTopicCreated;
  }

  async describeTopic(topic: string): Promise<TopicDescription | null> {
    const store = await this.#open();
    return store.describeTopic(topic);
  }

  async createTopic(topic: string, partitions: number): Promise<void> {
    if (!topicName.test(topic) || topic === "." || topic === "..") {
      throw new VouchError("task-log", `${JSON.stringify(topic)} is no topic name: 1 to 249 of a-z A-Z 0-9 . _ -`);
    }
    if (!Number.isInteger(partitions) || partitions < 1 || partitions > limits.partitionsPerTopicMax) {
      throw new VouchError(
        "task-log",
        `topic ${topic}: expected 1 to ${limits.partitionsPerTopicMax} partitions, got ${partitions}`,
      );
    }
    const store = await this.#open();
    await store.createTopic(topic, partitions);
    this.#onTopicCreated();
  }

  async groupOffsets(groupId: string, topic: string): Promise<readonly GroupOffset[]> {
    const store = await this.#open();
    const offsets = await store.groupOffsets(groupId, topic);
    if (offsets.length === 0) throw new VouchError("task-log", `topic ${topic} does not exist`);
    return offsets;
  }

  async close(): Promise<void> {
    // Holds nothing of its own: the files belong to the task log.
  }
}
