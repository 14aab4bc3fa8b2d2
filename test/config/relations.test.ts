import { describe, expect, test } from "bun:test";
import { coreSettings, nodeConfig, parameterSet, type TopicInput } from "../../src/config/node-config.ts";
import type { NodeConfig } from "../../src/config/option-table.ts";
import { relationViolations } from "../../src/config/relations.ts";
import { ConfigurationError } from "../../src/errors.ts";

const defaults = nodeConfig({ dataDir: "/nowhere", nodeId: "n1" });

function violations(changes: Partial<NodeConfig>): string[] {
  return relationViolations({ ...defaults, ...changes });
}

describe("timing relations (protocol, section 5)", () => {
  test("the defaults hold", () => {
    expect(violations({})).toEqual([]);
  });

  // Each row sits exactly on the border, and then one millisecond beyond it.
  const borders: readonly [string, Partial<NodeConfig>, Partial<NodeConfig>][] = [
    [
      "--isolation-grace-ms",
      { isolationGraceMs: 11_500, leaseMs: 3_000 },
      { isolationGraceMs: 11_499, leaseMs: 3_000 },
    ],
    ["--quarantine-margin-ms", { quarantineMarginMs: 1_150 }, { quarantineMarginMs: 1_149 }],
    ["--isolate-after-ms", { isolateAfterMs: 15_000 }, { isolateAfterMs: 14_999 }],
    ["--unclean-start-after-ms", { uncleanStartAfterMs: 16_500 }, { uncleanStartAfterMs: 16_499 }],
    ["--kafka-session-ms", { kafkaSessionMs: 15_001 }, { kafkaSessionMs: 15_000 }],
    ["--heartbeat-ms", { heartbeatMs: 1_000 }, { heartbeatMs: 1_001 }],
    ["--in-sync-eviction-ms", { inSyncEvictionMs: 3_000 }, { inSyncEvictionMs: 2_999 }],
    ["--check-quorum-ms", { checkQuorumMs: 3_000 }, { checkQuorumMs: 2_999 }],
    ["--kafka-heartbeat-ms", { kafkaHeartbeatMs: 6_000 }, { kafkaHeartbeatMs: 6_001 }],
    ["--kafka-rebalance-ms", { kafkaRebalanceMs: 18_000 }, { kafkaRebalanceMs: 17_999 }],
    ["--retry-backoff-max-ms", { retryBackoffMaxMs: 200 }, { retryBackoffMaxMs: 199 }],
    ["--table-slots-max", { tableSlotsMax: 20_000 }, { tableSlotsMax: 19_999 }],
    ["--claim-batch-max", { uncommittedSpanMax: 1_024 }, { uncommittedSpanMax: 1_023 }],
    ["--doubt-page-max", { doubtfulMax: 1_024 }, { doubtfulMax: 1_023 }],
  ];
  test.each(borders)("%s: holds on the border and not beyond", (name, holding, broken) => {
    expect(violations(holding)).toEqual([]);
    const found = violations(broken);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(name);
  });

  test("a lease longer than a third of the session does not count for more than that third", () => {
    const found = violations({
      leaseMs: 6_000,
      isolateAfterMs: 30_000,
      uncleanStartAfterMs: 30_000,
      inSyncEvictionMs: 6_000,
      isolationGraceMs: 11_000,
    });
    expect(found).toHaveLength(1);
    expect(found[0]).toContain("a leader's death must not abort running handlers");
    expect(found[0]).toEndWith("expected at least 13500 ms, got 13000 ms");
  });

  test("all violations come at once, each with expected and got", () => {
    const found = violations({ isolationGraceMs: 1_000, isolateAfterMs: 1, uncleanStartAfterMs: 1, kafkaSessionMs: 1 });
    expect(found.length).toBeGreaterThanOrEqual(4);
    for (const violation of found) expect(violation).toMatch(/expected (at least|more than) \d+ ms, got \d+ ms$/);
  });
});

describe("options that need each other", () => {
  test("brokers without ZooKeeper are refused with both names, and the other way round", () => {
    for (const half of [{ kafkaBrokers: ["a:1"] }, { zookeeper: "z:1" }]) {
      const found = violations(half);
      expect(found).toHaveLength(1);
      expect(found[0]).toContain("--kafka-brokers");
      expect(found[0]).toContain("--zookeeper");
    }
    expect(violations({ kafkaBrokers: ["a:1"], zookeeper: "z:1", dataDir: "" })).toEqual([]);
  });

  test("without servers a data directory is needed", () => {
    expect(violations({ dataDir: "" })[0]).toContain("--data-dir");
  });

  test("peers on another address than loopback are refused, unless that is said to be meant", () => {
    for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost"]) {
      expect(violations({ peerListen: { host, port: 1 } })).toEqual([]);
    }
    for (const host of ["0.0.0.0", "10.0.0.1", "127.example.com", "::"]) {
      expect(violations({ peerListen: { host, port: 1 } })[0]).toContain("--insecure");
      expect(violations({ peerListen: { host, port: 1 }, insecure: true })).toEqual([]);
    }
  });

  test("R3: one acknowledgement is enough in the declared single-node mode only", () => {
    expect(violations({ minInSync: 1 })[0]).toContain("--single-node");
    expect(violations({ minInSync: 2, singleNode: true })[0]).toContain("--min-in-sync 1");
    expect(violations({ minInSync: 1, singleNode: true })).toEqual([]);
    expect(nodeConfig({ dataDir: "/nowhere", singleNode: true }).minInSync).toBe(1);
  });

  test("a configuration in code is refused like one on the command line", () => {
    expect(() => nodeConfig({ dataDir: "" })).toThrow(ConfigurationError);
    expect(() => nodeConfig({ dataDir: "/nowhere", leaseMilliseconds: 3 } as Partial<NodeConfig>)).toThrow(
      "no such option",
    );
  });
});

describe("what the core is told", () => {
  const topic = (name: string, more: Partial<TopicInput> = {}): TopicInput => ({
    name,
    generation: 1,
    onUnknown: "park",
    hasCheck: true,
    ...more,
  });

  test("topics are sorted by name, and their own limits win over the node's", () => {
    const settings = coreSettings(defaults, [topic("b"), topic("a", { effectSettleMs: 7 })], "c".repeat(32), "boot");
    expect(settings.topics.map(({ name, effectSettleMs }) => [name, effectSettleMs])).toEqual([
      ["a", 7],
      ["b", 2_000],
    ]);
    expect(settings.filter).toEqual({
      generations: 4,
      capacityPerGeneration: 1_000_000,
      falsePositiveRate: 0.001,
      seed: 0,
    });
  });

  test("R19: the parameter set is equal on equal nodes and differs in whatever they must share", () => {
    const set = (changes: Partial<NodeConfig>, topics = [topic("a")]): string => {
      const config = { ...defaults, ...changes };
      return JSON.stringify(parameterSet(coreSettings(config, topics, "u", "boot"), config.kafkaGroupId));
    };
    const base = set({});
    expect(set({ nodeId: "other", concurrency: 7, dataDir: "/elsewhere" })).toBe(base);
    const different = [
      set({ filterSeed: 1 }),
      set({ filterCapacity: 5 }),
      set({ filterGenerations: 5 }),
      set({ filterFalsePositiveRate: 0.01 }),
      set({ uncommittedSpanMax: 10_000 }),
      set({ kafkaGroupId: "other" }),
      set({ dedupEpoch: 1 }),
      set({ leaseMs: 2_999 }),
      set({ isolationGraceMs: 12_001 }),
      set({ quarantineMarginMs: 1_501 }),
      set({ minInSync: 3 }),
      set({}, [topic("b")]),
      set({}, [topic("a", { generation: 2 })]),
      set({}, [topic("a"), topic("b")]),
      set(
        {},
        Array.from({ length: 100 }, (_, index) => topic(`long-topic-name-${index}`)),
      ),
      set(
        {},
        Array.from({ length: 101 }, (_, index) => topic(`long-topic-name-${index}`)),
      ),
    ];
    expect(new Set([base, ...different]).size).toBe(different.length + 1);
    for (const text of different) {
      for (const { value } of JSON.parse(text) as { value: string }[]) expect(value.length).toBeLessThanOrEqual(512);
    }
  });
});
