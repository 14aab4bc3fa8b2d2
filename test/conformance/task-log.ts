/**
 * What every task log must do, whatever stands behind it: run on the embedded one, on a real Kafka and on the simulated one. Nothing asserts
 * how fast something happens, only that it does, and in which order; where time matters it is an option.
 */
import { afterAll, beforeAll, describe, test } from "bun:test";
import { ownershipGuard } from "./ownership-guard.ts";
import { commits, endings, fencing, membership } from "./task-log-groups.ts";
import { Group, type Suite, type TaskLogService, type TaskLogTiming } from "./task-log-member.ts";
import { delivery, positions } from "./task-log-reading.ts";
import { topics } from "./task-log-topics.ts";

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
      group: (partitions) => Group.create(service, options, partitions),
      groupWithoutTopic: () => new Group(service, options),
      timing: options,
      openLog: () => service.openLog(),
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
