/**
 * The last new keys, in order, so that a replica that missed some can have them again. Bounded: what falls out can only
 * be caught up by digests or a snapshot. A log knows nothing of bits; its filter tells it what was new.
 */
import { Seen } from "./bloom-blocks.ts";
import type { BloomDelta, DeltaRun } from "./bloom-sync.ts";

/** Rotations remembered; a log that saw more of them forgets its oldest keys instead. */
const RUNS_MAX = 256;

interface RunStart {
  readonly sequence: number;
  readonly generationId: number;
  readonly openedAtMs: number;
}

export class DeltaLog {
  readonly #pairsMax: number;
  readonly #pairs: Uint32Array;
  #from: number;
  #to: number;
  /** Where each generation began, ascending; the first covers `#from`. */
  #runs: RunStart[];

  constructor(pairsMax: number, sequence: number, generationId: number, openedAtMs: number) {
    this.#pairsMax = pairsMax;
    this.#pairs = new Uint32Array(pairsMax * 2);
    this.#from = sequence;
    this.#to = sequence;
    this.#runs = [{ sequence, generationId, openedAtMs }];
  }

  append(high: number, low: number): void {
    const at = (this.#to % this.#pairsMax) * 2;
    this.#pairs[at] = high;
    this.#pairs[at + 1] = low;
    this.#to++;
    if (this.#to - this.#from > this.#pairsMax) this.#from++;
  }

  /** The keys [first, first + count) of a batch whose answer, from `out[outFirst]` on, is that the filter changed. */
  appendFresh(pairs: Uint32Array, first: number, count: number, out: Uint8Array, outFirst: number): void {
    for (let i = 0; i < count; i++) {
      if ((out[outFirst + i]! & Seen.open) === 0) this.append(pairs[(first + i) * 2]!, pairs[(first + i) * 2 + 1]!);
    }
  }

  /** The keys from here on are of this generation; nothing happens when they are already. */
  startRun(generationId: number, openedAtMs: number): void {
    if (this.#runs.at(-1)?.generationId === generationId) return;
    this.#runs.push({ sequence: this.#to, generationId, openedAtMs });
    // Drop the starts that no remembered key needs; the last one at or before `#from` still names its generation.
    while (this.#runs.length > 1 && this.#runs[1]!.sequence < this.#from) this.#runs.shift();
    if (this.#runs.length > RUNS_MAX) {
      this.#runs.shift();
      this.#from = Math.max(this.#from, this.#runs[0]!.sequence);
    }
  }

  /** The generation that the next key would be logged under. */
  get generationId(): number {
    return this.#runs.at(-1)?.generationId ?? -1;
  }

  /** Forgets all keys: a bit was set that no key here explains, so nobody may catch up from before `sequence`. */
  restart(sequence: number, generationId: number, openedAtMs: number): void {
    this.#from = sequence;
    this.#to = sequence;
    this.#runs = [{ sequence, generationId, openedAtMs }];
  }

  /** Everything from `sequence` on; undefined when the log does not reach back so far (or not that far yet). */
  since(sequence: number): BloomDelta | undefined {
    if (sequence < this.#from || sequence > this.#to) return undefined;
    const runs: DeltaRun[] = [];
    for (const [index, run] of this.#runs.entries()) {
      const end = this.#runs[index + 1]?.sequence ?? this.#to;
      if (end < sequence) continue;
      const first = Math.max(run.sequence, sequence);
      runs.push({ generationId: run.generationId, openedAtMs: run.openedAtMs, pairs: this.#copy(first, end) });
    }
    return { fromSequence: sequence, toSequence: this.#to, runs };
  }

  #copy(first: number, end: number): Uint32Array {
    const out = new Uint32Array((end - first) * 2);
    const at = first % this.#pairsMax;
    const beforeWrap = Math.min(end - first, this.#pairsMax - at);
    out.set(this.#pairs.subarray(at * 2, (at + beforeWrap) * 2));
    out.set(this.#pairs.subarray(0, (end - first - beforeWrap) * 2), beforeWrap * 2);
    return out;
  }
}
