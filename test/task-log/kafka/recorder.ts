/** A consumer's handlers that write down what they were told, and wait for it. */

import type {
  AssignedPartition,
  Assignment,
  ConsumerHandlers,
  ConsumerOptions,
  PartitionPosition,
  PartitionProblem,
  RecordBatch,
} from "../../../src/task-log/task-log.ts";
import { waitUntil } from "../../support/servers/processes.ts";

const WAIT_MS = 20_000;

/** Options under which a rebalance takes a moment instead of seconds. */
export function quickOptions(groupId: string, topics: readonly string[]): ConsumerOptions {
  return {
    groupId,
    topics,
    sessionTimeoutMs: 6_000,
    rebalanceTimeoutMs: 10_000,
    heartbeatIntervalMs: 200,
    maxWaitMs: 100,
    maxBytesPerPartition: 1024 * 1024,
  };
}

/** Where nothing was committed: the log's start. */
export function fromCommitted(assigned: AssignedPartition): PartitionPosition {
  const { topic, partition, committed, logStart } = assigned;
  return { topic, partition, position: committed ?? logStart, paused: false };
}

export class Recorder implements ConsumerHandlers {
  readonly assignments: Assignment[] = [];
  readonly batches: RecordBatch[] = [];
  readonly problems: { topic: string; partition: number; problem: PartitionProblem }[] = [];
  readonly warnings: string[] = [];
  readonly fatals: Error[] = [];
  revokes = 0;
  /** True from the beginning of `onRevoke` until `onAssign` has answered. */
  atBarrier = false;
  deliveredAtBarrier = 0;

  /** To be replaced by tests. */
  whenRevoked: () => Promise<void> = async () => undefined;
  whenAssigned: (assignment: Assignment) => Promise<readonly PartitionPosition[]> = async ({ partitions }) =>
    partitions.map(fromCommitted);
  whenDelivered: (batch: RecordBatch) => void = () => undefined;

  async onRevoke(): Promise<void> {
    this.revokes++;
    this.atBarrier = true;
    await this.whenRevoked();
  }

  async onAssign(assignment: Assignment): Promise<readonly PartitionPosition[]> {
    const positions = await this.whenAssigned(assignment);
    this.assignments.push(assignment);
    this.atBarrier = false;
    return positions;
  }

  onBatch(batch: RecordBatch): void {
    if (this.atBarrier) this.deliveredAtBarrier++;
    this.batches.push(batch);
    this.whenDelivered(batch);
  }

  onProblem(topic: string, partition: number, problem: PartitionProblem): void {
    this.problems.push({ topic, partition, problem });
  }

  onWarning(message: string): void {
    this.warnings.push(message);
  }

  onFatal(error: Error): void {
    this.fatals.push(error);
  }

  get assignment(): Assignment {
    const last = this.assignments.at(-1);
    if (last === undefined) throw new Error("nothing was assigned yet");
    return last;
  }

  owned(): number[] {
    return this.assignment.partitions.map(({ partition }) => partition).toSorted((a, b) => a - b);
  }

  /** Values of the records of a partition, as text, in the order of delivery. */
  values(partition: number): string[] {
    return this.batches
      .filter((batch) => batch.partition === partition)
      .flatMap((batch) => batch.records.map(({ value }) => Buffer.from(value ?? []).toString()));
  }

  get recordCount(): number {
    return this.batches.reduce((sum, batch) => sum + batch.records.length, 0);
  }

  async until(what: string, condition: () => boolean): Promise<void> {
    try {
      await waitUntil(what, condition, WAIT_MS, 10);
    } catch (error) {
      throw new Error(
        `${String(error)}; warnings: ${this.warnings.join(" | ")}; fatal: ${this.fatals.map(String).join(" | ")}; ` +
          `assignments: ${JSON.stringify(this.assignments)}; records: ${this.recordCount}`,
        { cause: error },
      );
    }
  }
}
