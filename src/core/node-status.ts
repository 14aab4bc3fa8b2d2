/** A node's status as plain data, taken on demand. */
import type { CoreStatus, PartitionStatus } from "./status.ts";
import type { NodeCore } from "./node.ts";

export function describeNode(node: NodeCore, now: number): CoreStatus {
  const { member, ctx, replica } = node;
  const { state } = member;
  const partitions: PartitionStatus[] = [];
  let inFlight = 0;
  let oldestDoubt = now;
  let oldestOpen = now;
  for (const window of state.windows.values()) {
    inFlight += window.held + window.granted + window.running + window.writing + window.doubts.size;
    for (const doubt of window.doubts.values()) if (doubt.since < oldestDoubt) oldestDoubt = doubt.since;
    oldestOpen = Math.min(oldestOpen, window.openSince);
    partitions.push({
      pid: window.pid,
      ownership: window.ownership,
      generation: window.generation,
      position: window.committed,
      fetchPosition: window.fetchPosition,
      logEnd: window.logEnd,
      watermark: window.watermark,
      ceiling: window.ceilingAcked,
      paused: window.paused,
      stopped: window.stopped === "" ? window.unreadable : window.stopped,
    });
  }
  // Counted from the bits it would read megabytes, and stop the node for tens of milliseconds each time somebody looks.
  const { fill, falsePositiveRate } = replica.filter.outlook();
  return {
    incarnation: node.incarnation,
    role: node.role,
    epoch: node.epoch,
    leader: node.leader !== null ? node.incarnation : (node.leaderKnown?.incarnation ?? ""),
    member: state.admitted,
    leaseRemainingMs: state.lease.remaining(now),
    leaseNumber: state.lease.number,
    running: state.running,
    inFlight,
    doubtful: state.doubtCount,
    oldestDoubtMs: state.doubtCount === 0 ? 0 : now - oldestDoubt,
    oldestUnfinishedMs: now - oldestOpen,
    waitingFor: node.waitingFor,
    verdicts: { counts: [...ctx.verdictTimes.counts], sumMs: ctx.verdictTimes.sumMs },
    oldestAskMs: state.oldestAskMs(now),
    filterFill: fill,
    filterFalsePositiveRate: falsePositiveRate,
    partitions,
    leaderStatus: node.leader?.status() ?? null,
    counters: ctx.counters,
    doubtsSettled: ctx.settled,
  };
}
