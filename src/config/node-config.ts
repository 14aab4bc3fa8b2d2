/** The configuration of one node: loaded, checked, and handed to the core. */
import { createHash } from "node:crypto";
import { hostname } from "node:os";
import type { CoreSettings, TopicSettings } from "../core/settings.ts";
import { ConfigurationError } from "../errors.ts";
import { type Loaded, loadOptions, type Sources } from "./load.ts";
import { type OptionTable, type OptionValues } from "./option.ts";
import type { Address } from "./option-types.ts";
import { type NodeConfig, nodeOptions } from "./option-table.ts";
import { relationViolations } from "./relations.ts";

/** Options of one task definition win over the node's; `effectSettleMs` and the rest fall back to it. */
export type TopicInput = Pick<TopicSettings, "name" | "generation" | "onUnknown" | "hasCheck"> & Partial<TopicSettings>;

export interface LoadedNode<Extra> {
  readonly config: NodeConfig;
  readonly extra: OptionValues<Extra>;
  readonly positionals: readonly string[];
}

/**
 * Loads a node's configuration, and with it the options of the command that asks (`extra`).
 * @throws ConfigurationError with every violation: unknown keys, values, relations.
 */
export function loadNodeConfig<Extra extends OptionTable = Record<never, never>>(
  sources: Sources,
  extra?: Extra,
): LoadedNode<Extra> {
  const loaded: Loaded<OptionTable> = loadOptions({ ...nodeOptions, ...extra }, sources);
  const values = withDerivedDefaults(loaded.values as NodeConfig, loaded.given);
  const violations = [...loaded.violations, ...relationViolations(values, loaded.given)];
  if (violations.length > 0) throw new ConfigurationError(violations);
  return { config: values, extra: loaded.values as OptionValues<Extra>, positionals: loaded.positionals };
}

/**
 * A configuration from values in code, for the library: everything not given has its default.
 * @throws ConfigurationError with every violated relation.
 */
export function nodeConfig(overrides: Partial<NodeConfig>): NodeConfig {
  const entries = Object.entries(nodeOptions).map(([key, entry]) => [key, entry.default]);
  const violations: string[] = [];
  const values: Record<string, unknown> = Object.fromEntries(entries);
  for (const [key, value] of Object.entries(overrides)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(nodeOptions, key)) violations.push(`${key}: no such option`);
    values[key] = value;
  }
  const given = new Set(Object.keys(overrides));
  const config = withDerivedDefaults(values as NodeConfig, given);
  violations.push(...relationViolations(config, given));
  if (violations.length > 0) throw new ConfigurationError(violations);
  return config;
}

function withDerivedDefaults(config: NodeConfig, given: ReadonlySet<string>): NodeConfig {
  return config.singleNode && !given.has("minInSync") ? { ...config, minInSync: 1 } : config;
}

/** The address that peers are told: the port that was really opened, on the host that they can reach. */
export function advertisedAddress(
  config: Pick<NodeConfig, "advertiseHost">,
  listen: Address,
  openedPort: number,
): Address {
  const everywhere = listen.host === "0.0.0.0" || listen.host === "::";
  const host = config.advertiseHost !== "" ? config.advertiseHost : everywhere ? hostname() : listen.host;
  return { host, port: openedPort };
}

/** What the core must be told. Topics are sorted by name, since their index is part of every partition id. */
export function coreSettings(
  config: NodeConfig,
  topics: readonly TopicInput[],
  clusterUuid: string,
  bootId: string,
): CoreSettings {
  const { filterGenerations, filterCapacity, filterFalsePositiveRate, filterSeed } = config;
  return {
    clusterUuid,
    bootId,
    nodeId: config.nodeId,
    dedupEpoch: config.dedupEpoch,
    startAt: config.startAt,
    topics: topics
      .map((topic) => topicSettings(config, topic))
      .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)),
    minInSync: config.minInSync,
    heartbeatMs: config.heartbeatMs,
    leaseMs: config.leaseMs,
    isolationGraceMs: config.isolationGraceMs,
    quarantineMarginMs: config.quarantineMarginMs,
    inSyncEvictionMs: config.inSyncEvictionMs,
    checkQuorumMs: config.checkQuorumMs,
    isolateAfterMs: config.isolateAfterMs,
    uncleanStartAfterMs: config.uncleanStartAfterMs,
    syncMaxMs: config.syncMaxMs,
    electionBackoffMs: config.electionBackoffMs,
    watermarkPersistMs: config.watermarkPersistMs,
    drainTimeoutMs: config.drainTimeoutMs,
    concurrency: config.concurrency,
    checkConcurrency: config.checkConcurrency,
    checkAttemptsMax: config.checkAttemptsMax,
    checkBackoffMs: config.checkBackoffMs,
    unknownMax: config.unknownMax,
    claimBatchMax: config.claimBatchMax,
    reportsInFlightMax: config.reportsInFlightMax,
    batchDelayMs: config.batchDelayMs,
    commitIntervalMs: config.commitIntervalMs,
    uncommittedSpanMax: config.uncommittedSpanMax,
    tableSlotsMax: config.tableSlotsMax,
    doubtfulMax: config.doubtfulMax,
    doubtPageMax: config.doubtPageMax,
    doubtIntervalMs: config.doubtIntervalMs,
    deltaLogMax: config.deltaLogMax,
    filter: {
      generations: filterGenerations,
      capacityPerGeneration: filterCapacity,
      falsePositiveRate: filterFalsePositiveRate,
      seed: filterSeed,
    },
  };
}

function topicSettings(config: NodeConfig, topic: TopicInput): TopicSettings {
  return {
    name: topic.name,
    generation: topic.generation,
    partitions: topic.partitions ?? 0,
    onUnknown: topic.onUnknown,
    hasCheck: topic.hasCheck,
    effectSettleMs: topic.effectSettleMs ?? config.effectSettleMs,
    attemptsMax: topic.attemptsMax ?? config.attemptsMax,
    retryBackoffMs: topic.retryBackoffMs ?? config.retryBackoffMs,
    retryBackoffMaxMs: topic.retryBackoffMaxMs ?? config.retryBackoffMaxMs,
  };
}

/** One parameter of the handshake: a short name and a text that must be equal on both sides. */
export interface SharedParameter {
  readonly name: string;
  readonly value: string;
}

/** Longer lists are compared by their digest; the handshake bounds its texts. */
const TOPICS_TEXT_MAX = 512;

/**
 * The parameters that every node of a cell must share, for the handshake (R19); cell, cluster UUID and codec version
 * are in every hello anyway. Besides the shape of the replicated state it holds the times on which the quarantine rests:
 * a leader's patience is only sound when each node's own guard follows the same numbers.
 */
export function parameterSet(settings: CoreSettings, groupId: string): readonly SharedParameter[] {
  const { filter } = settings;
  const topics = settings.topics.map((topic) => `${topic.name}@${topic.generation}`).join(",");
  const rows: readonly (readonly [string, string | number])[] = [
    ["group", groupId],
    ["dedup epoch", settings.dedupEpoch],
    ["topics", topics.length <= TOPICS_TEXT_MAX ? topics : createHash("sha256").update(topics).digest("hex")],
    ["span", settings.uncommittedSpanMax],
    ["filter generations", filter.generations],
    ["filter capacity", filter.capacityPerGeneration],
    ["filter false positive rate", filter.falsePositiveRate],
    ["filter seed", filter.seed],
    ["min in sync", settings.minInSync],
    ["lease ms", settings.leaseMs],
    ["isolation grace ms", settings.isolationGraceMs],
    ["quarantine margin ms", settings.quarantineMarginMs],
  ];
  return rows.map(([name, value]) => ({ name, value: String(value) }));
}
