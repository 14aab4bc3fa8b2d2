/** Reads all that a topic holds, as it is: bytes, and headers as bytes. */
import type { TaskLog, TaskRecord } from "../../src/task-log/task-log.ts";

export interface FoundRecord extends TaskRecord {
  readonly partition: number;
}

let readers = 0;

/** In partition order; a topic that does not exist holds nothing. */
export async function readTopicOf(log: TaskLog, topic: string): Promise<FoundRecord[]> {
  const groupId = `reader-${process.pid}-${++readers}`;
  const admin = log.admin();
  try {
    if ((await admin.describeTopic(topic)) === null) return [];
    const ends = await admin.groupOffsets(groupId, topic);
    const found = new Map<number, FoundRecord[]>(ends.map(({ partition }) => [partition, []]));
    const complete = (): boolean =>
      ends.every(({ partition, logStart, logEnd }) => (found.get(partition)?.length ?? 0) >= logEnd - logStart);
    if (!complete()) await read(log, groupId, topic, found, complete);
    return [...found.values()].flat();
  } finally {
    await admin.close();
  }
}

async function read(
  log: TaskLog,
  groupId: string,
  topic: string,
  found: Map<number, FoundRecord[]>,
  complete: () => boolean,
): Promise<void> {
  const done = Promise.withResolvers<void>();
  const consumer = log.consumer({
    groupId,
    topics: [topic],
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 10_000,
    heartbeatIntervalMs: 1_000,
    maxWaitMs: 50,
    maxBytesPerPartition: 1_048_576,
  });
  await consumer.start({
    onRevoke: async () => undefined,
    onAssign: async ({ partitions }) =>
      partitions.map(({ partition, logStart }) => ({ topic, partition, position: logStart, paused: false })),
    onBatch: ({ partition, records }) => {
      found.get(partition)?.push(...records.map((record) => ({ ...record, partition })));
      if (complete()) done.resolve();
    },
    onProblem: (_topic, partition, problem) => done.reject(new Error(`${topic}/${partition}: ${problem}`)),
    onWarning: () => undefined,
    onFatal: (error) => done.reject(error),
  });
  try {
    await done.promise;
  } finally {
    await consumer.stop();
  }
}
