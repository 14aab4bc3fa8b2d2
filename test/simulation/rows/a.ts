/** Part A: the node that asks, or holds a grant, dies; the leader and its followers stay. */
import { partitionOf } from "../../../src/core/identity.ts";
import { State } from "../../../src/core/member/window.ts";
import type { Leader } from "../../../src/core/leader/leader.ts";
import { Phase } from "../../../src/core/messages.ts";
import { entryAt, openTasks, procedureOf, spread, wasChecked, type Procedure, type Task } from "./lookups.ts";
import type { NodeFacts } from "./records.ts";
import { both, checkDecided, knownDone, ranOnce, type Judge, type Row, type Tracker } from "./tracker.ts";

/** The leader led on until the end: otherwise it is another row. */
export const sameLeader: Judge = (story) => story.endEpoch === story.epoch;

/** A node that does not lead dies, and an active leader is left: told with each of its open tasks. */
export function onWorkerDeath(t: Tracker, look: (victim: NodeFacts, leader: Leader, task: Task) => void): void {
  t.facts.on(
    "death",
    (victim) => {
      const leader = t.facts.activeLeader()?.leader ?? null;
      if (leader === null || victim.leader !== null) return;
      for (const task of openTasks(victim.windows)) look(victim, leader, task);
    },
    t,
  );
}

function diesWhen(t: Tracker, procedure: Procedure, judge: Judge): void {
  onWorkerDeath(t, (victim, leader, task) => {
    if (procedureOf(t.facts, leader, victim, task) !== procedure) return;
    if (task.state === State.granted && wasChecked(task)) return;
    t.follow(task.pid, task.offset, judge);
  });
}

/** The task runs at the victim, under a grant that needed no check. */
function diesExecuting(t: Tracker): void {
  onWorkerDeath(t, (victim, _leader, task) => {
    if (task.state !== State.executing || wasChecked(task)) return;
    if (t.facts.runningAt(victim.processId, t.world.taskIdOf(partitionOf(task.pid), task.offset)) === undefined) return;
    t.follow(task.pid, task.offset, both(sameLeader, checkDecided(t)));
  });
}

/** It wanted to start the task in its last step, or had it granted. */
function diesUnstarted(t: Tracker): void {
  onWorkerDeath(t, (victim, leader, task) => {
    const wanted = task.state === State.executing || task.state === State.granted;
    if (!wanted || wasChecked(task) || task.window.attempts[task.window.slot(task.offset)] !== 0) return;
    const id = t.world.taskIdOf(partitionOf(task.pid), task.offset);
    if (t.facts.runningAt(victim.processId, id) !== undefined) return;
    const entry = entryAt(leader, task.pid, task.offset);
    if (entry === null || entry.holder !== victim.incarnation || entry.dirty) return;
    t.follow(task.pid, task.offset, both(sameLeader, checkDecided(t)));
  });
}

function isCommitted(t: Tracker, task: Task): boolean {
  return (t.world.committed[partitionOf(task.pid)] ?? 0) > task.offset;
}

function underCommit(victim: NodeFacts, task: Task): boolean {
  return victim.commit?.commits.some(({ pid, position }) => pid === task.pid && position > task.offset) === true;
}

function executedInMemory(t: Tracker): void {
  onWorkerDeath(t, (victim, leader, task) => {
    if (task.state !== State.executed || isCommitted(t, task) || underCommit(victim, task)) return;
    const entry = entryAt(leader, task.pid, task.offset);
    if (entry === null || entry.phase === Phase.executed) return;
    const told = checkDecided(t, (story) => story.effects === 1 && story.starts.length === 0);
    t.follow(task.pid, task.offset, both(sameLeader, told));
  });
}

function executedInLedger(t: Tracker): void {
  onWorkerDeath(t, (victim, leader, task) => {
    if (task.state !== State.executed || isCommitted(t, task) || underCommit(victim, task)) return;
    const entry = entryAt(leader, task.pid, task.offset);
    if (entry === null || entry.phase !== Phase.executed) return;
    if (spread(t.facts, leader, entry, task.pid) !== "all") return;
    t.follow(task.pid, task.offset, both(sameLeader, knownDone));
  });
}

/** Committed or not, nobody at the victim will ever know. */
function commitUnderWay(t: Tracker): void {
  onWorkerDeath(t, (victim, leader, task) => {
    if (task.state !== State.executed || !underCommit(victim, task)) return;
    if (isCommitted(t, task)) {
      const runs = t.world.runsByTask.get(t.world.taskIdOf(partitionOf(task.pid), task.offset))?.length;
      t.until(10_000, () => {
        const table = leader.state.replica.table.partitions.get(task.pid);
        if (t.facts.activeLeader()?.leader !== leader || table === undefined) return false;
        const now = t.world.runsByTask.get(t.world.taskIdOf(partitionOf(task.pid), task.offset))?.length;
        return now !== runs ? false : table.watermark > task.offset ? true : null;
      });
      return;
    }
    const entry = entryAt(leader, task.pid, task.offset);
    if (entry?.phase === Phase.executed) t.follow(task.pid, task.offset, both(sameLeader, knownDone));
  });
}

function watermarkNotTold(t: Tracker): void {
  t.facts.on(
    "death",
    (victim) => {
      const leader = t.facts.activeLeader()?.leader ?? null;
      if (leader === null || victim.leader !== null) return;
      for (const pid of victim.windows.keys()) {
        const position = t.world.committed[partitionOf(pid)] ?? 0;
        const table = leader.state.replica.table.partitions.get(pid);
        if (table === undefined || table.from < 0 || table.watermark >= position) continue;
        t.until(20_000, () => {
          if (t.facts.activeLeader()?.leader !== leader) return false;
          return table.watermark >= position ? true : null;
        });
      }
    },
    t,
  );
}

/** It answered a revoke with "refused", and that is not in every table. */
function givesBack(t: Tracker): void {
  t.facts.on(
    "death",
    (victim) => {
      const leader = t.facts.activeLeader()?.leader ?? null;
      if (leader === null || victim.leader !== null) return;
      for (const said of victim.said) {
        if (said.status !== "refused" || said.epoch !== leader.state.epoch || t.world.now - said.at > 100) continue;
        const entry = entryAt(leader, said.pid, said.offset);
        if (entry === null || said.offset < (t.world.committed[partitionOf(said.pid)] ?? 0)) continue;
        const held = entry.holder === victim.incarnation;
        if (!held && (entry.holder !== "" || spread(t.facts, leader, entry, said.pid) === "all")) continue;
        t.follow(said.pid, said.offset, (story) => story.effects === 1 || story.setAside !== "");
      }
    },
    t,
  );
}

export const rowsA: readonly Row[] = [
  { id: "A1", title: "record received, not asked", create: (t) => diesWhen(t, "not asked", both(sameLeader, ranOnce)) },
  { id: "A2", title: "ask lost", create: (t) => diesWhen(t, "ask under way", both(sameLeader, ranOnce)) },
  {
    id: "A3",
    title: "grant at the leader only",
    create: (t) => diesWhen(t, "leader only", both(sameLeader, checkDecided(t))),
  },
  { id: "A4", title: "grant partly replicated", create: (t) => diesWhen(t, "partly replicated", checkDecided(t)) },
  {
    id: "A5",
    title: "replicated, reply unsent",
    create: (t) => diesWhen(t, "fully replicated", both(sameLeader, checkDecided(t))),
  },
  {
    id: "A6",
    title: "reply in flight",
    create: (t) => diesWhen(t, "reply under way", both(sameLeader, checkDecided(t))),
  },
  { id: "A7", title: "granted, not started", create: diesUnstarted },
  { id: "A8", title: "executing", create: diesExecuting },
  { id: "A9", title: "executed, only its memory knows", create: executedInMemory },
  { id: "A10", title: "executed, in the ledger", create: executedInLedger },
  { id: "A11", title: "commit sent, answer lost", create: commitUnderWay },
  { id: "A12", title: "committed, W not told", create: watermarkNotTold },
  { id: "A13", title: "dies as it gives a grant back", create: givesBack },
];
