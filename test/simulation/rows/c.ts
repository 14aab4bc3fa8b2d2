/** Part C: pauses, zombies, trouble with the coordinator. */
import type { FaultKind } from "../history.ts";
import type { NodeFacts } from "./records.ts";
import type { Row, Tracker } from "./tracker.ts";
import { exLeaderReturns, sleepsInRun, stopsWithGrant, zombieDecides, zombieTakesAsk } from "./c-zombies.ts";

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
        if (next === null || next === node)
          return node.alive && (t.facts.isLasting(kind) || !node.active) ? null : false;
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

/**
 * The leader stops at its deadline and nobody takes its place while there is no quorum; after it all go on, in the same epoch or, when
 * the leader gave its session up, in the next.
 */
function quorumLost(t: Tracker): void {
  t.facts.on(
    "fault",
    ({ kind }) => {
      const node = t.facts.activeLeader();
      const leader = node?.leader ?? null;
      if (kind !== "coordinator-quorum" || node === null || leader === null) return;
      const { epoch } = leader.state;
      let paused = false;
      let healedAt = Infinity;
      t.until(RECOVERY_MS, () => {
        if (!node.alive) return false;
        paused ||= node.leader !== leader || node.node.process.monotonicMs() >= leader.state.deadline;
        if (t.facts.isLasting(kind)) return t.facts.topEpoch === epoch ? null : false;
        if (!paused) return false;
        if (healedAt === Infinity) healedAt = t.world.now;
        return startedSince(t, healedAt, t.facts.topEpoch) ? true : null;
      });
    },
    t,
  );
}

/** Another ensemble's epochs mean nothing: nobody of the old cluster leads there. */
function wiped(t: Tracker): void {
  t.facts.on(
    "fault",
    ({ kind }) => {
      if (kind !== "coordinator-wipe") return;
      const since = t.world.now;
      const before = [...t.facts.living()].map((node) => ({ node, leader: node.lastLeader }));
      const { sessionMs } = t.world.settings.timing;
      t.until(RECOVERY_MS, () => {
        if (before.some(({ node, leader }) => node.lastLeader !== leader)) return false;
        if (before.some(({ node }) => node.alive && node.active)) return null;
        return t.world.now - since > 3 * sessionMs ? true : null;
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
