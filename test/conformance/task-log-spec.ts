/** How a process opens the task log under test; plain data, so that it can be given to a child process. */
import { openEmbeddedTaskLog } from "../../src/task-log/embedded/embedded-task-log.ts";
import { openKafkaTaskLog } from "../../src/task-log/kafka/index.ts";
import type { ConsumerOptions, TaskLog } from "../../src/task-log/task-log.ts";

export type TaskLogSpec =
  | { readonly kind: "embedded"; readonly directory: string }
  | { readonly kind: "kafka"; readonly brokers: readonly string[] };

/** What a child is told in its first argument. */
export interface ChildMemberSpec {
  readonly log: TaskLogSpec;
  readonly consumer: ConsumerOptions;
  readonly position: number; // what it commits everywhere, again and again, in its first generation
}

export function openFromSpec(spec: TaskLogSpec): TaskLog {
  if (spec.kind === "embedded") return openEmbeddedTaskLog({ directory: spec.directory });
  return openKafkaTaskLog({ brokers: spec.brokers, clientId: "conformance", onWarning: () => undefined });
}
