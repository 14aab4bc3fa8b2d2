/**
 * What one consumer fetches from one broker: one request at a time, for the partitions that this broker leads and that are
 * to be read when it is sent. At the broker it waits until there is something; waiting costs no event. What it brings is
 * handed on only where the position is still the one that was asked for (as in the real consumer: PartitionPositions).
 */
import type { PartitionPositions, ReadPosition } from "../../../src/task-log/kafka/partition-positions.ts";
import type { PartitionProblem, RecordBatch } from "../../../src/task-log/task-log.ts";
import type { Random } from "../random.ts";
import type { SimulatedProcess } from "../virtual-time.ts";
import type { BrokerLink } from "./link.ts";
import type { FetchedRun, TopicStore } from "./topic-store.ts";

export interface FetchLoopOptions {
  readonly process: SimulatedProcess;
  readonly link: BrokerLink;
  readonly random: Random;
  readonly topics: TopicStore;
  readonly broker: number;
  readonly positions: PartitionPositions;
  readonly maxWaitMs: number;
  readonly maxBytesPerPartition: number;
  /** Whether another request may be sent. */
  readonly isOpen: () => boolean;
  readonly generation: () => number;
  readonly onBatch: (batch: RecordBatch) => void;
  readonly onProblem: (read: ReadPosition, problem: PartitionProblem, message: string) => void;
}

interface Asked {
  readonly read: ReadPosition;
  readonly position: number;
}

interface Fetched extends Asked {
  readonly runs: readonly FetchedRun[] | null; // null: not in the log
  readonly logStart: number;
  readonly logEnd: number;
}

export class FetchLoop {
  /** idle: nothing is asked for. sent: on its way. waiting: at the broker. lost: nothing will come of it. */
  state: "idle" | "sent" | "waiting" | "lost" = "idle";
  readonly #options: FetchLoopOptions;
  #asked: readonly Asked[] = [];
  #generation = -1;
  #request = 0; // what belongs to an older one is void
  #ending = false;
  /** What is wanted changed while the request was on its way: it does not wait for long at the broker. */
  #isOutdated = false;

  constructor(options: FetchLoopOptions) {
    this.#options = options;
  }

  /** Something may be wanted now that was not before. */
  kick(): void {
    if (this.state === "idle") this.#send();
    else if (this.state === "waiting") this.#endWaitSoon();
    else this.#isOutdated = true;
  }

  /** Forgets what is under way. */
  reset(): void {
    this.#request++;
    this.#leave();
    this.state = "idle";
  }

  /** The broker can be reached again. */
  retry(): void {
    if (this.state !== "lost") return;
    this.state = "idle";
    this.#send();
  }

  #send(): void {
    const { process, link, positions, broker, isOpen } = this.#options;
    if (!isOpen()) return;
    const asked: Asked[] = [];
    for (const read of positions.all()) {
      if (!read.paused && read.partition % link.settings.brokers === broker)
        asked.push({ read, position: read.position });
    }
    if (asked.length === 0) return;
    this.#asked = asked;
    this.#isOutdated = false;
    this.#generation = this.#options.generation();
    this.state = "sent";
    const request = ++this.#request;
    link.send(
      process,
      () => this.#arrive(request),
      () => this.#lose(request),
    );
  }

  #lose(request: number): void {
    if (request === this.#request) this.state = "lost";
  }

  // At the broker.

  #arrive(request: number): void {
    if (request !== this.#request) return;
    if (this.#serve()) return;
    this.state = "waiting";
    this.#ending = false;
    for (const { read } of this.#asked) this.#waitersOf(read)?.add(this.#wake);
    if (this.#isOutdated) this.#endWaitSoon();
  }

  readonly #wake = (): void => {
    if (this.state === "waiting" && this.#serve()) this.#leave();
  };

  #leave(): void {
    for (const { read } of this.#asked) this.#waitersOf(read)?.delete(this.#wake);
  }

  #waitersOf({ topic, partition }: ReadPosition): Set<() => void> | undefined {
    return this.#options.topics.partition(topic, partition)?.waiting;
  }

  /** Answers if there is anything; false: it waits. */
  #serve(): boolean {
    const { link, random, topics, maxBytesPerPartition } = this.#options;
    const fetched: Fetched[] = [];
    for (const { read, position } of this.#asked) {
      const log = topics.partition(read.topic, read.partition);
      if (log === undefined || log.end === position) continue;
      const [low, high] = link.settings.batchRecords;
      const runs = log.read(position, random.between(low, high), maxBytesPerPartition);
      fetched.push({ read, position, runs, logStart: log.start, logEnd: log.end });
    }
    if (fetched.length === 0) return false;
    this.#answer(fetched);
    return true;
  }

  #answer(fetched: readonly Fetched[]): void {
    const { link, process } = this.#options;
    this.state = "sent";
    const request = this.#request;
    link.answer(
      process,
      () => this.#take(request, fetched),
      () => this.#lose(request),
    );
  }

  /** Other partitions are to be read now: the request that waits knows nothing of it, and ends by itself. */
  #endWaitSoon(): void {
    const { link, random, maxWaitMs } = this.#options;
    if (this.#ending) return;
    this.#ending = true;
    const request = this.#request;
    link.time.after(random.next() * maxWaitMs, () => {
      if (request !== this.#request || this.state !== "waiting") return;
      this.#leave();
      this.#answer([]);
    });
  }

  // In the process.

  #take(request: number, fetched: readonly Fetched[]): void {
    if (request !== this.#request) return;
    for (const each of fetched) {
      this.#takeOne(each);
      if (request !== this.#request) return; // what was called began a join, or a stop
    }
    this.state = "idle";
    this.#send();
  }

  #takeOne({ read, position, runs, logStart, logEnd }: Fetched): void {
    const { positions, onBatch, onProblem } = this.#options;
    if (!positions.stillWants(read, position)) return;
    if (runs === null) {
      read.paused = true;
      const message = `position ${position} of ${read.topic}#${read.partition} is outside its log, [${logStart}, ${logEnd})`;
      return onProblem(read, position > logEnd ? "truncated" : "out-of-range", message);
    }
    for (const run of runs) {
      if (run.leaderEpoch < read.leaderEpoch) {
        read.paused = true;
        return onProblem(read, "truncated", "");
      }
      read.leaderEpoch = run.leaderEpoch;
      const { topic, partition, position: fetchedFrom } = read;
      const { records, leaderEpoch, nextPosition } = run;
      read.position = nextPosition;
      const generation = this.#generation;
      onBatch({ topic, partition, generation, fetchedFrom, nextPosition, leaderEpoch, logEnd, records });
      // What is called may have paused the partition, set it elsewhere, or begun to stop.
      if (!positions.stillWants(read, nextPosition)) return;
    }
  }
}
