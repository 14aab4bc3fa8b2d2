import { describe, expect, test } from "bun:test";
import { NodeMetrics } from "../../src/ops/metrics.ts";
import { coreStatus, nodeStatus, vitals } from "./node-fixture.ts";

function metrics(): NodeMetrics {
  return new NodeMetrics(vitals());
}

/** Sample lines by name and labels. */
function samples(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
  );
}

describe("metrics", () => {
  test("have every value of the status in its place", async () => {
    const found = samples(await metrics().scrape(nodeStatus()));
    const expected: Record<string, number> = {
      'vouch_tasks_total{outcome="executed"}': 6,
      'vouch_tasks_total{outcome="dropped"}': 9,
      'vouch_tasks_total{outcome="dead"}': 10,
      'vouch_tasks_total{outcome="parked"}': 11,
      'vouch_doubts_settled_total{how="attested-executed"}': 31,
      'vouch_doubts_settled_total{how="checked-not-executed"}': 34,
      'vouch_doubts_settled_total{how="by-policy"}': 38,
      'vouch_limit_hits_total{limit="doubtfulMax"}': 25,
      'vouch_commit_lag{topic="payments",partition="2"}': 10,
      'vouch_role{role="leader"}': 1,
      'vouch_role{role="member"}': 0,
      'vouch_node_info{node="n1",cell="default",version="0.1.0"}': 1,
      vouch_epoch: 7,
      vouch_in_sync_size: 2,
      vouch_in_flight: 12,
      vouch_oldest_unfinished_seconds: 2.5,
      vouch_doubtful: 4,
      vouch_oldest_doubt_seconds: 1.5,
      vouch_elections_won_total: 21,
      vouch_filter_fill: 0.25,
      vouch_filter_false_positive_rate: 0.0004,
    };
    for (const [name, value] of Object.entries(expected)) expect([name, found.get(name)]).toEqual([name, value]);
  });

  test("every counter and every way to settle a doubt appears once", async () => {
    const found = [...samples(await metrics().scrape(nodeStatus())).values()];
    const { limitHits, ...counters } = coreStatus().counters;
    const wanted = [
      ...Object.values(counters),
      ...Object.values(limitHits),
      ...Object.values(coreStatus().doubtsSettled),
    ];
    for (const value of wanted) expect(found).toContain(value);
  });

  test("a second scrape shows the new values, not their sum, and forgets what is gone", async () => {
    const registry = metrics();
    await registry.scrape(nodeStatus());
    const later = nodeStatus(
      {},
      {
        epoch: 8,
        role: "member",
        leaderStatus: null,
        partitions: [],
        counters: { ...coreStatus().counters, executed: 60 },
      },
    );
    const found = samples(await registry.scrape(later));
    expect(found.get('vouch_tasks_total{outcome="executed"}')).toBe(60);
    expect(found.get("vouch_epoch")).toBe(8);
    expect(found.get('vouch_role{role="leader"}')).toBe(0);
    expect(found.has('vouch_commit_lag{topic="payments",partition="2"}')).toBe(false);
  });

  test("two registries in one process do not meet", async () => {
    const first = metrics();
    const second = metrics();
    await first.scrape(nodeStatus());
    expect(samples(await second.scrape(null)).has("vouch_epoch")).toBe(false);
  });

  test("verdict times are a histogram, with the batches below each bound", async () => {
    const text = await metrics().scrape(nodeStatus());
    const found = samples(text);
    expect(found.get('vouch_verdict_seconds_bucket{le="0.001"}')).toBe(0);
    expect(found.get('vouch_verdict_seconds_bucket{le="0.0025"}')).toBe(3);
    expect(found.get('vouch_verdict_seconds_bucket{le="0.01"}')).toBe(5);
    expect(found.get('vouch_verdict_seconds_bucket{le="30"}')).toBe(5);
    expect(found.get('vouch_verdict_seconds_bucket{le="+Inf"}')).toBe(6);
    expect(found.get("vouch_verdict_seconds_count")).toBe(6);
    expect(found.get("vouch_verdict_seconds_sum")).toBeCloseTo(40.02, 6);
    expect(text).toContain("# TYPE vouch_verdict_seconds histogram");
  });

  test("C19: the longest standstill since the last scrape, and the alarms", async () => {
    const lags = [1_500, 0];
    const alive = vitals(() => lags.shift()!);
    const registry = new NodeMetrics(alive);
    alive.health.lagged(1_500, 1_000);
    const first = samples(await registry.scrape(null));
    expect(first.get("vouch_event_loop_delay_max_seconds")).toBe(1.5);
    expect(first.get("vouch_event_loop_stalls_total")).toBe(1);
    expect(first.get('vouch_alarm{alarm="event-loop"}')).toBe(1);
    expect(first.get('vouch_alarm{alarm="verdicts"}')).toBe(0);
    expect(samples(await registry.scrape(null)).get("vouch_event_loop_delay_max_seconds")).toBe(0);
  });
});
