/**
 * Batches of keys over the generations of a ring: group by group, located and touched in all of them first, then
 * probed. Holds only scratch; the ring says which generations, and its log (if any) is told what was new.
 */
import { type BloomBits, checkBatch, type Generation, GROUP_KEYS, KeyGroup, Seen } from "./bloom-blocks.ts";
import type { DeltaLog } from "./bloom-delta-log.ts";

export class BloomBatches {
  readonly #blocks: number;
  readonly #group = new KeyGroup();
  readonly #groupOut = new Uint8Array(GROUP_KEYS);

  constructor(blocks: number) {
    this.#blocks = blocks;
  }

  /**
   * Inserts into the last of `held`, looks in the others; a byte of `Seen` bits per key. Returns how many keys changed
   * the last generation.
   * @throws RangeError for a batch of odd length or an output that is too short.
   */
  testAndAdd(held: readonly Generation[], pairs: Uint32Array, out: Uint8Array, log: DeltaLog | undefined): number {
    const keys = checkBatch(pairs, out);
    const open = held[held.length - 1]!.bits;
    const signed = signedView(pairs);
    let fresh = 0;
    for (let first = 0; first < keys; first += GROUP_KEYS) {
      const count = Math.min(GROUP_KEYS, keys - first);
      this.#group.locate(this.#blocks, signed, first, count);
      for (let at = 0; at < held.length; at++) held[at]!.bits.touchGroup(this.#group);
      const added = open.testAndAddGroup(this.#group, out, first);
      if (added > 0) log?.appendFresh(pairs, first, count, out, first);
      fresh += added;
      for (let older = held.length - 2; older >= 0; older--) {
        held[older]!.bits.hasGroup(this.#group, out, first, Seen.older);
      }
    }
    return fresh;
  }

  /** Looks in all of `held`, changes nothing. Output and errors as above. */
  has(held: readonly Generation[], pairs: Uint32Array, out: Uint8Array): void {
    const keys = checkBatch(pairs, out);
    const signed = signedView(pairs);
    out.fill(0, 0, keys);
    for (let first = 0; first < keys; first += GROUP_KEYS) {
      const count = Math.min(GROUP_KEYS, keys - first);
      this.#group.locate(this.#blocks, signed, first, count);
      for (let at = 0; at < held.length; at++) held[at]!.bits.touchGroup(this.#group);
      for (let at = 0; at < held.length; at++) {
        const flag = at === held.length - 1 ? Seen.open : Seen.older;
        held[at]!.bits.hasGroup(this.#group, out, first, flag);
      }
    }
  }

  /** Inserts without an answer per key; returns how many keys changed the filter. */
  add(bits: BloomBits, pairs: Uint32Array, log: DeltaLog | undefined): number {
    const keys = checkBatch(pairs);
    const signed = signedView(pairs);
    let fresh = 0;
    for (let first = 0; first < keys; first += GROUP_KEYS) {
      const count = Math.min(GROUP_KEYS, keys - first);
      this.#group.locate(this.#blocks, signed, first, count);
      bits.touchGroup(this.#group);
      const added = bits.testAndAddGroup(this.#group, this.#groupOut, 0);
      if (added > 0) log?.appendFresh(pairs, first, count, this.#groupOut, 0);
      fresh += added;
    }
    return fresh;
  }
}

/** How many keys of a batch are certainly new. */
export function countUnseen(out: Uint8Array, keys: number): number {
  let unseen = 0;
  for (let i = 0; i < keys; i++) unseen += out[i] === 0 ? 1 : 0;
  return unseen;
}

/** Read as unsigned, half of the words would become floating-point numbers on their way through the engine. */
function signedView(pairs: Uint32Array): Int32Array {
  return new Int32Array(pairs.buffer, pairs.byteOffset, pairs.length);
}
