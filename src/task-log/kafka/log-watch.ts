/**
 * Looks now and then at what stands behind the topics' names. kafkajs looks for new partitions once a minute, and never asks
 * which topic it is that has the name now, nor whether a partition without new records has another leader (E18).
 */

import type ConsumerGroup from "kafkajs/src/consumer/consumerGroup";
import type { Assignment } from "../task-log.ts";
import { lookAtTopics } from "./log-look.ts";
import type { FetchSink } from "./partition-fetcher.ts";
import type { PartitionPositions } from "./partition-positions.ts";

/** How long any of it may go unnoticed. One question to one broker. */
const EVERY_MS = 4_000;

export class LogWatch {
  readonly #topics: readonly string[];
  readonly #positions: PartitionPositions;
  readonly #sink: Pick<FetchSink, "onProblem">;
  #ids: ReadonlyMap<string, string> = new Map(); // of the assigned topics, at the last join
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(topics: readonly string[], positions: PartitionPositions, sink: Pick<FetchSink, "onProblem">) {
    this.#topics = topics;
    this.#positions = positions;
    this.#sink = sink;
  }

  assigned({ partitions }: Assignment): void {
    this.#ids = new Map(
      partitions.flatMap(({ topic, topicId }) => (topicId === undefined ? [] : [[topic, topicId] as const])),
    );
  }

  /** A broker said that it does not lead a partition (any more), or was away: it may be another topic when it comes back. */
  soon(): void {
    this.#lookedAtMs = Number.NEGATIVE_INFINITY;
  }

  /** Before a fetch. @throws whatever kafkajs throws for connections and metadata */
  async look(group: ConsumerGroup, nodeId: string): Promise<void> {
    const nowMs = performance.now();
    if (nowMs - this.#lookedAtMs < EVERY_MS) return;
    this.#lookedAtMs = nowMs;
    const broker = await group.cluster.findBroker({ nodeId });
    const looks = await lookAtTopics(broker, this.#topics);
    if (looks === null) return;
    let grown = false;
    for (const [topic, { id, leaderEpochs }] of looks) {
      const before = this.#ids.get(topic) ?? id;
      if (id !== "" && before !== id) this.#reportReplaced(topic, before, id);
      for (const [partition, epoch] of leaderEpochs) this.#positions.leaderHeardOf(topic, partition, epoch);
      const known = group.cluster.findTopicPartitionMetadata(topic).length;
      grown ||= known > 0 && leaderEpochs.size > known;
    }
    if (grown) await group.cluster.refreshMetadata(); // and the group's own look then finds the assignment stale
  }

  #reportReplaced(topic: string, before: string, now: string): void {
    for (const read of this.#positions.all()) {
      if (read.topic !== topic) continue; // also of one that is paused: its handlers still end, and are committed
      read.paused = true;
      this.#sink.onProblem(topic, read.partition, "replaced", `its id was ${before}, is ${now}`);
    }
  }
}
