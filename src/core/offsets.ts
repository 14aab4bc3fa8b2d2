/** Offsets of a batch, as ranges when they are contiguous. Pure helpers shared by claims, facts and deltas. */
import type { Offsets } from "./messages.ts";

const NONE = new Uint32Array(0);

/** Packs ascending offsets [begin, end) of a list. */
export function packOffsets(list: ArrayLike<number>, begin: number, end: number): Offsets {
  const count = end - begin;
  if (count === 0) return { base: 0, count: 0, deltas: NONE };
  const base = list[begin]!;
  if (list[end - 1]! - base === count - 1) return { base, count, deltas: NONE };
  const deltas = new Uint32Array(count);
  for (let i = 0; i < count; i++) deltas[i] = list[begin + i]! - base;
  return { base, count, deltas };
}

export function offsetAt(offsets: Offsets, index: number): number {
  return offsets.deltas.length === 0 ? offsets.base + index : offsets.base + offsets.deltas[index]!;
}

/** A list of numbers that grows and is cleared without giving its memory back: no allocation a batch once warm. */
export class NumberList {
  values = new Float64Array(256);
  length = 0;

  push(value: number): void {
    if (this.length === this.values.length) {
      const grown = new Float64Array(2 * this.values.length);
      grown.set(this.values);
      this.values = grown;
    }
    this.values[this.length++] = value;
  }

  clear(): void {
    this.length = 0;
  }
}
