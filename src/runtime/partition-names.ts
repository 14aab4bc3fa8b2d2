/** Partition ids and the names by which the task log, the coordinator and people know partitions. */
import assert from "node:assert/strict";
import { partitionId, partitionOf, topicIndexOf, type PartitionId } from "../core/identity.ts";

export class PartitionNames {
  /** Sorted by name, equal on all nodes (R19). */
  readonly topics: readonly string[];
  readonly #index: ReadonlyMap<string, number>;

  constructor(topics: readonly string[]) {
    assert(
      topics.every((topic, index) => index === 0 || topics[index - 1]! < topic),
      "topics must be sorted",
    );
    this.topics = topics;
    this.#index = new Map(topics.map((topic, index) => [topic, index]));
  }

  topicOf(pid: PartitionId): string {
    const topic = this.topics[topicIndexOf(pid)];
    assert(topic !== undefined, `no topic for partition id ${pid}`);
    return topic;
  }

  /** null for a topic that this node does not work on. */
  pid(topic: string, partition: number): PartitionId | null {
    const index = this.#index.get(topic);
    return index === undefined ? null : partitionId(index, partition);
  }

  /** `topic#partition`, the key of `/watermarks`. */
  text(pid: PartitionId): string {
    return `${this.topicOf(pid)}#${partitionOf(pid)}`;
  }

  /** null for a topic that this node does not work on, or something else altogether. */
  parse(text: string): PartitionId | null {
    const hash = text.lastIndexOf("#");
    const partition = Number(text.slice(hash + 1));
    if (hash < 1 || !/^\d{1,5}$/.test(text.slice(hash + 1)) || partition > 65_535) return null;
    return this.pid(text.slice(0, hash), partition);
  }
}
