/** Part C: pauses, zombies, trouble with the coordinator. */
import type { PartitionId } from "../../../src/core/identity.ts";
import type { Leader } from "../../../src/core/leader/leader.ts";
import { State } from "../../../src/core/member/window.ts";
import { offsetAt } from "../../../src/core/offsets.ts";
import type { FaultKind } from "../history.ts";
import { entryAt, openTasks, pendingVerdict, spread } from "./lookups.ts";
import type { NodeFacts } from "./records.ts";
import type { Row, Tracker } from "./tracker.ts";

/** How long it may take until all is as before. */
const RECOVERY_MS = 60_000;

function isLeading(t: Tracker, node: NodeFacts): boolean {
  return node.active && t.facts.leading === node;
}

/** A start on any node since `since`, by a word of this epoch. */
function startedSince(t: Tracker, since: number, epoch: number): boolean {
  const run = t.world.runs.at(-1);
  return run !== undefined && run.startedAt >= since && run.startedAt !== Infinity && run.epoch === epoch;
}

/** The leader stands still for longer than its followers' leases: they suspend, and go on with it when it wakes. */
function standsStill(t: Tracker, blocked: boolean): void {
  let suspended = false;
  t.facts.on("role", (_node, role) => (suspended ||= role === "suspended"), t);
  t.facts.on(
    "stop",
    (node, why) => {
      if (isLeading(t, node) && blocked === (why === "block")) suspended = false;
    },
    t,
  );
  t.facts.on(
    "continue",
    (node, _since, why) => {
      if (!suspended || blocked !== (why === "block") || node !== t.facts.leading) return;
      const { epoch } = node;
      const wokeAt = t.world.now;
      t.until(RECOVERY_MS, () => {
        if (t.facts.topEpoch !== epoch)
          return blocked && startedSince(t, wokeAt, t.facts.topEpoch) ? true : !blocked ? false : null;
        return startedSince(t, wokeAt, epoch) ? true : null;
      });
    },
    t,
  );
}

/** The grants that a stopping leader has decided and nobody has heard of: to others (C2), or to itself (C5). */
function stopsWithGrant(t: Tracker, own: boolean): void {
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

function othersGrant(node: NodeFacts, leader: Leader): { pid: PartitionId; offset: number } | null {
  const { pending, pendingHead } = leader.state;
  for (let i = pendingHead; i < pending.length; i++) {
    const { what } = pending[i]!;
    if (what.kind === "verdicts" && what.stamps.length > 0 && what.peer !== node.incarnation)
      return { pid: what.pid, offset: offsetAt(what.offsets, 0) };
  }
  return null;
}

function ownGrant(t: Tracker, node: NodeFacts, leader: Leader): { pid: PartitionId; offset: number } | null {
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
function isZombie(t: Tracker, node: NodeFacts): boolean {
  return node.active && node.epoch < t.facts.topEpoch;
}

function zombieTakesAsk(t: Tracker): void {
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
function zombieDecides(t: Tracker): void {
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

/** The leader is cut from everybody, or from the coordinator as well. */
function isolated(t: Tracker): void {
  t.facts.on(
    "fault",
    ({ kind, node: name }) => {
      const node = t.facts.byName.get(name);
      if (kind !== "cut-all" || node === undefined || !isLeading(t, node) || t.world.settings.nodes < 2) return;
      const { epoch } = node;
      const leaseOver = t.world.now + t.world.settings.timing.leaseMs * 1.05;
      const { inSyncVersion } = t.world;
      const runs = t.world.runs.length;
      t.until(RECOVERY_MS, () => {
        const next = t.facts.activeLeader();
        if (next === null || next === node) return node.alive && t.facts.isLasting(kind) ? null : false;
        if (next.epoch <= epoch) return null;
        const starts = t.world.runs.slice(runs).filter((run) => run.pid === node.processId && run.epoch === epoch);
        return (
          starts.every((run) => run.startedAt < leaseOver || run.startedAt === Infinity) &&
          t.world.inSyncVersion > inSyncVersion
        );
      });
    },
    t,
  );
}

/**
 * The worker stands still with a run, before its first instruction (C7) or in it (C8), until another node has started the task:
 * by a larger token, so that a sink which looks at tokens refuses the old effect; what stood still is aborted when it wakes.
 */
function sleepsInRun(t: Tracker, before: boolean): void {
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
function exLeaderReturns(t: Tracker): void {
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

/** It resigns since too few followers reach it, and another leads. */
function checkQuorum(t: Tracker): void {
  t.facts.on(
    "deposed",
    (node, leader) => {
      if (leader.over !== "resign" || !leader.overReason.startsWith("fewer than")) return;
      if (!t.world.reachesCoordinator(node.name)) return;
      t.until(RECOVERY_MS, () =>
        t.facts.topEpoch > leader.state.epoch && t.facts.activeLeader() !== null ? true : null,
      );
    },
    t,
  );
}

/** At its deadline it falls silent, and only after that another leads. */
function cutFromCoordinator(t: Tracker): void {
  t.facts.on(
    "fault",
    ({ kind, node: name }) => {
      const node = t.facts.byName.get(name);
      const leader = node?.leader ?? null;
      if (kind !== "cut-coordinator" || node === undefined || leader === null || !isLeading(t, node)) return;
      let silentAt = Infinity;
      let releases = 0;
      t.until(RECOVERY_MS, () => {
        if (silentAt === Infinity) {
          if (node.leader !== leader || t.world.reachesCoordinator(name)) return false;
          if (node.node.process.monotonicMs() < leader.state.deadline) return null;
          silentAt = t.world.now;
          releases = node.releases;
        }
        if (node.releases > releases) return false;
        return node.leader !== leader || t.facts.topEpoch > leader.state.epoch ? true : null;
      });
    },
    t,
  );
}

const PEER_CUTS: readonly FaultKind[] = ["cut-peers", "split", "cut-peers-one-way", "slow-link"];

/** Out of the set and without a lease, while the coordinator reaches it. */
function followerCut(t: Tracker): void {
  t.facts.on(
    "fault",
    ({ kind }) => {
      const leader = t.facts.activeLeader();
      if (leader === null || !PEER_CUTS.includes(kind)) return;
      t.until(RECOVERY_MS, () => {
        if (t.facts.activeLeader() !== leader) return false;
        for (const node of t.facts.living()) {
          if (node === leader || !node.runs || t.world.linked(node.name, leader.name)) continue;
          if (!t.world.reachesCoordinator(node.name) || t.world.inSync.includes(node.incarnation)) continue;
          if (node.role === "suspended" || node.role === "isolated") return true;
        }
        return t.facts.isLasting(kind) ? null : false;
      });
    },
    t,
  );
}

/** All pause, and go on in the same epoch. */
function quorumLost(t: Tracker): void {
  let suspended = false;
  t.facts.on("role", (_node, role) => (suspended ||= role === "suspended"), t);
  t.facts.on("fault", ({ kind }) => (suspended &&= kind !== "coordinator-quorum"), t);
  t.facts.on(
    "heal",
    ({ kind }) => {
      const leader = t.facts.activeLeader();
      if (kind !== "coordinator-quorum" || leader === null || !suspended) return;
      const healedAt = t.world.now;
      const { epoch } = leader;
      t.until(RECOVERY_MS, () => {
        if (t.facts.topEpoch !== epoch || !leader.active) return false;
        return startedSince(t, healedAt, epoch) ? true : null;
      });
    },
    t,
  );
}

/** Nodes of the old cluster stop instead of taking the new ensemble for theirs. */
function wiped(t: Tracker): void {
  t.facts.on(
    "fault",
    ({ kind }) => {
      if (kind !== "coordinator-wipe") return;
      const before = [...t.facts.living()];
      t.until(RECOVERY_MS, () => {
        if (
          before.some(
            (node) =>
              node.alive &&
              node.active &&
              node.epoch === t.world.epoch &&
              t.world.leader?.incarnation === node.incarnation,
          )
        )
          return false;
        return before.every((node) => !node.active || !node.alive) ? true : null;
      });
    },
    t,
  );
}

/** The leader's process is new while its old session holds the leadership. */
function ghost(t: Tracker): void {
  t.facts.on(
    "started",
    (name) => {
      const named = t.world.leader;
      const old = named === null ? undefined : t.facts.byIncarnation.get(named.incarnation);
      if (named === null || old === undefined || old.alive || old.name !== name) return;
      t.until(RECOVERY_MS, () => {
        const next = t.facts.activeLeader();
        return next !== null && next.epoch > named.epoch ? true : null;
      });
    },
    t,
  );
}

function electionUnknown(t: Tracker): void {
  t.facts.on(
    "event",
    (node, event) => {
      if (event.type !== "election" || event.outcome !== "unknown") return;
      const named = t.world.leader;
      if (named?.incarnation !== node.incarnation) return;
      t.until(RECOVERY_MS, () => {
        if (!node.alive) return false;
        if (node.active && node.epoch === named.epoch) return true;
        return t.facts.topEpoch > named.epoch ? false : null;
      });
    },
    t,
  );
}

/** Three leaders within a short time, with work done under at least two of them. */
function flaps(t: Tracker): void {
  const led: { readonly at: number; readonly epoch: number }[] = [];
  t.facts.on(
    "active",
    (node) => {
      const spanMs = 6 * t.world.settings.timing.sessionMs;
      led.push({ at: t.world.now, epoch: node.epoch });
      const recent = led.filter(({ at }) => t.world.now - at <= spanMs);
      if (recent.length < 3) return;
      const [first] = recent;
      t.until(RECOVERY_MS, () => {
        const worked = recent.filter(({ epoch }) =>
          t.world.runs.some((run) => run.epoch === epoch && run.startedAt >= first!.at),
        );
        return worked.length >= 2 ? true : null;
      });
    },
    t,
  );
}

/** Nothing starts until a later report is answered, and what runs is not aborted. */
function clockJump(t: Tracker): void {
  t.facts.on(
    "event",
    (node, event) => {
      if (event.type !== "clock-jump" || node.core.member.state.running === 0) return;
      const { lease } = node.core.member.state;
      const { number } = lease;
      const running = t.world.runs.filter((run) => run.pid === node.processId && run.endedAt === Infinity);
      const runs = t.world.runs.length;
      t.until(5_000, () => {
        if (!node.runs) return false;
        if (lease.number === number || !lease.valid(node.node.process.monotonicMs())) {
          return t.world.runs.slice(runs).some((run) => run.pid === node.processId) && lease.number === number
            ? false
            : null;
        }
        return running.every((run) => run.outcome !== "unknown");
      });
    },
    t,
  );
}

export const rowsC: readonly Row[] = [
  { id: "C1", title: "leader stops shorter than its session", create: (t) => standsStill(t, false) },
  { id: "C2", title: "leader stops with acknowledgements pending", create: (t) => stopsWithGrant(t, false) },
  { id: "C3", title: "replaced leader takes an ask", create: zombieTakesAsk },
  { id: "C4", title: "leader cut from all", create: isolated },
  { id: "C5", title: "leader stops with a grant to itself", create: (t) => stopsWithGrant(t, true) },
  { id: "C6", title: "replaced leader settles, acknowledges, publishes", create: zombieDecides },
  { id: "C7", title: "worker sleeps between start check and handler", create: (t) => sleepsInRun(t, true) },
  { id: "C8", title: "worker sleeps in its handler", create: (t) => sleepsInRun(t, false) },
  { id: "C9", title: "ex-leader returns with state", create: exLeaderReturns },
  { id: "C10", title: "leader reached by the coordinator, not by followers", create: checkQuorum },
  { id: "C11", title: "leader reached by followers, not by the coordinator", create: cutFromCoordinator },
  { id: "C12", title: "follower reached by the coordinator, not by the leader", create: followerCut },
  { id: "C13", title: "coordinator loses its quorum", create: quorumLost },
  { id: "C14", title: "coordinator wiped", create: wiped },
  { id: "C15", title: "a ghost session holds the leadership", create: ghost },
  { id: "C16", title: "answer to the election lost", create: electionUnknown },
  { id: "C17", title: "leadership flaps", create: flaps },
  { id: "C18", title: "clock jump", create: clockJump },
  { id: "C19", title: "a handler blocks the leader's loop", create: (t) => standsStill(t, true) },
];
