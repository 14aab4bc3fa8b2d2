/** I10-I13: the in-sync set, what is released with it, and what a new leader must know. */
import type { CoreEffect } from "../../../src/core/effects.ts";
import { partitionOf } from "../../../src/core/identity.ts";
import { compareStamps } from "../../../src/core/identity.ts";
import type { Observer, SimulatedNode, World } from "../observer.ts";
import { inSyncOf, keyOf, nodeOf, violated } from "./checker.ts";
import { releasedOf, type Activated } from "./released.ts";

type WriteInSync = Extract<CoreEffect, { type: "write-in-sync" }>;

/**
 * Whenever a leader moves its released sequence: everybody who must have it really has it, by the state of its replica and not by its
 * word. Who accepted a higher epoch since then has moved on; its acknowledgement was given before.
 */
export function releasedIsHeld(world: World): Observer {
  const released = new WeakMap<object, number>();
  let written = 0; // the highest epoch that wrote the set
  return {
    onStep(node, _event, effects) {
      for (const effect of effects) if (effect.type === "write-in-sync") written = Math.max(written, effect.epoch);
      const state = node.core!.leader?.state;
      if (state === undefined || !state.active) return;
      if (released.get(state) === state.released) return;
      released.set(state, state.released);
      const required = [...state.required()];
      const name = `${node.name} (epoch ${state.epoch}) released ${state.released} at ${world.now}`;
      if (required.length < world.settings.minInSync) violated("I10", `${name} with a set of ${required.length}`);
      for (const incarnation of required) {
        const core = nodeOf(world, incarnation)?.core;
        if (core == null || core.epoch > state.epoch) continue;
        const { appliedEpoch, appliedSeq } = core.replica;
        if (appliedEpoch === state.epoch && appliedSeq >= state.released) continue;
        violated("I10", `${name}, and ${incarnation} has ${appliedEpoch}-${appliedSeq}`);
      }
      if (written > state.epoch) return; // the set that is written is another leader's
      for (const incarnation of inSyncOf(world))
        if (!required.includes(incarnation))
          violated("I10", `${name} without ${incarnation}, which the written set names`);
    },
  };
}

/**
 * Every change of the set is one that a leader asked for, of at least the minimal size; who joins it has the state of that leader. I13: the
 * leader was the one of the coordinator's epoch at that moment.
 */
export function setChanges(id: "I11" | "I13"): (world: World) => Observer {
  return (world) => {
    const writes: WriteInSync[] = [];
    let version = Number.NaN;
    const asked = (node: SimulatedNode, effect: WriteInSync): void => {
      writes.push(effect);
      if (writes.length > 64) writes.shift();
      if (id === "I13") return;
      const state = node.core!.leader?.state;
      const name = `${node.name} (epoch ${effect.epoch}) writes the set ${effect.incarnations.join(", ")} at ${world.now}`;
      if (effect.incarnations.length < world.settings.minInSync) violated("I11", `${name}: fewer than minInSync`);
      for (const incarnation of effect.incarnations) {
        if (incarnation === node.incarnation || (state?.active === true && state.inSync.includes(incarnation)))
          continue;
        const core = nodeOf(world, incarnation)?.core;
        if (core == null || core.epoch > effect.epoch) continue;
        const { appliedEpoch, appliedSeq } = core.replica;
        const needed = state?.active === true ? state.released : 0;
        if (appliedEpoch !== effect.epoch || appliedSeq < needed)
          violated("I11", `${name}: ${incarnation} has ${appliedEpoch}-${appliedSeq}, and ${needed} was released`);
      }
    };
    const changed = (): void => {
      const before = version;
      version = world.inSyncVersion;
      const set = inSyncOf(world);
      if (Number.isNaN(before) || set.length === 0) return;
      const write = writes.findLast((other) => isSameSet(other.incarnations, set) && other.version === before);
      if (write === undefined) {
        if (id === "I11")
          violated("I11", `the set became ${set.join(", ")} (version ${version}) at ${world.now}: nobody asked for it`);
      } else if (id === "I13" && write.epoch !== world.epoch)
        violated("I13", `a write of epoch ${write.epoch} was made at ${world.now}, in epoch ${world.epoch}`);
    };
    return {
      quietSteps: [],
      worldOnly: true,
      onStep(node, _event, effects) {
        for (const effect of effects) if (effect.type === "write-in-sync") asked(node, effect);
      },
      afterEvent(process) {
        // The ensemble works in the world's name, not in a node's.
        if (process === null && world.inSyncVersion !== version) changed();
      },
    };
  };
}

function isSameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((incarnation) => b.includes(incarnation));
}

/** At activation: every entry, watermark and hash that was ever released, unless the whole last set was lost (R15). */
export function activationKnows(world: World): Observer {
  const released = releasedOf(world);
  return {
    onStep(node, _event, effects) {
      released.onStep(node, effects);
      const { activated } = released;
      if (activated === null || activated.lost || activated.node !== node) return;
      judgeTable(world, activated);
      judgeHashes(world, activated);
    },
  };
}

function judgeTable(world: World, { node, epoch }: Activated): void {
  const { table } = node.core!.replica;
  for (const [pid, partition] of releasedOf(world).partitions) {
    const mine = table.partition(pid);
    const where = `${node.name} begins epoch ${epoch} at ${world.now}: partition ${partitionOf(pid)}`;
    if (mine.from < partition.from || mine.watermark < partition.watermark)
      violated(
        "I12",
        `${where} stands at [${mine.from}, ${mine.watermark}), released was [${partition.from}, ${partition.watermark})`,
      );
    for (const [offset, entry] of partition.entries) {
      if (offset < mine.watermark) continue;
      const isFinal = mine.phaseOf(offset) >= 2;
      const isNewer = compareStamps(mine.epochOf(offset), mine.stampOf(offset), entry.epoch, entry.stamp) >= 0;
      if (mine.has(offset) && (isFinal || (isNewer && !entry.isFinal))) continue;
      const key = keyOf(partitionOf(pid), offset);
      violated(
        "I12",
        `${where}, entry ${key}: ${JSON.stringify(entry)} was released, it has ${JSON.stringify(mine.read(offset))}`,
      );
    }
  }
}

function judgeHashes(world: World, { node, epoch }: Activated): void {
  const { filter } = node.core!.replica;
  const oldest = filter.openGenerationId - filter.generationsMax + 1;
  for (const [hash, generation] of releasedOf(world).hashes) {
    if (generation < oldest || filter.has(Number(hash >> 32n), Number(hash & 0xffffffffn))) continue;
    violated(
      "I12",
      `${node.name} begins epoch ${epoch} at ${world.now} without the hash ${hash.toString(16)} of generation ${generation}`,
    );
  }
}
