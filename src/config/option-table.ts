/** The options of a node. Relations between them are in `relations.ts`. */
import { hostname } from "node:os";
import { type Option, type OptionValues, option } from "./option.ts";
import {
  addressList,
  choice,
  fraction,
  integer,
  listenAddress,
  listenAddressOrOff,
  text,
  toggle,
} from "./option-types.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** A host name may be empty or odd; a node always has a name. */
const HOST_NAME =
  hostname()
    .replace(/^[^A-Za-z0-9]+/, "")
    .replace(/[^A-Za-z0-9._-]/g, "-")
    .slice(0, 64) || "node";
const NAME_EXPECTED = "1 to 64 letters, digits, dots, dashes or underscores";
/** The bitmap of one span must fit into the 4,096 bytes that a commit may carry (R15). */
const SPAN_LIMIT = 20_000;

/** What ZooKeeper's own clients take: servers, and a path below which all names lie. */
const CONNECT_STRING =
  /^(\[[0-9A-Fa-f:.]+\]|[^\s,:/[\]]+)(:\d{1,5})?(,\s*(\[[0-9A-Fa-f:.]+\]|[^\s,:/[\]]+)(:\d{1,5})?)*(\/[^\s,]*)?$/;

const ms = (group: string, fallback: number, description: string, min = 1): Option<number> =>
  option({ type: integer(min, 2 ** 31 - 1), default: fallback, unit: "ms", description, group });

const bound = (
  group: string,
  unit: Option<number>["unit"],
  fallback: number,
  description: string,
  max: number = 2 ** 31 - 1,
): Option<number> => option({ type: integer(1, max), default: fallback, unit, description, group });

const IDENTITY = "Identity";
const SERVERS = "Servers";
const WORK = "Work";
const TIMING = "Timing of the cell";
const LIMITS = "Limits";
const FILTER = "Seen-set";

export const nodeOptions = {
  nodeId: option({
    type: text("NAME", NAME, NAME_EXPECTED),
    default: HOST_NAME,
    defaultText: "the host's name",
    unit: "",
    group: IDENTITY,
    description: "name of this node, unique in the cell",
  }),
  cell: option({
    type: text("NAME", NAME, NAME_EXPECTED),
    default: "default",
    unit: "",
    group: IDENTITY,
    description: "the cell that this node belongs to: one leader, its nodes and its topics",
  }),
  dataDir: option({
    type: text("FOLDER"),
    default: "",
    defaultText: "none",
    unit: "",
    group: IDENTITY,
    description: "folder of the embedded log and coordinator, when no servers are named",
  }),
  peerListen: option({
    type: listenAddress(),
    default: { host: "127.0.0.1", port: 7400 },
    unit: "",
    group: IDENTITY,
    description: "where other nodes reach this one; port 0 takes a free one",
  }),
  insecure: option({
    type: toggle(),
    default: false,
    unit: "",
    group: IDENTITY,
    description: "let --peer-listen be no loopback address, though peers are not authenticated",
  }),
  httpListen: option({
    type: listenAddressOrOff(),
    default: { host: "127.0.0.1", port: 7480 },
    unit: "",
    group: IDENTITY,
    description: "/livez, /readyz, /metrics, /status and /task; port 0 takes a free one",
  }),
  advertiseHost: option({
    type: text("HOST"),
    default: "",
    defaultText: "the listening host, or the host's name when that is every address",
    unit: "",
    group: IDENTITY,
    description: "host that other nodes are told to connect to",
  }),
  logLevel: option({
    type: choice(["debug", "info", "warn", "error"]),
    default: "info",
    unit: "",
    group: IDENTITY,
    description: "lowest level of log lines that are written",
  }),

  kafkaBrokers: option({
    type: addressList(),
    default: [],
    defaultText: "none: the embedded log",
    unit: "",
    group: SERVERS,
    environment: "KAFKA_BROKERS",
    description: "Kafka brokers; needs --zookeeper",
  }),
  kafkaGroupId: option({
    type: text("NAME", /^\S{1,255}$/, "1 to 255 characters without spaces"),
    default: "vouch",
    unit: "",
    group: SERVERS,
    environment: "KAFKA_GROUP_ID",
    description: "consumer group of the cell",
  }),
  kafkaTls: option({
    type: toggle(),
    default: false,
    unit: "",
    group: SERVERS,
    environment: "KAFKA_TLS",
    description: "speak TLS with the brokers",
  }),
  kafkaSaslMechanism: option({
    type: choice(["none", "plain", "scram-sha-256", "scram-sha-512"]),
    default: "none",
    unit: "",
    group: SERVERS,
    environment: "KAFKA_SASL_MECHANISM",
    description: "how to authenticate at the brokers",
  }),
  kafkaSaslUsername: option({
    type: text("NAME"),
    default: "",
    defaultText: "none",
    unit: "",
    group: SERVERS,
    environment: "KAFKA_SASL_USERNAME",
    description: "user name at the brokers",
  }),
  kafkaSaslPassword: option({
    type: text("TEXT"),
    default: "",
    defaultText: "none",
    unit: "",
    group: SERVERS,
    environment: "KAFKA_SASL_PASSWORD",
    secret: true,
    description: "password at the brokers",
  }),
  zookeeper: option({
    type: text("HOST:PORT,…[/PATH]", CONNECT_STRING, "host:port, with more of them after commas and perhaps a path"),
    default: "",
    defaultText: "none: the embedded coordinator",
    unit: "",
    group: SERVERS,
    environment: "ZOOKEEPER_CONNECT",
    description: "ZooKeeper servers; needs --kafka-brokers",
  }),
  zookeeperRoot: option({
    type: text("PATH", /^(\/[A-Za-z0-9._-]+)+$/, "a path such as /vouch"),
    default: "/vouch",
    unit: "",
    group: SERVERS,
    environment: "ZOOKEEPER_ROOT",
    description: "path, below the one of --zookeeper, under which the cells keep their records",
  }),
  zookeeperAuth: option({
    type: text("USER:PASSWORD", /^$|^[^:]+:.+$/, "user:password"),
    default: "",
    defaultText: "none",
    unit: "",
    group: SERVERS,
    environment: "ZOOKEEPER_AUTH",
    secret: true,
    description: "digest credentials at ZooKeeper, as user:password",
  }),
  kafkaSessionMs: ms(SERVERS, 18_000, "a member of the consumer group that is silent this long loses its partitions"),
  kafkaRebalanceMs: ms(SERVERS, 60_000, "how long a rebalance waits for the members of the group"),
  kafkaHeartbeatMs: ms(SERVERS, 2_000, "between two heartbeats to the consumer group"),
  fetchWaitMs: ms(SERVERS, 200, "how long one fetch waits for records; bounds how fast a paused partition resumes"),
  fetchBytesMax: bound(SERVERS, "bytes", 1_048_576, "bytes of one partition in one fetch"),

  concurrency: bound(WORK, "handlers", 100, "handlers at once on this node", 100_000),
  checkConcurrency: bound(WORK, "checks", 10, "checks at once on this node", 10_000),
  startAt: option({
    type: choice(["earliest", "latest", "committed"]),
    default: "earliest",
    unit: "",
    group: WORK,
    description: "where to begin in a partition of which the cell has no record; recorded at first use",
  }),
  dedupEpoch: option({
    type: integer(0, 2 ** 31 - 1),
    default: 0,
    unit: "",
    group: WORK,
    description: "part of every task's identity; raise it to run a topic again on purpose",
  }),
  attemptsMax: bound(WORK, "attempts", 5, "attempts of a failing task before it becomes a dead letter", 255),
  retryBackoffMs: ms(WORK, 200, "wait before the second attempt; doubles with each, with jitter"),
  retryBackoffMaxMs: ms(WORK, 10_000, "longest wait between two attempts"),
  handlerTimeoutMs: ms(WORK, 60_000, "a handler that runs longer is aborted; its end is then unknown"),
  abortGraceMs: ms(WORK, 1_000, "an aborted handler that runs on this long takes its process down"),
  effectSettleMs: ms(WORK, 2_000, "an effect of a killed run may land this long after its death", 0),
  checkTimeoutMs: ms(WORK, 10_000, "a check that takes longer counts as unknown"),
  checkAttemptsMax: bound(WORK, "checks", 3, "unknown answers of a check before onUnknown decides", 255),
  checkBackoffMs: ms(WORK, 1_000, "wait before a check is asked again"),
  unknownMax: bound(WORK, "runs", 3, "runs of one task that ended unknown before it is parked as poison", 255),

  minInSync: option({
    type: integer(1, 1_000),
    default: 2,
    defaultText: "2, or 1 with --single-node",
    unit: "nodes",
    group: TIMING,
    description: "nodes that must have acknowledged a grant before it counts",
  }),
  singleNode: option({
    type: toggle(),
    default: false,
    unit: "",
    group: TIMING,
    description: "this cell is one node only: every restart puts what was in flight in doubt",
  }),
  sessionMs: ms(TIMING, 6_000, "session with the coordinator; a silent node loses its registration after it"),
  coordinatorTickMs: ms(TIMING, 2_000, "how late the coordinator may expire a session (ZooKeeper's tickTime)", 0),
  heartbeatMs: ms(TIMING, 500, "between two reports of an idle node to its leader"),
  leaseMs: ms(TIMING, 3_000, "how long a node may start handlers without an answer of its leader"),
  isolationGraceMs: ms(TIMING, 12_000, "handlers that still run this long after the lease are aborted"),
  quarantineMarginMs: ms(TIMING, 1_500, "added to lease and grace before a silent node counts as gone"),
  inSyncEvictionMs: ms(TIMING, 3_000, "a member that lags this long is removed from the in-sync set"),
  checkQuorumMs: ms(TIMING, 6_000, "a leader without enough live members resigns after this"),
  isolateAfterMs: ms(TIMING, 15_000, "a node without its leader leaves the consumer group after this"),
  uncleanStartAfterMs: ms(
    TIMING,
    20_000,
    "a leader that reaches nobody of the last in-sync set starts without it after this",
  ),
  syncMaxMs: ms(TIMING, 2_000, "how long a new leader waits for members of the last in-sync set"),
  electionBackoffMs: ms(TIMING, 500, "base of the wait, with jitter, before competing again"),
  watermarkPersistMs: ms(TIMING, 10_000, "between two writes of the watermarks to the coordinator"),
  drainTimeoutMs: ms(TIMING, 30_000, "how long a stopping node waits for its handlers and its peers"),
  doubtIntervalMs: ms(TIMING, 500, "between two questions about the same doubt"),
  commitIntervalMs: ms(TIMING, 100, "between two commits of this node"),
  batchDelayMs: ms(TIMING, 1, "how long a partly filled report waits while others are in flight", 0),
  loopLagAlarmMs: ms(TIMING, 1_000, "an alarm when the event loop stands still for longer"),
  verdictAlarmMs: ms(TIMING, 1_000, "an alarm when the slowest hundredth of a minute's verdicts takes longer"),

  claimBatchMax: bound(LIMITS, "tasks", 1_024, "tasks in one claim", 16_384),
  reportsInFlightMax: bound(LIMITS, "frames", 4, "reports sent and not acknowledged", 64),
  uncommittedSpanMax: bound(LIMITS, "offsets", SPAN_LIMIT, "offsets above the committed one, a partition", SPAN_LIMIT),
  tableSlotsMax: bound(LIMITS, "slots", 2_097_152, "entries of the grant table over all partitions (16 bytes each)"),
  doubtfulMax: bound(LIMITS, "tasks", 20_000, "doubts held by this node; at the limit the partition pauses"),
  doubtPageMax: bound(LIMITS, "doubts", 1_024, "doubts in one report", 1_024),
  deltaLogMax: bound(LIMITS, "deltas", 10_000, "changes kept for a member that reconnects; further behind is evicted"),

  filterGenerations: option({
    type: integer(2, 64),
    default: 4,
    unit: "",
    group: FILTER,
    description: "filters kept; the oldest is retired when the open one is full",
  }),
  filterCapacity: bound(FILTER, "keys", 1_000_000, "task ids that one filter generation holds", 1_000_000_000),
  filterFalsePositiveRate: option({
    type: fraction(0, 0.5),
    default: 0.001,
    unit: "",
    group: FILTER,
    description: "share of new task ids that are asked about needlessly, over all generations",
  }),
  filterSeed: option({
    type: integer(0, 2 ** 31 - 1),
    default: 0,
    unit: "",
    group: FILTER,
    description: "seed of the task hash, equal on all nodes",
  }),
};

/** Every option of a node with its value, checked one by one and against each other. */
export type NodeConfig = OptionValues<typeof nodeOptions>;
