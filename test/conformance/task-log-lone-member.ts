/**
 * What a member in a process of its own does (task-log-child.ts, or a simulated process): it prints
 * `assigned <generation> <partitions>` after each join, and commits in its *first* generation for ever, printing
 * `commit <outcome>` when the outcome changes.
 */
import type { Assignment, ConsumerOptions, TaskLog } from "../../src/task-log/task-log.ts";

export interface LoneMember {
  readonly consumer: ConsumerOptions;
  readonly position: number; // what it commits everywhere, again and again, in its first generation
}

const COMMIT_EVERY_MS = 50;

/** Never ends: its process is killed. */
export async function liveAlone(
  log: TaskLog,
  { consumer: options, position }: LoneMember,
  print: (line: string) => void,
  sleep: (ms: number) => Promise<void>,
): Promise<never> {
  const consumer = log.consumer(options);
  let first: Assignment | null = null;
  await consumer.start({
    onRevoke: async () => undefined,
    onAssign: async (assignment) => {
      first ??= assignment;
      print(`assigned ${assignment.generation} ${assignment.partitions.length}`);
      return assignment.partitions.map(({ topic, partition, committed, logStart }) => {
        return { topic, partition, position: committed ?? logStart, paused: false };
      });
    },
    onBatch: () => undefined,
    onProblem: (topic, partition, problem) => print(`problem ${topic} ${partition} ${problem}`),
    onWarning: (message) => print(`warning ${message}`),
    onFatal: (error) => print(`fatal ${error.message}`),
  });
  for (let printed = ""; ; await sleep(COMMIT_EVERY_MS)) {
    if (first === null) continue;
    const { generation, partitions } = first as Assignment;
    const commits = partitions.map(({ topic, partition }) => ({ topic, partition, position, metadata: "child" }));
    const { outcome } = await consumer.commit(generation, commits);
    if (outcome !== printed) print(`commit ${outcome}`);
    printed = outcome;
  }
}
