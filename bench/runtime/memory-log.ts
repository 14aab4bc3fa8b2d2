/**
 * A task log in memory for a fixed number of members, as fast as a log can be: what is measured with it is the node, not the
 * log. One assignment, when all members are there; no rebalance, no failures.
 */
import type {
  Assignment,
  CommitOutcome,
  ConsumerHandlers,
  ConsumerOptions,
  TaskAdmin,
  TaskConsumer,
  TaskLog,
  TaskProducer,
  TaskRecord,
} from "../../src/task-log/task-log.ts";

/** About what one fetch of 100-byte records brings. */
const BATCH_RECORDS = 2_048;
const GENERATION = 1;

export class MemoryTopic {
  readonly name: string;
  readonly partitions: readonly (readonly TaskRecord[])[];
  readonly committed: number[];
  readonly members: MemoryConsumer[] = [];
  readonly membersMax: number;

  constructor(name: string, partitions: number, records: number, members: number, value: Uint8Array) {
    this.name = name;
    this.membersMax = members;
    this.partitions = Array.from({ length: partitions }, (_, partition) =>
      Array.from({ length: Math.ceil((records - partition) / partitions) }, (__, offset) => {
        return { offset, key: null, value, headers: {}, timestampMs: 0 };
      }),
    );
    this.committed = this.partitions.map(() => 0);
  }

  get committedSum(): number {
    return this.committed.reduce((sum, position) => sum + position, 0);
  }

  join(member: MemoryConsumer): void {
    this.members.push(member);
    if (this.members.length < this.membersMax) return;
    for (const [index, each] of this.members.entries()) {
      void each.begin(this.partitions.map((_, at) => at).filter((at) => at % this.membersMax === index));
    }
  }
}

class MemoryConsumer implements TaskConsumer {
  readonly #topic: MemoryTopic;
  readonly #positions = new Map<number, number>();
  readonly #paused = new Set<number>();
  #handlers: ConsumerHandlers | null = null;
  #pump: ReturnType<typeof setImmediate> | null = null;
  #stopped = false;

  constructor(topic: MemoryTopic) {
    this.#topic = topic;
  }

  async start(handlers: ConsumerHandlers): Promise<void> {
    this.#handlers = handlers;
    await handlers.onRevoke();
    this.#topic.join(this);
  }

  async begin(partitions: readonly number[]): Promise<void> {
    const { name } = this.#topic;
    const assignment: Assignment = {
      generation: GENERATION,
      memberId: "member",
      partitions: partitions.map((partition) => {
        const logEnd = this.#topic.partitions[partition]?.length ?? 0;
        return { topic: name, partition, committed: null, metadata: "", logStart: 0, logEnd };
      }),
    };
    for (const { partition, position, paused } of (await this.#handlers?.onAssign(assignment)) ?? []) {
      this.#positions.set(partition, position);
      if (paused) this.#paused.add(partition);
    }
    this.#schedule();
  }

  async commit(
    _generation: number,
    commits: readonly { partition: number; position: number }[],
  ): Promise<CommitOutcome> {
    await new Promise((resolve) => setImmediate(resolve));
    for (const { partition, position } of commits) this.#topic.committed[partition] = position;
    return { outcome: "committed" };
  }

  pause(_topic: string, partition: number): void {
    this.#paused.add(partition);
  }

  resume(_topic: string, partition: number): void {
    this.#paused.delete(partition);
    this.#schedule();
  }

  seek(_topic: string, partition: number, position: number): void {
    this.#positions.set(partition, position);
    this.#schedule();
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    if (this.#pump !== null) clearImmediate(this.#pump);
    await this.#handlers?.onRevoke();
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#pump ??= setImmediate(() => {
      this.#pump = null;
      if (this.#deliver()) this.#schedule();
    });
  }

  /** One batch of each partition, as one fetch of all of them brings it. */
  #deliver(): boolean {
    let any = false;
    for (const [partition, position] of this.#positions) {
      const all = this.#topic.partitions[partition] ?? [];
      if (this.#paused.has(partition) || position >= all.length || this.#stopped) continue;
      const records = all.slice(position, position + BATCH_RECORDS);
      const nextPosition = position + records.length;
      this.#positions.set(partition, nextPosition);
      any = true;
      this.#handlers?.onBatch({
        topic: this.#topic.name,
        partition,
        generation: GENERATION,
        fetchedFrom: position,
        nextPosition,
        leaderEpoch: 0,
        logEnd: all.length,
        records,
      });
    }
    return any;
  }
}

export class MemoryLog implements TaskLog {
  readonly #topic: MemoryTopic;

  constructor(topic: MemoryTopic) {
    this.#topic = topic;
  }

  consumer(_options: ConsumerOptions): TaskConsumer {
    return new MemoryConsumer(this.#topic);
  }

  producer(): TaskProducer {
    return { send: async () => undefined, close: async () => undefined };
  }

  admin(): TaskAdmin {
    return {
      describeTopic: async (topic) => ({ topic, partitions: this.#topic.partitions.length }),
      createTopic: async () => undefined,
      groupOffsets: async () => [],
      close: async () => undefined,
    };
  }

  async close(): Promise<void> {}
}
