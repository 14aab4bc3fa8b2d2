/** Facts that come late: no violation of what was decided before they were known. */
import type { PartitionId } from "../../../src/core/identity.ts";
import { partitionOf } from "../../../src/core/identity.ts";
import { Phase } from "../../../src/core/messages.ts";
import type { Run, SimulatedNode, World } from "../observer.ts";

/**
 * Who was waited for in vain (R12) came back and told that it had executed the task, after it was adopted by this node, which has not
 * heard of that yet: a later sequence, of a run that ended well in another process, and the adoption's check or policy decides. The entry
 * counts such a run as one whose end was unknown, unless the table was lost since it began: a suspect (R15d) is adopted, and counts none.
 */
export function returnedMeanwhile(
  world: World,
  node: SimulatedNode,
  copy: SimulatedNode,
  pid: PartitionId,
  offset: number,
): boolean {
  const table = copy.core!.replica.table.partition(pid);
  const window = node.core!.member.state.windows.get(pid);
  if (window === undefined || table.phaseOf(offset) !== Phase.executed) return false;
  if (table.holderOf(offset) === node.incarnation || table.stampOf(offset) <= window.stampOf(offset)) return false;
  const runs = world.runsByTask.get(world.taskIdOf(partitionOf(pid), offset)) ?? [];
  const told = (run: Run): boolean => run.pid !== node.process.pid && run.outcome === "success";
  if (table.unknownRunsOf(offset) > 0) return runs.some(told);
  const lostAt = world.events.findLast((event) => event.type === "alarm" && event.code === "filter-window")?.at ?? -1;
  return runs.some((run) => told(run) && run.startedAt < lostAt);
}
