/** I6-I9, I16: epochs, tokens, and that who starts a task is who the whole in-sync set says it is. */
import type { CoreEffect } from "../../../src/core/effects.ts";
import { compareStamps, partitionOf, type PartitionId } from "../../../src/core/identity.ts";
import { State, type PartitionWindow } from "../../../src/core/member/window.ts";
import { isFinalPhase } from "../../../src/core/table.ts";
import type { HistoryEvent } from "../history.ts";
import type { Observer, SimulatedNode, World } from "../observer.ts";
import { copiesOf, inSyncOf, isLive, keyOf, violated } from "./checker.ts";
import { returnedMeanwhile } from "./returned.ts";
import { zombiesOf } from "./timing.ts";

export type Execute = Extract<CoreEffect, { type: "execute" }>;

/**
 * One incarnation an epoch, epochs that rise from one active leader to the next, and none that falls at a node. An answer to the last
 * write of an activation may come when its sender was replaced long ago: a leader past its deadline decides nothing, so it does
 * not count as active.
 */
export function oneLeader(world: World): Observer {
  const leaders = new Map<number, string>();
  const terms = new Set<string>(); // who led which epoch, also before a wipe
  const epochs = new Map<string, number>(); // by incarnation
  let highest = 0;
  return {
    onHistory(event) {
      if (event.type !== "fault" || event.kind !== "coordinator-wipe") return;
      leaders.clear(); // another cluster UUID: epochs of the two are not compared
      highest = 0;
    },
    onStep(node, _event, _effects, now) {
      const { epoch, leader } = node.core!;
      const before = epochs.get(node.incarnation) ?? 0;
      if (epoch < before) violated("I6", `${node.name} fell from epoch ${before} to ${epoch} at ${world.now}`);
      if (epoch > before) epochs.set(node.incarnation, epoch);
      if (leader === null || !leader.state.mayAct(now)) return;
      const term = `${leader.state.epoch} ${node.incarnation}`;
      if (terms.has(term)) return;
      const led = leaders.get(leader.state.epoch);
      if (led !== undefined)
        violated(
          "I6",
          `${led} and ${node.incarnation} are active leaders of epoch ${leader.state.epoch} (at ${world.now})`,
        );
      if (leader.state.epoch <= highest)
        violated("I6", `${node.incarnation} leads epoch ${leader.state.epoch} at ${world.now}, after epoch ${highest}`);
      terms.add(term);
      leaders.set(leader.state.epoch, node.incarnation);
      highest = leader.state.epoch;
    },
  };
}

/**
 * A message of a lower epoch changes nothing that is replicated. `attach` and `refused` carry the sender's epoch as news, not as a claim
 * to act in it. At a leader the same turn may release what was decided before; there only the answer is looked at.
 */
export function oldEpochsRefused(world: World): Observer {
  const known = new Map<SimulatedNode, Applied>();
  return {
    onStep(node, event, effects) {
      const core = node.core!;
      const { table, appliedEpoch, appliedSeq } = core.replica;
      let state = known.get(node);
      if (state === undefined)
        known.set(node, (state = { epoch: 0, appliedEpoch: 0, appliedSeq: 0, entries: 0, ledger: 0 }));
      if (event.type === "message" && event.message.epoch < state.epoch) {
        const { kind, epoch } = event.message;
        const what = `${node.name} (epoch ${state.epoch}) took a ${kind} of epoch ${epoch} at ${world.now}`;
        const acknowledged = effects.some(
          (effect) => effect.type === "send" && effect.connection === event.connection && effect.message.kind === "ack",
        );
        if (kind !== "attach" && kind !== "refused") {
          if (core.leader !== null && acknowledged) violated("I7", `${what} and acknowledged it`);
          const same =
            appliedEpoch === state.appliedEpoch &&
            appliedSeq === state.appliedSeq &&
            table.entries === state.entries &&
            table.ledger === state.ledger;
          if (core.leader === null && !same)
            violated("I7", `${what}: ${state.appliedEpoch}-${state.appliedSeq} became ${appliedEpoch}-${appliedSeq}`);
        }
      }
      state.epoch = core.epoch;
      state.appliedEpoch = appliedEpoch;
      state.appliedSeq = appliedSeq;
      state.entries = table.entries;
      state.ledger = table.ledger;
    },
  };
}

interface Applied {
  epoch: number;
  appliedEpoch: number;
  appliedSeq: number;
  entries: number;
  ledger: number;
}

/** Whether this node could start that task now: the whole of its start check (R9). */
function couldStart(node: SimulatedNode, pid: PartitionId, offset: number): boolean {
  if (!isLive(node)) return false;
  const { state } = node.core!.member;
  const window = state.windows.get(pid);
  if (window === undefined || window.stopped !== "" || window.stateOf(offset) !== State.granted) return false;
  return window.eras[window.slot(offset)] === state.era && state.mayStart(node.process.monotonicMs());
}

interface Started {
  readonly epoch: number;
  readonly stamp: number;
  readonly attempt: number;
  readonly incarnation: string;
  readonly key: string;
}

/**
 * At each start: nobody else could start the same task (of this record, or of another record with the same id), and its token is larger
 * than that of every start before; a further attempt of one grant keeps its token. Records of one id whose first lies outside of the
 * filter's window are not compared by `noDouble`; their tokens rise all the same, because sequences do.
 */
export function oneGrant(world: World): Observer {
  const last = new Map<string, Started>(); // by task id
  const records = new Map<string, { readonly partition: number; readonly offset: number }[]>();
  const zombies = zombiesOf(world);
  const others = (node: SimulatedNode, pid: PartitionId, offset: number): void => {
    const taskId = world.taskIdOf(partitionOf(pid), offset);
    for (const record of records.get(taskId) ?? [{ partition: partitionOf(pid), offset }]) {
      for (const other of world.nodes.values()) {
        if (other === node && record.offset === offset && record.partition === partitionOf(pid)) continue;
        // There is one topic: a partition's id is its number.
        if (!couldStart(other, record.partition, record.offset)) continue;
        const key = keyOf(record.partition, record.offset);
        violated("I8", `${taskId} starts on ${node.name} at ${world.now}, and ${other.name} may start ${key} as well`);
      }
    }
  };
  const rises = (node: SimulatedNode, effect: Execute, i: number): void => {
    const offset = effect.offsets[i]!;
    const key = keyOf(partitionOf(effect.pid), offset);
    const taskId = world.taskIdOf(partitionOf(effect.pid), offset);
    const { incarnation } = node;
    const next = { epoch: effect.epoch, stamp: effect.stamps[i]!, attempt: effect.attempts[i]!, incarnation, key };
    const before = last.get(taskId);
    last.set(taskId, next);
    if (before === undefined) return;
    const order = compareStamps(next.epoch, next.stamp, before.epoch, before.stamp);
    if (order > 0) return;
    if (order === 0 && before.incarnation === incarnation && before.key === key && next.attempt > before.attempt)
      return;
    // notStarted at the runner: given back, and started again under the same grant.
    const runs = world.runsByTask.get(taskId) ?? [];
    const ran = runs.some((run) => run.epoch === before.epoch && run.stamp === before.stamp);
    if (order === 0 && before.incarnation === incarnation && before.key === key && !ran) return;
    violated(
      "I8",
      `the token of ${taskId} did not rise: ${before.epoch}-${before.stamp} (attempt ${before.attempt}, ${before.key} at ` +
        `${before.incarnation}), then ${next.epoch}-${next.stamp} (attempt ${next.attempt}, ${key} at ${incarnation}) at ${world.now}`,
    );
  };
  return {
    onHistory(event: HistoryEvent) {
      zombies.onHistory(event);
      if (event.type !== "produced") return;
      const { partition, offset, taskId } = event;
      const known = records.get(taskId);
      if (known === undefined) records.set(taskId, [{ partition, offset }]);
      else known.push({ partition, offset });
    },
    quietSteps: [],
    onStep(node, _event, effects) {
      for (const effect of effects) {
        if (effect.type !== "execute") continue;
        for (let i = 0; i < effect.offsets.length; i++) {
          others(node, effect.pid, effect.offsets[i]!);
          rises(node, effect, i);
        }
      }
    },
  };
}

/**
 * The start check, once more and from outside (R9), for handlers and for checks: and every copy of the table that the coordinator
 * names says that the task is this node's. A copy may know a later sequence of the same holder (the entry was marked dirty since).
 */
export function startsAreGranted(world: World): Observer {
  const check = (
    node: SimulatedNode,
    pid: PartitionId,
    offset: number,
    epoch: number,
    now: number,
    what: string,
    suspendsLater: boolean,
  ): void => {
    const { state } = node.core!.member;
    const name = `${what} of ${keyOf(partitionOf(pid), offset)} on ${node.name} at ${world.now}`;
    const window = state.windows.get(pid);
    if (epoch !== node.core!.epoch) violated("I9", `${name}: epoch ${epoch}, the node is in ${node.core!.epoch}`);
    if (!state.lease.valid(now)) violated("I9", `${name}: the lease ended at ${state.lease.until}, now ${now}`);
    if (now >= state.watchdogUntil)
      violated("I9", `${name}: the watchdog was last heard for ${state.watchdogUntil}, now ${now}`);
    if ((!state.admitted && !suspendsLater) || state.barrier)
      violated("I9", `${name}: not admitted, or a join is under way`);
    if (window === undefined || window.ownership !== state.ownership) violated("I9", `${name}: another ownership`);
    for (const copy of copiesOf(world)) {
      const table = copy.core!.replica.table.partition(pid);
      if (table.holderOf(offset) === node.incarnation && !isFinalPhase(table.phaseOf(offset))) continue;
      if (returnedMeanwhile(world, node, copy, pid, offset)) continue;
      const entry = JSON.stringify(table.read(offset));
      violated("I9", `${name} (epoch ${epoch}): at ${copy.name} its entry is ${entry}, watermark ${table.watermark}`);
    }
  };
  return {
    quietSteps: [],
    onStep(node, _event, effects, now) {
      for (const [place, effect] of effects.entries()) {
        if (effect.type !== "check" && effect.type !== "execute") continue;
        // A tick starts what is due, and then a leader may find that it has to resign: what came before that was valid.
        const later = effects.some((other, i) => i > place && other.type === "role" && other.role === "suspended");
        if (effect.type === "check") check(node, effect.pid, effect.offset, effect.epoch, now, "a check", later);
        else {
          if (effect.validUntil <= now)
            violated("I9", `${node.name} starts at ${now} what is valid until ${effect.validUntil}`);
          for (const offset of effect.offsets) check(node, effect.pid, offset, effect.epoch, now, "a start", later);
        }
      }
    },
  };
}

/**
 * Now and then: whatever a member with a lease holds as granted or runs is its own in every copy of the table. What it runs since before
 * its isolation deadline passed is not looked at: it was waited for (R12), and its handler is being aborted.
 */
export function tableNamesHolders(world: World): Observer {
  const isolated = new Map<string, number>(); // incarnation -> true time at which it was last past its deadline
  const judge = (
    node: SimulatedNode,
    copies: readonly SimulatedNode[],
    window: PartitionWindow,
    offset: number,
  ): void => {
    const state = window.states[window.slot(offset)]!;
    const isGranted = state === State.granted && window.eras[window.slot(offset)] === node.core!.member.state.era;
    if (!isGranted && state !== State.executing) return;
    const partition = partitionOf(window.pid);
    const runs = world.runsByTask.get(world.taskIdOf(partition, offset)) ?? [];
    // A process that slept past the quarantine may wake and tell of a run of its own: a fact, whoever holds the task by now (R5).
    if (runs.some((other) => zombiesOf(world).has(other.number))) return;
    if (state === State.executing) {
      const run = runs.findLast((other) => other.pid === node.process.pid && other.endedAt === Infinity);
      // Its result is on its way, or it began before this node was last cut off for too long.
      if (run === undefined || run.startedAt <= (isolated.get(node.incarnation) ?? -1)) return;
    }
    for (const copy of copies) {
      const table = copy.core!.replica.table.partition(window.pid);
      if (table.holderOf(offset) === node.incarnation) continue;
      if (returnedMeanwhile(world, node, copy, window.pid, offset)) continue;
      const what = state === State.executing ? "runs" : "was granted";
      violated(
        "I16",
        `${node.name} ${what} ${keyOf(partition, offset)} at ${world.now}, and the entry at ${copy.name} is ` +
          `${JSON.stringify(table.read(offset))}, watermark ${table.watermark}`,
      );
    }
  };
  return {
    everyMs: 1_000,
    afterEvent() {
      const copies = copiesOf(world);
      for (const node of world.nodes.values()) {
        if (!isLive(node)) continue;
        const now = node.process.monotonicMs();
        const { member } = node.core!;
        if (now >= member.isolationDeadline) isolated.set(node.incarnation, world.now);
        if (!member.state.lease.valid(now) || !inSyncOf(world).includes(node.incarnation)) continue;
        for (const window of member.state.windows.values())
          for (let offset = window.base; offset < window.fetchPosition; offset++) judge(node, copies, window, offset);
      }
    },
  };
}
