/** Between the core and the runner: what ran, and how it ended, as events. */
import type { CoreEvent } from "../core/events.ts";
import type { PartitionId } from "../core/identity.ts";
import type { TaskType } from "../execution/define.ts";
import { Runner, type WorkGuard } from "../execution/runner.ts";
import type { TaskProducer, TaskRecord } from "../task-log/task-log.ts";
import type { RuntimeLog } from "./options.ts";

export interface ExecutionOptions {
  readonly tasks: readonly TaskType[];
  readonly now: () => number;
  readonly record: (pid: PartitionId, offset: number) => TaskRecord | null;
  readonly producer: TaskProducer;
  readonly guard: WorkGuard;
  readonly post: (event: CoreEvent) => void;
  readonly log: RuntimeLog;
}

export function createRunner({ post, ...options }: ExecutionOptions): Runner {
  return new Runner({
    ...options,
    onResults: (pid, offsets, outcomes) => post({ type: "results", pid, offsets, outcomes }),
    onCheckResult: (pid, offset, stamp, answer, epoch) =>
      post({ type: "check-result", pid, offset, epoch, stamp, answer }),
    onSetAside: (pid, offset, acknowledged) => post({ type: "set-aside-result", pid, offset, acknowledged }),
  });
}

/** Between two looks of the watchdog, twice; see its guarantee. */
const WATCHDOG_LATE_MS = 100;
const CLOCK_DRIFT = 0.01;

/**
 * How long after the isolation deadline the watchdog may wait for aborted handlers before it kills: their grace, but no
 * longer than what the leader's quarantine leaves (R12), also when a task definition asks for a longer grace.
 */
export function killDelayMs(
  tasks: readonly TaskType[],
  times: { readonly leaseMs: number; readonly isolationGraceMs: number; readonly quarantineMarginMs: number },
): number {
  const grace = Math.max(0, ...tasks.map((task) => task.abortGraceMs));
  const guarded = times.leaseMs + times.isolationGraceMs;
  return Math.max(0, Math.min(grace, times.quarantineMarginMs - guarded * CLOCK_DRIFT - WATCHDOG_LATE_MS));
}
