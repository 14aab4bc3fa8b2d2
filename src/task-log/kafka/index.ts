/** The task log on a Kafka cluster (Kafka 2.3 and later), through kafkajs. */

import type { ConnectionOptions } from "node:tls";
import type { SASLOptions } from "kafkajs";
import { ConfigurationError, VouchError } from "../../errors.ts";
import type { ConsumerOptions, TaskAdmin, TaskConsumer, TaskLog, TaskProducer } from "../task-log.ts";
import { KafkaAdmin } from "./admin.ts";
import type { KafkaConnection } from "./client.ts";
import { KafkaConsumer } from "./consumer.ts";
import { KafkaProducer } from "./producer.ts";

export interface KafkaTaskLogOptions {
  /** host:port of some brokers; the others are learnt from them. */
  readonly brokers: readonly string[];
  readonly clientId: string;
  /** What does not work at the moment, in words, for producers and admins (a consumer has its own handler). */
  readonly onWarning: (message: string) => void;
  /** TLS to the brokers: `{}` for the system's authorities, or ca, cert and key. Default: none. */
  readonly tls?: ConnectionOptions | undefined;
  readonly sasl?: SASLOptions | undefined;
}

/**
 * Connects nothing yet: the first use of a consumer, producer or admin does.
 * @throws ConfigurationError when a broker is not host:port
 */
export function openKafkaTaskLog(options: KafkaTaskLogOptions): TaskLog {
  const violations = options.brokers
    .filter((broker) => !/^[^:\s]+:\d{1,5}$/.test(broker))
    .map((broker) => `Kafka brokers: expected host:port, got ${JSON.stringify(broker)}`);
  if (options.brokers.length === 0) violations.push("Kafka brokers: expected at least one host:port, got none");
  if (violations.length > 0) throw new ConfigurationError(violations);
  return new KafkaTaskLog(options);
}

class KafkaTaskLog implements TaskLog {
  readonly #connection: KafkaConnection;
  readonly #onWarning: (message: string) => void;
  readonly #consumers = new Set<TaskConsumer>();
  readonly #others = new Set<TaskProducer | TaskAdmin>();
  #closed = false;

  constructor({ brokers, clientId, tls, sasl, onWarning }: KafkaTaskLogOptions) {
    this.#connection = { brokers, clientId, tls, sasl };
    this.#onWarning = onWarning;
  }

  consumer(options: ConsumerOptions): TaskConsumer {
    this.#assertOpen();
    assertConsumerOptions(options);
    const consumer: TaskConsumer = new KafkaConsumer(this.#connection, options, () => this.#consumers.delete(consumer));
    this.#consumers.add(consumer);
    return consumer;
  }

  producer(): TaskProducer {
    this.#assertOpen();
    const producer: TaskProducer = new KafkaProducer(this.#connection, this.#onWarning, () =>
      this.#others.delete(producer),
    );
    this.#others.add(producer);
    return producer;
  }

  admin(): TaskAdmin {
    this.#assertOpen();
    const admin: TaskAdmin = new KafkaAdmin(this.#connection, this.#onWarning, () => this.#others.delete(admin));
    this.#others.add(admin);
    return admin;
  }

  /** Stops its consumers, waits for its producers, and ends every connection. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#consumers].map((consumer) => consumer.stop()));
    await Promise.all([...this.#others].map((other) => other.close()));
  }

  #assertOpen(): void {
    if (this.#closed) throw new VouchError("closed", "the task log was closed");
  }
}

function assertConsumerOptions({ groupId, topics, heartbeatIntervalMs, sessionTimeoutMs }: ConsumerOptions): void {
  const violations: string[] = [];
  if (groupId === "") violations.push("consumer group: expected an id, got an empty text");
  if (topics.length === 0) violations.push("topics: expected at least one, got none");
  if (heartbeatIntervalMs >= sessionTimeoutMs) {
    violations.push(
      `group heartbeat: expected less than the session of ${sessionTimeoutMs} ms, got ${heartbeatIntervalMs} ms`,
    );
  }
  if (violations.length > 0) throw new ConfigurationError(violations);
}
