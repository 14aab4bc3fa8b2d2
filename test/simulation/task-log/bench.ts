/** A simulated Kafka with some members, for its tests: they write down what they are told, and commit when they are told to. */
import type {
  Assignment,
  CommitOutcome,
  ConsumerOptions,
  PartitionPosition,
  RecordBatch,
  TaskConsumer,
  TaskLog,
} from "../../../src/task-log/task-log.ts";
import { Random } from "../random.ts";
import { SimulatedProcess, VirtualTime } from "../virtual-time.ts";
import { SimulatedKafka } from "./kafka.ts";
import type { KafkaSettings } from "./settings.ts";

export const SESSION_MS = 6_000;
export const REBALANCE_MS = 10_000;

const OPTIONS: ConsumerOptions = {
  groupId: "group",
  topics: ["tasks"],
  sessionTimeoutMs: SESSION_MS,
  rebalanceTimeoutMs: REBALANCE_MS,
  heartbeatIntervalMs: 500,
  maxWaitMs: 200,
  maxBytesPerPartition: 1_000_000,
};

export class BenchMember {
  readonly process: SimulatedProcess;
  readonly log: TaskLog;
  readonly consumer: TaskConsumer;
  readonly assignments: Assignment[] = [];
  readonly batches: RecordBatch[] = [];
  readonly problems: string[] = [];
  /** Answers to `commit`, in their order. */
  readonly outcomes: string[] = [];
  revokes = 0;
  /** Between the end of `onAssign` and `onRevoke`. */
  reads = false;
  deliveredOutside = 0; // batches while it does not read
  /** Awaited in `onRevoke`. */
  barrier: Promise<unknown> = Promise.resolve();
  /** Called in `onBatch`. */
  onBatch: (batch: RecordBatch) => void = () => undefined;
  readonly #bench: Bench;

  constructor(bench: Bench, process: SimulatedProcess, options: Partial<ConsumerOptions>) {
    this.#bench = bench;
    this.process = process;
    this.log = bench.kafka.taskLogOf(process);
    this.consumer = this.log.consumer({ ...OPTIONS, ...options });
  }

  get generation(): number {
    return this.assignments.at(-1)?.generation ?? 0;
  }

  owned(): number[] {
    return this.reads ? this.assignments.at(-1)!.partitions.map(({ partition }) => partition) : [];
  }

  offsets(partition: number): number[] {
    return this.batches.filter((b) => b.partition === partition).flatMap((b) => b.records.map(({ offset }) => offset));
  }

  commit(partition: number, position: number, generation = this.generation, metadata = ""): void {
    const commits = [{ topic: "tasks", partition, position, metadata }];
    this.process.enter(() => {
      void this.consumer.commit(generation, commits).then((outcome: CommitOutcome) => {
        this.outcomes.push(outcome.outcome);
      });
    });
  }

  start(): void {
    this.process.enter(() => {
      void this.consumer.start({
        onRevoke: async () => {
          this.reads = false;
          this.revokes++;
          await this.barrier;
        },
        onAssign: async (assignment) => {
          this.assignments.push(assignment);
          this.reads = true;
          return this.#bench.positions(assignment);
        },
        onBatch: (batch) => {
          if (!this.reads) this.deliveredOutside++;
          this.batches.push(batch);
          this.onBatch(batch);
        },
        onProblem: (_, partition, problem) => void this.problems.push(`${partition} ${problem}`),
        onWarning: () => undefined,
        onFatal: () => void this.problems.push("fatal"),
      });
    });
  }
}

export class Bench {
  readonly random: Random;
  readonly time: VirtualTime;
  readonly kafka: SimulatedKafka;
  /** Names of the nodes that the brokers do not reach. */
  readonly cut = new Set<string>();
  positions: (assignment: Assignment) => PartitionPosition[] = fromCommitted;
  #pids = 0;

  constructor(partitions = 2, settings: Partial<KafkaSettings> = {}, seed = 1) {
    this.random = new Random(seed);
    this.time = new VirtualTime(this.random.split("time"));
    const options = { topic: "tasks", partitions, settings: { prefetchChance: 0, ...settings } };
    this.kafka = new SimulatedKafka(this.time, this.random.split("kafka"), options);
    this.kafka.reaches = (process) => !this.cut.has(process.name);
  }

  start(name: string, options: Partial<ConsumerOptions> = {}): BenchMember {
    const pid = ++this.#pids;
    const random = this.random.split(`${name}${pid}`);
    const process = new SimulatedProcess(this.time, { name, pid, host: name, random });
    const member = new BenchMember(this, process, options);
    member.start();
    return member;
  }

  /** Started one after another, until each has its share. */
  startAll(...names: string[]): BenchMember[] {
    const members = names.map((name) => this.start(name));
    this.until(() => {
      const owned = members.map((member) => member.owned().length);
      const sum = owned.reduce((total, count) => total + count, 0);
      return Math.max(...owned) - Math.min(...owned) <= 1 && sum === this.kafka.committed.length;
    });
    return members;
  }

  append(partition: number, count: number): void {
    for (let i = 0; i < count; i++) this.kafka.append(partition, { value: String(i) });
  }

  /** @throws Error when it does not become true within a virtual minute */
  until(condition: () => boolean): number {
    const startedAt = this.time.now;
    while (!condition()) {
      if (this.time.now - startedAt > 60_000) throw new Error("not within a minute");
      this.time.advance(10);
    }
    return this.time.now - startedAt;
  }
}

function fromCommitted(assignment: Assignment): PartitionPosition[] {
  return assignment.partitions.map(({ topic, partition, committed, logStart }) => {
    return { topic, partition, position: committed ?? logStart, paused: false };
  });
}
