/**
 * What every task log must do, whatever stands behind it: run on the embedded one and on a real Kafka. Nothing asserts
 * how fast something happens, only that it does, and in which order; where time matters it is an option.
 */
import { afterAll, beforeAll, describe, test } from "bun:test";
import { ownershipGuard } from "./ownership-guard.ts";
import { commits, endings, fencing, membership } from "./task-log-groups.ts";
import { Group, type Suite, type TaskLogTiming } from "./task-log-member.ts";
import { delivery, positions } from "./task-log-reading.ts";
import { openFromSpec, type TaskLogSpec } from "./task-log-spec.ts";
import { topics } from "./task-log-topics.ts";

/** What stands behind the task logs under test. */
export interface TaskLogService {
  readonly spec: TaskLogSpec;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface TaskLogConformanceOptions extends TaskLogTiming {
  /** Of each test. */
  readonly testMs: number;
}

export function taskLogConformance(
  name: string,
  open: () => Promise<TaskLogService>,
  options: TaskLogConformanceOptions,
): void {
  describe(`task log: ${name}`, () => {
    let service: TaskLogService;
    beforeAll(async () => {
      service = await open();
    }, 90_000);
    afterAll(() => service?.[Symbol.asyncDispose]());

    const suite: Suite = {
      rule: (title, body) => test(title, body, options.testMs),
      group: (partitions) => Group.create(service.spec, options, partitions),
      groupWithoutTopic: () => new Group(service.spec, options),
      timing: options,
      openLog: () => openFromSpec(service.spec),
    };
    delivery(suite);
    positions(suite);
    commits(suite);
    fencing(suite);
    membership(suite);
    endings(suite);
    topics(suite);
    ownershipGuard(suite);
  });
}
