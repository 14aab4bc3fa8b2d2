/** Part C, those who do not know: replaced leaders that still decide, and workers that slept through their quarantine. */
import type { PartitionId } from "../../../src/core/identity.ts";
import type { Leader } from "../../../src/core/leader/leader.ts";
import { State } from "../../../src/core/member/window.ts";
import { offsetAt } from "../../../src/core/offsets.ts";
import { entryAt, openTasks, pendingVerdict, spread } from "./lookups.ts";
import type { NodeFacts } from "./records.ts";
import type { Tracker } from "./tracker.ts";

const RECOVERY_MS = 60_000;

function isLeading(t: Tracker, node: NodeFacts): boolean {
  return node.active && t.facts.leading === node;
}

/** The grants that a stopping leader has decided and nobody has heard of: to others (C2), or to itself (C5). */
export function stopsWithGrant(t: Tracker, own: boolean): void {
  const held = new Map<NodeFacts, { readonly pid: PartitionId; readonly offset: number }>();
  t.facts.on(
    "stop",
    (node) => {
      const leader = node.leader;
      if (leader === null || !isLeading(t, node)) return;
      const found = own ? ownGrant(t, node, leader) : othersGrant(node, leader);
      if (found !== null) held.set(node, found);
    },
    t,
  );
  // It still believes that it leads when it wakes, and another one does.
  t.facts.on("continue", (node) => held.delete(node), t);
  t.facts.on(
    "active",
    (next) => {
      for (const [node, { pid, offset }] of held) {
        if (node === next || !node.alive || node.epoch >= next.epoch) continue;
        held.delete(node);
        const before = node.epoch;
        t.follow(pid, offset, (story) => story.starts.every((start) => start.epoch > before) && story.effects === 1);
      }
    },
    t,
  );
}

export function othersGrant(node: NodeFacts, leader: Leader): { pid: PartitionId; offset: number } | null {
  const { pending, pendingHead } = leader.state;
  for (let i = pendingHead; i < pending.length; i++) {
    const { what } = pending[i]!;
    if (what.kind === "verdicts" && what.stamps.length > 0 && what.peer !== node.incarnation)
      return { pid: what.pid, offset: offsetAt(what.offsets, 0) };
  }
  return null;
}

export function ownGrant(t: Tracker, node: NodeFacts, leader: Leader): { pid: PartitionId; offset: number } | null {
  for (const { pid, offset, state } of openTasks(node.windows)) {
    const entry = entryAt(leader, pid, offset);
    if (entry === null || entry.holder !== node.incarnation || entry.epoch !== leader.state.epoch) continue;
    if (state === State.granted) return { pid, offset };
    if (state === State.asked && pendingVerdict(leader, node.incarnation, pid, offset) !== null) return { pid, offset };
    if (state === State.asked && spread(t.facts, leader, entry, pid) === "all") return { pid, offset };
  }
  return null;
}

/** A leader that another one has replaced and that does not know it. */
export function isZombie(t: Tracker, node: NodeFacts): boolean {
  return node.active && node.epoch < t.facts.topEpoch;
}

export function zombieTakesAsk(t: Tracker): void {
  t.facts.on(
    "report",
    (node, _from, { claims }) => {
      const claim = claims[0];
      if (claim === undefined || !isZombie(t, node)) return;
      const before = node.epoch;
      t.follow(
        claim.pid,
        offsetAt(claim.offsets, 0),
        (story) => story.starts.every((start) => start.epoch > before) && story.effects === 1,
      );
    },
    t,
  );
}

/** Facts, commits and doubts told to a zombie: nothing leaves it until it is deposed. */
export function zombieDecides(t: Tracker): void {
  t.facts.on(
    "report",
    (node, _from, { finished, commits, doubts }) => {
      if (finished.length + commits.length + doubts.length === 0 || !isZombie(t, node)) return;
      const { releases, leader } = node;
      t.until(RECOVERY_MS, () =>
        node.releases > releases ? false : node.leader === leader && node.alive ? null : true,
      );
    },
    t,
  );
}

/**
 * The worker stands still with a run, before its first instruction (C7) or in it (C8), until another node has started the task:
 * by a larger token, so that a sink which looks at tokens refuses the old effect; what stood still is aborted when it wakes.
 */
export function sleepsInRun(t: Tracker, before: boolean): void {
  const asleep = new Map<
    string,
    { readonly node: NodeFacts; readonly run: number; readonly epoch: number; readonly stamp: number }
  >();
  t.facts.on(
    "stop",
    (node, why) => {
      if (why === "block" || (before && why !== "stop-before-handler")) return;
      for (const run of t.world.runs.slice(-200)) {
        if (run.pid !== node.processId || run.endedAt !== Infinity || before !== (run.startedAt === Infinity)) continue;
        asleep.set(run.taskId, { node, run: run.number, epoch: run.epoch, stamp: run.stamp });
      }
    },
    t,
  );
  t.facts.on(
    "start",
    (start, _partition, _offset, taskId) => {
      const first = asleep.get(taskId);
      if (first === undefined || start.process === first.node.processId) return;
      asleep.delete(taskId);
      if (!first.node.alive || first.node.runs) return;
      const larger = start.epoch > first.epoch || (start.epoch === first.epoch && start.stamp > first.stamp);
      if (!larger) return;
      if (before) {
        t.armed++;
        t.hit();
        return;
      }
      const run = t.world.runs[first.run - 1]!;
      t.until(RECOVERY_MS, () =>
        run.endedAt === Infinity ? null : run.outcome === "unknown" || run.outcome === "died",
      );
    },
    t,
  );
}

/** An ex-leader comes back with decisions that nobody else has; when it is in the set again it has the cell's. */
export function exLeaderReturns(t: Tracker): void {
  t.facts.on(
    "deposed",
    (node, leader) => {
      if (!node.alive) return;
      const { epoch, log, released } = leader.state;
      const lost = log.find((delta) => delta.seq > released && delta.entries.length > 0)?.entries[0];
      if (lost === undefined) return;
      const { pid, offsets, firstStamp } = lost;
      t.until(RECOVERY_MS, () => {
        if (!node.alive) return false;
        if (!node.admitted || node.epoch <= epoch) return null;
        const own = node.core.replica.table.partitions.get(pid);
        const next = t.facts.activeLeader()?.core.replica.table.partitions.get(pid);
        if (own === undefined || next === undefined) return null;
        const kept = own.epochOf(offsets.base) === epoch && own.stampOf(offsets.base) === firstStamp;
        return !kept || next.stampOf(offsets.base) === firstStamp;
      });
    },
    t,
  );
}
