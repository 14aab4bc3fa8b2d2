/** How a process opens the task log under test; plain data, so that it can be given to a child process. */
import { fileURLToPath } from "node:url";
import { openEmbeddedTaskLog } from "../../src/task-log/embedded/embedded-task-log.ts";
import { openKafkaTaskLog } from "../../src/task-log/kafka/index.ts";
import type { TaskLog } from "../../src/task-log/task-log.ts";
import { startProcess } from "../support/servers/processes.ts";
import type { LoneMember } from "./task-log-lone-member.ts";
import type { TaskLogService } from "./task-log-member.ts";

export type TaskLogSpec =
  | { readonly kind: "embedded"; readonly directory: string }
  | { readonly kind: "kafka"; readonly brokers: readonly string[] };

/** What a child is told in its first argument. */
export interface ChildMemberSpec {
  readonly log: TaskLogSpec;
  readonly member: LoneMember;
}

export function openFromSpec(spec: TaskLogSpec): TaskLog {
  if (spec.kind === "embedded") return openEmbeddedTaskLog({ directory: spec.directory });
  return openKafkaTaskLog({ brokers: spec.brokers, clientId: "conformance", onWarning: () => undefined });
}

/** A service that any process of this machine can open. */
export function serviceFromSpec(spec: TaskLogSpec, close: () => Promise<void>): TaskLogService {
  return {
    openLog: () => openFromSpec(spec),
    startMember(member) {
      const told: ChildMemberSpec = { log: spec, member };
      const path = fileURLToPath(new URL("./task-log-child.ts", import.meta.url));
      return startProcess("member", [process.execPath, path, JSON.stringify(told)]);
    },
    [Symbol.asyncDispose]: close,
  };
}
