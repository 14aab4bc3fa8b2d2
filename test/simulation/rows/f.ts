/** Part F: the path of a doubt. Longer than most files: one short counter a row. */
import { partitionOf, type PartitionId } from "../../../src/core/identity.ts";
import { State } from "../../../src/core/member/window.ts";
import type { DoubtPage } from "../../../src/core/messages.ts";
import { offsetAt } from "../../../src/core/offsets.ts";
import { FLOOD } from "./facts.ts";
import { entryAt, openTasks, wasChecked } from "./lookups.ts";
import type { NodeFacts } from "./records.ts";
import { atMostOnce, both, checkDecided, knownDone, ranOnce, type Judge, type Row, type Tracker } from "./tracker.ts";

/** Doubts of one report that are looked at. */
const PAGE_MAX = 16;

function* offsetsOf(page: DoubtPage): Generator<number, void, undefined> {
  for (let i = 0; i < Math.min(PAGE_MAX, page.offsets.count); i++) yield offsetAt(page.offsets, i);
}

/** Told with each doubt that reaches an active leader. */
function onDoubt(
  t: Tracker,
  look: (node: NodeFacts, from: NodeFacts, pid: PartitionId, offset: number, taskId: string) => void,
): void {
  t.facts.on(
    "report",
    (node, from, { doubts }) => {
      if (!node.active) return;
      for (const page of doubts) {
        for (const offset of offsetsOf(page))
          look(node, from, page.pid, offset, t.world.taskIdOf(partitionOf(page.pid), offset));
      }
    },
    t,
  );
}

/** Settled as a false positive: granted without a check, and in truth nobody had begun it. */
function falsePositive(t: Tracker): void {
  onDoubt(t, (node, from, pid, offset, taskId) => {
    const doubt = from.core.member.state.windows.get(pid)?.doubts.get(offset);
    if (doubt === undefined || doubt.verdictLost || doubt.waited || t.world.runsByTask.has(taskId)) return;
    const entry = entryAt(node.leader!, pid, offset);
    if (entry === null || entry.dirty || entry.holder !== from.incarnation) return;
    const { falsePositive: before } = from.core.ctx.settled;
    t.follow(
      pid,
      offset,
      both(ranOnce, () => from.core.ctx.settled.falsePositive > before),
    );
  });
}

/** Two nodes doubt the same record, or two records of one task: one of them is given it. */
function twoDoubtful(t: Tracker): void {
  onDoubt(t, (_node, from, pid, offset) => {
    for (const other of t.facts.living()) {
      if (other === from || other.core.member.state.windows.get(pid)?.doubts.has(offset) !== true) continue;
      t.follow(pid, offset, (story) => atMostOnce(story) && new Set(story.checks.map(({ node }) => node)).size <= 1);
    }
  });
  t.facts.on(
    "checkStarted",
    ({ pid: process, partition, offset, taskId }) => {
      for (const other of t.facts.living()) {
        if (other.processId === process) continue;
        for (const window of other.windows.values()) {
          for (const doubt of window.doubts.values()) {
            if (window.idOf(doubt.offset) === taskId) t.follow(partition, offset, atMostOnce);
          }
        }
      }
    },
    t,
  );
}

/** The holder said that it runs the task (or has it in flight) and dies. */
function attesterDies(t: Tracker): void {
  t.facts.on(
    "death",
    (victim) => {
      for (const { pid, offset, status } of victim.said) {
        if (status !== "running" || t.facts.stateAt(victim, pid, offset) !== State.executing) continue;
        t.follow(pid, offset, checkDecided(t));
      }
    },
    t,
  );
}

/** It executed, somebody else dropped its copy on that word, and it dies before that is committed. */
function attesterExecutedDies(t: Tracker): void {
  t.facts.on(
    "death",
    (victim) => {
      for (const [pid, tasks] of victim.core.member.state.retained) {
        for (const [offset, { state }] of tasks) {
          if (state !== State.executed || (t.world.committed[partitionOf(pid)] ?? 0) > offset) continue;
          for (const other of t.facts.living())
            if (other.windows.get(pid)?.stateOf(offset) === State.dropped) t.follow(pid, offset, knownDone);
        }
      }
    },
    t,
  );
}

/** A run hangs while another node's doubt waits for it; its time limit ends it, and then the check decides. */
function attesterHangs(t: Tracker): void {
  t.facts.on(
    "ended",
    ({ run, outcome }) => {
      if (outcome !== "hang-ended") return;
      const { pid: process, partition, offset } = t.world.runs[run - 1]!;
      for (const other of t.facts.living()) {
        if (other.processId === process || !hasDoubt(other, partition, offset)) continue;
        t.follow(partition, offset, checkDecided(t));
      }
    },
    t,
  );
}

function hasDoubt(node: NodeFacts, pid: PartitionId, offset: number): boolean {
  return node.core.member.state.windows.get(pid)?.doubts.has(offset) === true;
}

/** Waiting, adopted, or checked and not started. */
function holderDies(t: Tracker): void {
  t.facts.on(
    "death",
    (victim) => {
      for (const task of openTasks(victim.windows)) {
        const adopted = task.state === State.adopted || (task.state === State.granted && wasChecked(task));
        const waiting = task.state === State.doubtful && task.window.doubts.get(task.offset)?.waited === true;
        if (adopted || waiting) t.follow(task.pid, task.offset, checkedBy(t, victim));
      }
    },
    t,
  );
}

/** Somebody else checked, after the trigger. */
function checkedBy(t: Tracker, not: NodeFacts): Judge {
  return (story) => {
    if (!t.world.settings.hasCheck) return false;
    return story.checks.some(({ node, at }) => node !== not.name || at > not.diedAt) && atMostOnce(story);
  };
}

function holderDiesRunning(t: Tracker): void {
  t.facts.on(
    "death",
    (victim) => {
      for (const task of openTasks(victim.windows)) {
        if (task.state !== State.executing || !wasChecked(task)) continue;
        const id = t.world.taskIdOf(partitionOf(task.pid), task.offset);
        if (t.facts.runningAt(victim.processId, id) !== undefined) t.follow(task.pid, task.offset, checkDecided(t));
      }
    },
    t,
  );
}

function holderLosesPartition(t: Tracker): void {
  t.facts.on(
    "revoked",
    (node, windows) => {
      for (const task of openTasks(windows)) {
        const adopted = task.state === State.adopted || (task.state === State.granted && wasChecked(task));
        if (!adopted || !t.world.settings.hasCheck) continue;
        t.follow(
          task.pid,
          task.offset,
          (story) =>
            story.committedBy !== node.name &&
            story.starts.every((start) => start.node !== node.name) &&
            story.checks.some((check) => check.node !== node.name) &&
            atMostOnce(story),
        );
      }
    },
    t,
  );
}

/** Asked again after a pause, or decided by policy; not committed before. */
function checkFails(t: Tracker): void {
  t.facts.on(
    "checkEnded",
    (event) => {
      if (event.answer !== "unknown" && event.answer !== "threw") return;
      const check = checkOf(t, event.check);
      if (check === undefined) return;
      const decided: Judge = (story) =>
        story.checks.some((again) => again.number !== event.check && again.at > story.since) ||
        story.setAside !== "" ||
        story.starts.length > 0;
      t.follow(check.partition, check.offset, decided);
    },
    t,
  );
}

/** Checks that lie: the cell does what they say, and no more. */
function checkIsWrong(t: Tracker, answer: "executed" | "not-executed"): void {
  t.facts.on(
    "checkEnded",
    (event) => {
      if (event.answer !== answer || event.truth === (answer === "executed")) return;
      const check = checkOf(t, event.check);
      if (check === undefined) return;
      const { partition, offset } = check;
      if (answer === "executed")
        t.follow(partition, offset, (story) => story.starts.length === 0 && story.setAside === "");
      else t.follow(partition, offset, (story) => story.starts.length > 0);
    },
    t,
  );
}

function checkOf(t: Tracker, check: number): { readonly partition: number; readonly offset: number } | undefined {
  const { events } = t.world;
  for (let i = events.length - 1; i >= 0; i--) {
    const event = events[i]!;
    if (event.type === "check-start" && event.check === check) return event;
  }
  return undefined;
}

/** The holder is alive and cannot be reached: that is no evidence. */
function holderUnreachable(t: Tracker): void {
  onDoubt(t, (node, from, pid, offset) => {
    const leader = node.leader;
    const holder = leader === null ? undefined : entryAt(leader, pid, offset)?.holder;
    if (leader === null || holder === undefined || holder === "" || holder === from.incarnation) return;
    const away = t.facts.byIncarnation.get(holder);
    if (away === undefined || !away.alive || leader.state.connected(holder)) return;
    if (t.facts.stateAt(away, pid, offset) !== State.executing && t.facts.stateAt(away, pid, offset) !== State.executed)
      return;
    t.follow(pid, offset, (story) => knownDone(story) || checkDecided(t)(story));
  });
}

/** A reply was lost on its link and the same node asks again in the same epoch: its own bit raises no doubt. */
function ownBit(t: Tracker): void {
  t.facts.on(
    "verdictLost",
    (node, { granted, pid, epoch }) => {
      if (granted < 0) return;
      const again: Judge = ({ starts }) => starts[0]?.process === node.processId && starts[0].epoch === epoch;
      t.follow(pid, granted, both(ranOnce, again));
    },
    t,
  );
}

/** Many doubts at once: no more checks at a time than allowed, and all of them end. */
function flood(t: Tracker): void {
  const flooded = new Set<NodeFacts>();
  t.facts.on(
    "doubtful",
    (node) => {
      if (flooded.has(node)) return;
      flooded.add(node);
      const { state } = node.core.member;
      const { checkConcurrency } = t.world.settings;
      t.until(60_000, () => {
        if (state.checking > checkConcurrency || !node.alive) return false;
        return state.doubtCount < FLOOD / 4 ? true : null;
      });
    },
    t,
  );
}

/** The second record of a task doubts while the first one runs: dropped when that has executed, else run after it. */
function oneTaskTwoRecords(t: Tracker): void {
  onDoubt(t, (_node, _from, pid, offset, taskId) => {
    const first = t.world.runsByTask.get(taskId)?.findLast((run) => run.endedAt === Infinity);
    if (first === undefined || (first.partition === partitionOf(pid) && first.offset === offset)) return;
    t.follow(pid, offset, (story) => story.effects === 1 && (first.outcome !== "success" || story.starts.length === 0));
  });
}

/** Tried again under the same grant; at the end it is executed, or dead-lettered. */
function handlerFails(t: Tracker): void {
  t.facts.on(
    "ended",
    ({ run, outcome }) => {
      const failed = t.world.runs[run - 1]!;
      if (outcome !== "failure" || failed.attempt !== 1) return;
      const again: Judge = (story) =>
        story.checks.length === 0 &&
        (story.setAside === "dead" ||
          story.starts.some(
            ({ attempt, epoch, stamp }) => attempt === 2 && epoch === failed.epoch && stamp === failed.stamp,
          ));
      t.follow(failed.partition, failed.offset, again);
    },
    t,
  );
}

export const rowsF: readonly Row[] = [
  { id: "F1", title: "false positive", create: falsePositive },
  { id: "F2", title: "two nodes doubt one task", create: twoDoubtful },
  { id: "F3", title: "attester says executing, dies", create: attesterDies },
  { id: "F4", title: "attester says executed, dies", create: attesterExecutedDies },
  { id: "F5", title: "attester hangs", create: attesterHangs },
  { id: "F6", title: "doubt holder dies: waiting, adopted, checked", create: holderDies },
  { id: "F7", title: "doubt holder dies in its run", create: holderDiesRunning },
  { id: "F8", title: "doubt holder loses the partition", create: holderLosesPartition },
  { id: "F9", title: "check fails", create: checkFails },
  { id: "F10", title: "check reads a stale replica", create: (t) => checkIsWrong(t, "not-executed") },
  { id: "F11", title: "check is wrong", create: (t) => checkIsWrong(t, "executed") },
  { id: "F12", title: "nobody reachable could vouch", create: holderUnreachable },
  { id: "F13", title: "reply lost, own bit", create: ownBit },
  { id: "F14", title: "doubt flood", create: flood },
  { id: "F15", title: "one task in two records", create: oneTaskTwoRecords },
  { id: "F16", title: "handler fails", create: handlerFails },
];
