/**
 * Which generations a ring holds, in the order of their ids, and what it has let go of. Ids come from the leader: a
 * replica never counts them itself, so the same id is the same set of keys everywhere.
 *
 * Guarantees: at most `generationsMax` generations; the one with the highest id is open; whatever order the ids come
 * in, the ring ends with the highest ones. A generation that was retired does not come back.
 */
import { BloomBits, type Generation } from "./bloom-blocks.ts";
import type { BloomParameters } from "./bloom-sizing.ts";

export interface RetiredGeneration {
  readonly id: number;
  readonly openedAtMs: number;
  readonly insertions: number;
  /** True when the declared time window was not over for its last keys: the seen-set is too small for this traffic. */
  readonly insideWindow: boolean;
}

/** What the ring remembers, and what it has forgotten. */
export interface WindowInfo {
  readonly oldestGenerationId: number;
  readonly openGenerationId: number;
  readonly oldestOpenedAtMs: number;
  readonly heldInsertions: number;
  /** The declared window: so many of the latest new keys are remembered when rotation waits for the capacity. */
  readonly guaranteedTasks: number;
  readonly declaredMs: number;
  readonly retiredGenerations: number;
  readonly retiredInsertions: number;
  /** Generations retired before the declared time was over for all of their keys: raise the capacity. */
  readonly retiredInsideWindow: number;
}

export class GenerationTable {
  readonly #parameters: BloomParameters;
  readonly #generationsMax: number;
  readonly #windowMs: number;
  /** Oldest first, never empty. Replaced, never changed: somebody may be reading the old one into a snapshot. */
  #held: Generation[];
  #retiredGenerations = 0;
  #retiredInsertions = 0;
  #retiredInsideWindow = 0;

  constructor(parameters: BloomParameters, generationsMax: number, windowMs: number, held: readonly Generation[]) {
    this.#parameters = parameters;
    this.#generationsMax = generationsMax;
    this.#windowMs = windowMs;
    this.#held = [...held];
  }

  get held(): readonly Generation[] {
    return this.#held;
  }

  get open(): Generation {
    const last = this.#held.at(-1);
    if (last === undefined) throw new Error("a ring without a generation");
    return last;
  }

  find(id: number): Generation | undefined {
    return this.#held.find((generation) => generation.id === id);
  }

  window(capacity: number): WindowInfo {
    const oldest = this.#held[0] ?? this.open;
    return {
      oldestGenerationId: oldest.id,
      openGenerationId: this.open.id,
      oldestOpenedAtMs: oldest.openedAtMs,
      heldInsertions: this.#held.reduce((sum, generation) => sum + generation.bits.insertions, 0),
      guaranteedTasks: (this.#generationsMax - 1) * capacity,
      declaredMs: this.#windowMs,
      retiredGenerations: this.#retiredGenerations,
      retiredInsertions: this.#retiredInsertions,
      retiredInsideWindow: this.#retiredInsideWindow,
    };
  }

  /** The generation of this id, made if it is not held yet; undefined when it has fallen out of the ring. */
  admit(
    id: number,
    openedAtMs: number,
  ): { generation: Generation | undefined; retired: RetiredGeneration | undefined } {
    const known = this.find(id);
    if (known !== undefined) return { generation: known, retired: undefined };
    const isFull = this.#held.length >= this.#generationsMax;
    // A ring that retired a generation stays full, so no retired id is above its oldest one.
    if (isFull && id < this.#held[0]!.id) return { generation: undefined, retired: undefined };
    // New memory rather than the retired generation's: somebody may still be reading that into a snapshot.
    const generation = { id, openedAtMs, bits: new BloomBits(this.#parameters) };
    this.#held = [...this.#held, generation].sort((left, right) => left.id - right.id);
    return { generation, retired: isFull ? this.#retireOldest() : undefined };
  }

  #retireOldest(): RetiredGeneration {
    const [oldest, next] = this.#held;
    if (oldest === undefined || next === undefined) throw new Error("the open generation cannot be retired");
    this.#held = this.#held.slice(1);
    // Its youngest key may be as young as the opening of the generation after it.
    const youngestAgeMs = this.open.openedAtMs - next.openedAtMs;
    const insideWindow = this.#windowMs > 0 && youngestAgeMs < this.#windowMs;
    this.#retiredGenerations++;
    this.#retiredInsertions += oldest.bits.insertions;
    if (insideWindow) this.#retiredInsideWindow++;
    return { id: oldest.id, openedAtMs: oldest.openedAtMs, insertions: oldest.bits.insertions, insideWindow };
  }
}
