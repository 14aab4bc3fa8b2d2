/**
 * What was released: a plain copy of the table, the watermarks and the hashes, made of the deltas that leaders sent, and moved forward
 * only when a leader says that its whole in-sync set has them. A new leader must know all of it.
 */
import type { CoreEffect } from "../../../src/core/effects.ts";
import type { PartitionId } from "../../../src/core/identity.ts";
import { PHASE_MASK, type Delta, type WatermarkRow } from "../../../src/core/messages.ts";
import { offsetAt } from "../../../src/core/offsets.ts";
import { isFinalPhase } from "../../../src/core/table.ts";
import type { SimulatedNode } from "../observer.ts";
import { Once, perWorld } from "./checker.ts";

export interface ReleasedEntry {
  readonly holder: string;
  readonly epoch: number;
  readonly stamp: number;
  readonly isFinal: boolean;
  readonly hi: number;
  readonly lo: number;
  readonly generation: number; // of the filter, in which the hash was put
}

export interface ReleasedPartition {
  from: number;
  watermark: number;
  readonly entries: Map<number, ReleasedEntry>;
}

export interface Activated {
  readonly node: SimulatedNode;
  readonly epoch: number;
  /** Every member of the last set was gone: the cell knows no more than its logs. */
  readonly lost: boolean;
  /**
   * Where it was lost: what the new leader began with, read in that very step (in a later one it holds what it only sent). A partition whose row
   * goes out in that step's deltas is not among them: it counts from its release.
   */
  readonly begun: readonly WatermarkRow[];
}

export class Released {
  readonly partitions = new Map<PartitionId, ReleasedPartition>();
  /** One an id: where its hash was put last. */
  readonly hashes = new Map<bigint, number>();
  /** Set in the step in which a leader became active: what was released before is still here. */
  activated: Activated | null = null;
  /** Of the leader that is followed. */
  epoch = 0;
  readonly #once = new Once<readonly CoreEffect[]>();
  readonly #lost = new Set<string>(); // incarnation and epoch
  /** Sets that were written by leaders without a memory: such a one may resign in the very step in which it becomes active. */
  readonly #forgetful = new Set<string>();
  #leader = "";
  #generation = 1;
  #through = 0;
  #pending: Delta[] = [];

  /** True when this step made a leader active; then `activated` says which, and `begin` must follow. */
  onStep(node: SimulatedNode, effects: readonly CoreEffect[]): void {
    if (!this.#once.first(effects)) return;
    if (this.activated !== null) this.#begin(this.activated);
    this.activated = null;
    const { leader } = node.core!;
    // Nor has one that begins with such a set, and writes the next one without ever becoming active.
    const inherits =
      leader !== null && !leader.state.active && this.#forgetful.has(leader.state.lastSet.toSorted().join());
    for (const effect of effects)
      if (effect.type === "write-in-sync" && (inherits || this.#lost.has(`${node.incarnation}|${effect.epoch}`)))
        this.#forgetful.add(effect.incarnations.toSorted().join());
    if (leader === null) return;
    const { state } = leader;
    for (const effect of effects)
      if (effect.type === "alarm" && effect.code === "filter-window")
        this.#lost.add(`${node.incarnation}|${state.epoch}`);
    if (state.active && state.epoch > this.epoch) {
      const lost =
        this.#lost.has(`${node.incarnation}|${state.epoch}`) || this.#forgetful.has(state.lastSet.toSorted().join());
      const begun = lost ? node.core!.replica.watermarkRows() : [];
      this.activated = { node, epoch: state.epoch, lost, begun };
      this.epoch = state.epoch;
      this.#leader = node.incarnation;
      this.#through = state.released;
      this.#generation = node.core!.replica.filter.openGenerationId;
      this.#pending = [];
    }
    if (state.epoch !== this.epoch || node.incarnation !== this.#leader) return;
    for (const effect of effects) {
      if (effect.type !== "send" || effect.message.kind !== "delta") continue;
      const { delta } = effect.message;
      if (delta.seq > (this.#pending.at(-1)?.seq ?? this.#through)) this.#pending.push(delta);
    }
    if (this.activated === null) return this.#release(state.released);
    // Its first deltas may be of this step, and what they gave lies in the generation that was open before they rotate.
    const rotated = this.#pending.find((delta) => delta.rotateTo !== 0);
    if (rotated !== undefined) this.#generation = rotated.rotateTo - 1;
  }

  #release(through: number): void {
    let count = 0;
    for (; count < this.#pending.length && this.#pending[count]!.seq <= through; count++)
      this.#apply(this.#pending[count]!);
    if (count > 0) this.#pending.splice(0, count);
    if (through > this.#through) this.#through = through;
  }

  partition(pid: PartitionId): ReleasedPartition {
    let partition = this.partitions.get(pid);
    if (partition === undefined) {
      partition = { from: -1, watermark: 0, entries: new Map() };
      this.partitions.set(pid, partition);
    }
    return partition;
  }

  #apply(delta: Delta): void {
    if (delta.rotateTo !== 0) this.#generation = delta.rotateTo;
    for (const row of delta.watermarks) {
      const partition = this.partition(row.pid);
      partition.from = row.from;
      partition.watermark = Math.max(partition.watermark, row.watermark);
      for (const offset of partition.entries.keys()) if (offset < partition.watermark) partition.entries.delete(offset);
    }
    for (const batch of delta.entries) {
      const { entries, watermark } = this.partition(batch.pid);
      for (let i = 0; i < batch.offsets.count; i++) {
        const offset = offsetAt(batch.offsets, i);
        const given = batch.hashes.length > 0;
        const known = entries.get(offset);
        const hi = given ? batch.hashes[2 * i]! : (known?.hi ?? 0);
        const lo = given ? batch.hashes[2 * i + 1]! : (known?.lo ?? 0);
        const generation = given ? this.#generation : (known?.generation ?? this.#generation);
        if (given && (hi !== 0 || lo !== 0)) this.hashes.set((BigInt(hi) << 32n) | BigInt(lo), this.#generation);
        if (offset < watermark) continue;
        const isFinal = isFinalPhase(batch.phases[i]! & PHASE_MASK);
        const stamp = batch.firstStamp + i;
        entries.set(offset, { holder: batch.holder, epoch: delta.epoch, stamp, isFinal, hi, lo, generation });
      }
    }
  }

  /** From here on: what the new leader has, where the cell's memory was lost. */
  #begin({ lost, begun }: Activated): void {
    if (!lost) return;
    this.partitions.clear();
    this.hashes.clear();
    const sent = new Set(this.#pending.flatMap((delta) => delta.watermarks.map((row) => row.pid)));
    for (const row of begun) {
      if (sent.has(row.pid)) continue;
      const partition = this.partition(row.pid);
      partition.from = row.from;
      partition.watermark = row.watermark;
    }
  }
}

export const releasedOf = perWorld(() => new Released());
