/** Part M: membership, synchronisation, restart. Longer than most files: one short counter a row. */
import { nodeIdOf } from "../../../src/core/identity.ts";
import type { Leader } from "../../../src/core/leader/leader.ts";
import { State } from "../../../src/core/member/window.ts";
import type { Run } from "../observer.ts";
import { openTasks, wasChecked } from "./lookups.ts";
import type { NodeFacts } from "./records.ts";
import { atMostOnce, both, unchecked, type Row, type Tracker } from "./tracker.ts";

const RECOVERY_MS = 60_000;

/** Deltas were sent after the state that a joiner just completed; it is let in only with them. */
function deltasRace(t: Tracker): void {
  t.facts.on(
    "received",
    (node, from, message) => {
      if (message.kind !== "state-chunk" || message.purpose !== "sync" || !message.last) return;
      const leader = t.facts.byIncarnation.get(from)?.leader ?? null;
      if (leader === null || !leader.state.active || leader.state.seq <= message.seq) return;
      const { seq, epoch } = leader.state;
      t.until(RECOVERY_MS, () => {
        if (!node.alive || node.epoch !== epoch) return false;
        const { appliedSeq } = node.core.replica;
        return node.admitted ? appliedSeq >= Math.min(seq, leader.state.released) : null;
      });
    },
    t,
  );
}

/** It has nothing of the last set's state: a member of that set gives it before it votes. */
function emptyWins(t: Tracker): void {
  t.facts.on(
    "elected",
    (node, leader) => {
      if (leader.activation.selfMerged || leader.state.lastSet.length === 0) return;
      t.until(RECOVERY_MS, () => {
        if (node.leader !== leader || !node.alive) return false;
        if (!node.active) return null;
        return [...leader.state.peers.values()].some((peer) => peer.merged);
      });
    },
    t,
  );
}

/** The set still has the old incarnation: the new one counts when it is in the set itself. */
function fastRestart(t: Tracker): void {
  t.facts.on(
    "started",
    (name) => {
      const old = t.world.inSync.find((incarnation) => nodeIdOf(incarnation) === name);
      if (old === undefined) return;
      t.until(RECOVERY_MS, () => {
        const node = t.facts.byName.get(name);
        if (node === undefined || node.incarnation === old) return null;
        if (!node.alive) return false;
        if (!t.world.inSync.includes(node.incarnation)) return node.admitted ? false : null;
        return !t.world.inSync.includes(old) && node.core.replica.appliedEpoch > 0;
      });
    },
    t,
  );
}

/** The whole last set is gone: an unclean start. Whether some node of another time still lived tells M4 from M5. */
function lastSetDies(t: Tracker, othersLive: boolean): void {
  t.facts.on(
    "active",
    (node, leader) => {
      const { lastSet, peers, epoch, startedClean } = leader.state;
      if (lastSet.length === 0 || startedClean || [...peers.values()].some((peer) => peer.merged)) return;
      const died = Math.max(
        ...lastSet.map((incarnation) => t.facts.byIncarnation.get(incarnation)?.diedAt ?? -Infinity),
      );
      if (t.world.settings.nodes === 1 || [...t.facts.living()].some((other) => other.startedAt < died) !== othersLive)
        return;
      untilUncleanStartIsOver(t, node, leader, epoch);
    },
    t,
  );
}

/** Something was checked (or decided by policy), or there was no suspect and work goes on. */
function untilUncleanStartIsOver(t: Tracker, node: NodeFacts, leader: Leader, epoch: number): void {
  const from = t.world.events.length;
  t.until(RECOVERY_MS, () => {
    if (!node.alive || node.leader !== leader) return false;
    const { hasCheck } = t.world.settings;
    const { events } = t.world;
    for (let i = from; i < events.length; i++) {
      const event = events[i]!;
      if (hasCheck && event.type === "check-start") return true;
      if (!leader.state.uncleanStart && event.type === "handler-start" && event.epoch === epoch) return true;
      if (!hasCheck && event.type === "committed" && event.node !== "") return leader.state.suspectsNamed ? true : null;
    }
    return null;
  });
}

/** One after the other drains and comes back into the set, until all have; nothing is checked meanwhile. */
function rollingRestart(t: Tracker): void {
  const replaced = new Set<string>();
  const begin = (): void => replaced.clear();
  t.facts.on("death", begin, t);
  t.facts.on("checkStarted", begin, t);
  t.facts.on(
    "exit",
    (node) => {
      t.armed++;
      const others = [...t.facts.living()].filter((other) => other.name !== node.name);
      if (others.length + 1 < t.world.settings.nodes || !others.every((other) => other.admitted)) begin();
      replaced.add(node.name);
    },
    t,
  );
  t.facts.on(
    "admitted",
    () => {
      if (replaced.size < t.world.settings.nodes || t.world.settings.nodes === 1) return;
      if ([...t.facts.living()].filter((node) => node.admitted).length === t.world.settings.nodes) t.hit();
    },
    t,
  );
}

/** The filter has forgotten a task that still runs. */
function rotatedAway(t: Tracker): void {
  const generations = new Map<Run, number>();
  t.facts.on(
    "start",
    ({ run }) =>
      generations.set(t.world.runs[run - 1]!, t.facts.activeLeader()?.core.replica.filter.openGenerationId ?? 0),
    t,
  );
  t.facts.on("ended", ({ run }) => generations.delete(t.world.runs[run - 1]!), t);
  t.facts.on(
    "sent",
    (_node, _to, message) => {
      if (message.kind !== "delta") return;
      const oldest = message.delta.rotateTo - t.world.settings.filterGenerations;
      for (const [run, generation] of generations)
        if (generation > 0 && generation <= oldest) t.follow(run.partition, run.offset, atMostOnce);
    },
    t,
  );
}

/** Refused in the handshake: a node with another parameter runs for a while and is never let in. */
function mismatch(t: Tracker): void {
  t.facts.on(
    "fault",
    ({ kind, node: name }) => {
      if (kind !== "parameter-mismatch") return;
      const since = t.world.now;
      t.until(RECOVERY_MS, () => {
        const node = t.facts.byName.get(name);
        if (!t.facts.isLasting(kind)) return false;
        if (node === undefined || node.startedAt < since || !node.alive) return null;
        if (node.admitted || node.leaderOf !== "") return false;
        return t.world.now - node.startedAt > t.world.settings.timing.leaseMs ? true : null;
      });
    },
    t,
  );
}

/** Alive and connected, and too late for too long: out of the set, and work goes on. */
function slowFollower(t: Tracker): void {
  t.facts.on(
    "sent",
    (node, to, message) => {
      if (message.kind !== "refused" || message.reason !== "evicted" || !node.active) return;
      if (t.facts.byIncarnation.get(to)?.alive !== true) return;
      const runs = t.world.runs.length;
      t.until(RECOVERY_MS, () => {
        if (!node.alive || !node.active) return false;
        return t.world.runs.length > runs && !t.world.inSync.includes(to) ? true : null;
      });
    },
    t,
  );
}

function rotates(t: Tracker): void {
  t.facts.on(
    "sent",
    (node, to, message) => {
      if (message.kind !== "delta" || !node.active) return;
      const follower = t.facts.byIncarnation.get(to);
      const { rotateTo, epoch } = message.delta;
      if (follower === undefined) return;
      t.until(5_000, () => {
        if (!follower.alive || follower.epoch !== epoch) return false;
        return follower.core.replica.filter.openGenerationId >= rotateTo ? true : null;
      });
    },
    t,
  );
}

/** It drains with grants and runs of its own: what it gives back is given on, unchecked, and it leaves the set. */
function drains(t: Tracker): void {
  t.facts.on(
    "event",
    (node, event) => {
      if (event.type !== "drain" || node.leader !== null) return;
      for (const task of openTasks(node.windows)) {
        const given = task.state === State.granted || task.state === State.asked;
        if (!given || wasChecked(task)) continue;
        const left = (): boolean => node.diedAt !== Infinity && node.core.role === "stopped";
        t.follow(
          task.pid,
          task.offset,
          both(unchecked, (story) => story.effects === 1 && (left() || node.alive)),
        );
        return;
      }
    },
    t,
  );
}

function leaderDrains(t: Tracker): void {
  t.facts.on(
    "event",
    (node, event) => {
      if (event.type !== "drain" || node !== t.facts.activeLeader()) return;
      const { epoch } = node;
      t.until(RECOVERY_MS, () => {
        if (!node.alive && node.core.role !== "stopped") return false;
        const next = t.facts.activeLeader();
        return next !== null && next !== node && next.epoch > epoch ? true : null;
      });
    },
    t,
  );
}

/** The side of the leader goes on in the same epoch; on the other side nothing starts once it is out of the set. */
function split(t: Tracker): void {
  t.facts.on(
    "fault",
    ({ kind }) => {
      const leader = t.facts.activeLeader();
      if (kind !== "split" || leader === null) return;
      let outAt = Infinity;
      t.until(RECOVERY_MS, () => {
        if (!t.facts.isLasting(kind) || t.facts.activeLeader() !== leader) return false;
        const far = [...t.facts.living()].filter((node) => node !== leader && !t.world.linked(node.name, leader.name));
        if (far.length === 0 || far.some((node) => t.world.inSync.includes(node.incarnation))) return null;
        if (far.some((node) => node.role !== "suspended" && node.role !== "isolated")) return null;
        if (outAt === Infinity) outAt = t.world.now;
        const since = t.world.runs.filter((run) => run.startedAt >= outAt && run.startedAt !== Infinity);
        if (since.some((run) => far.some((node) => node.processId === run.pid))) return false;
        return since.length > 0 ? true : null;
      });
    },
    t,
  );
}

/** A cell of one node: each restart is unclean, and works again. */
function single(t: Tracker): void {
  t.facts.on(
    "active",
    (node, leader) => {
      if (t.world.settings.nodes !== 1 || leader.state.lastSet.length === 0 || leader.state.startedClean) return;
      untilUncleanStartIsOver(t, node, leader, leader.state.epoch);
    },
    t,
  );
}

/** The one that is left starts nothing by a word that is newer than the death, and loses nothing; with two it goes on. */
function oneOfTwo(t: Tracker): void {
  t.facts.on(
    "death",
    (victim) => {
      const { nodes, minInSync, timing } = t.world.settings;
      if (nodes !== 2 || minInSync !== 2 || [...t.facts.living()].length !== 1) return;
      const diedAt = t.world.now;
      const [left] = [...t.facts.living()];
      if (left === undefined || !left.admitted) return;
      t.until(RECOVERY_MS, () => {
        if (!left.alive) return false;
        const alone = t.facts.byName.get(victim.name) === victim;
        const late = t.world.runs.some(
          (run) => run.startedAt > diedAt + timing.leaseMs * 1.05 && run.startedAt !== Infinity,
        );
        if (alone) return late ? false : null;
        return late ? true : null;
      });
    },
    t,
  );
}

export const rowsM: readonly Row[] = [
  { id: "M1", title: "deltas race the snapshot", create: deltasRace },
  { id: "M2", title: "empty joiner wins", create: emptyWins },
  { id: "M3", title: "fast restart under one name", create: fastRestart },
  { id: "M4", title: "last of the set die, others live", create: (t) => lastSetDies(t, true) },
  { id: "M5", title: "all die", create: (t) => lastSetDies(t, false) },
  { id: "M6", title: "rolling restart", create: rollingRestart },
  { id: "M7", title: "filter rotation", create: rotatedAway },
  { id: "M8", title: "mixed parameters or versions", create: mismatch },
  { id: "M10", title: "slow follower", create: slowFollower },
  { id: "M11", title: "filter fills", create: rotates },
  { id: "M12", title: "graceful stop of a node", create: drains },
  { id: "M13", title: "graceful stop of the leader", create: leaderDrains },
  { id: "M15", title: "even split", create: split },
  { id: "M16", title: "one node", create: single },
  { id: "M17", title: "one of two dies", create: oneOfTwo },
];
