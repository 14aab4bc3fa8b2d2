/** Part D: messages of an old epoch in a new one. What an old connection still carried when its node let it go counts as late. */
import { State } from "../../../src/core/member/window.ts";
import { Phase, type Delta } from "../../../src/core/messages.ts";
import { partitionOf, type PartitionId } from "../../../src/core/identity.ts";
import { openTasks, wasChecked, type Task } from "./lookups.ts";
import type { NodeFacts } from "./records.ts";
import { both, ranOnce, unchecked, type Judge, type Row, type Tracker } from "./tracker.ts";

const RECOVERY_MS = 60_000;

/** Every start is by a word of a later epoch than the one of the trigger's message. */
function after(epoch: number): Judge {
  return (story) => story.starts.every((start) => start.epoch > epoch);
}

/** The first delta that the old leader sent to this node and that it has not applied. */
function deltaUnderWay(t: Tracker, node: NodeFacts, epoch: number): Delta | undefined {
  const leader = t.facts.leaders.get(epoch)?.lastLeader ?? null;
  const { appliedEpoch, appliedSeq } = node.core.replica;
  if (leader === null || leader.state.epoch !== epoch || appliedEpoch !== epoch) return undefined;
  return leader.state.log.find((delta) => delta.seq === appliedSeq + 1);
}

function delta(t: Tracker): void {
  t.facts.on(
    "epoch",
    (node, before) => {
      if (node.leader !== null || deltaUnderWay(t, node, before) === undefined) return;
      const { appliedSeq } = node.core.replica;
      t.until(RECOVERY_MS, () => {
        const { replica } = node.core;
        if (!node.alive || (replica.appliedEpoch === before && replica.appliedSeq > appliedSeq)) return false;
        return replica.appliedEpoch > before ? true : null;
      });
    },
    t,
  );
}

/** All who must have it, and one of them could not say so before the leader was deposed. */
function acknowledgement(t: Tracker): void {
  t.facts.on(
    "deposed",
    (_node, leader) => {
      const { epoch, pending, pendingHead, peers } = leader.state;
      for (let i = pendingHead; i < pending.length; i++) {
        const { seq, what } = pending[i]!;
        if (what.kind !== "verdicts" || what.stamps.length === 0) continue;
        const late = [...leader.state.required()].some((incarnation) => {
          const follower = t.facts.byIncarnation.get(incarnation)?.core.replica;
          const peer = peers.get(incarnation);
          return (
            follower?.appliedEpoch === epoch && follower.appliedSeq >= seq && peer !== undefined && peer.applied < seq
          );
        });
        if (late)
          t.follow(
            what.pid,
            what.offsets.base,
            both(after(epoch), (story) => story.effects === 1),
          );
      }
    },
    t,
  );
}

/** Its verdict was on the link that it let go of, and an epoch began before it was asked for again. */
function verdict(t: Tracker, of: "granted" | "doubtful"): void {
  t.facts.on(
    "verdictLost",
    (_node, flight) => {
      const offset = flight[of];
      if (offset < 0) return;
      const ran = t.world.runsByTask.has(t.world.taskIdOf(partitionOf(flight.pid), offset));
      const needed: Judge = ran && of === "doubtful" ? () => true : unchecked;
      const next: Judge = (story) => story.endEpoch > flight.epoch && after(flight.epoch)(story);
      t.follow(flight.pid, offset, both(next, needed));
    },
    t,
  );
}

interface Standing {
  readonly node: NodeFacts;
  readonly tasks: readonly Task[];
}

/** Tasks as they stood when an epoch began, at the nodes that had not heard of it; told at each when it hears. */
function acrossEpoch(
  t: Tracker,
  is: (task: Task) => boolean,
  heard: (node: NodeFacts, task: Task, before: number) => void,
): void {
  let standing: Standing[] = [];
  t.facts.on(
    "elected",
    (next) => {
      standing = [];
      for (const node of t.facts.living()) {
        if (node === next) continue;
        const tasks = [...openTasks(node.windows)].filter(is);
        if (tasks.length > 0) standing.push({ node, tasks: tasks.slice(0, 8) });
      }
    },
    t,
  );
  t.facts.on(
    "epoch",
    (node, before) => {
      const found = standing.find((each) => each.node === node);
      if (found === undefined) return;
      standing = standing.filter((each) => each !== found);
      for (const task of found.tasks) heard(node, task, before);
    },
    t,
  );
}

function grantedUnstarted(t: Tracker): void {
  acrossEpoch(
    t,
    (task) => task.state === State.granted && !wasChecked(task) && !task.window.retryAt.has(task.offset),
    (node, { pid, offset }, before) => {
      if (t.facts.stateAt(node, pid, offset) === State.executing) return;
      t.follow(pid, offset, both(ranOnce, after(before)));
    },
  );
}

function executing(t: Tracker): void {
  acrossEpoch(
    t,
    (task) => task.state === State.executing,
    (node, { pid, offset }) => {
      if (t.facts.stateAt(node, pid, offset) !== State.executing) return;
      t.until(RECOVERY_MS, () => {
        const leader = t.facts.activeLeader();
        if (t.facts.stateAt(node, pid, offset) !== State.executing || !node.alive) return false;
        if (leader === null || leader.epoch < node.epoch) return null;
        const entry = leader.core.replica.table.partitions.get(pid)?.read(offset);
        return entry?.holder === node.incarnation && (entry.phase as number) <= Phase.executing ? true : null;
      });
    },
  );
}

function adoptedUnstarted(t: Tracker): void {
  acrossEpoch(
    t,
    (task) => task.state === State.adopted || (task.state === State.granted && wasChecked(task)),
    (node, { pid, offset }, before) => {
      if (t.facts.stateAt(node, pid, offset) === State.executing || !t.world.settings.hasCheck) return;
      t.follow(
        pid,
        offset,
        both(after(before), (story) => story.checks.length > 0),
      );
    },
  );
}

/** What the leader knows of a task is at least this much. */
function knows(t: Tracker, pid: PartitionId, epoch: number, position: number, offset: number): boolean {
  const leader = t.facts.activeLeader();
  const table = leader?.core.replica.table.partitions.get(pid);
  if (leader === null || leader.epoch <= epoch || table === undefined) return false;
  return position >= 0
    ? table.watermark >= position
    : table.watermark > offset || table.phaseOf(offset) === Phase.executed;
}

/** Told to the old leader, which never processed it. */
function told(t: Tracker, what: "executed" | "committed"): void {
  t.facts.on(
    "epoch",
    (node, before) => {
      for (const { epoch, pid, executed, committed } of node.told) {
        if (epoch !== before || (what === "executed" ? executed : committed) < 0) continue;
        const position = what === "committed" ? committed : -1;
        t.until(RECOVERY_MS, () => (knows(t, pid, epoch, position, executed) ? true : node.alive ? null : false));
      }
    },
    t,
  );
}

function release(t: Tracker): void {
  t.facts.on(
    "epoch",
    (node, before) => {
      for (const { epoch, pid, offset, status, taken } of node.said)
        if (epoch === before && status === "refused" && !taken) t.follow(pid, offset, ranOnce);
    },
    t,
  );
}

/** Half of a state is there when the node hears of a higher epoch: its leader sends all of it again. */
function snapshot(t: Tracker): void {
  const half = new Map<NodeFacts, number>();
  t.facts.on(
    "sent",
    (_node, to, message) => {
      if (message.kind !== "state-chunk" || message.purpose !== "sync") return;
      const joiner = t.facts.byIncarnation.get(to);
      if (joiner !== undefined) half.set(joiner, message.epoch);
    },
    t,
  );
  t.facts.on(
    "received",
    (node, _from, message) => {
      if (message.kind === "state-chunk" && message.last) half.delete(node);
    },
    t,
  );
  t.facts.on(
    "epoch",
    (node) => {
      const epoch = half.get(node);
      if (epoch === undefined || epoch >= node.epoch) return;
      half.delete(node);
      t.until(RECOVERY_MS, () => {
        if (!node.alive) return false;
        return node.admitted && node.epoch > epoch ? node.core.replica.appliedEpoch > epoch : null;
      });
    },
    t,
  );
}

/** Decisions were on a connection that broke; on the next one, in the same epoch, each is applied once. */
function reconnected(t: Tracker): void {
  t.facts.on(
    "received",
    (node, from, message) => {
      if (message.kind !== "welcome" || message.resumeSeq < 0 || message.epoch !== node.epoch) return;
      const leader = t.facts.byIncarnation.get(from)?.leader ?? null;
      if (leader === null || leader.state.seq <= message.resumeSeq) return;
      const { seq, epoch } = leader.state;
      const { unexpectedSeen } = leader.state.ctx.counters;
      t.until(5_000, () => {
        if (node.epoch !== epoch || !node.alive || leader.state.ctx.counters.unexpectedSeen > unexpectedSeen)
          return false;
        return node.core.replica.appliedEpoch === epoch && node.core.replica.appliedSeq >= seq ? true : null;
      });
    },
    t,
  );
}

export const rowsD: readonly Row[] = [
  { id: "D1", title: "delta at a follower", create: delta },
  { id: "D2", title: "acknowledgement at a deposed leader", create: acknowledgement },
  { id: "D3", title: "grant at its node", create: (t) => verdict(t, "granted") },
  { id: "D4", title: "`seen` at its node", create: (t) => verdict(t, "doubtful") },
  { id: "D5", title: "granted, not started", create: grantedUnstarted },
  { id: "D6", title: "executing", create: executing },
  { id: "D7", title: "adopted, not started", create: adoptedUnstarted },
  { id: "D8", title: "ledger entry at the new leader", create: (t) => told(t, "executed") },
  { id: "D9", title: "release at the new leader", create: release },
  { id: "D10", title: "commit note at the new leader", create: (t) => told(t, "committed") },
  { id: "D11", title: "snapshot at a joiner", create: snapshot },
  { id: "D12", title: "frames of an old connection", create: reconnected },
];
