/** V1-V5: after the faults the cell comes to rest, everything is finished, and no trouble feeds itself. */
import { quarantineMs } from "../../../src/core/settings.ts";
import type { CoreEffect } from "../../../src/core/effects.ts";
import type { CoreEvent } from "../../../src/core/events.ts";
import { partitionOf } from "../../../src/core/identity.ts";
import type { HistoryEvent } from "../history.ts";
import type { Observer, SimulatedNode, World } from "../observer.ts";
import { inSyncOf, isLive, keyOf, NowAndThen, violated } from "./checker.ts";
import { stoppedPartitions } from "./stopped.ts";

/** V1: one active leader; every live node in its set, as written and as it knows; nobody lags. */
export function cellIsWhole(world: World): Observer {
  return {
    atRest() {
      const live = [...world.nodes.values()].filter(isLive);
      const leaders = live.filter((node) => node.core!.leader?.state.active === true);
      if (live.length === 0) return;
      const name = `at rest (${world.now})`;
      if (leaders.length !== 1)
        violated("V1", `${name}: ${leaders.length} active leaders (${leaders.map((node) => node.name).join(", ")})`);
      const { state } = leaders[0]!.core!.leader!;
      for (const node of live) {
        if (!inSyncOf(world).includes(node.incarnation) || !state.inSync.includes(node.incarnation))
          violated(
            "V1",
            `${name}: ${node.incarnation} (${node.core!.role}, waits for ${node.core!.waitingFor}) is not in the set`,
          );
        const { appliedEpoch, appliedSeq } = node.core!.replica;
        if (appliedEpoch !== state.epoch || appliedSeq < state.released)
          violated(
            "V1",
            `${name}: ${node.name} has ${appliedEpoch}-${appliedSeq}, released is ${state.epoch}-${state.released}`,
          );
      }
    },
  };
}

/**
 * What the group committed at most, by partition. Where the log lost the group's offsets and nothing is left to do, the owner does not commit
 * again: W and its memory answer for them until the next join (E15), so what was reached once counts.
 */
function reachedOf(event: HistoryEvent, reached: number[]): void {
  if (event.type === "committed") reached[event.partition] = Math.max(reached[event.partition] ?? 0, event.position);
}

/** V2: everything is committed, nothing is in doubt, W is where the commits are. Stopped partitions wait for a person. */
export function everythingIsFinished(world: World): Observer {
  const stopped = stoppedPartitions(world);
  const reached: number[] = [];
  const judge = (partition: number): void => {
    const records = world.log[partition]!;
    let end = records.length;
    while (end > 0 && records[end - 1]!.isGap) end--;
    const committed = reached[partition] ?? 0;
    const start = world.logStart[partition] ?? 0;
    if (committed < end && end > start)
      violated("V2", `at rest (${world.now}): partition ${partition} is committed to ${committed} of ${end}`);
  };
  return {
    onHistory(event) {
      stopped.onHistory(event);
      reachedOf(event, reached);
    },
    atRest() {
      for (let partition = 0; partition < world.log.length; partition++) if (!stopped.has(partition)) judge(partition);
      for (const node of world.nodes.values()) {
        if (!isLive(node)) continue;
        const { state } = node.core!.member;
        for (const window of state.windows.values()) {
          // A member that has not heard of the last rebalance yet keeps a window of what another one owns and finished.
          if (window.stopped !== "" || world.owner[partitionOf(window.pid)] !== node.name) continue;
          if (stopped.has(partitionOf(window.pid))) continue;
          const where = `at rest (${world.now}): ${node.name}, partition ${partitionOf(window.pid)}`;
          if (window.doubts.size > 0) violated("V2", `${where}: ${window.doubts.size} doubts`);
          if (window.committable < window.fetchPosition) violated("V2", `${where}: ${window.committable} is open`);
          const leader = [...world.nodes.values()].find(
            (other) => isLive(other) && other.core!.leader?.state.active === true,
          );
          const watermark = leader?.core!.replica.table.partition(window.pid).watermark ?? -1;
          if (window.anchored && watermark !== window.committed)
            violated("V2", `${where}: W is ${watermark}, committed ${window.committed}`);
        }
      }
    },
  };
}

/**
 * V3: a partition with records to finish makes progress within a bound, while enough nodes are healthy and nothing new happens. Progress is a
 * commit, a run, a check or a record set aside. The bound covers what the protocol may have to wait for, one after another: sessions and
 * an election, an unclean start, the quarantine, its effects, a join, and handlers and checks to their time-outs.
 */
export function noStandstill(world: World): Observer {
  const { timing, effectSettleMs, minInSync } = world.settings;
  const boundMs =
    2 * timing.sessionMs +
    timing.uncleanStartAfterMs +
    2 * (quarantineMs(timing) + effectSettleMs) +
    timing.kafkaSessionMs +
    timing.kafkaRebalanceMs +
    4 * timing.handlerTimeoutMs +
    6 * timing.checkTimeoutMs +
    10_000;
  const often = new NowAndThen(2_000);
  const progress: number[] = [];
  const reached: number[] = [];
  const stopped = stoppedPartitions(world);
  let disturbedAt = 0;
  const healthy = (): number => {
    const live = [...world.nodes.values()].filter(
      (node) =>
        isLive(node) &&
        node.process.state === "running" &&
        world.reachesCoordinator(node.name) &&
        world.reachesLog(node.name),
    );
    return live.every((a) => live.every((b) => a === b || world.linked(a.name, b.name))) ? live.length : 0;
  };
  const moved = (event: HistoryEvent): void => {
    if (
      event.type === "committed" ||
      event.type === "check-start" ||
      event.type === "set-aside" ||
      event.type === "handler-start"
    )
      progress[event.partition] = event.at;
    else if (event.type === "handler-end") progress[world.runs[event.run - 1]!.partition] = event.at;
    else if (event.type === "fault" || event.type === "heal" || event.type === "process") disturbedAt = event.at;
  };
  return {
    onHistory(event) {
      stopped.onHistory(event);
      reachedOf(event, reached);
      moved(event);
    },
    afterEvent() {
      if (world.now - disturbedAt < boundMs || !often.due(world.now) || healthy() < minInSync) return;
      for (let partition = 0; partition < world.log.length; partition++) {
        const since = Math.max(progress[partition] ?? 0, disturbedAt);
        const from = Math.max(reached[partition] ?? 0, world.logStart[partition] ?? 0);
        const open = world.log[partition]!.findIndex((record, offset) => offset >= from && !record.isGap);
        if (open < 0 || world.now - since < boundMs || stopped.has(partition)) continue;
        violated(
          "V3",
          `partition ${partition} stands at ${open} since ${since}, now ${world.now} (bound ${boundMs} ms)`,
        );
      }
    },
  };
}

/** What one incarnation asked its shell for and was not answered yet. */
interface Asked {
  readonly node: SimulatedNode;
  readonly open: Map<string, number>; // how often
}

/** V4: every request of the core gets exactly one outcome: commits, attempts, checks, records set aside, writes of the set. */
export function oneOutcomeEach(world: World): Observer {
  const all = new Map<string, Asked>();
  const of = (node: SimulatedNode): Asked => {
    let asked = all.get(node.incarnation);
    if (asked === undefined) all.set(node.incarnation, (asked = { node, open: new Map() }));
    return asked;
  };
  const ask = ({ open }: Asked, what: string): void => void open.set(what, (open.get(what) ?? 0) + 1);
  const answer = ({ node, open }: Asked, what: string): void => {
    const count = open.get(what) ?? 0;
    if (count === 0)
      violated("V4", `${node.name} has an answer to "${what}" at ${world.now}, which it did not ask, or had already`);
    if (count === 1) open.delete(what);
    else open.set(what, count - 1);
  };
  const answered = (asked: Asked, event: CoreEvent): void => {
    if (event.type === "results")
      for (const offset of event.offsets) answer(asked, `run ${keyOf(partitionOf(event.pid), offset)}`);
    else if (event.type === "commit-result") answer(asked, `commit ${event.number}`);
    else if (event.type === "check-result") answer(asked, `check ${keyOf(partitionOf(event.pid), event.offset)}`);
    else if (event.type === "set-aside-result")
      answer(asked, `set aside ${keyOf(partitionOf(event.pid), event.offset)}`);
    else if (event.type === "in-sync-written") answer(asked, `set of epoch ${event.epoch}`);
  };
  const asks = (asked: Asked, effect: CoreEffect): void => {
    if (effect.type === "execute")
      for (const offset of effect.offsets) ask(asked, `run ${keyOf(partitionOf(effect.pid), offset)}`);
    else if (effect.type === "commit") ask(asked, `commit ${effect.number}`);
    else if (effect.type === "check") ask(asked, `check ${keyOf(partitionOf(effect.pid), effect.offset)}`);
    else if (effect.type === "set-aside") ask(asked, `set aside ${keyOf(partitionOf(effect.pid), effect.offset)}`);
    else if (effect.type === "write-in-sync") ask(asked, `set of epoch ${effect.epoch}`);
  };
  return {
    quietSteps: ["results", "commit-result", "check-result", "set-aside-result", "in-sync-written"],
    onStep(node, event, effects) {
      const asked = of(node);
      answered(asked, event);
      for (const effect of effects) asks(asked, effect);
    },
    atRest() {
      for (const { node, open } of all.values()) {
        if (!isLive(node) || world.nodes.get(node.name) !== node) continue;
        for (const [what, count] of open)
          violated(
            "V4",
            `at rest (${world.now}): ${node.name} has had no answer to "${what}" (${count}, ${open.size} in all)`,
          );
      }
    },
  };
}

/** V5: elections and state transfers are bounded by what happened, and checks by the tasks and what happened. */
export function noStorms(world: World): Observer {
  const syncs = new Map<string, number>(); // by incarnation
  let disturbances = 0;
  let leaders = 0;
  let checks = 0;
  let records = 0;
  return {
    onHistory(event) {
      if (event.type === "fault" || event.type === "heal" || event.type === "process") disturbances++;
      else if (event.type === "leads") leaders++;
      else if (event.type === "check-start") checks++;
      else if (event.type === "produced") records++;
    },
    onStep(node) {
      const count = node.core!.ctx.counters.syncs;
      if (count > 0) syncs.set(node.incarnation, count);
    },
    atEnd() {
      const allSyncs = [...syncs.values()].reduce((sum, count) => sum + count, 0);
      const said = `after ${disturbances} disturbances and ${records} records`;
      const { nodes } = world.settings;
      if (leaders > 2 + 3 * disturbances) violated("V5", `${leaders} elections ${said}`);
      if (allSyncs > (leaders + disturbances + 2) * 3 * nodes) violated("V5", `${allSyncs} state transfers ${said}`);
      if (checks > records * (10 + disturbances)) violated("V5", `${checks} checks ${said}`);
    },
  };
}
