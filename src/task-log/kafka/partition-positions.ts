/**
 * Where each assigned partition is read next. One object a partition and assignment: a fetch keeps the objects that it
 * asked for, and what it brings is handed on only if they are still the current ones, unmoved and not paused. So nothing
 * that was fetched under an old assignment, or before a pause or seek, is ever handed on.
 */

import type { Assignment, PartitionPosition } from "../task-log.ts";

export interface ReadPosition {
  readonly topic: string;
  readonly partition: number;
  position: number;
  paused: boolean;
  /** The highest leader epoch read since the last seek; a lower one further on means that the log was replaced. */
  leaderEpoch: number;
  /** Of the last record below the position, -1 when unknown: what a new leader must still have (KIP-320). */
  epochRead: number;
  /** The log must have records of that epoch up to here, also when the position lies below. */
  keptTo: number;
  /** Leaders up to this epoch are known to have it. */
  keptUntil: number;
  /** A leader of this epoch was heard of, and must be asked before anything of it is handed on; -1 for none. */
  toAsk: number;
}

export class PartitionPositions {
  readonly #byKey = new Map<string, ReadPosition>();

  /** Takes over a new assignment. @throws Error when a position is missing, foreign or no offset: a programmer's error. */
  replace(assignment: Assignment, positions: readonly PartitionPosition[]): void {
    const wanted = new Map(positions.map((each) => [keyOf(each.topic, each.partition), each]));
    if (wanted.size !== assignment.partitions.length) {
      throw new Error(`onAssign answered ${wanted.size} positions for ${assignment.partitions.length} partitions`);
    }
    this.#byKey.clear();
    for (const { topic, partition } of assignment.partitions) {
      const key = keyOf(topic, partition);
      const given = wanted.get(key);
      if (given === undefined) throw new Error(`onAssign answered no position for ${key}`);
      assertPosition(key, given.position);
      const { position, paused, leaderEpoch: epochRead = -1, keptTo = position } = given;
      const epochs = { leaderEpoch: -1, epochRead, keptTo, keptUntil: -1, toAsk: -1 };
      this.#byKey.set(key, { topic, partition, position, paused, ...epochs });
    }
  }

  clear(): void {
    this.#byKey.clear();
  }

  get(topic: string, partition: number): ReadPosition | undefined {
    return this.#byKey.get(keyOf(topic, partition));
  }

  /** Nothing happens for a partition that is not assigned now. */
  setPaused(topic: string, partition: number, paused: boolean): void {
    const current = this.get(topic, partition);
    if (current !== undefined) current.paused = paused;
  }

  all(): Iterable<ReadPosition> {
    return this.#byKey.values();
  }

  /** Whether what was asked for at `position` may still be handed on. */
  stillWants(asked: ReadPosition, position: number): boolean {
    return (
      this.#byKey.get(keyOf(asked.topic, asked.partition)) === asked && !asked.paused && asked.position === position
    );
  }

  /** A leader of this epoch leads the partition now. Asked before the next fetch, if it may have lost what was read. */
  leaderHeardOf(topic: string, partition: number, epoch: number): void {
    const current = this.get(topic, partition);
    if (current !== undefined && mayHaveLost(current, epoch)) current.toAsk = Math.max(current.toAsk, epoch);
  }

  /** Nothing happens for a partition that is not assigned now: a later assignment begins where `onAssign` says. */
  seek(topic: string, partition: number, position: number): void {
    assertPosition(keyOf(topic, partition), position);
    const current = this.get(topic, partition);
    if (current === undefined) return;
    // A new object, so that a fetch in flight is dropped even when the position is the same. What was read behind the new
    // position says nothing about what lies below it; what was read above it must still be in the log all the same.
    const epochRead = position > current.position ? -1 : current.epochRead;
    this.#byKey.set(keyOf(topic, partition), { ...current, position, leaderEpoch: -1, epochRead });
  }
}

/** Whether a leader of this epoch came after the one that was read, and was not asked yet. */
export function mayHaveLost({ epochRead, keptUntil }: ReadPosition, leaderEpoch: number): boolean {
  return epochRead >= 0 && leaderEpoch > epochRead && leaderEpoch > keptUntil;
}

export function keyOf(topic: string, partition: number): string {
  return `${topic}#${partition}`;
}

function assertPosition(key: string, position: number): void {
  if (!Number.isSafeInteger(position) || position < 0) throw new Error(`${position} is no position in ${key}`);
}
