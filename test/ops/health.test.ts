import { describe, expect, test } from "bun:test";
import { VERDICT_BOUNDS_MS } from "../../src/core/verdict-times.ts";
import { Health, type HealthNews } from "../../src/ops/health.ts";
import { LoopLag } from "../../src/ops/loop-lag.ts";

const nobody = (): string => "";

function health(): Health {
  return new Health({ loopLagMs: 1_000, verdictMs: 500, leaseMs: 3_000 });
}

/** Counts by bucket: so many batches that took at most so long. */
function verdicts(byBound: Readonly<Record<number, number>>): number[] {
  return [...VERDICT_BOUNDS_MS, Infinity].map((bound) => byBound[bound] ?? 0);
}

/** A look each second; the counts are of all time. */
function looks(
  of: Health,
  from: number,
  to: number,
  countsAt: (at: number) => number[],
  oldestAskMs = 0,
): HealthNews[] {
  const news: HealthNews[] = [];
  for (let at = from; at < to; at += 1_000)
    news.push(...of.look({ verdicts: countsAt(at), oldestAskMs }, at, () => "n3, which is 120 changes behind"));
  return news;
}

describe("C19: the event loop", () => {
  test("C19: a standstill beyond the limit is told with what to do, and shown for a minute; a shorter one is not", () => {
    const node = health();
    expect(node.lagged(999, 0)).toBeNull();
    const news = node.lagged(1_840, 1_000);
    expect(news).toMatchObject({ alarm: "event-loop", raised: true });
    expect(news!.message).toContain("stood still for 1.8 s (alarm at 1.0 s)");
    expect(news!.message).toContain("Worker");
    expect(news!.message).toContain("lease (3.0 s)");
    expect(node.alarms()).toEqual([news!.message]);
    expect(node.stalls).toBe(1);
    expect(looks(node, 2_000, 60_000, () => verdicts({}))).toEqual([]);
    expect(looks(node, 61_000, 62_000, () => verdicts({}))).toMatchObject([{ alarm: "event-loop", raised: false }]);
    expect(node.alarms()).toEqual([]);
  });

  test("C19: one that repeats is counted each time, and told again only when it is worse", () => {
    const node = health();
    const told = [1_500, 1_400, 1_600, 1_500].map((lag, i) => node.lagged(lag, i * 1_000) !== null);
    expect(told).toEqual([true, false, true, false]);
    expect(node.stalls).toBe(4);
  });

  test("C19: a loop that is blocked is seen, with its length; one that is not is not", async () => {
    const lags: number[] = [];
    using lag = new LoopLag((ms) => lags.push(ms));
    await Bun.sleep(450);
    expect(Math.max(0, ...lags)).toBeLessThan(400); // a busy machine may be late by itself
    lag.takeMaxMs();
    const end = performance.now() + 900;
    while (performance.now() < end);
    expect(lag.takeMaxMs()).toBeGreaterThan(600); // also before its timer had its turn
    await Bun.sleep(20);
    expect(Math.max(...lags)).toBeGreaterThan(600);
  });

  test("C19: after its end nothing is looked at", async () => {
    const lag = new LoopLag(() => undefined);
    lag[Symbol.dispose]();
    await Bun.sleep(10);
    expect(lag.takeMaxMs()).toBe(0);
  });
});

describe("M10: verdicts", () => {
  test("M10: a slow hundredth of the last minute is an alarm that names who is behind, told once, until it is over", () => {
    const node = health();
    const slowFrom = (at: number): number[] => {
      const slow = at < 30_000 ? 0 : Math.min(at - 30_000, 20_000) / 1_000; // for 20 s one of ten is slow
      return verdicts({ 5: at / 100, 1_000: slow });
    };
    const news = looks(node, 0, 50_000, slowFrom);
    expect(news).toHaveLength(1);
    expect(news[0]).toMatchObject({ alarm: "verdicts", raised: true });
    expect(news[0]!.message).toContain("took up to 1.0 s in the last minute (alarm at 0.5 s)");
    expect(news[0]!.message).toContain("now n3, which is 120 changes behind");
    expect(node.alarms()).toEqual([news[0]!.message]);
    expect(node.verdictP99Ms).toBe(1_000);
    const over = looks(node, 50_000, 130_000, slowFrom);
    expect(over).toMatchObject([{ alarm: "verdicts", raised: false }]);
    expect(node.alarms()).toEqual([]);
    expect(node.verdictP99Ms).toBe(5);
  });

  test("M10: fewer than twenty verdicts a minute make no hundredth, and fast ones no alarm", () => {
    expect(looks(health(), 0, 60_000, () => verdicts({ 30_000: 19 }))).toEqual([]);
    expect(looks(health(), 0, 60_000, (at) => verdicts({ 500: at }))).toEqual([]);
  });

  test("M10: a question without an answer is an alarm by itself", () => {
    const node = health();
    expect(node.look({ verdicts: verdicts({}), oldestAskMs: 1_499 }, 0, nobody)).toEqual([]);
    const [news] = node.look({ verdicts: verdicts({}), oldestAskMs: 1_500 }, 500, nobody);
    expect(news).toMatchObject({ alarm: "verdicts", raised: true });
    expect(news!.message).toContain("no verdict for 1.5 s");
    expect(node.look({ verdicts: verdicts({}), oldestAskMs: 0 }, 1_000, nobody)).toMatchObject([{ raised: false }]);
  });
});
