/**
 * The memory that the main thread and the watchdog share: 32-bit words, each written by one side only. Durations travel,
 * never moments: the two threads' clocks do not start together.
 */
import { partitionOf, topicIndexOf } from "../core/identity.ts";

export const Word = {
  leaseCounter: 0, // main: raised after `leaseMs` was written
  leaseMs: 1, // main: from now on so long handlers may run
  workCounter: 2, // main: raised after `workMs` was written
  workMs: 3, // main: from now on so long the oldest handler may still run
  running: 4, // main: user code runs in so many tasks
  question: 5, // main: raised when it wants to know whether the watchdog lives
  answer: 6, // watchdog: the last question that it saw
  stop: 7, // main: 1 when the watchdog is to end
  // Main: the task whose user code is being called, else the one that must end first. For the watchdog's last words only.
  pid: 8,
  offsetHigh: 9, // times 2^32
  offsetLow: 10,
  isCheck: 11,
} as const;
export const WORDS = 12;

/** "the handler of payments:0:17", as the words have it. */
export function nameFrom(words: Int32Array, topics: readonly string[]): string {
  const pid = Atomics.load(words, Word.pid) >>> 0;
  const offset = Atomics.load(words, Word.offsetHigh) * 2 ** 32 + (Atomics.load(words, Word.offsetLow) >>> 0);
  const what = Atomics.load(words, Word.isCheck) === 1 ? "check" : "handler";
  return `the ${what} of ${topics[topicIndexOf(pid)] ?? "?"}:${partitionOf(pid)}:${offset}`;
}

/** Nothing to count down. */
export const NO_LIMIT = -1;

/** Whole milliseconds that fit a word; a fraction is rounded down, what is over is 0. */
export function durationWord(remainingMs: number): number {
  if (remainingMs === Number.POSITIVE_INFINITY) return NO_LIMIT;
  return Math.max(0, Math.min(0x7fff_ffff, Math.floor(remainingMs)));
}

/** What the main thread hands to the worker when it starts. */
export interface WatchdogStart {
  readonly words: Int32Array;
  readonly lookMs: number;
  readonly topics: readonly string[]; // by topic index
}
