/** I18, I19, I25: the watermark, what is committed, and the ceiling that is written ahead. */
import type { CoreEffect } from "../../../src/core/effects.ts";
import { partitionOf, type PartitionId } from "../../../src/core/identity.ts";
import { parseMetadata } from "../../../src/core/member/metadata.ts";
import { CHECKED } from "../../../src/core/member/window.ts";
import type { HistoryEventOf } from "../history.ts";
import type { Observer, SimulatedNode, World } from "../observer.ts";
import { copiesOf, keyOf, violated } from "./checker.ts";
import { releasedOf } from "./released.ts";

type Commit = Extract<CoreEffect, { type: "commit" }>;

/**
 * A leader's W never falls in its epoch, and lies no higher than the group ever committed, or than the log begins (a first start, or what
 * the log has thrown away). That commits never pass unfinished records is I1; that W outlives its leader is I12.
 */
export function watermarkFollowsCommits(world: World): Observer {
  const highest: number[] = []; // committed, by partition
  const watermarks = new Map<number, Map<PartitionId, number>>(); // by epoch
  return {
    onHistory(event) {
      if (event.type === "committed")
        highest[event.partition] = Math.max(highest[event.partition] ?? 0, event.position);
    },
    onStep(node) {
      const state = node.core!.leader?.state;
      if (state === undefined || !state.active) return;
      let known = watermarks.get(state.epoch);
      if (known === undefined) watermarks.set(state.epoch, (known = new Map()));
      for (const [pid, table] of node.core!.replica.table.partitions) {
        const before = known.get(pid) ?? 0;
        if (table.watermark === before) continue;
        const name = `${node.name} (epoch ${state.epoch}): W of partition ${partitionOf(pid)}`;
        if (table.watermark < before)
          violated("I18", `${name} fell from ${before} to ${table.watermark} at ${world.now}`);
        known.set(pid, table.watermark);
        const partition = partitionOf(pid);
        const limit = Math.max(highest[partition] ?? 0, world.logStart[partition] ?? 0);
        if (table.watermark > limit)
          violated("I18", `${name} is ${table.watermark} at ${world.now}; committed was ${limit} at most`);
      }
    },
  };
}

/**
 * As far as a node can know: its commits are of the generation that it joined, of partitions that it owns in it, not below what it read or
 * committed, and not above its first unfinished record. (A commit of a node that has not heard of a rebalance yet is sent, and
 * refused: that is the group's part.)
 */
export function commitsAreOwned(world: World): Observer {
  const positions = new Map<string, number>(); // acknowledged, by incarnation, ownership and partition
  const sent = new Map<string, Commit>(); // by incarnation and number
  const judge = (node: SimulatedNode, commit: Commit): void => {
    const { state } = node.core!.member;
    const name = `commit ${commit.number} of ${node.name} at ${world.now}`;
    // After `group-left` or `assigned` in the same step the windows are others: that a commit was sent in it is looked at below.
    if (commit.generation !== state.generation)
      violated("I19", `${name} is of generation ${commit.generation}, joined is ${state.generation}`);
    if (state.group !== "in" && state.group !== "leaving") violated("I19", `${name} is sent while "${state.group}"`);
    for (const { pid, position } of commit.commits) {
      const where = `${name}, partition ${partitionOf(pid)}, position ${position}`;
      const window = state.windows.get(pid);
      if (window === undefined || window.generation !== commit.generation) violated("I19", `${where}: not owned`);
      const known = positions.get(`${node.incarnation}|${window.ownership}|${pid}`) ?? window.readPosition;
      if (position < known) violated("I19", `${where}: below ${known}, which is committed`);
      if (position > window.committable && position > window.committed)
        violated("I19", `${where}: ${window.committable} is not finished`);
    }
  };
  return {
    quietSteps: ["commit-result"],
    onStep(node, event, effects) {
      if (event.type === "commit-result" && event.outcome === "committed") {
        const commit = sent.get(`${node.incarnation}|${event.number}`);
        const { windows } = node.core!.member.state;
        for (const { pid, position } of commit?.commits ?? []) {
          const window = windows.get(pid);
          if (window?.generation === commit!.generation)
            positions.set(`${node.incarnation}|${window.ownership}|${pid}`, position);
        }
      }
      for (const effect of effects) {
        if (effect.type !== "commit") continue;
        sent.set(`${node.incarnation}|${effect.number}`, effect);
        judge(node, effect);
      }
    },
  };
}

/** After these an offset names another task than before. */
const CLEARING: readonly string[] = ["topic-recreated", "truncation", "replay"];

/**
 * The ceiling: (a) the owner of the group's present generation commits none at or below an offset that was ever granted; (b) nothing starts
 * that lies at or above the ceiling that its node knows to be stored; (c) after an unclean start the suspect ceiling lies above
 * everything that was ever granted; (d) a dirty entry, as a suspect is, starts only after its check or by policy.
 */
export function coldStartIsSafe(world: World): Observer {
  const granted: number[] = []; // the highest offset ever, by partition
  const lowered = new Map<number, number>(); // ceilings that the log took from a node that was the owner no more, by partition
  const judged = new Set<string>();
  const released = releasedOf(world);
  const start = (node: SimulatedNode, pid: PartitionId, offset: number): void => {
    const partition = partitionOf(pid);
    const window = node.core!.member.state.windows.get(pid);
    if (window === undefined) return; // I9
    const key = keyOf(partition, offset);
    if (offset >= window.ceilingAcked)
      violated("I25", `${key} starts on ${node.name} at ${world.now}, above the ceiling ${window.ceilingAcked}`);
    if (offset > (granted[partition] ?? -1)) granted[partition] = offset;
    if ((window.flags[window.slot(offset)]! & CHECKED) !== 0) return;
    for (const copy of copiesOf(world))
      if (copy.core!.replica.table.partition(pid).isDirty(offset))
        violated("I25", `${key} starts on ${node.name} at ${world.now} without a check; it is dirty at ${copy.name}`);
  };
  /** What is stored was lowered before, by the accepted commit of an old generation; who has no answer of a leader yet cannot know of it. */
  const keepsLowered = (node: SimulatedNode, pid: PartitionId, ceiling: number): boolean => {
    const stored = parseMetadata(world.metadata[partitionOf(pid)] ?? "");
    const window = node.core!.member.state.windows.get(pid);
    return stored !== null && ceiling >= stored.ceiling && window?.infoKnown === false;
  };
  const commits = (node: SimulatedNode, commit: Commit): void => {
    if (commit.generation !== world.groupGeneration) return;
    for (const { pid, metadata, position } of commit.commits) {
      const partition = partitionOf(pid);
      if (world.owner[partition] !== node.name) continue;
      const ceiling = parseMetadata(metadata)?.ceiling ?? -1;
      const highest = granted[partition] ?? -1;
      if (ceiling > highest || position > highest || keepsLowered(node, pid, ceiling)) continue;
      violated(
        "I25",
        `${node.name} commits the ceiling ${ceiling} of partition ${partition} at ${world.now}; ${highest} was granted`,
      );
    }
  };
  /** Only the owner knows what was granted since: a ceiling that another stored over its own says nothing of that (E7). */
  const stored = ({ partition, node }: HistoryEventOf<"committed">): void => {
    const ceiling = parseMetadata(world.metadata[partition] ?? "")?.ceiling ?? -1;
    if (ceiling > (granted[partition] ?? -1)) lowered.delete(partition);
    else if (ceiling >= 0 && node !== world.owner[partition]) lowered.set(partition, ceiling);
  };
  const suspects = (node: SimulatedNode): void => {
    const state = node.core!.leader?.state;
    if (state === undefined || !state.active || !state.uncleanStart) return;
    for (const [pid, facts] of state.partitions) {
      const key = `${state.epoch}|${pid}`;
      if (facts.lostEnd === 0 || judged.has(key)) continue;
      judged.add(key);
      const partition = partitionOf(pid);
      const highest = granted[partition] ?? -1;
      const { watermark } = node.core!.replica.table.partition(pid);
      // The set that knew better is lost, too: the ceiling that was lowered is all there is.
      if (facts.lostEnd >= (lowered.get(partition) ?? Infinity)) continue;
      if (facts.lostEnd <= highest && highest >= watermark && highest < (world.log[partition]?.length ?? 0))
        violated(
          "I25",
          `the suspect ceiling of partition ${partition} is ${facts.lostEnd} at ${world.now}; ${highest} was granted`,
        );
    }
  };
  return {
    onHistory(event) {
      if (event.type === "committed") stored(event);
      else if (event.type === "fault" && CLEARING.includes(event.kind)) {
        granted.length = 0;
        lowered.clear();
      }
    },
    onStep(node, _event, effects) {
      released.onStep(node, effects);
      for (const effect of effects) {
        if (effect.type === "execute") for (const offset of effect.offsets) start(node, effect.pid, offset);
        else if (effect.type === "commit") commits(node, effect);
      }
      suspects(node);
    },
  };
}
