/** Part E: the task log. */
import { partitionOf, type PartitionId } from "../../../src/core/identity.ts";
import { State } from "../../../src/core/member/window.ts";
import { Phase } from "../../../src/core/messages.ts";
import { entryAt, openTasks, wasChecked, type Task } from "./lookups.ts";
import type { NodeStatus } from "../../../src/ops/node-status.ts";
import type { NodeFacts } from "./records.ts";
import { both, knownDone, ranOnce, type Judge, type Row, type Tracker } from "./tracker.ts";
import {
  commitFailedLeaderDown,
  fatal,
  gaps,
  movedBack,
  offsetsLost,
  refused,
  refusedInJoin,
  replay,
  staleCommits,
  truncated,
  unknownOutcome,
} from "./e-commits.ts";
import { moved, onRevoked, RECOVERY_MS } from "./e-shared.ts";

function startedElsewhere(node: NodeFacts): Judge {
  return (story) => story.starts.length > 0 && story.starts.every((start) => start.node !== node.name);
}

const UNGRANTED: readonly number[] = [State.held, State.asked, State.doubtful];

function beforeGrant(t: Tracker): void {
  onRevoked(t, (node, task) => {
    if (!UNGRANTED.includes(task.state) || task.window.attempts[task.window.slot(task.offset)] !== 0) return;
    t.follow(
      task.pid,
      task.offset,
      both(moved(node), startedElsewhere(node), (story) => story.effects === 1),
    );
  });
}

function whileGranted(t: Tracker): void {
  onRevoked(t, (node, task) => {
    if (task.state !== State.granted || wasChecked(task)) return;
    t.follow(task.pid, task.offset, both(moved(node), startedElsewhere(node), ranOnce));
  });
}

/** Its end was waited for: known when it ended well, checked when its node died. */
function waitedFor(t: Tracker, node: NodeFacts): Judge {
  return (story) => (node.alive ? knownDone(story) : story.checks.length > 0 || !t.world.settings.hasCheck);
}

function whileExecuting(t: Tracker): void {
  onRevoked(t, (node, task) => {
    if (task.state === State.executing) t.follow(task.pid, task.offset, both(moved(node), waitedFor(t, node)));
  });
}

function doneAbove(t: Tracker): void {
  onRevoked(t, (node, { state, window, offset, pid }) => {
    if (state === State.executed && offset > window.committable) t.follow(pid, offset, both(moved(node), knownDone));
  });
}

/** A claim of a generation that is over is refused; its task runs at the owner. */
function lostRevocation(t: Tracker): void {
  t.facts.on(
    "report",
    (node, from, { claims, doubts }) => {
      const claim = claims[0] ?? doubts[0];
      const leader = node.leader;
      if (claim === undefined || leader === null || !t.facts.isLasting("lost-revocation")) return;
      const { ownerGeneration } = leader.state.facts(claim.pid);
      if (claim.generation >= ownerGeneration) return;
      t.follow(
        claim.pid,
        claim.offsets.base,
        both(moved(from), startedElsewhere(from), (story) => story.effects === 1),
      );
    },
    t,
  );
  // It never claims again: its commit is refused, and the next owner waits for what it runs.
  t.facts.on(
    "commitResult",
    (node, commit, outcome) => {
      if (outcome !== "refused" || !t.facts.isLasting("lost-revocation")) return;
      for (const { pid, position } of commit.commits) {
        if (t.world.owner[partitionOf(pid)] === node.name) continue;
        if (position > (t.world.committed[partitionOf(pid)] ?? 0))
          t.follow(pid, position - 1, both(moved(node), knownDone));
      }
    },
    t,
  );
}

/** Delivered again to the node that runs it: it joins the run. */
function redelivered(t: Tracker): void {
  const running = new Map<NodeFacts, Map<PartitionId, number>>();
  onRevoked(t, (node, { state, pid, offset }) => {
    if (state !== State.executing) return;
    const known = running.get(node) ?? new Map<PartitionId, number>();
    running.set(node, known.set(pid, offset));
  });
  t.facts.on(
    "event",
    (node, event) => {
      if (event.type !== "delivered") return;
      const offset = running.get(node)?.get(event.batch.pid);
      if (offset === undefined || event.batch.nextPosition <= offset) return;
      running.get(node)!.delete(event.batch.pid);
      if (node.core.member.state.windows.get(event.batch.pid)?.stateOf(offset) !== State.executing) return;
      t.follow(
        event.batch.pid,
        offset,
        both(knownDone, (story) => story.committedBy === node.name),
      );
    },
    t,
  );
}

/** A run lives through three generations of the group. */
function storm(t: Tracker): void {
  const generations = new Map<number, number>();
  t.facts.on("start", ({ run }) => generations.set(run, t.world.groupGeneration), t);
  t.facts.on(
    "ended",
    ({ run, outcome }) => {
      const began = generations.get(run) ?? Infinity;
      generations.delete(run);
      const { partition, offset } = t.world.runs[run - 1]!;
      if (outcome !== "success" || t.world.groupGeneration < began + 3) return;
      t.follow(partition, offset, knownDone);
    },
    t,
  );
}

/** It ends without its log: the fact reaches the ledger. */
function cutFromLog(t: Tracker): void {
  t.facts.on(
    "ended",
    ({ run, outcome }) => {
      const { node: name, partition, offset } = t.world.runs[run - 1]!;
      if (outcome !== "success" || t.world.reachesLog(name)) return;
      const node = t.facts.byName.get(name);
      const leader = t.facts.activeLeader();
      if (node === undefined || leader === null || (leader !== node && !t.world.linked(name, leader.name))) return;
      t.until(RECOVERY_MS, () => {
        const entry = entryAt(leader.lastLeader!, partition, offset);
        if (!node.alive || t.facts.activeLeader() !== leader || t.world.reachesLog(name)) return false;
        return entry?.phase === Phase.executed ? true : null;
      });
    },
    t,
  );
}

function cutFromPeers(t: Tracker): void {
  t.facts.on(
    "leftGroup",
    (node) => {
      const leader = t.facts.activeLeader();
      if (leader === null || leader === node || !t.world.reachesLog(node.name) || node.core.member.state.draining)
        return;
      if (node.admitted && node.role !== "isolated" && node.role !== "suspended") return;
      t.until(RECOVERY_MS, () => (t.world.owner.includes(node.name) ? (node.alive ? null : false) : true));
    },
    t,
  );
}

/** It stands still while its handler runs, and the group goes on without it. */
function evicted(t: Tracker): void {
  const asleep = new Map<NodeFacts, readonly Task[]>();
  t.facts.on(
    "stop",
    (node) =>
      asleep.set(
        node,
        [...openTasks(node.windows)].filter(({ state }) => state === State.executing),
      ),
    t,
  );
  t.facts.on(
    "continue",
    (node) => {
      for (const { pid, offset } of asleep.get(node) ?? []) {
        const owner = t.world.owner[partitionOf(pid)];
        if (owner === node.name || owner === null || owner === undefined) continue;
        t.follow(
          pid,
          offset,
          both(moved(node), (story) => knownDone(story) || story.checks.length > 0),
        );
      }
      asleep.delete(node);
    },
    t,
  );
}

/** Batches that the node threw away because their ownership is over; its shell does that before its core is asked. */
function staleBatchesOf({ node }: NodeFacts): number {
  const { running } = node as { readonly running?: { status(): NodeStatus | null } | null };
  return running?.status()?.edges?.["staleBatches"] ?? 0;
}

/** Records of an ownership that is over are thrown away, and the node goes on with what it reads under the present one. */
function stalePrefetch(t: Tracker): void {
  const seen = new Map<NodeFacts, number>();
  const look = (node: NodeFacts): void => {
    const stale = staleBatchesOf(node);
    if (stale > (seen.get(node) ?? 0)) {
      const { delivered } = node.core.ctx.counters;
      t.until(RECOVERY_MS, () => (node.core.ctx.counters.delivered > delivered ? true : node.alive ? null : false));
    }
    seen.set(node, stale);
  };
  t.facts.on("revoked", look, t); // what came late under the assignment that ends now
  t.facts.on(
    "event",
    (node, event) => {
      if (event.type !== "delivered") return;
      const window = node.core.member.state.windows.get(event.batch.pid);
      if (window === undefined || window.ownership > event.batch.ownership) t.hit();
    },
    t,
  );
}

/** The first record of a partition is doubtful; records above it are executed meanwhile. */
function doubtfulHead(t: Tracker): void {
  t.facts.on(
    "checkStarted",
    ({ pid: process, partition, offset }) => {
      const window = t.facts.byProcess.get(process)?.windows.get(partition);
      if (window === undefined || window.committable !== offset) return;
      for (let above = offset + 1; above < Math.min(window.fetchPosition, offset + 200); above++) {
        if (window.stateOf(above) !== State.executed) continue;
        t.follow(partition, offset, () => true);
        return;
      }
    },
    t,
  );
}

const FENCED = /ILLEGAL_GENERATION|UNKNOWN_MEMBER_ID|FENCED_INSTANCE_ID/;

export const rowsE: readonly Row[] = [
  { id: "E1", title: "rebalance while held, asked, doubtful", create: beforeGrant },
  { id: "E2", title: "rebalance while granted", create: whileGranted },
  { id: "E3", title: "rebalance while executing", create: whileExecuting },
  { id: "E4", title: "completions above the position at a rebalance", create: doneAbove },
  { id: "E5", title: "commit fenced", create: (t) => refused(t, FENCED) },
  { id: "E6", title: "commit outcome unknown", create: unknownOutcome },
  { id: "E7", title: "the log takes stale commits", create: staleCommits },
  { id: "E8", title: "offset moves back", create: (t) => movedBack(t, false) },
  { id: "E10", title: "REBALANCE_IN_PROGRESS", create: refusedInJoin },
  { id: "E11", title: "commit fails for good", create: fatal },
  { id: "E12", title: "commit failed and leader down", create: commitFailedLeaderDown },
  { id: "E13", title: "revocation not delivered", create: lostRevocation },
  { id: "E14", title: "redelivered to its executor", create: redelivered },
  { id: "E15", title: "offsets lost", create: offsetsLost },
  { id: "E16", title: "reset to the beginning", create: (t) => movedBack(t, true) },
  { id: "E17", title: "deliberate replay", create: replay },
  { id: "E18", title: "topic cut or out of range", create: truncated },
  { id: "E19", title: "offset gaps", create: gaps },
  { id: "E20", title: "rebalance storm", create: storm },
  { id: "E21", title: "cut from the log", create: cutFromLog },
  { id: "E22", title: "cut from the peers", create: cutFromPeers },
  { id: "E23", title: "blocked past its session", create: evicted },
  { id: "E24", title: "stale prefetch", create: stalePrefetch },
  { id: "E25", title: "doubtful first record", create: doubtfulHead },
];
