/** I21, I23, I24: what is said about doubtful tasks, and that no task is doubted, checked or given up without need. */
import type { CoreEvent } from "../../../src/core/events.ts";
import type { CoreEffect } from "../../../src/core/effects.ts";
import { partitionOf, type PartitionId } from "../../../src/core/identity.ts";
import type { AnswerItem } from "../../../src/core/messages.ts";
import type { MemberState } from "../../../src/core/member/state.ts";
import { State } from "../../../src/core/member/window.ts";
import { isSuspect } from "../../../src/core/leader/suspects.ts";
import type { HistoryEvent } from "../history.ts";
import type { Observer, SimulatedNode, World } from "../observer.ts";
import { copiesOf, keyOf, violated } from "./checker.ts";
import { decisionsOf } from "./decisions.ts";
import { returnedMeanwhile } from "./returned.ts";

const MEANS: Partial<Record<AnswerItem["status"], readonly number[]>> = {
  pending: [
    State.granted,
    State.executing,
    State.adopted,
    State.writing,
    State.dropped,
    State.parked,
    State.dead,
    State.executed,
  ],
  running: [State.executing, State.writing],
  executed: [State.executed],
  dropped: [State.dropped],
  dead: [State.dead],
  parked: [State.parked],
};

/** It was granted for a lease or an epoch that ended later in the same step: it is asked for anew (R10). */
function takenBack(state: MemberState, pid: PartitionId, offset: number): boolean {
  const window = state.windows.get(pid);
  const here = window?.stateOf(offset);
  if (window === undefined || (here !== State.held && here !== State.asked)) return false;
  return window.stampOf(offset) > 0 && window.eras[window.slot(offset)] !== state.era;
}

/**
 * An answer is what the node's own state says: held, asked and doubtful tasks attest to nothing. And an answer that attests to nothing
 * ("absent", "pending", "running") frees no entry in the step in which it comes.
 */
export function attestationsAreTrue(world: World): Observer {
  const stamps = new Map<string, number>(); // a leader's last sequence before the step, by incarnation
  const answers = (node: SimulatedNode, effects: readonly CoreEffect[]): void => {
    const { state } = node.core!.member;
    for (const effect of effects) {
      if (effect.type !== "send" || effect.message.kind !== "answer") continue;
      for (const { pid, offset, status } of effect.message.items) {
        const allowed = MEANS[status];
        if (allowed === undefined) continue;
        const here = state.windows.get(pid)?.stateOf(offset) ?? State.absent;
        const kept = state.retained.get(pid)?.get(offset)?.state ?? State.absent;
        if (allowed.includes(here) || allowed.includes(kept)) continue;
        if (status === "pending" && takenBack(state, pid, offset)) continue;
        violated(
          "I21",
          `${node.name} says "${status}" of ${keyOf(partitionOf(pid), offset)} at ${world.now}, in state ${here}`,
        );
      }
    }
  };
  const taken = (node: SimulatedNode, event: CoreEvent): void => {
    const leader = node.core!.leader;
    if (leader === null || event.type !== "message" || event.message.kind !== "answer") return;
    const before = stamps.get(node.incarnation) ?? Infinity;
    for (const { pid, offset, status } of event.message.items) {
      if (status !== "absent" && status !== "pending" && status !== "running") continue;
      const table = leader.state.replica.table.partition(pid);
      if (!table.isFree(offset) || table.stampOf(offset) <= before || table.epochOf(offset) !== leader.state.epoch)
        continue;
      violated(
        "I21",
        `${node.name} freed ${keyOf(partitionOf(pid), offset)} at ${world.now} on the answer "${status}"`,
      );
    }
  };
  return {
    onStep(node, event, effects) {
      answers(node, effects);
      taken(node, event);
      const leader = node.core!.leader;
      if (leader !== null) stamps.set(node.incarnation, leader.state.stamp);
    },
  };
}

/** Faults that may not cost a task its certainty: no process dies or sleeps, nobody is cut off. */
const HARMLESS = new Set([
  "move",
  "rebalance-storm",
  "drain",
  "slow-handlers",
  "slow-log",
  "set-aside-trouble",
  "check-trouble",
]);

/**
 * Without a check, and as long as nothing worse than rebalances happened: no task is given to `onUnknown`. Two doubts remain that only a
 * check could end: a run of the task ended unknown by itself, and the filter's bit for a task that names its id (a duplicate whose
 * first was committed, or a false positive).
 */
export function noNeedlessDoubt(world: World): Observer {
  let worse = false;
  const decided = new Map<string, number>();
  const keysOnly = world.settings.headerIds === 0;
  return {
    onHistory(event: HistoryEvent) {
      if (
        (event.type === "fault" && !HARMLESS.has(event.kind)) ||
        (event.type === "process" && event.what !== "started")
      )
        worse = true;
      if (worse || world.settings.hasCheck || event.type !== "set-aside" || event.reason !== "unknown") return;
      if ((world.runsByTask.get(event.taskId) ?? []).some((run) => run.outcome === "unknown")) return;
      violated("I23", `${event.taskId} was parked at ${event.at} on ${event.node}, and nothing had happened to it`);
    },
    onStep(node) {
      if (worse || world.settings.hasCheck || !keysOnly) return;
      const { byPolicy } = node.core!.ctx.settled;
      if (byPolicy === (decided.get(node.incarnation) ?? 0)) return;
      decided.set(node.incarnation, byPolicy);
      if (!world.runs.some((run) => run.outcome === "unknown"))
        violated("I23", `${node.name} let onUnknown decide at ${world.now}, and nothing had happened`);
    },
  };
}

/**
 * A record that is its own task id reaches a check only with evidence that is exact: its entry is dirty, and not on the word of a bit, or
 * it is a suspect. (That tasks with other ids are not dropped on a bit is looked at where drops are decided, see `Decisions`.)
 */
export function noCheckOnABit(world: World): Observer {
  const decisions = decisionsOf(world);
  return {
    onHistory: (event) => decisions.onHistory(event),
    onStep(node, _event, effects) {
      decisions.onStep(node, effects);
      for (const effect of effects) {
        if (effect.type !== "check") continue;
        const partition = partitionOf(effect.pid);
        if (world.log[partition]?.[effect.offset]?.taskId !== "") continue;
        for (const copy of copiesOf(world)) {
          const table = copy.core!.replica.table.partition(effect.pid);
          if (table.isDirty(effect.offset) && !table.isMaybe(effect.offset)) continue;
          if (isSuspect(table, effect.offset) || returnedMeanwhile(world, node, copy, effect.pid, effect.offset))
            continue;
          violated(
            "I24",
            `${node.name} checks ${keyOf(partition, effect.offset)} at ${world.now}; at ${copy.name} its entry is ` +
              JSON.stringify(table.read(effect.offset)),
          );
        }
      }
    },
  };
}
