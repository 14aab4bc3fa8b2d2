/** Part E, offsets: commits and their answers, offsets that move or are lost, logs that change. */
import { partitionOf, type PartitionId } from "../../../src/core/identity.ts";
import { State } from "../../../src/core/member/window.ts";
import { Phase } from "../../../src/core/messages.ts";
import { entryAt, openTasks } from "./lookups.ts";
import type { NodeFacts } from "./records.ts";
import { both, knownDone, type Judge, type Tracker } from "./tracker.ts";
import { moved, onRevoked, RECOVERY_MS } from "./e-shared.ts";

/** Refused: nothing more is committed in that generation; what was executed is in the leader's table. */
export function refused(t: Tracker, reasons: RegExp): void {
  const over = new Map<NodeFacts, number>(); // the refused generation; -1 when something was committed in it all the same
  t.facts.on("commitSent", (node, { generation }) => over.get(node) === generation && over.set(node, -1), t);
  t.facts.on(
    "commitResult",
    (node, { generation }, outcome, reason) => {
      if (outcome !== "refused" || !reasons.test(reason)) return;
      over.set(node, generation);
      t.until(RECOVERY_MS, () => {
        if (over.get(node) !== generation || !node.alive) return false;
        return node.core.member.state.generation > generation ? true : null;
      });
    },
    t,
  );
}

/** After the join the owner commits it in the new generation, or its tasks are known to be done. */
export function refusedInJoin(t: Tracker): void {
  t.facts.on(
    "commitResult",
    (_node, commit, outcome, reason) => {
      const [entry] = commit.commits;
      if (outcome !== "refused" || !/REBALANCE_IN_PROGRESS/.test(reason) || entry === undefined) return;
      if (entry.position > (t.world.committed[partitionOf(entry.pid)] ?? 0))
        t.follow(entry.pid, entry.position - 1, knownDone);
    },
    t,
  );
}

export function unknownOutcome(t: Tracker): void {
  const open = new Map<
    NodeFacts,
    { readonly generation: number; readonly pid: PartitionId; readonly position: number }
  >();
  t.facts.on("revoked", (node) => open.delete(node), t);
  t.facts.on(
    "commitResult",
    (node, commit, outcome) => {
      const [entry] = commit.commits;
      if (entry === undefined) return;
      const before = open.get(node);
      if (outcome === "unknown") {
        t.armed++;
        open.set(node, before ?? { generation: commit.generation, pid: entry.pid, position: entry.position });
      } else if (outcome === "committed" && before !== undefined) {
        const again = commit.commits.find(({ pid }) => pid === before.pid);
        if (again !== undefined && commit.generation === before.generation && again.position >= before.position)
          t.hit();
      } else open.delete(node);
    },
    t,
  );
}

/** The log would take it, and a node whose run outlived its ownership sends none. */
export function staleCommits(t: Tracker): void {
  let strangers = false;
  t.facts.on(
    "committed",
    ({ node, partition }) =>
      (strangers ||= node !== "" && t.world.owner[partition] !== null && t.world.owner[partition] !== node),
    t,
  );
  onRevoked(t, (node, task) => {
    if (!t.facts.isLasting("stale-commit-accepted") || task.state !== State.executing) return;
    strangers = false;
    t.follow(
      task.pid,
      task.offset,
      both(moved(node), () => !strangers),
    );
  });
}

/** The offset moved back: what comes again was finished by this cell, and is neither run nor checked. */
export function movedBack(t: Tracker, toStart: boolean): void {
  t.facts.on(
    "committed",
    ({ partition, position, before }) => {
      if (before === null || position >= before) return;
      if (toStart !== position <= (t.world.logStart[partition] ?? 0)) return;
      for (const offset of [position, before - 1]) {
        const done = t.world.effects(t.world.taskIdOf(partition, offset)) === 1;
        if (done && t.world.log[partition]?.[offset]?.isGap !== true) t.follow(partition, offset, knownDone);
      }
    },
    t,
  );
}

export function fatal(t: Tracker): void {
  const stopped = new Map<NodeFacts, Set<PartitionId>>();
  let again = false;
  t.facts.on(
    "commitSent",
    (node, { commits }) => (again ||= commits.some(({ pid }) => stopped.get(node)?.has(pid) === true)),
    t,
  );
  t.facts.on(
    "alarm",
    (node, code, pid) => {
      if (code !== "commit-fatal") return;
      const since = t.world.now;
      const before = stopped.get(node) ?? new Set<PartitionId>();
      const window = node.core.member.state.windows.get(pid);
      stopped.set(node, before.add(pid));
      t.until(RECOVERY_MS, () => {
        if (node.core.member.state.windows.get(pid) !== window) return !again; // another owner tries anew
        return again ? false : t.world.now - since > 2_000 ? true : null;
      });
    },
    t,
  );
  t.facts.on("revoked", (node) => stopped.delete(node), t);
}

/** A commit that failed so long before its leader's death belongs to the same trouble. */
const FAILED_BEFORE_MS = 3_000;

/** Its last commit was not made, the leader died without the fact; nobody runs the task again. */
export function commitFailedLeaderDown(t: Tracker): void {
  t.facts.on(
    "death",
    (victim) => {
      const { leader } = victim;
      if (leader === null || !victim.active) return;
      for (const node of t.facts.living()) {
        if (node === victim) continue;
        for (const { pid, offset, state } of openTasks(node.windows)) {
          if (state !== State.executed || entryAt(leader, pid, offset)?.phase === Phase.executed) continue;
          const failed: Judge = (story) =>
            node.commitFailedAt > story.since - FAILED_BEFORE_MS && story.endEpoch > story.epoch;
          t.follow(pid, offset, both(knownDone, failed));
        }
      }
    },
    t,
  );
}

/** The group's offset is gone: an alarm, and what is below W does not run again. */
export function offsetsLost(t: Tracker): void {
  t.facts.on(
    "alarm",
    (_node, code, pid) => {
      if (code !== "offsets-lost") return;
      const leader = t.facts.activeLeader();
      const watermark = leader?.core.replica.table.partitions.get(pid)?.watermark ?? 0;
      if (watermark > 0) t.follow(pid, watermark - 1, knownDone);
    },
    t,
  );
}

/** A new dedup epoch: what was executed runs again. */
export function replay(t: Tracker): void {
  let since = Infinity;
  t.facts.on("fault", ({ kind }) => (since = kind === "replay" ? t.world.now : since), t);
  t.facts.on(
    "start",
    (start, _partition, _offset, taskId) => {
      if (start.at < since || t.world.effects(taskId) === 0) return;
      t.armed++;
      const before = t.world.effects(taskId);
      t.until(RECOVERY_MS, () => (t.world.effects(taskId) > before ? true : null));
    },
    t,
  );
}

export function truncated(t: Tracker): void {
  t.facts.on(
    "alarm",
    (node, code, pid) => {
      if (code !== "truncated" && code !== "out-of-range" && code !== "position-below-from") return;
      const runs = t.world.runs.length;
      const since = t.world.now;
      t.until(RECOVERY_MS, () => {
        const window = node.core.member.state.windows.get(pid);
        const here = (story: { partition: number; pid: number }): boolean =>
          story.partition === partitionOf(pid) && story.pid === node.processId;
        if (window === undefined || window.stopped === "") return t.world.now - since > 200;
        return t.world.runs.slice(runs).some(here) ? false : t.world.now - since > 1_000 ? true : null;
      });
    },
    t,
  );
}

export function gaps(t: Tracker): void {
  t.facts.on(
    "committed",
    ({ node, partition, position, before }) => {
      const log = t.world.log[partition];
      if (node === "" || log === undefined) return;
      for (let offset = before ?? 0; offset < position; offset++) {
        if (log[offset]?.isGap !== true) continue;
        t.armed++;
        t.hit();
        return;
      }
    },
    t,
  );
}
