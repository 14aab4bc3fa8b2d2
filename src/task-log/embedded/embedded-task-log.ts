/**
 * The task log without any server: SQLite files under a data directory, for the processes of one machine.
 *
 * Guarantees: what the port says; and every acknowledged record and commit survives `kill -9` of all processes at once.
 * It does not survive a power cut with certainty (the last transactions may be gone), is not for network file systems, and
 * never deletes records: the directory grows until it is removed while no process uses it.
 */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { ConfigurationError, toError, VouchError } from "../../errors.ts";
import type { ConsumerOptions, TaskAdmin, TaskConsumer, TaskLog, TaskProducer } from "../task-log.ts";
import { EmbeddedAdmin } from "./admin.ts";
import { EmbeddedConsumer, type Stores } from "./consumer.ts";
import { GroupStore } from "./group-store.ts";
import { machineClock } from "./machine-clock.ts";
import { EmbeddedProducer } from "./producer.ts";
import { RecordStore } from "./record-store.ts";

export interface EmbeddedTaskLogOptions {
  /** Created when it is missing. All processes of a cell name the same one. */
  readonly directory: string;
}

/** Opens nothing yet: the first call that needs the files does, and throws VouchError "data-dir" when it cannot. */
export function openEmbeddedTaskLog(options: EmbeddedTaskLogOptions): TaskLog {
  return new EmbeddedTaskLog(options.directory);
}

class EmbeddedTaskLog implements TaskLog {
  readonly #directory: string;
  readonly #consumers = new Set<EmbeddedConsumer>();
  readonly #producers = new Set<EmbeddedProducer>();
  #stores: Promise<Stores> | null = null;
  #closed = false;

  constructor(directory: string) {
    this.#directory = directory;
  }

  consumer(options: ConsumerOptions): TaskConsumer {
    this.#assertOpen();
    assertOptions(options);
    const consumer: EmbeddedConsumer = new EmbeddedConsumer(
      () => this.#open(),
      options,
      () => this.#consumers.delete(consumer),
    );
    this.#consumers.add(consumer);
    return consumer;
  }

  producer(): TaskProducer {
    this.#assertOpen();
    const producer = new EmbeddedProducer(
      async () => (await this.#open()).records,
      () => this.#wakeConsumers(),
    );
    this.#producers.add(producer);
    return producer;
  }

  admin(): TaskAdmin {
    this.#assertOpen();
    return new EmbeddedAdmin(
      async () => (await this.#open()).records,
      () => this.#wakeConsumers(),
    );
  }

  /** Stops its consumers, waits for its producers, and closes the files. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.#consumers].map((consumer) => consumer.stop()));
    await Promise.all([...this.#producers].map((producer) => producer.close()));
    this.#closed = true;
    const opening = this.#stores;
    this.#stores = null;
    if (opening === null) return;
    const [opened] = await Promise.allSettled([opening]);
    if (opened.status === "rejected") return; // whoever opened it was told
    opened.value.records.close();
    opened.value.groups.close();
  }

  #open(): Promise<Stores> {
    if (this.#closed) return Promise.reject(new VouchError("closed", "the task log was closed"));
    this.#stores ??= openStores(this.#directory).catch((error: unknown) => {
      this.#stores = null; // the next call tries again
      throw error;
    });
    return this.#stores;
  }

  #wakeConsumers(): void {
    for (const consumer of this.#consumers) consumer.wake();
  }

  #assertOpen(): void {
    if (this.#closed) throw new VouchError("closed", "the task log was closed");
  }
}

async function openStores(directory: string): Promise<Stores> {
  try {
    await mkdir(directory, { recursive: true });
  } catch (thrown) {
    throw new VouchError("data-dir", `${directory} cannot be created: ${toError(thrown).message}`, { cause: thrown });
  }
  const records = await RecordStore.open(join(directory, "task-log.sqlite"));
  try {
    return { records, groups: await GroupStore.open(join(directory, "task-log-groups.sqlite"), machineClock()) };
  } catch (error) {
    records.close();
    throw error;
  }
}

function assertOptions(options: ConsumerOptions): void {
  const violations: string[] = [];
  if (options.topics.length === 0) violations.push("topics: expected at least one, got none");
  if (options.heartbeatIntervalMs * 2 > options.sessionTimeoutMs) {
    violations.push(
      `heartbeatIntervalMs: expected at most half of sessionTimeoutMs (${options.sessionTimeoutMs}), got ${options.heartbeatIntervalMs}`,
    );
  }
  if (violations.length > 0) throw new ConfigurationError(violations);
}
