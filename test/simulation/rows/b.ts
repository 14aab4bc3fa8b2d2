/** Part B: the leader dies. */
import { partitionOf, type PartitionId } from "../../../src/core/identity.ts";
import type { Leader } from "../../../src/core/leader/leader.ts";
import { SELF } from "../../../src/core/leader/state.ts";
import { State } from "../../../src/core/member/window.ts";
import { Phase } from "../../../src/core/messages.ts";
import { sameSet } from "../../../src/core/leader/in-sync.ts";
import {
  entryAt,
  openTasks,
  procedureOf,
  spread,
  wasChecked,
  watermarkOf,
  type Procedure,
  type Task,
} from "./lookups.ts";
import type { NodeFacts } from "./records.ts";
import { both, checkDecided, knownDone, ranOnce, unchecked, type Judge, type Row, type Tracker } from "./tracker.ts";

/** How long a cell may take from the death of its leader to the next vote. */
const ELECTION_MS = 60_000;

function onLeaderDeath(t: Tracker, look: (victim: NodeFacts, leader: Leader) => void): void {
  t.facts.on(
    "death",
    (victim) => {
      if (victim.leader !== null && victim.active && victim === t.facts.leading) look(victim, victim.leader);
    },
    t,
  );
}

/** Told with each open task of each other node of its epoch. */
function onOrphan(t: Tracker, look: (leader: Leader, asker: NodeFacts, task: Task) => void): void {
  onLeaderDeath(t, (victim, leader) => {
    for (const asker of t.facts.living()) {
      if (asker === victim || asker.epoch !== leader.state.epoch) continue;
      for (const task of openTasks(asker.windows)) look(leader, asker, task);
    }
  });
}

/** The same incarnation starts it first, by a word of a later epoch. */
function givenAnew(asker: NodeFacts): Judge {
  return (story) => story.starts[0]?.process === asker.processId && story.starts[0].epoch > story.epoch;
}

const ofNextEpoch: Judge = (story) => story.starts.every((start) => start.epoch > story.epoch);

function diesWhen(t: Tracker, procedure: Procedure, judge: (asker: NodeFacts) => Judge): void {
  onOrphan(t, (leader, asker, task) => {
    if (procedureOf(t.facts, leader, asker, task) === procedure) t.follow(task.pid, task.offset, judge(asker));
  });
}

function replySent(t: Tracker): void {
  onOrphan(t, (leader, asker, task) => {
    const procedure = procedureOf(t.facts, leader, asker, task);
    if (procedure !== "reply under way" && procedure !== "granted") return;
    if (!wasChecked(task)) t.follow(task.pid, task.offset, ranOnce);
  });
}

/** Adopted by the asker at the leader, and the asker does not know it. */
function adoptionUnanswered(t: Tracker): void {
  onOrphan(t, (leader, asker, task) => {
    if (task.state !== State.doubtful || (task.window.doubts.get(task.offset)?.asking ?? 0) === 0) return;
    const entry = entryAt(leader, task.pid, task.offset);
    if (entry === null || !entry.dirty || entry.holder !== asker.incarnation || entry.phase !== Phase.granted) return;
    if (entry.epoch !== leader.state.epoch || spread(t.facts, leader, entry, task.pid) === "none") return;
    const renewed: Judge = (story) => story.checks[0]?.node === asker.name && ofNextEpoch(story);
    t.follow(task.pid, task.offset, renewed);
  });
}

function checkedNotStarted(t: Tracker): void {
  onOrphan(t, (_leader, _asker, task) => {
    if (task.state !== State.granted || !wasChecked(task) || !t.world.settings.hasCheck) return;
    t.follow(task.pid, task.offset, (story) => story.checks.length > 0 && ofNextEpoch(story));
  });
}

function ledgerEntry(t: Tracker, far: "not replicated" | "replicated"): void {
  onOrphan(t, (leader, _asker, task) => {
    if (task.state !== State.executed || (t.world.committed[partitionOf(task.pid)] ?? 0) > task.offset) return;
    const entry = entryAt(leader, task.pid, task.offset);
    if (entry === null || entry.phase !== Phase.executed || entry.epoch !== leader.state.epoch) return;
    if ((spread(t.facts, leader, entry, task.pid) === "all") !== (far === "replicated")) return;
    t.follow(
      task.pid,
      task.offset,
      both(knownDone, (story) => story.endEpoch > story.epoch),
    );
  });
}

/** The next leader votes: true. */
function nextLeads(t: Tracker, after: number): boolean {
  const next = t.facts.activeLeader();
  return next !== null && next.epoch > after;
}

function joinerHalfSynced(t: Tracker): void {
  onLeaderDeath(t, (victim, leader) => {
    for (const peer of leader.state.peers.values()) {
      const joiner = t.facts.byIncarnation.get(peer.incarnation);
      if (peer.standing !== "syncing" || joiner === undefined || !joiner.alive || joiner === victim) continue;
      if (joiner.core.replica.appliedEpoch === leader.state.epoch || t.world.inSync.includes(joiner.incarnation))
        continue;
      t.until(ELECTION_MS, () => {
        if (!joiner.alive) return false;
        const { appliedEpoch } = joiner.core.replica;
        return joiner.admitted && joiner.epoch > victim.epoch ? appliedEpoch === joiner.epoch : null;
      });
    }
  });
}

function nextLeaderDies(t: Tracker): void {
  t.facts.on(
    "death",
    (victim) => {
      const { leader } = victim;
      if (leader === null || leader.state.active || leader.state.lastSet.length === 0) return;
      const { epoch, inSyncVersion } = leader.state;
      const told = [...t.facts.living()].some((node) => node !== victim && node.epoch === epoch);
      if (!told || t.world.inSyncVersion !== inSyncVersion) return;
      t.until(ELECTION_MS, () => (nextLeads(t, epoch) ? true : null));
    },
    t,
  );
}

/** The set in the coordinator is the old or the new one, and the next leader begins from it. */
function setChangeOpen(t: Tracker): void {
  t.facts.on(
    "death",
    (victim) => {
      const { leader } = victim;
      if (leader === null || !leader.state.active || leader.state.pendingSet === null) return;
      const { epoch, inSync, pendingSet } = leader.state;
      t.until(ELECTION_MS, () => {
        if (!nextLeads(t, epoch)) return null;
        const { lastSet } = t.facts.activeLeader()!.leader!.state;
        return sameSet(lastSet, inSync) || sameSet(lastSet, pendingSet) || t.facts.topEpoch > epoch + 1;
      });
    },
    t,
  );
}

function ownTasks(t: Tracker): void {
  onLeaderDeath(t, (victim) => {
    for (const task of openTasks(victim.windows)) {
      if (task.state !== State.executing) continue;
      const id = t.world.taskIdOf(partitionOf(task.pid), task.offset);
      if (t.facts.runningAt(victim.processId, id) !== undefined) t.follow(task.pid, task.offset, checkDecided(t));
    }
  });
}

function watermarkNotReplicated(t: Tracker): void {
  onLeaderDeath(t, (victim, leader) => {
    const behind: { readonly pid: PartitionId; readonly watermark: number }[] = [];
    for (const [pid, { watermark }] of leader.state.replica.table.partitions) {
      for (const peer of leader.state.peers.values()) {
        const follower = t.facts.byIncarnation.get(peer.incarnation);
        if (peer.connection === SELF || peer.standing !== "synced" || follower === undefined) continue;
        if (watermarkOf(follower, pid) < watermark) behind.push({ pid, watermark });
      }
    }
    if (behind.length === 0) return;
    t.until(ELECTION_MS, () => {
      const next = t.facts.activeLeader();
      if (next === null || next.epoch <= victim.epoch) return null;
      return behind.every(({ pid, watermark }) => watermarkOf(next, pid) >= watermark) ? true : null;
    });
  });
}

export const rowsB: readonly Row[] = [
  {
    id: "B1",
    title: "before it takes the ask",
    create: (t) => diesWhen(t, "ask under way", () => both(ranOnce, ofNextEpoch)),
  },
  {
    id: "B2",
    title: "grant at the leader only",
    create: (t) => diesWhen(t, "leader only", () => both(ranOnce, ofNextEpoch)),
  },
  {
    id: "B3",
    title: "grant partly replicated",
    create: (t) => diesWhen(t, "partly replicated", (asker) => both(unchecked, givenAnew(asker))),
  },
  {
    id: "B4",
    title: "replicated, reply unsent",
    create: (t) => diesWhen(t, "fully replicated", (asker) => both(unchecked, givenAnew(asker))),
  },
  { id: "B5", title: "reply sent", create: replySent },
  { id: "B6", title: "adoption replicated, answer unsent", create: adoptionUnanswered },
  { id: "B7", title: "check done, task not started", create: checkedNotStarted },
  { id: "B8", title: "ledger entry not replicated", create: (t) => ledgerEntry(t, "not replicated") },
  { id: "B9", title: "ledger entry replicated", create: (t) => ledgerEntry(t, "replicated") },
  { id: "B10", title: "a joiner has half of its state", create: joinerHalfSynced },
  { id: "B11", title: "the next leader dies activating", create: nextLeaderDies },
  { id: "B12", title: "set change with unknown outcome", create: setChangeOpen },
  { id: "B13", title: "it executes tasks of its own", create: ownTasks },
  { id: "B14", title: "watermarks not replicated", create: watermarkNotReplicated },
];
