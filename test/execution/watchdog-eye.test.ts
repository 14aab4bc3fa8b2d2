import { describe, expect, test } from "bun:test";
import { type Moment, WatchdogEye } from "../../src/execution/watchdog-eye.ts";
import { durationWord, NO_LIMIT, Word, WORDS } from "../../src/execution/watchdog-words.ts";

const LOOK_MS = 50;
const at = (monotonicMs: number, uptimeMs = monotonicMs): Moment => ({ monotonicMs, uptimeMs });

/** The main thread's side, and an eye whose clock is a number. */
function scene(): {
  lease: (ms: number) => void;
  work: (running: number, ms: number) => void;
  eye: WatchdogEye;
  words: Int32Array;
} {
  const words = new Int32Array(new SharedArrayBuffer(WORDS * 4));
  words[Word.leaseMs] = NO_LIMIT;
  words[Word.workMs] = NO_LIMIT;
  return {
    words,
    eye: new WatchdogEye(words, LOOK_MS, at(0)),
    lease: (ms) => {
      words[Word.leaseMs] = durationWord(ms);
      words[Word.leaseCounter]!++;
    },
    work: (running, ms) => {
      words[Word.workMs] = durationWord(ms);
      words[Word.workCounter]!++;
      words[Word.running] = running;
    },
  };
}

/** Looks every 50 ms from `from` to `to`; the verdict of each. */
function verdicts(eye: WatchdogEye, from: number, to: number): string[] {
  const found: string[] = [];
  for (let ms = from; ms <= to; ms += LOOK_MS) found.push(eye.look(at(ms)));
  return found;
}

describe("R12: the lease", () => {
  test("kills when its time is over and handlers run, counted from the look before the one that saw it", () => {
    const { lease, work, eye } = scene();
    work(1, Number.POSITIVE_INFINITY);
    eye.look(at(50));
    lease(200);
    expect(verdicts(eye, 100, 300)).toEqual(["", "", "", "lease", "lease"]);
  });

  test("does nothing while no handler runs, and bites at once when one does", () => {
    const { lease, work, eye } = scene();
    lease(100);
    expect(verdicts(eye, 50, 500).join("")).toBe("");
    work(1, 60_000);
    expect(eye.look(at(550))).toBe("lease");
  });

  test("goes on with each publication", () => {
    const { lease, work, eye } = scene();
    work(1, Number.POSITIVE_INFINITY);
    for (let ms = 50; ms < 2_000; ms += 50) {
      lease(150);
      expect(eye.look(at(ms))).toBe("");
    }
    expect(verdicts(eye, 2_000, 2_050)).toEqual(["", "lease"]);
  });

  test("the same value published again is a new time", () => {
    const { lease, work, eye } = scene();
    work(1, Number.POSITIVE_INFINITY);
    lease(100);
    eye.look(at(50));
    lease(100);
    expect(eye.look(at(100))).toBe("");
  });

  test("Infinity ends the count", () => {
    const { lease, work, eye } = scene();
    work(1, Number.POSITIVE_INFINITY);
    lease(100);
    eye.look(at(50));
    lease(Number.POSITIVE_INFINITY);
    expect(verdicts(eye, 100, 1_000).join("")).toBe("");
  });

  test("a time that is over when it is published kills at the next look", () => {
    const { lease, work, eye } = scene();
    work(1, Number.POSITIVE_INFINITY);
    lease(-5);
    expect(eye.look(at(50))).toBe("lease");
  });

  test("counts the machine's sleep, which the monotonic clock leaves out", () => {
    const { lease, work, eye } = scene();
    work(1, Number.POSITIVE_INFINITY);
    lease(10_000);
    eye.look(at(50));
    expect(eye.look(at(100, 60_000))).toBe(""); // the main thread gets one look's time to publish
    expect(eye.look(at(150, 60_050))).toBe("lease");
  });
});

describe("R12: a process that was stopped", () => {
  test("a time published before the stop does not begin after it", () => {
    const { lease, work, eye } = scene();
    work(1, Number.POSITIVE_INFINITY);
    eye.look(at(50));
    lease(10_000);
    expect([eye.look(at(30_000)), eye.look(at(30_050))]).toEqual(["", "lease"]);
  });

  test("what the main thread publishes right after it counts", () => {
    const { lease, work, eye } = scene();
    work(1, Number.POSITIVE_INFINITY);
    lease(1_000);
    eye.look(at(50));
    eye.look(at(30_000));
    lease(1_000);
    expect(verdicts(eye, 30_050, 30_900).join("")).toBe("");
  });

  test("a watchdog that is always late bites all the same", () => {
    const { lease, work, eye } = scene();
    work(1, Number.POSITIVE_INFINITY);
    lease(10);
    expect([eye.look(at(1_000)), eye.look(at(2_000))]).toEqual(["", "lease"]);
  });
});

test("R23: a handler that is over its time and its grace is a reason of its own", () => {
  const { lease, work, eye } = scene();
  lease(60_000);
  work(3, 120);
  expect(verdicts(eye, 50, 150)).toEqual(["", "", "handler"]);
  work(0, Number.POSITIVE_INFINITY);
  expect(eye.look(at(200))).toBe("");
});

test("each look answers the question", () => {
  const { words, eye } = scene();
  words[Word.question] = 4;
  eye.look(at(50));
  expect(words[Word.answer]).toBe(4);
});

test("durations are rounded down and stay within a word", () => {
  expect([1.9, -3, 0, 1e15, Number.POSITIVE_INFINITY].map(durationWord)).toEqual([1, 0, 0, 2_147_483_647, NO_LIMIT]);
});
