/**
 * A member in a process of its own, to be stopped or killed by a signal. It prints `assigned <generation> <partitions>`
 * after each join, and commits in its *first* generation for ever, printing `commit <outcome>` when the outcome changes.
 */
import type { Assignment } from "../../src/task-log/task-log.ts";
import { type ChildMemberSpec, openFromSpec } from "./task-log-spec.ts";

const { log: logSpec, consumer: options, position } = JSON.parse(process.argv[2] ?? "") as ChildMemberSpec;
const consumer = openFromSpec(logSpec).consumer(options);
let first: Assignment | null = null;

await consumer.start({
  onRevoke: async () => undefined,
  onAssign: async (assignment) => {
    first ??= assignment;
    console.log(`assigned ${assignment.generation} ${assignment.partitions.length}`);
    return assignment.partitions.map(({ topic, partition, committed, logStart }) => {
      return { topic, partition, position: committed ?? logStart, paused: false };
    });
  },
  onBatch: () => undefined,
  onProblem: (topic, partition, problem) => console.log(`problem ${topic} ${partition} ${problem}`),
  onWarning: (message) => console.log(`warning ${message}`),
  onFatal: (error) => console.log(`fatal ${error.message}`),
});

for (let printed = ""; ; await Bun.sleep(50)) {
  if (first === null) continue;
  const { generation, partitions } = first as Assignment;
  const commits = partitions.map(({ topic, partition }) => ({ topic, partition, position, metadata: "child" }));
  const { outcome } = await consumer.commit(generation, commits);
  if (outcome !== printed) console.log(`commit ${outcome}`);
  printed = outcome;
}
