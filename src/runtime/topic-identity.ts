/**
 * Which topic this cell works on (E18). A topic that was deleted and created again has the name of the one before and nothing
 * else: what the cell knows about offsets is not about its records. The first node that reads a topic records its id in the
 * coordinator; from then on every assignment is compared with it.
 *
 * A log that knows no ids (embedded, Kafka before 2.8) is not compared.
 */
import type { Coordinator, TopicRecord } from "../coordinator/coordinator.ts";
import { describeError } from "../errors.ts";
import type { Assignment } from "../task-log/task-log.ts";
import type { OpenedTopic, RuntimeLog } from "./options.ts";

export class TopicIdentity {
  readonly #coordinator: Pick<Coordinator, "ensureTopic" | "replaceTopic">;
  readonly #records: Map<string, TopicRecord>;
  readonly #partitions: ReadonlyMap<string, number>;
  readonly #log: RuntimeLog;

  constructor(
    coordinator: Pick<Coordinator, "ensureTopic" | "replaceTopic">,
    topics: readonly Pick<OpenedTopic, "task" | "record" | "partitions">[],
    log: RuntimeLog,
  ) {
    this.#coordinator = coordinator;
    this.#records = new Map(topics.map(({ task, record }) => [task.topic, record]));
    this.#partitions = new Map(topics.map(({ task, partitions }) => [task.topic, partitions]));
    this.#log = log;
  }

  /** Topics that are not the recorded ones, each with what a person should know. null when the log knows no ids. */
  check(assignment: Assignment): Promise<ReadonlyMap<string, string>> | null {
    const ids = new Map<string, string>();
    for (const { topic, topicId } of assignment.partitions) if (topicId !== undefined) ids.set(topic, topicId);
    return ids.size === 0 ? null : this.#compare(ids);
  }

  /** "latest" is where the cell began: what a partition that was added since holds came later. */
  addedSince(topic: string, partition: number): boolean {
    const { partitions } = this.#records.get(topic) ?? {};
    return partitions !== undefined && partition >= partitions;
  }

  async #compare(ids: ReadonlyMap<string, string>): Promise<ReadonlyMap<string, string>> {
    const replaced = new Map<string, string>();
    for (const [topic, id] of ids) {
      const recorded = await this.#recorded(topic, id);
      if (recorded !== id) replaced.set(topic, `its id was ${recorded}, is ${id}; or is this another Kafka cluster?`);
    }
    return replaced;
  }

  /** The recorded id; `id` itself when there was none, or when the coordinator cannot be asked: then the next join asks. */
  async #recorded(topic: string, id: string): Promise<string> {
    const known = this.#records.get(topic);
    if (known === undefined || known.topicId !== undefined) return known?.topicId ?? id;
    try {
      let record = await this.#coordinator.ensureTopic(topic, known);
      if (record.topicId === undefined) {
        record = { ...record, topicId: id, partitions: this.#partitions.get(topic) ?? 0 };
        await this.#coordinator.replaceTopic(topic, record);
      }
      this.#records.set(topic, record);
      return record.topicId ?? id;
    } catch (error) {
      this.#log("warn", `the id of topic ${topic} could not be recorded: ${describeError(error)}`, {});
      return id;
    }
  }
}

/** What a person can do about a topic that was replaced; `what` tells how it shows. */
export function replacedText(topic: string, groupId: string, what: string): string {
  return (
    `topic ${topic} was deleted and created again (${what}): what this cell did at these offsets were other records. ` +
    `To work on the new topic, stop all nodes, set the group's offsets to where to begin (kafka-consumer-groups.sh ` +
    `--reset-offsets --group ${groupId} --topic ${topic}), and start them with a higher --dedup-epoch`
  );
}
