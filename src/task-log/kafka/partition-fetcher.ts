/**
 * One fetch from one broker, for the partitions that it leads: asks, decodes, hands on, moves the positions. Problems of
 * one partition pause that partition alone; stale leadership refreshes the metadata without a rebalance.
 */

import type Broker from "kafkajs/src/broker";
import type ConsumerGroup from "kafkajs/src/consumer/consumerGroup";
import type { ConsumerOptions, PartitionProblem, RecordBatch } from "../task-log.ts";
import type { FetchedPartition } from "./fetch-response.ts";
import { EARLIEST, errorTypeOf, fetchFromBroker, LATEST, listOffsets } from "./kafkajs-hooks.ts";
import { type EpochEnd, epochEnd } from "./log-look.ts";
import { keyOf, mayHaveLost, type PartitionPositions, type ReadPosition } from "./partition-positions.ts";
import { decodeRecordBatches, type RecordRun, UnreadableBatch } from "./record-batches.ts";

export interface FetchSink {
  onBatch(batch: RecordBatch): void;
  onProblem(topic: string, partition: number, problem: PartitionProblem, detail?: string): void;
  onWarning(message: string): void;
}

const FETCH_BYTES_MAX = 10 * 1024 * 1024;
const STALE_METADATA_PAUSE_MS = 100;

/** The broker cannot give what it has stored there, today or tomorrow; other partitions are none the worse for it. */
const UNREADABLE = new Set(["CORRUPT_MESSAGE", "UNSUPPORTED_COMPRESSION_TYPE"]);

/** The broker asked is no longer (or not yet) the one to ask. */
const STALE_METADATA = new Set([
  "UNKNOWN_TOPIC_OR_PARTITION",
  "LEADER_NOT_AVAILABLE",
  "NOT_LEADER_FOR_PARTITION",
  "REPLICA_NOT_AVAILABLE",
  "KAFKA_STORAGE_ERROR",
  "FENCED_LEADER_EPOCH",
  "UNKNOWN_LEADER_EPOCH",
  "OFFSET_NOT_AVAILABLE",
]);

/** What kafkajs calls an error of a broker; "" for any other. */
function typeOf(thrown: unknown): string {
  return thrown instanceof Error && "type" in thrown && typeof thrown.type === "string" ? thrown.type : "";
}

interface Asked {
  readonly read: ReadPosition;
  readonly position: number;
}

export class PartitionFetcher {
  readonly #options: ConsumerOptions;
  readonly #positions: PartitionPositions;
  readonly #sink: FetchSink;
  readonly #onStale: () => void;
  #firstAsked = 0;

  /** `onStale`: a broker said that it is not the one to ask for a partition. */
  constructor(
    options: ConsumerOptions,
    positions: PartitionPositions,
    sink: FetchSink,
    onStale: () => void = () => undefined,
  ) {
    this.#options = options;
    this.#positions = positions;
    this.#sink = sink;
    this.#onStale = onStale;
  }

  /**
   * Answers false when this broker leads no partition that is to be read now.
   * @throws whatever kafkajs throws for connections and metadata
   */
  async fetch(group: ConsumerGroup, nodeId: string, generation: number): Promise<boolean> {
    const asked = this.#askFor(group, nodeId);
    if (asked.size === 0) return false;
    const topics = [...asked.values()].map(({ read, position }) => ({
      topic: read.topic,
      partitions: [
        { partition: read.partition, fetchOffset: String(position), maxBytes: this.#options.maxBytesPerPartition },
      ],
    }));
    const broker = await group.cluster.findBroker({ nodeId });
    let stale = false;
    for (const { read } of asked.values()) {
      if (read.toAsk >= 0 && !(await this.#askLeader(group, broker, read))) stale = true;
    }
    const answer = await fetchFromBroker(broker, topics, {
      maxWaitMs: this.#options.maxWaitMs,
      maxBytes: FETCH_BYTES_MAX,
    });

    const outOfRange: ReadPosition[] = [];
    for (const fetched of answer.partitions) {
      const request = asked.get(keyOf(fetched.topic, fetched.partition));
      if (request === undefined || !this.#positions.stillWants(request.read, request.position)) continue;
      if (fetched.errorCode === 0) {
        this.#handOn(request.read, fetched, generation);
        continue;
      }
      const type = errorTypeOf(fetched.errorCode);
      if (type === "OFFSET_OUT_OF_RANGE") {
        request.read.paused = true;
        outOfRange.push(request.read);
      } else if (UNREADABLE.has(type)) {
        this.#reportUnreadable(request.read, `its broker answers ${type} at offset ${request.position}`);
      } else if (STALE_METADATA.has(type)) {
        stale = true;
      } else {
        throw Object.assign(new Error(`fetch of ${keyOf(fetched.topic, fetched.partition)}: ${type}`), {
          type,
          retriable: !type.endsWith("AUTHORIZATION_FAILED"),
        });
      }
    }
    for (const read of outOfRange) await this.#reportOutOfRange(group, read);
    if (stale) {
      this.#onStale();
      await Bun.sleep(STALE_METADATA_PAUSE_MS);
      await group.cluster.refreshMetadata();
    }
    return true;
  }

  /** Unpaused partitions led by this broker; each fetch begins with another one, since the answer's size is limited. */
  #askFor(group: ConsumerGroup, nodeId: string): ReadonlyMap<string, Asked> {
    const leaders = new Map<string, ReadonlyMap<number, number>>();
    const wanted: Asked[] = [];
    for (const read of this.#positions.all()) {
      if (read.paused) continue;
      let ofTopic = leaders.get(read.topic);
      if (ofTopic === undefined) {
        ofTopic = new Map(
          group.cluster.findTopicPartitionMetadata(read.topic).map((each) => [each.partitionId, each.leader]),
        );
        leaders.set(read.topic, ofTopic);
      }
      if (String(ofTopic.get(read.partition)) === nodeId) wanted.push({ read, position: read.position });
    }
    const first = wanted.length === 0 ? 0 : this.#firstAsked++ % wanted.length;
    const turned = [...wanted.slice(first), ...wanted.slice(0, first)];
    return new Map(turned.map((each) => [keyOf(each.read.topic, each.read.partition), each]));
  }

  #handOn(read: ReadPosition, fetched: FetchedPartition, generation: number): void {
    let runs: readonly RecordRun[];
    let unreadable: UnreadableBatch | null = null;
    try {
      runs = decodeRecordBatches(fetched.records, read.position, fetched.aborted);
    } catch (error) {
      if (!(error instanceof UnreadableBatch)) throw error;
      unreadable = error;
      runs = error.readable;
    }
    const [first] = runs;
    if (first !== undefined && mayHaveLost(read, first.leaderEpoch)) {
      read.toAsk = first.leaderEpoch; // the next fetch asks, and brings this again
      return;
    }
    for (const run of runs) {
      if (run.leaderEpoch < read.leaderEpoch) {
        this.#reportTruncated(
          read,
          `behind records of leader epoch ${read.leaderEpoch} came one of leader epoch ${run.leaderEpoch} at ${read.position}`,
        );
        return;
      }
      // Among records that are known as final: the next fetch asks before it.
      if (read.position < read.keptTo && mayHaveLost(read, run.leaderEpoch)) {
        read.toAsk = run.leaderEpoch;
        return;
      }
      read.leaderEpoch = run.leaderEpoch;
      read.epochRead = run.leaderEpoch;
      if (run.nextPosition <= read.position) continue;
      const fetchedFrom = read.position;
      read.position = run.nextPosition;
      this.#sink.onBatch({
        topic: read.topic,
        partition: read.partition,
        generation,
        fetchedFrom,
        nextPosition: run.nextPosition,
        leaderEpoch: run.leaderEpoch,
        logEnd: fetched.highWatermark,
        records: run.records,
      });
      // What is called may have paused the partition, set it elsewhere, or begun to stop.
      if (!this.#positions.stillWants(read, run.nextPosition)) return;
    }
    if (unreadable !== null) this.#reportUnreadable(read, unreadable.message);
  }

  /** Nothing behind it may be handed on: a position past it would count as work that was done. */
  #reportUnreadable(read: ReadPosition, what: string): void {
    read.paused = true;
    this.#sink.onWarning(
      `Kafka: ${keyOf(read.topic, read.partition)} stands still, since ${what}; nothing from there on is executed or ` +
        "committed. Restore the log (from another replica or a backup), or let a person set the group's offset behind " +
        "it while the cell is stopped, and start the nodes again",
    );
    this.#sink.onProblem(read.topic, read.partition, "unreadable");
  }

  /**
   * KIP-320: a new leader may have been elected without what was read before (an unclean election, a disk that lost what
   * was not flushed), and written other records there since. It tells where the epoch that was read last ends in its log.
   * Answers false when this broker is not the one to ask.
   */
  async #askLeader(group: ConsumerGroup, broker: Broker, read: ReadPosition): Promise<boolean> {
    const { topic, partition, position, epochRead, toAsk } = read;
    const known = Math.max(position, read.keptTo);
    const ask = (currentEpoch: number): Promise<EpochEnd | null> =>
      epochEnd(broker, topic, partition, epochRead, currentEpoch).catch((error: unknown) => {
        const type = typeOf(error);
        // One that leads in a later epoch than the one heard of knows all the better.
        if (type === "FENCED_LEADER_EPOCH" && currentEpoch >= 0) return ask(-1);
        if (STALE_METADATA.has(type)) return null;
        throw error;
      });
    // One that led before, and has not heard that it does no more, would find its own log in order.
    const end = await ask(toAsk);
    if (end === null) return false;
    const { endOffset } = end;
    if (!this.#positions.stillWants(read, position)) return true;
    read.toAsk = -1;
    const key = keyOf(topic, partition);
    // A leader that knows no such epoch has nothing of it; behind what was deleted by age that is no wonder.
    const lost =
      endOffset >= 0
        ? endOffset < known
        : known > ((await listOffsets(group.cluster, [{ topic, partitions: [partition] }], EARLIEST)).get(key) ?? 0);
    if (!lost) read.keptUntil = toAsk;
    else {
      const kept = endOffset < 0 ? "none of them" : `them up to ${endOffset} only`;
      this.#reportTruncated(
        read,
        `offsets up to ${known} were read in leader epoch ${epochRead}, and its leader of epoch ${toAsk} has ${kept}`,
      );
    }
    return true;
  }

  #reportTruncated(read: ReadPosition, what: string): void {
    read.paused = true;
    const { topic, partition } = read;
    const detail =
      `the log was cut and written anew (${what}): offsets that are done now stand for other records. Restore the log; ` +
      `or, to work on what it holds now, ${this.#beginAnewText(topic, partition, "to where to begin")}`;
    this.#sink.onProblem(topic, partition, "truncated", detail);
  }

  /** Beyond the end: what was there is gone (truncated, or a new topic of the same name). Below the start: deleted by age. */
  async #reportOutOfRange(group: ConsumerGroup, read: ReadPosition): Promise<void> {
    const { topic, partition, position } = read;
    const topics = [{ topic, partitions: [partition] }];
    const key = keyOf(topic, partition);
    const [starts, ends] = await Promise.all([
      listOffsets(group.cluster, topics, EARLIEST),
      listOffsets(group.cluster, topics, LATEST),
    ]);
    const end = ends.get(key) ?? 0;
    if (position > end) return this.#reportTruncated(read, `it ends at ${end}, and is read up to ${position}`);
    const start = starts.get(key) ?? 0;
    const detail =
      `offsets ${position} to ${start - 1} were deleted from the log before they were read, which begins at ${start} now. ` +
      `To go on behind them, ${this.#setOffsetText(topic, partition, `to ${start}`)}, and start the nodes again`;
    this.#sink.onProblem(topic, partition, "out-of-range", detail);
  }

  #setOffsetText(topic: string, partition: number, where: string): string {
    return (
      `stop all nodes, set the group's offset ${where} (kafka-consumer-groups.sh --reset-offsets --group ` +
      `${this.#options.groupId} --topic ${topic}:${partition})`
    );
  }

  #beginAnewText(topic: string, partition: number, where: string): string {
    return `${this.#setOffsetText(topic, partition, where)}, and start them with a higher --dedup-epoch`;
  }
}
