/** Topics and group positions, asked of the brokers when they are wanted; connected at the first question. */

import { type Admin, ConfigResourceTypes } from "kafkajs";
import { VouchError } from "../../errors.ts";
import type { GroupOffset, TaskAdmin, TopicDescription } from "../task-log.ts";
import { CLIENT_RETRY, createClient, endsWithin, type KafkaClient, type KafkaConnection } from "./client.ts";
import { isBusy, isHopeless, isUnknownTopic, toVouchError } from "./kafka-errors.ts";

const CLOSE_MS = 5_000;
/** A broker that has just started reads its groups first. */
const BUSY_MS = 10_000;
const BUSY_POLL_MS = 100;
const CREATED_WITHIN_MS = 10_000;
const CREATED_POLL_MS = 50;

const RECORD_BYTES_MAX = "max.message.bytes";
/** What is set aside has some headers more: where it came from, why, and the last error. */
const HEADERS_BYTES = 65_536;

export class KafkaAdmin implements TaskAdmin {
  readonly #connection: KafkaConnection;
  readonly #onWarning: (message: string) => void;
  readonly #onEnded: () => void;
  #connected: { client: KafkaClient; admin: Promise<Admin> } | null = null;
  #closing: Promise<void> | null = null;

  constructor(connection: KafkaConnection, onWarning: (message: string) => void, onEnded: () => void) {
    this.#connection = connection;
    this.#onWarning = onWarning;
    this.#onEnded = onEnded;
  }

  async describeTopic(topic: string): Promise<TopicDescription | null> {
    return this.#ask(`describing ${topic} failed`, async (admin) => {
      try {
        const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
        const found = topics.find(({ name }) => name === topic);
        return found === undefined ? null : { topic, partitions: found.partitions.length };
      } catch (error) {
        if (isUnknownTopic(error)) return null;
        throw error;
      }
    });
  }

  async createTopic(topic: string, partitions: number, holding?: string): Promise<void> {
    const recordBytes = holding === undefined ? null : await this.#recordBytesMax(holding);
    await this.#ask(`creating ${topic} failed`, async (admin) => {
      const plain = { topic, numPartitions: partitions };
      if (recordBytes !== null) {
        const configEntries = [{ name: RECORD_BYTES_MAX, value: String(recordBytes + HEADERS_BYTES) }];
        try {
          await admin.createTopics({ topics: [{ ...plain, configEntries }], waitForLeaders: false });
          return;
        } catch (error) {
          if (!isHopeless(error)) throw error; // else the cluster has a policy: as it likes its topics
        }
      }
      await admin.createTopics({ topics: [plain], waitForLeaders: false });
    });
    // The controller answers before the other brokers know the topic, and its leaders come later still.
    const startedMs = performance.now();
    while (!(await this.#hasLeaders(topic))) {
      if (performance.now() - startedMs > CREATED_WITHIN_MS) {
        throw new VouchError("unavailable", `topic ${topic} was created but is not there yet`);
      }
      await Bun.sleep(CREATED_POLL_MS);
    }
  }

  /** null: no such topic, or this user may not know. */
  async #recordBytesMax(topic: string): Promise<number | null> {
    return this.#ask(`describing ${topic} failed`, async (admin) => {
      try {
        const resource = { type: ConfigResourceTypes.TOPIC, name: topic, configNames: [RECORD_BYTES_MAX] };
        const { resources } = await admin.describeConfigs({ resources: [resource], includeSynonyms: false });
        const value = Number(resources[0]?.configEntries[0]?.configValue ?? "");
        return Number.isInteger(value) && value > 0 ? value : null;
      } catch (error) {
        if (isUnknownTopic(error) || isHopeless(error)) return null;
        throw error;
      }
    });
  }

  async #hasLeaders(topic: string): Promise<boolean> {
    try {
      return await this.#ask(`describing ${topic} failed`, async (admin) => {
        const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
        const partitions = topics.find(({ name }) => name === topic)?.partitions ?? [];
        return partitions.length > 0 && partitions.every(({ leader }) => leader >= 0);
      });
    } catch (error) {
      if (isUnknownTopic(error) || isBusy(error)) return false;
      throw error;
    }
  }

  async groupOffsets(groupId: string, topic: string): Promise<readonly GroupOffset[]> {
    return this.#ask(`asking for the positions of group ${groupId} in ${topic} failed`, async (admin) => {
      const [ends, [committed]] = await Promise.all([
        admin.fetchTopicOffsets(topic),
        admin.fetchOffsets({ groupId, topics: [topic], resolveOffsets: false }),
      ]);
      const commits = new Map(committed?.partitions.map((each) => [each.partition, each]));
      return ends
        .map(({ partition, low, high }) => {
          const commit = commits.get(partition);
          const offset = Number(commit?.offset ?? -1);
          return {
            partition,
            committed: offset < 0 ? null : offset,
            metadata: offset < 0 ? "" : (commit?.metadata ?? ""),
            logStart: Number(low),
            logEnd: Number(high),
          };
        })
        .toSorted((a, b) => a.partition - b.partition);
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#disconnect().then(() => this.#onEnded());
    return this.#closing;
  }

  async #ask<T>(what: string, question: (admin: Admin) => Promise<T>): Promise<T> {
    const startedMs = performance.now();
    for (;;) {
      if (this.#closing !== null) throw new VouchError("closed", "the admin was closed");
      this.#connected ??= this.#connect();
      const connected = this.#connected;
      try {
        return await question(await connected.admin);
      } catch (thrown) {
        if (!isBusy(thrown) || performance.now() - startedMs > BUSY_MS) {
          const error = toVouchError(`Kafka ${this.#connection.brokers.join(",")}: ${what}`, thrown);
          // Half-dead connections are not worth keeping: the next question begins anew.
          if (error.code === "unavailable" && this.#connected === connected) await this.#disconnect();
          throw error;
        }
      }
      await Bun.sleep(BUSY_POLL_MS);
    }
  }

  #connect(): { client: KafkaClient; admin: Promise<Admin> } {
    const client = createClient(this.#connection, this.#onWarning);
    const admin = client.kafka.admin({ retry: CLIENT_RETRY });
    return { client, admin: admin.connect().then(() => admin) };
  }

  async #disconnect(): Promise<void> {
    const connected = this.#connected;
    this.#connected = null;
    if (connected === null) return;
    await endsWithin(
      connected.admin.then((admin) => admin.disconnect()),
      CLOSE_MS,
    );
    connected.client.closeSockets();
  }
}
