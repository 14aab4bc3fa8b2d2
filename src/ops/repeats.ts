/**
 * Holds back what was said a moment ago: a server that is down is tried every second, and a stranger may knock at the peer
 * port a thousand times a second. The first one passes, then one in `everyMs`, which says how many were held back.
 */

const EVERY_MS = 10_000;
/** Texts that are remembered; the oldest goes first. */
const TEXTS_MAX = 200;

/** Texts that differ only in these are the same: the number of a try, and an amount (but not a part of an address). */
const TRY = / \(try \d+[^)]*\)$/;
const AMOUNT = /(?<![\w.:-])\d+(?![\w.:-])/g;

export class Repeats {
  readonly #now: () => number;
  readonly #everyMs: number;
  readonly #told = new Map<string, { at: number; held: number }>();

  /** `now`: milliseconds on any clock that only goes forward. */
  constructor(now: () => number, everyMs: number = EVERY_MS) {
    this.#now = now;
    this.#everyMs = everyMs;
  }

  /** How many like it were held back since the last one that passed; null when this one is to be held back too. */
  pass(text: string): number | null {
    const key = text.replace(TRY, "").replace(AMOUNT, "#");
    const now = this.#now();
    const told = this.#told.get(key);
    if (told !== undefined && now - told.at < this.#everyMs) {
      told.held++;
      return null;
    }
    this.#told.delete(key);
    this.#told.set(key, { at: now, held: 0 });
    for (const [oldest] of this.#told) {
      if (this.#told.size <= TEXTS_MAX) break;
      this.#told.delete(oldest);
    }
    return told?.held ?? 0;
  }
}
