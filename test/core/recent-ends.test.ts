import { describe, expect, test } from "bun:test";
import { RECENT_ENDS_MAX, RecentEnds, type SettledDoubt } from "../../src/core/member/recent-ends.ts";
import { quantileMs, VERDICT_BOUNDS_MS, VerdictTimes } from "../../src/core/verdict-times.ts";

function doubt(offset: number, changes: Partial<SettledDoubt> = {}): SettledDoubt {
  return {
    pid: 3,
    offset,
    hashHi: 7,
    hashLo: offset,
    id: `id-${offset}`,
    how: "checkedExecuted",
    ran: false,
    checks: 2,
    since: 100,
    at: 200 + offset,
    ...changes,
  };
}

describe("settled doubts", () => {
  test("are found by record and by hash, as they were told", () => {
    const ends = new RecentEnds();
    const [first, second] = [doubt(0), doubt(5_000_000_000, { how: "conflict", ran: true, id: null, hashLo: 9 })];
    ends.addDoubt(first);
    ends.addDoubt(second);
    expect(ends.findDoubts(3, 0, 0, 0)).toEqual([first]);
    expect(ends.findDoubts(-1, -1, 7, 9)).toEqual([second]);
    expect(ends.findDoubts(3, 1, 0, 0)).toEqual([]);
    expect(ends.findDoubts(4, 0, 0, 0)).toEqual([]);
  });

  test("the newest of a record counts", () => {
    const ends = new RecentEnds();
    ends.addDoubt(doubt(1, { how: "regranted", ran: true }));
    ends.addDoubt(doubt(1, { how: "attestedExecuted" }));
    expect(ends.findDoubts(3, 1, 7, 1).map(({ how }) => how)).toEqual(["attestedExecuted"]);
  });

  test("the last 10,000 stay, and no more", () => {
    const ends = new RecentEnds();
    for (let offset = 0; offset < RECENT_ENDS_MAX + 3; offset++) ends.addDoubt(doubt(offset));
    expect(ends.doubts).toBe(RECENT_ENDS_MAX);
    expect([0, 1, 2].flatMap((offset) => ends.findDoubts(3, offset, 0, 0))).toEqual([]);
    expect(ends.findDoubts(3, 3, 0, 0)).toHaveLength(1);
    expect(ends.findDoubts(3, RECENT_ENDS_MAX + 2, 0, 0)).toHaveLength(1);
  });

  test("what was set aside is a ring of its own", () => {
    const ends = new RecentEnds();
    const name = { pid: 1, hashHi: 1, hashLo: 2, id: "x" };
    for (let offset = 0; offset <= RECENT_ENDS_MAX; offset++)
      ends.addSetAside({ ...name, offset, hashLo: offset, kind: "dead", reason: "attempts", attempts: 5, at: offset });
    expect(ends.findSetAside(1, 0, 0, 0)).toEqual([]);
    expect(ends.findSetAside(1, 1, 0, 0)).toMatchObject([{ offset: 1, kind: "dead", attempts: 5, at: 1 }]);
    expect(ends.findSetAside(-1, -1, 1, RECENT_ENDS_MAX)).toHaveLength(1);
    expect(ends.findDoubts(1, 1, 0, 0)).toEqual([]);
  });
});

describe("verdict times", () => {
  test("each goes into the first bucket that holds it, the last one has no bound", () => {
    const times = new VerdictTimes();
    for (const ms of [0, 0.5, 0.6, 30_000, 30_001]) times.observe(ms);
    const at = (bound: number): number => times.counts[VERDICT_BOUNDS_MS.indexOf(bound)]!;
    expect([at(0.5), at(1), at(30_000), times.counts.at(-1)]).toEqual([2, 1, 1, 1]);
    expect([times.count, times.sumMs]).toEqual([5, 60_002.1]);
  });

  test("a quantile is the bound of the bucket in which it lies", () => {
    const times = new VerdictTimes();
    expect(quantileMs(times.counts, 0.99)).toBe(0);
    for (let i = 0; i < 98; i++) times.observe(2);
    for (let i = 0; i < 2; i++) times.observe(400);
    expect([quantileMs(times.counts, 0.5), quantileMs(times.counts, 0.98), quantileMs(times.counts, 0.99)]).toEqual([
      2.5, 2.5, 500,
    ]);
    for (let i = 0; i < 100; i++) times.observe(99_999);
    expect(quantileMs(times.counts, 0.99)).toBe(Infinity);
  });
});
