/**
 * Relations between options: what makes the timing of a cell sound (protocol, section 5) and what options need each
 * other. All violations are returned at once; each names the relation, what was expected and what came.
 */
import { quarantineMs } from "../core/settings.ts";
import { type NodeConfig, nodeOptions } from "./option-table.ts";
import { formatAddress } from "./option-types.ts";

/** Clocks may drift by this share (guarantee G2). */
const CLOCK_DRIFT = 0.01;

interface Relation {
  /** The relation in words, as a person would state it. */
  readonly words: string;
  readonly left: number;
  readonly comparison: "at least" | "more than";
  readonly right: number;
  readonly unit: string;
}

function timingRelations(c: NodeConfig): Relation[] {
  const guarded = c.leaseMs + c.isolationGraceMs;
  const ms = (words: string, left: number, comparison: Relation["comparison"], right: number): Relation => ({
    words,
    left,
    comparison,
    right,
    unit: " ms",
  });
  return [
    ms(
      "a leader's death must not abort running handlers: the smaller of --lease-ms and a third of --session-ms, plus " +
        "--isolation-grace-ms, must be at least --session-ms + 2 * --coordinator-tick-ms + --sync-max-ms + --quarantine-margin-ms",
      Math.min(c.leaseMs, c.sessionMs / 3) + c.isolationGraceMs,
      "at least",
      c.sessionMs + 2 * c.coordinatorTickMs + c.syncMaxMs + c.quarantineMarginMs,
    ),
    ms(
      "a silent node must have stopped when its quarantine ends: --quarantine-margin-ms must be at least --abort-grace-ms " +
        "plus 1 % (clock drift) of --lease-ms + --isolation-grace-ms",
      c.quarantineMarginMs,
      "at least",
      Math.ceil(c.abortGraceMs + guarded * CLOCK_DRIFT),
    ),
    ms(
      "a node must not leave the group while its handlers may run: --isolate-after-ms must be at least --lease-ms + --isolation-grace-ms",
      c.isolateAfterMs,
      "at least",
      guarded,
    ),
    ms(
      "an unclean start must not come before the quarantine (--lease-ms + --isolation-grace-ms + --quarantine-margin-ms) " +
        "is over: --unclean-start-after-ms must be at least that",
      c.uncleanStartAfterMs,
      "at least",
      quarantineMs(c),
    ),
    ms(
      "the longest stall of the event loop that the watchdog lets live (--lease-ms + --isolation-grace-ms) must not cost " +
        "the group membership: --kafka-session-ms must be more than it",
      c.kafkaSessionMs,
      "more than",
      guarded,
    ),
    ms(
      "a lease must survive a lost report: --lease-ms must be at least 3 * --heartbeat-ms",
      c.leaseMs,
      "at least",
      3 * c.heartbeatMs,
    ),
    ms(
      "an eviction must not come before the lease is over: --in-sync-eviction-ms must be at least --lease-ms",
      c.inSyncEvictionMs,
      "at least",
      c.leaseMs,
    ),
    ms(
      "a leader must give members a lease's time to come back: --check-quorum-ms must be at least --lease-ms",
      c.checkQuorumMs,
      "at least",
      c.leaseMs,
    ),
    ms(
      "the coordinator is asked every third of a session: --session-ms must be at least 3 * --heartbeat-ms",
      c.sessionMs,
      "at least",
      3 * c.heartbeatMs,
    ),
    ms(
      "the group session must survive two lost heartbeats: --kafka-session-ms must be at least 3 * --kafka-heartbeat-ms",
      c.kafkaSessionMs,
      "at least",
      3 * c.kafkaHeartbeatMs,
    ),
    ms(
      "a rebalance must wait for a slow member: --kafka-rebalance-ms must be at least --kafka-session-ms",
      c.kafkaRebalanceMs,
      "at least",
      c.kafkaSessionMs,
    ),
    ms(
      "back-off only grows: --retry-backoff-max-ms must be at least --retry-backoff-ms",
      c.retryBackoffMaxMs,
      "at least",
      c.retryBackoffMs,
    ),
  ];
}

function sizeRelations(c: NodeConfig): Relation[] {
  return [
    {
      words: "the table must hold one partition's span: --table-slots-max must be at least --uncommitted-span-max",
      left: c.tableSlotsMax,
      comparison: "at least",
      right: c.uncommittedSpanMax,
      unit: "",
    },
    {
      words: "a claim must fit into the span: --uncommitted-span-max must be at least --claim-batch-max",
      left: c.uncommittedSpanMax,
      comparison: "at least",
      right: c.claimBatchMax,
      unit: "",
    },
    {
      words: "one page of doubts must fit into the queue: --doubtful-max must be at least --doubt-page-max",
      left: c.doubtfulMax,
      comparison: "at least",
      right: c.doubtPageMax,
      unit: "",
    },
  ];
}

function holds(relation: Relation): boolean {
  return relation.comparison === "at least" ? relation.left >= relation.right : relation.left > relation.right;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

function belongTogether(c: NodeConfig, given: ReadonlySet<string>): string[] {
  const violations: string[] = [];
  // Given counts although its value was refused: that has a line of its own, and "missing" would be untrue.
  const kafka = c.kafkaBrokers.length > 0 || given.has("kafkaBrokers");
  const zookeeper = c.zookeeper !== "" || given.has("zookeeper");
  if (kafka !== zookeeper) {
    const [here, missing] = kafka ? ["--kafka-brokers", "--zookeeper"] : ["--zookeeper", "--kafka-brokers"];
    violations.push(
      `--kafka-brokers (KAFKA_BROKERS) and --zookeeper (ZOOKEEPER_CONNECT) need each other: expected both or neither, got ${here} without ${missing}`,
    );
  }
  if (!kafka && !zookeeper && c.dataDir === "") {
    violations.push(
      "without --kafka-brokers and --zookeeper a node uses the embedded log and coordinator: expected --data-dir, got none",
    );
  }
  if (!c.insecure && !isLoopback(c.peerListen.host)) {
    violations.push(
      `peers are not authenticated: expected --peer-listen on a loopback address, or --insecure where only peers reach it; got ${formatAddress(c.peerListen)}`,
    );
  }
  if (c.singleNode && c.minInSync !== 1) {
    violations.push(`--single-node is a cell of one node: expected --min-in-sync 1, got ${c.minInSync}`);
  }
  if (!c.singleNode && c.minInSync < 2) {
    violations.push(
      `a grant that only one node knows dies with it: expected --min-in-sync of at least 2, or --single-node on the only node; got ${c.minInSync}`,
    );
  }
  return violations;
}

/** A name, a password and a mechanism at the brokers need each other. */
export function saslViolations(
  c: Pick<NodeConfig, "kafkaSaslMechanism" | "kafkaSaslUsername" | "kafkaSaslPassword">,
  given: ReadonlySet<string>,
): string[] {
  const violations: string[] = [];
  if (c.kafkaSaslMechanism !== "none" && (c.kafkaSaslUsername === "" || c.kafkaSaslPassword === "")) {
    violations.push(
      `--kafka-sasl-mechanism ${c.kafkaSaslMechanism} needs a name and a password: expected --kafka-sasl-username and ` +
        `KAFKA_SASL_PASSWORD_FILE, got ${c.kafkaSaslUsername === "" ? "no name" : "no password"}`,
    );
  }
  if (c.kafkaSaslMechanism === "none" && (given.has("kafkaSaslUsername") || given.has("kafkaSaslPassword"))) {
    violations.push("a name or a password at the brokers is given: expected --kafka-sasl-mechanism as well, got none");
  }
  return violations;
}

/** Every relation between numbers, in words, whether it holds or not: for the reference. */
export function relationsInWords(): readonly string[] {
  const defaults = Object.fromEntries(Object.entries(nodeOptions).map(([key, entry]) => [key, entry.default]));
  const config = defaults as NodeConfig;
  return [...timingRelations(config), ...sizeRelations(config)].map(({ words }) => words);
}

/** Every violated relation, in words; empty when the configuration is sound. `given` are the keys that somebody set. */
export function relationViolations(config: NodeConfig, given: ReadonlySet<string> = new Set()): string[] {
  const broken = [...timingRelations(config), ...sizeRelations(config)].filter((relation) => !holds(relation));
  return [
    ...belongTogether(config, given),
    ...saslViolations(config, given),
    ...broken.map(
      ({ words, comparison, right, left, unit }) =>
        `${words}: expected ${comparison} ${right}${unit}, got ${left}${unit}`,
    ),
  ];
}
