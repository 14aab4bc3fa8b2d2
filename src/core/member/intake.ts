/**
 * From the task log into the windows: the two barriers of a join (R14), continuous delivery by fetch position, and the
 * redelivery of what runs here already (R8).
 */
import type { Context } from "../context.ts";
import type { AssignedEvent, DeliveredBatch } from "../events.ts";
import type { PartitionId } from "../identity.ts";
import { OTHER_CELLS } from "../messages.ts";
import { bitAt, bitsEnd, parseMetadata } from "./metadata.ts";
import type { MemberState } from "./state.ts";
import { HAS_ID, isFinal, isUnstarted, PartitionWindow, State, type Retained } from "./window.ts";

/** The barrier after a join: a window a partition, positioned at what the group has committed. */
export function assign(state: MemberState, generation: number, partitions: readonly AssignedEvent[]): void {
  // The barrier before the join is bounded in time: when it did not get through, what runs here is kept now (R8).
  if (state.windows.size > 0) state.retainAll();
  state.barrier = false;
  state.group = "in";
  state.generation = generation;
  state.ownership++;
  const positions = partitions.map((partition) => {
    const window = openWindow(state.ctx, state.ownership, generation, partition);
    window.paused = state.paused || state.draining;
    if (state.joinEpoch !== state.epoch) window.doubtOwnership();
    state.windows.set(partition.pid, window);
    if (partition.replaced !== undefined) stopReplaced(state, window, partition.replaced);
    const { pid, ownership, fetchPosition: position, paused, leaderEpoch } = window;
    return { pid, ownership, position, paused, leaderEpoch, keptTo: position + bitsEnd(window.readFinals) };
  });
  state.ctx.emit({ type: "positions", partitions: positions });
}

function openWindow(ctx: Context, ownership: number, generation: number, partition: AssignedEvent): PartitionWindow {
  const { settings } = ctx;
  const atEnd = settings.startAt === "latest" && partition.added !== true;
  const start = atEnd ? partition.logEnd : partition.logStart;
  const window = new PartitionWindow(partition.pid, ownership, generation, partition.committed ?? start);
  window.hadCommit = partition.committed !== null;
  window.logStart = partition.logStart;
  window.logEnd = partition.logEnd;
  const metadata = partition.committed === null ? null : parseMetadata(partition.metadata);
  const ours =
    metadata !== null &&
    metadata.clusterUuid === settings.clusterUuid &&
    metadata.dedupEpoch === settings.dedupEpoch &&
    metadata.topicGeneration === ctx.topic(partition.pid).generation;
  if (metadata !== null && metadata.clusterUuid !== settings.clusterUuid) {
    window.otherCluster = metadata.clusterUuid;
    window.readFrom = OTHER_CELLS;
  }
  if (metadata === null || !ours) return window;
  window.ours = true;
  window.readFrom = metadata.from;
  window.readFinals = metadata.finals;
  window.leaderEpoch = metadata.leaderEpoch;
  window.ceilingFloor = metadata.ceiling; // the ceiling never falls (R15)
  return window;
}

/** The group's offset is gone, and the cell has finished less than the start policy would pass over: back to W (R15c). */
export function beginAt(state: MemberState, window: PartitionWindow, position: number): PartitionWindow {
  state.retain(window);
  const anew = new PartitionWindow(window.pid, window.ownership, window.generation, position);
  anew.logStart = window.logStart;
  anew.logEnd = window.logEnd;
  anew.paused = window.paused;
  state.windows.set(window.pid, anew);
  state.ctx.emit({ type: "seek", pid: window.pid, position });
  return anew;
}

/** A batch from the task log. Anything that does not continue the window's fetch position is discarded (R14). */
export function deliver(state: MemberState, batch: DeliveredBatch, now: number): void {
  const window = state.windows.get(batch.pid);
  if (window === undefined || window.ownership !== batch.ownership || state.barrier) {
    state.ctx.counters.discardedBatches++;
    return;
  }
  if (window.stopped !== "") return;
  if (batch.fetchedFrom !== window.fetchPosition) {
    state.ctx.counters.discardedBatches++;
    state.ctx.emit({ type: "seek", pid: window.pid, position: window.fetchPosition });
    return;
  }
  if (batch.leaderEpoch >= 0 && batch.leaderEpoch < window.leaderEpoch) {
    stopPartition(
      state,
      window,
      "truncated",
      `the partition's leader epoch fell from ${window.leaderEpoch} to ${batch.leaderEpoch}`,
    );
    return;
  }
  if (!window.reserve(batch.nextPosition)) {
    state.ctx.limit("windowSlots");
    state.ctx.counters.discardedBatches++;
    pausePartition(state, window);
    state.ctx.emit({ type: "seek", pid: window.pid, position: window.fetchPosition });
    return;
  }
  window.raiseLeaderEpoch(batch.fetchedFrom, batch.leaderEpoch);
  window.logEnd = Math.max(window.logEnd, batch.logEnd);
  takeRecords(state, window, batch, now);
  if (window.fetchPosition - window.committed >= state.ctx.settings.uncommittedSpanMax) {
    state.ctx.limit("uncommittedSpanMax");
    pausePartition(state, window);
  } else if (state.doubtCountToSettle() >= state.ctx.settings.doubtfulMax) {
    pausePartition(state, window);
  }
}

function takeRecords(state: MemberState, window: PartitionWindow, batch: DeliveredBatch, now: number): void {
  const retained = state.retained.get(window.pid);
  const { offsets, hashes, ids, payloads } = batch;
  window.fetchPosition = batch.nextPosition;
  for (let i = 0; i < offsets.length; i++) {
    const offset = offsets[i]!;
    const id = ids === null ? null : (ids[i] ?? null);
    const payloadHi = payloads === null ? 0 : payloads[2 * i]!;
    const payloadLo = payloads === null ? 0 : payloads[2 * i + 1]!;
    window.add(offset, hashes[2 * i]!, hashes[2 * i + 1]!, id, payloadHi, payloadLo);
  }
  const byBitmap: number[] = [];
  // Only now, with every record in its slot: what is settled here moves the committable position over what seems a gap.
  for (let i = 0; i < offsets.length; i++) {
    const offset = offsets[i]!;
    const task = retained?.get(offset);
    if (offset < window.watermark && window.infoKnown) settleBelowWatermark(state, window, offset, now);
    else if (bitAt(window.readFinals, offset - window.readPosition) && task?.state !== State.executed) {
      // Who executed it itself keeps the better word: "executed" ends a duplicate, "final" does not (R13).
      settleByBitmap(state, window, offset, now);
      byBitmap.push(offset);
    }
    if (task !== undefined) rejoin(state, window, offset, task, now);
  }
  state.nameFinals(window, byBitmap);
  if (retained !== undefined && retained.size === 0) state.retained.delete(window.pid);
  state.ctx.counters.delivered += offsets.length;
  window.advanceCommittable();
}

/** R6 step 1 at the node: the leader said [from, W) is committed. A redelivered task passes through doubt (S13). */
export function settleBelowWatermark(state: MemberState, window: PartitionWindow, offset: number, now: number): void {
  state.doubt(window, offset, now, {});
  state.settleDoubt(window, offset, "committed", false, now);
  state.finish(window, offset, State.dropped);
}

/** The commit that this owner read says that the offset is final: exact evidence of this cell (R15). */
function settleByBitmap(state: MemberState, window: PartitionWindow, offset: number, now: number): void {
  state.doubt(window, offset, now, {});
  state.settleDoubt(window, offset, "attestedExecuted", false, now);
  state.finish(window, offset, State.dropped);
}

/** R8: a redelivery of a task that runs or ran here joins it and carries the new ownership. */
function rejoin(state: MemberState, window: PartitionWindow, offset: number, task: Retained, now: number): void {
  const tasks = state.retained.get(window.pid);
  tasks?.delete(offset);
  if (window.stateOf(offset) !== State.held) return; // settled above
  // Set aside or dropped here before the others gave this node up (R12): whoever was given the task meanwhile ends it.
  const isAside = isFinal(task.state) && task.state !== State.executed;
  if (isAside && state.table.partitions.get(window.pid)?.isHeldByAnother(offset, state.ctx.incarnation) === true)
    return;
  const slot = window.slot(offset);
  window.attempts[slot] = task.attempts;
  window.stamps[slot] = task.stamp;
  if (task.ranUnknown) {
    state.doubt(window, offset, now, { ranUnknown: true });
    return;
  }
  if (isUnstarted(task.state)) return; // between attempts: it asks again, with its attempts
  window.set(offset, task.state as State);
  if (task.aside !== null && task.state === State.writing)
    window.setAside.set(offset, { ...task.aside, retryAt: Infinity });
  if (task.state >= State.executed) window.finalsSinceCommit++;
}

export function pausePartition(state: MemberState, window: PartitionWindow): void {
  if (window.paused) return;
  window.paused = true;
  state.ctx.emit({ type: "pause", pid: window.pid });
}

/** Resumes what has room again; called once a turn. */
export function resumePartitions(state: MemberState): void {
  if (state.paused || state.draining || state.barrier) return;
  const { uncommittedSpanMax, doubtfulMax } = state.ctx.settings;
  const doubts = state.doubtCountToSettle();
  for (const window of state.windows.values()) {
    if (!window.paused || window.stopped !== "" || window.unreadable !== "") continue;
    if (window.fetchPosition - window.committed > uncommittedSpanMax / 2 || doubts > doubtfulMax / 2) continue;
    window.paused = false;
    state.ctx.emit({ type: "resume", pid: window.pid });
  }
}

/** Suspension (lease over, R16) pauses fetching at once; a renewal lifts it. */
export function setSuspended(state: MemberState, suspended: boolean): void {
  if (state.paused === suspended) return;
  state.paused = suspended;
  if (!suspended) return;
  for (const window of state.windows.values()) pausePartition(state, window);
}

/** The partition stands still for a person: nothing of it starts, nothing is committed beyond what is final. */
export function stopPartition(
  state: MemberState,
  window: PartitionWindow,
  code: "truncated" | "out-of-range" | "position-below-from" | "takeover-refused" | "commit-fatal",
  why: string,
): void {
  if (window.stopped !== "") return;
  window.stopped = why;
  pausePartition(state, window);
  state.ctx.alarm(code, window.pid, `${state.ctx.partitionName(window.pid)} stopped: ${why}`);
}

export function partitionProblem(state: MemberState, pid: PartitionId, problem: string, detail: string = ""): void {
  const window = state.windows.get(pid);
  if (window === undefined) return;
  if (problem === "unreadable") {
    readNoFurther(state, window);
    return;
  }
  const why = detail === "" ? `the task log answered "${problem}" at offset ${window.fetchPosition}` : detail;
  if (problem === "replaced") stopReplaced(state, window, why);
  else stopPartition(state, window, problem === "truncated" ? "truncated" : "out-of-range", why);
}

/** What runs may end, but a position in the log that was is none in the one that is. */
function stopReplaced(state: MemberState, window: PartitionWindow, why: string): void {
  window.replaced = true;
  window.commitFatal = true;
  stopPartition(state, window, "truncated", why);
}

/**
 * What stands before it is executed and committed, so that the group's offset names the place; nothing behind it is read.
 * It counts when it is said twice at one position: what was delivered before the first time may have been given back.
 */
function readNoFurther(state: MemberState, window: PartitionWindow): void {
  if (window.stopped !== "" || window.unreadable !== "") return;
  pausePartition(state, window);
  const again = window.unreadableAt === window.fetchPosition;
  window.unreadableAt = window.fetchPosition;
  if (!again) return;
  window.unreadable = `the task log cannot be read from offset ${window.fetchPosition} on`;
  const name = state.ctx.partitionName(window.pid);
  state.ctx.alarm("unreadable", window.pid, `${name} reads no further: ${window.unreadable}`);
}

/** Whether a slot's task id is the delivery key. */
export function idIsKey(window: PartitionWindow, offset: number): boolean {
  return (window.flags[window.slot(offset)]! & HAS_ID) === 0;
}
