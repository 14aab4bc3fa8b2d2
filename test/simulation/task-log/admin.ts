/** Topics and group positions. */
import { VouchError } from "../../../src/errors.ts";
import type { GroupOffset, TaskAdmin, TopicDescription } from "../../../src/task-log/task-log.ts";
import type { SimulatedProcess } from "../virtual-time.ts";
import type { Brokers } from "./brokers.ts";
import { ask, type Served } from "./questions.ts";

const TOPIC_NAME = /^[a-zA-Z0-9._-]{1,249}$/;

export class SimulatedAdmin implements TaskAdmin {
  readonly #process: SimulatedProcess;
  readonly #brokers: Brokers;
  #closed = false;

  constructor(process: SimulatedProcess, brokers: Brokers) {
    this.#process = process;
    this.#brokers = brokers;
  }

  describeTopic(topic: string): Promise<TopicDescription | null> {
    const { topics } = this.#brokers;
    return this.#ask(`describing ${topic}`, () => {
      return { value: topics.has(topic) ? { topic, partitions: topics.partitions(topic).length } : null };
    });
  }

  createTopic(topic: string, partitions: number): Promise<void> {
    const { topics } = this.#brokers;
    return this.#ask(`creating ${topic}`, () => {
      if (!TOPIC_NAME.test(topic) || !Number.isInteger(partitions) || partitions < 1)
        return { error: new VouchError("task-log", `topic ${topic} cannot have ${partitions} partitions`) };
      topics.create(topic, partitions);
      return { value: undefined };
    });
  }

  groupOffsets(groupId: string, topic: string): Promise<readonly GroupOffset[]> {
    const { topics, coordinator } = this.#brokers;
    return this.#ask<readonly GroupOffset[]>(`asking for the positions of group ${groupId}`, () => {
      if (!topics.has(topic)) return { error: new VouchError("task-log", `topic ${topic} does not exist`) };
      const offsets = coordinator.groups.get(groupId)?.offsets;
      const value = topics.partitions(topic).map(({ start, end }, partition) => {
        const commit = offsets?.get(`${topic}#${partition}`);
        const { position: committed = null, metadata = "" } = commit ?? {};
        return { partition, committed, metadata, logStart: start, logEnd: end };
      });
      return { value };
    });
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #ask<T>(what: string, serve: () => Served<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new VouchError("closed", "the admin was closed"));
    return ask(this.#brokers.link, this.#process, what, serve);
  }
}
