/** The topic that every contestant reads, filled once. */
import type { OutgoingRecord, TaskLog } from "../../src/task-log/task-log.ts";

export const BENCH_TOPIC = "bench";
export const BENCH_PARTITIONS = 6;

const BATCH_RECORDS = 5_000;
const VALUE_BYTES = 100;

/** Writes the records, in turns over the partitions; `named` gives each a task id of its own. */
export async function fillTopic(log: TaskLog, records: number, named: boolean): Promise<void> {
  const admin = log.admin();
  const producer = log.producer();
  try {
    await admin.createTopic(BENCH_TOPIC, BENCH_PARTITIONS);
    let sending: Promise<void> = Promise.resolve();
    for (let first = 0; first < records; first += BATCH_RECORDS) {
      const batch = Array.from({ length: Math.min(BATCH_RECORDS, records - first) }, (_, index): OutgoingRecord => ({
        partition: (first + index) % BENCH_PARTITIONS,
        value: JSON.stringify({ n: first + index }).padEnd(VALUE_BYTES, " "),
        headers: named ? { "task-id": `task-${first + index}` } : {},
      }));
      await sending;
      sending = producer.send(BENCH_TOPIC, batch);
    }
    await sending;
  } finally {
    await producer.close();
    await admin.close();
  }
}
