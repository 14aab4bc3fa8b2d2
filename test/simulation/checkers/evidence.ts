/**
 * R6, R11, R12, R15, R20, R23, R24: on what evidence something is given, released or run again. Each is judged where it happens, whatever
 * becomes of it: a second line of defence, or luck, must not hide that the first one is gone.
 *
 * Longer than most files: one checker a rule, all of one kind.
 */
import type { CoreEffect } from "../../../src/core/effects.ts";
import { Outcome, type CoreEvent } from "../../../src/core/events.ts";
import { partitionId, partitionOf, type PartitionId } from "../../../src/core/identity.ts";
import { parseMetadata } from "../../../src/core/member/metadata.ts";
import { State } from "../../../src/core/member/window.ts";
import { DIRTY_FLAG, FREE_FLAG, PHASE_MASK, Phase } from "../../../src/core/messages.ts";
import { offsetAt } from "../../../src/core/offsets.ts";
import { isFinalPhase } from "../../../src/core/table.ts";
import type { HistoryEvent } from "../history.ts";
import type { Observer, SimulatedNode, World } from "../observer.ts";
import { keyOf, nodeOf, violated } from "./checker.ts";
import { zombiesOf } from "./timing.ts";

/** After these the cell knows nothing of what ran before, as it was told. */
const CLEARING: readonly string[] = ["topic-recreated", "truncation", "replay", "coordinator-wipe"];

/**
 * R20: a record whose last run ended unknown, or with its process, is checked before it runs again, if its task type has a check. I2 looks
 * at effects: it finds only those that were wrong about it.
 */
export function checkedBeforeAnotherRun(world: World): Observer {
  const last = new Map<string, { readonly run: number; readonly since: number }>(); // by record
  const checkedAt = new Map<string, number>();
  const zombies = zombiesOf(world);
  const started = (event: Extract<HistoryEvent, { type: "handler-start" }>): void => {
    const key = keyOf(event.partition, event.offset);
    const before = last.get(key);
    last.set(key, { run: event.run, since: event.at });
    if (before === undefined) return;
    const run = world.runs[before.run - 1]!;
    if (run.outcome !== "unknown" && run.outcome !== "died") return;
    if (zombies.has(before.run) || zombies.has(event.run)) return;
    // That no check starts while the old run is possible is I22.
    if ((checkedAt.get(key) ?? -1) >= run.startedAt) return;
    violated(
      "R20",
      `${key} starts on ${event.node} at ${event.at}, unchecked since run ${run.number} ended "${run.outcome}"`,
    );
  };
  return {
    onHistory(event) {
      zombies.onHistory(event);
      if (!world.settings.hasCheck) return;
      if (event.type === "check-start") checkedAt.set(keyOf(event.partition, event.offset), event.at);
      else if (event.type === "fault" && CLEARING.includes(event.kind)) last.clear();
      else if (event.type === "handler-start") started(event);
    },
  };
}

/** A leader's last sequence before this step, told by its one after it; Infinity in the first step that is seen. */
function sequencesBefore(): (node: SimulatedNode, after: number) => number {
  const known = new Map<string, number>(); // by incarnation
  return (node, after) => {
    const before = known.get(node.incarnation) ?? Infinity;
    known.set(node.incarnation, after);
    return before;
  };
}

/** R11, R23: "unknown" and "refused" free an entry with what the holder said about it. */
export function releasesKeepWhatIsKnown(world: World): Observer {
  const sequenceBefore = sequencesBefore();
  return {
    onStep(node, event) {
      const state = node.core!.leader?.state;
      if (state === undefined) return;
      const before = sequenceBefore(node, state.stamp);
      if (event.type !== "message" || event.message.kind !== "answer") return;
      for (const { pid, offset, status, attempts } of event.message.items) {
        const table = state.replica.table.partition(pid);
        const entry = table.read(offset);
        if (entry === null || isFinalPhase(entry.phase) || entry.epoch !== state.epoch || entry.stamp <= before)
          continue;
        const name = `${node.name} releases ${keyOf(partitionOf(pid), offset)} at ${world.now} on "${status}"`;
        if (status === "unknown" && !entry.dirty) violated("R11", `${name}: its entry is clean`);
        if (status === "refused" && entry.attempts < attempts)
          violated("R11", `${name}: ${entry.attempts} attempts, the holder said ${attempts}`);
      }
    },
  };
}

/** R6: another record of the task id is given as an adoption only, and giving one makes every other dirty. */
export function equalIdsAreDirty(world: World): Observer {
  const records = new Map<string, { readonly partition: number; readonly offset: number }[]>(); // ids of several records
  const first = new Map<string, { readonly partition: number; readonly offset: number }>();
  const judged = new Map<string, number>(); // deltas, by incarnation and epoch
  const given = (node: SimulatedNode, pid: PartitionId, offset: number, phase: number): void => {
    const partition = partitionOf(pid);
    const others = records.get(world.taskIdOf(partition, offset));
    if (others === undefined) return;
    const tables = node.core!.replica.table;
    const { hashHi: hi, hashLo: lo } = tables.partition(pid).read(offset)!;
    for (const other of others) {
      if (other.partition === partition && other.offset === offset) continue;
      const entry = tables.partition(partitionId(0, other.partition)).read(other.offset);
      // One of another dedup epoch has another hash, a suspect that was not asked for yet has none.
      if (entry === null || isFinalPhase(entry.phase) || entry.hashHi !== hi || entry.hashLo !== lo) continue;
      const name = `${keyOf(partition, offset)} is given by ${node.name} at ${world.now}; ${keyOf(other.partition, other.offset)}, of the same task,`;
      if (!entry.dirty) violated("R6", `${name} stays clean: ${JSON.stringify(entry)}`);
      if ((phase & DIRTY_FLAG) === 0) violated("R6", `${name} may have run, and this one is clean`);
    }
  };
  return {
    onHistory(event) {
      if (event.type !== "produced") return;
      const { partition, offset, taskId } = event;
      const one = first.get(taskId);
      if (one === undefined) first.set(taskId, { partition, offset });
      else if (records.has(taskId)) records.get(taskId)!.push({ partition, offset });
      else records.set(taskId, [one, { partition, offset }]);
    },
    quietSteps: [],
    onStep(node, _event, effects) {
      if (records.size === 0 || node.core!.leader === null) return;
      for (const effect of effects) {
        if (effect.type !== "send" || effect.message.kind !== "delta") continue;
        const { epoch, seq, entries } = effect.message.delta;
        const key = `${node.incarnation}|${epoch}`;
        if (seq <= (judged.get(key) ?? 0)) continue;
        judged.set(key, seq);
        for (const batch of entries) {
          if (batch.holder === "") continue;
          for (let i = 0; i < batch.offsets.count; i++) {
            const flags = batch.phases[i]!;
            if ((flags & PHASE_MASK) !== Phase.granted || (flags & FREE_FLAG) !== 0) continue;
            const offset = offsetAt(batch.offsets, i);
            const table = node.core!.replica.table.partition(batch.pid);
            if (table.stampOf(offset) === batch.firstStamp + i) given(node, batch.pid, offset, flags);
          }
        }
      }
    },
  };
}

/** Until when a node may run what it was given, by its own clock and the epoch in which it had that lease; of one incarnation. */
interface Deadlines {
  epoch: number;
  until: number;
  readonly before: { readonly epoch: number; readonly until: number }[]; // of the epochs that it left
}

/**
 * R12: who counts as gone cannot run anything any more: its process ended `effectSettleMs` ago, or, by its own clock, it is past the moment
 * at which it stops its handlers. Two clocks may differ by 1 % each. A lease of a higher epoch is none that this leader has to wait for: a
 * member of its set has accepted that epoch, so nothing that it frees from then on is released.
 */
export function goneIsGone(world: World): Observer {
  const ended = new Map<string, { readonly at: number; readonly by: number }>(); // incarnations: true time, and their own clock
  const deadlines = new Map<string, Deadlines>(); // by incarnation
  const running = new Map<number, string>(); // processes
  const known = new Map<object, number>(); // sizes of the sets
  const settles = world.settings.effectSettleMs * 0.97;
  const look = ({ incarnation, core }: SimulatedNode): void => {
    const until = core!.member.isolationDeadline;
    const { epoch } = core!;
    const last = deadlines.get(incarnation);
    if (last === undefined) {
      deadlines.set(incarnation, { epoch, until, before: [] });
      return;
    }
    if (last.epoch !== epoch) last.before.push({ epoch: last.epoch, until: last.until });
    last.epoch = epoch;
    last.until = until;
  };
  const deadlineOf = (gone: string, epoch: number): number => {
    const last = deadlines.get(gone);
    if (last === undefined) return nodeOf(world, gone)?.core!.member.isolationDeadline ?? Infinity;
    return (last.epoch <= epoch ? last : last.before.findLast((left) => left.epoch <= epoch))?.until ?? -Infinity;
  };
  const judge = (node: SimulatedNode, gone: string): void => {
    const name = `${gone} counts as gone at ${node.name} at ${world.now}`;
    const deadline = deadlineOf(gone, node.core!.leader!.state.epoch);
    const end = ended.get(gone);
    if (end !== undefined) {
      // It may have been past its isolation deadline for long when it ended.
      const since = end.at + Math.min(settles, deadline - end.by);
      if (world.now < since) violated("R12", `${name}; its process ended, and that is settled at ${since}`);
      return;
    }
    const other = nodeOf(world, gone);
    if (other === null || other.process.state === "dead") return;
    const left = deadline - other.process.monotonicMs();
    if (left > 0) violated("R12", `${name}; it may run handlers for another ${left} ms`);
  };
  return {
    onHistory(event) {
      if (event.type !== "process") return;
      if (event.what === "started") running.set(event.pid, event.detail);
      if (event.what !== "killed" && event.what !== "exited") return;
      const gone = running.get(event.pid) ?? "";
      ended.set(gone, { at: event.at, by: nodeOf(world, gone)?.process.monotonicMs() ?? -Infinity });
    },
    onStep(node) {
      look(node);
      const gone = node.core!.leader?.state.gone;
      if (gone === undefined || gone.size === (known.get(gone) ?? 0)) return;
      if (gone.size > (known.get(gone) ?? 0)) judge(node, [...gone].at(-1)!);
      known.set(gone, gone.size);
    },
  };
}

/** R15a: a start lies below a ceiling that an acknowledged commit of this ownership carried. The commit's answer is what counts, not the window. */
export function ceilingsAreAcknowledged(world: World): Observer {
  const sent = new Map<string, Extract<CoreEffect, { type: "commit" }>>(); // by incarnation and number
  const ceilings = new Map<string, number>(); // by incarnation, group generation and partition
  return {
    quietSteps: ["commit-result"],
    onStep(node, event, effects) {
      const { state } = node.core!.member;
      if (event.type === "commit-result") {
        const commit = sent.get(`${node.incarnation}|${event.number}`);
        sent.delete(`${node.incarnation}|${event.number}`);
        if (event.outcome === "committed")
          for (const { pid, metadata } of commit?.commits ?? []) {
            const key = `${node.incarnation}|${commit!.generation}|${pid}`;
            ceilings.set(key, Math.max(ceilings.get(key) ?? 0, parseMetadata(metadata)?.ceiling ?? 0));
          }
      }
      for (const effect of effects) {
        if (effect.type === "commit") sent.set(`${node.incarnation}|${effect.number}`, effect);
        if (effect.type !== "execute") continue;
        const generation = state.windows.get(effect.pid)?.generation ?? state.generation;
        const ceiling = ceilings.get(`${node.incarnation}|${generation}|${effect.pid}`) ?? 0;
        for (const offset of effect.offsets)
          if (offset >= ceiling)
            violated(
              "R15",
              `${node.name} starts ${keyOf(partitionOf(effect.pid), offset)} at ${world.now}; acknowledged is the ceiling ${ceiling}`,
            );
      }
    },
  };
}

/** R14: a position is set to where the deliveries ended. */
export function seeksWhereItIs(world: World): Observer {
  return {
    quietSteps: [],
    onStep(node, _event, effects) {
      for (const effect of effects) {
        if (effect.type !== "seek") continue;
        const at = node.core!.member.state.windows.get(effect.pid)?.fetchPosition ?? effect.position;
        if (at !== effect.position)
          violated("R14", `${node.name} seeks ${effect.position} at ${world.now}; it has delivered up to ${at}`);
      }
    },
  };
}

/** R23: an end that is not certain is no failure, and a record that was not written is not set aside. */
export function endsAreCertain(world: World): Observer {
  const aside = (node: SimulatedNode, event: Extract<CoreEvent, { type: "set-aside-result" }>): void => {
    if (event.acknowledged) return;
    const { windows, retained } = node.core!.member.state;
    const here = windows.get(event.pid)?.stateOf(event.offset) ?? State.absent;
    const kept = retained.get(event.pid)?.get(event.offset)?.state ?? State.absent;
    if (here === State.dead || here === State.parked || kept === State.dead || kept === State.parked)
      violated(
        "R23",
        `${keyOf(partitionOf(event.pid), event.offset)} is set aside on ${node.name} at ${world.now}, unwritten`,
      );
  };
  const results = (node: SimulatedNode, event: Extract<CoreEvent, { type: "results" }>): void => {
    const window = node.core!.member.state.windows.get(event.pid);
    event.offsets.forEach((offset, i) => {
      if (event.outcomes[i] !== Outcome.unknown || window === undefined) return;
      const state = window.stateOf(offset);
      if (state === State.granted || state === State.writing || state === State.executed)
        violated(
          "R23",
          `${keyOf(partitionOf(event.pid), offset)} ended unknown on ${node.name} at ${world.now}, and is in state ${state}`,
        );
    });
  };
  return {
    quietSteps: ["set-aside-result", "results"],
    onStep(node, event, effects) {
      if (event.type === "set-aside-result") aside(node, event);
      else if (event.type === "results") results(node, event);
      for (const effect of effects) {
        if (effect.type === "set-aside") {
          const here = node.core!.member.state.windows.get(effect.pid)?.stateOf(effect.offset) ?? State.absent;
          if (here === State.dead || here === State.parked)
            violated(
              "R23",
              `${keyOf(partitionOf(effect.pid), effect.offset)} is ${effect.kind} on ${node.name} at ${world.now}, and its record is yet to be written`,
            );
        } else if (effect.type === "execute" || effect.type === "check") {
          const { replica, ctx } = node.core!;
          const table = replica.table.partition(effect.pid);
          for (const offset of effect.type === "check" ? [effect.offset] : effect.offsets)
            if (table.holderOf(offset) === node.incarnation && table.unknownRunsOf(offset) >= ctx.settings.unknownMax)
              violated(
                "R23",
                `${keyOf(partitionOf(effect.pid), offset)} is begun once more on ${node.name} at ${world.now}: poison`,
              );
        }
      }
    },
  };
}

/** R24: a claim of a lower group generation than a connected owner's gives nothing. */
export function formerOwnersGetNothing(world: World): Observer {
  const sequenceBefore = sequencesBefore();
  return {
    onStep(node, event) {
      const state = node.core!.leader?.state;
      if (state === undefined) return;
      const before = sequenceBefore(node, state.stamp);
      if (event.type !== "message" || event.message.kind !== "report") return;
      for (const { pid, generation, offsets } of [...event.message.claims, ...event.message.doubts]) {
        const facts = state.partitions.get(pid);
        if (facts === undefined || generation >= facts.ownerGeneration || !state.connected(facts.owner)) continue;
        if (facts.owner === node.incarnation) continue; // it may have told so later in this step
        const table = state.replica.table.partition(pid);
        for (let i = 0; i < offsets.count; i++) {
          const offset = offsetAt(offsets, i);
          if (table.isFree(offset) || table.stampOf(offset) <= before || table.epochOf(offset) !== state.epoch)
            continue;
          if (isFinalPhase(table.phaseOf(offset)) || table.holderOf(offset) === facts.owner) continue;
          violated(
            "R24",
            `${node.name} gives ${keyOf(partitionOf(pid), offset)} at ${world.now} to generation ${generation}; ${facts.owner} has ${facts.ownerGeneration}`,
          );
        }
      }
    },
  };
}
