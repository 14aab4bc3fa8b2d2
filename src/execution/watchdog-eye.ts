/**
 * What the watchdog decides at each look; pure, so that it can be tested with any clock.
 *
 * A duration counts from the look *before* the one that saw its counter change: it may have been written at any moment
 * since, and a process that was stopped right after writing must not get the stop as a present. The price is that a kill may
 * come one look interval early.
 */
import assert from "node:assert/strict";
import { NO_LIMIT, Word, WORDS } from "./watchdog-words.ts";

export type Verdict = "" | "lease" | "handler";

/** The larger of two clocks' advances counts: the monotonic one may stand still while the machine sleeps. */
export interface Moment {
  readonly monotonicMs: number;
  readonly uptimeMs: number;
}

function elapsedMs(from: Moment, to: Moment): number {
  return Math.max(to.monotonicMs - from.monotonicMs, to.uptimeMs - from.uptimeMs);
}

class Countdown {
  readonly #words: Int32Array;
  readonly #counterWord: number;
  readonly #durationWord: number;
  #counter = 0;
  #durationMs: number = NO_LIMIT;
  #from: Moment;

  constructor(words: Int32Array, counterWord: number, durationWord: number, at: Moment) {
    this.#words = words;
    this.#counterWord = counterWord;
    this.#durationWord = durationWord;
    this.#from = at;
  }

  /** Whether the time that the main thread last gave is over. */
  over(previous: Moment, at: Moment): boolean {
    const counter = Atomics.load(this.#words, this.#counterWord);
    if (counter !== this.#counter) {
      this.#counter = counter;
      this.#durationMs = Atomics.load(this.#words, this.#durationWord);
      this.#from = previous;
    }
    return this.#durationMs !== NO_LIMIT && elapsedMs(this.#from, at) >= this.#durationMs;
  }
}

export class WatchdogEye {
  readonly #words: Int32Array;
  readonly #slipMs: number;
  readonly #lease: Countdown;
  readonly #work: Countdown;
  #previous: Moment;
  #slipped = false;
  #question = 0;
  #questionAt: Moment;

  /** `lookMs`: how often `look` will be called. */
  constructor(words: Int32Array, lookMs: number, at: Moment) {
    assert(words.length === WORDS);
    this.#words = words;
    this.#slipMs = lookMs * 4;
    this.#lease = new Countdown(words, Word.leaseCounter, Word.leaseMs, at);
    this.#work = new Countdown(words, Word.workCounter, Word.workMs, at);
    this.#previous = at;
    this.#questionAt = at;
  }

  /** How long the main thread has asked nothing: much more than its interval when its event loop stands still. */
  silentMs(at: Moment): number {
    return elapsedMs(this.#questionAt, at);
  }

  /** Answers the main thread's question, and says why the process must die now ("": it need not). */
  look(at: Moment): Verdict {
    const previous = this.#previous;
    this.#previous = at;
    const leaseOver = this.#lease.over(previous, at);
    const workOver = this.#work.over(previous, at);
    const question = Atomics.load(this.#words, Word.question);
    if (question !== this.#question) {
      this.#question = question;
      this.#questionAt = at;
    }
    Atomics.store(this.#words, Word.answer, question);
    // This thread (or the whole process) slept: the main thread may be well and just about to publish. One more look, and no
    // more than one, or a watchdog that is always late would never bite.
    const slipped = elapsedMs(previous, at) > this.#slipMs && !this.#slipped;
    this.#slipped = slipped;
    if (slipped || Atomics.load(this.#words, Word.running) === 0) return "";
    if (leaseOver) return "lease";
    return workOver ? "handler" : "";
  }
}
