/**
 * Opens everything that a node needs, in order: watchdog, ports, registration, topics, then the parts of the shell. Whatever
 * is opened goes onto the stack at once, so that a failing start closes it again.
 */
import { loadKeyHash } from "../../native-ish/key-hash.ts";
import type { MemberInfo } from "../coordinator/coordinator.ts";
import type { CoreEvent } from "../core/events.ts";
import { incarnationOf } from "../core/identity.ts";
import type { CoreSettings } from "../core/settings.ts";
import { VouchError } from "../errors.ts";
import type { Runner } from "../execution/runner.ts";
import { startWatchdog, type Watchdog } from "../execution/watchdog.ts";
import { formatAddress, parseAddress } from "../links/address.ts";
import { PeerEndpoint } from "../links/endpoint.ts";
import { openHttp } from "../ops/http.ts";
import { NodeMetrics, type Vitals } from "../ops/metrics.ts";
import type { NodeStatus } from "../ops/node-status.ts";
import type { NodeTaskAnswer } from "../ops/task.ts";
import { CODEC_NAME } from "../wire/codec.ts";
import { PROTOCOL_VERSION } from "../wire/limits.ts";
import { BatchHasher, KEY_FORMAT } from "./batch-hasher.ts";
import { Consumption } from "./consumption.ts";
import { Coordination } from "./coordination.ts";
import { DeathProof } from "./death-proof.ts";
import { createRunner } from "./execution-bridge.ts";
import type { OpenedTopic, RuntimeOptions } from "./options.ts";
import type { PartitionNames } from "./partition-names.ts";
import { Peers } from "./peers.ts";
import { TopicIdentity } from "./topic-identity.ts";
import { openTopics } from "./topics.ts";

/** What the parts tell the node. */
export interface NodeHooks {
  readonly names: PartitionNames;
  readonly post: (event: CoreEvent) => void;
  /** Something that the node cannot do without is gone for good. */
  readonly fail: (error: Error) => void;
  readonly status: () => NodeStatus | null;
  /** What this node knows of a task; null while it is starting. */
  readonly task: (id: string) => NodeTaskAnswer | null;
  /** What is measured of this process, for the metrics. */
  readonly vitals: Vitals;
  /** What a start that is under way waits for, "" when nothing is known. */
  readonly startingOn: () => string;
  /** Why the process should be restarted, "" when it should not. */
  readonly unhealthy: () => string;
}

/** The shell of one node, before its core runs. */
export interface NodeParts {
  readonly settings: CoreSettings;
  readonly self: MemberInfo;
  readonly watchdog: Watchdog;
  readonly peers: Peers;
  readonly coordination: Coordination;
  readonly consumption: Consumption;
  readonly runner: Runner;
  readonly hasher: BatchHasher;
  readonly deaths: DeathProof;
  /** Counters of what the core does not see, by name. */
  readonly edges: () => Readonly<Record<string, number>>;
  /** From now on peers are accepted. */
  readonly acceptPeers: () => void;
}

/**
 * Keeps trying while a server does not answer, until `options.signal` is aborted.
 * @throws ConfigurationError, VouchError; the stack then holds what was opened.
 */
export async function openParts(
  options: RuntimeOptions,
  hooks: NodeHooks,
  stack: AsyncDisposableStack,
): Promise<NodeParts> {
  const { coordinator, taskLog, log } = options;
  stack.defer(() => taskLog.close());
  stack.defer(() => coordinator.close());
  const watchdog = stack.use(
    await startWatchdog({
      topics: hooks.names.topics,
      onHealthy: (healthyUntil) => hooks.post({ type: "watchdog", healthyUntil }),
      onFailure: hooks.fail,
    }),
  );
  const httpAddress = serveHttp(options, hooks, stack);
  const peers = new Peers({
    nodeId: options.nodeId,
    post: hooks.post,
    addressOf: (incarnation) => coordination.addressOf(incarnation),
    log,
  });
  const endpoint = openEndpoint(options, peers, stack);
  const self = memberInfo(options, formatAddress(options.advertise(parseAddress(endpoint.address))), httpAddress);
  log("info", "listening", { peerAddress: self.peerAddress, httpAddress: self.httpAddress });
  const deaths = new DeathProof(
    self.process,
    (incarnation) => hooks.post({ type: "death-proven", incarnation }),
    options.self.readProcess,
  );
  const coordination = new Coordination({
    coordinator,
    names: hooks.names,
    post: hooks.post,
    onMembers: (members) => deaths.members(members, performance.now()),
    onFailed: hooks.fail,
    log,
    dedupEpoch: options.dedupEpoch,
  });
  const topics = await register(options, self, coordination);
  const settings = options.settings(coordinator.clusterUuid(), self.bootId, topics);
  const hasher = await createHasher(settings, topics);
  const { consumption, runner } = createWork(options, hooks, stack, { hasher, watchdog, topics });
  return {
    settings,
    self,
    watchdog,
    peers,
    coordination,
    consumption,
    runner,
    hasher,
    deaths,
    edges: () => ({ ...endpoint.counters, staleBatches: consumption.staleBatches, timedOut: runner.counters.timedOut }),
    acceptPeers: () => identify(endpoint, options, settings),
  };
}

interface Prepared {
  readonly hasher: BatchHasher;
  readonly watchdog: Watchdog;
  readonly topics: readonly OpenedTopic[];
}

/** Tasks in, handlers started, commits out. */
function createWork(
  { taskLog, tasks, log, consumer, coordinator }: RuntimeOptions,
  { names, post, fail }: NodeHooks,
  stack: AsyncDisposableStack,
  { hasher, watchdog: guard, topics }: Prepared,
): Pick<NodeParts, "consumption" | "runner"> {
  const producer = taskLog.producer();
  stack.defer(() => producer.close());
  const consumption = new Consumption({
    consumer: () => taskLog.consumer({ ...consumer, topics: names.topics, clusterUuid: coordinator.clusterUuid() }),
    identity: new TopicIdentity(coordinator, topics, log),
    groupId: consumer.groupId,
    names,
    hasher,
    post,
    onFatal: fail,
    log,
  });
  stack.defer(() => consumption.close());
  const record = consumption.record.bind(consumption);
  const runner = createRunner({ tasks, now: () => performance.now(), record, producer, guard, post, log });
  stack.defer(async () => {
    // Only after an unclean stop does anything still run here.
    runner.abortAll("the node stops");
    await runner.close();
  });
  return { consumption, runner };
}

/** Metrics are measured only where somebody can read them. */
function serveHttp(options: RuntimeOptions, hooks: NodeHooks, stack: AsyncDisposableStack): string {
  const { httpListen } = options;
  if (httpListen === null) return "";
  const metrics = new NodeMetrics(hooks.vitals);
  const http = stack.use(
    openHttp({
      listen: httpListen,
      status: hooks.status,
      task: hooks.task,
      startingOn: hooks.startingOn,
      metrics,
      dead: hooks.unhealthy,
    }),
  );
  return formatAddress(options.advertise({ host: httpListen.host, port: http.port }));
}

function openEndpoint(options: RuntimeOptions, peers: Peers, stack: AsyncDisposableStack): PeerEndpoint {
  const { peerListen, insecure, links } = options;
  const listen = formatAddress(peerListen);
  const endpoint = stack.use(new PeerEndpoint({ listen, insecure, settings: links, handlers: peers }));
  peers.attach(endpoint);
  return endpoint;
}

function memberInfo({ nodeId, self }: RuntimeOptions, peerAddress: string, httpAddress: string): MemberInfo {
  return {
    nodeId,
    bootId: self.bootId,
    peerAddress,
    httpAddress,
    protocolVersion: PROTOCOL_VERSION,
    process: self.process,
  };
}

async function register(
  options: RuntimeOptions,
  self: MemberInfo,
  coordination: Coordination,
): Promise<readonly OpenedTopic[]> {
  const { coordinator, taskLog, tasks, dedupEpoch, startAt, log, signal } = options;
  if (isAborted(signal)) throw new VouchError("closed", "the node was stopped while it was starting");
  const admin = taskLog.admin();
  const giveUp = (): void => void coordinator.close();
  signal?.addEventListener("abort", giveUp, { once: true });
  try {
    await coordinator.start(self, (event) => coordination.onEvent(event));
    log("info", "registered", { incarnation: incarnationOf(self.nodeId, self.bootId), peerAddress: self.peerAddress });
    const topics = await openTopics({ coordinator, admin, tasks, dedupEpoch, startAt, log, signal: signal ?? NEVER });
    // Aborted during the last answer: the coordinator is closed, and a node without it would wait for ever.
    if (isAborted(signal)) throw new VouchError("closed", "the node was stopped while it was starting");
    return topics;
  } finally {
    signal?.removeEventListener("abort", giveUp);
    await admin.close();
  }
}

const NEVER = new AbortController().signal;

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

async function createHasher(settings: CoreSettings, topics: readonly OpenedTopic[]): Promise<BatchHasher> {
  const hash = await loadKeyHash(settings.filter.seed);
  return new BatchHasher(
    hash,
    settings.dedupEpoch,
    topics.map(({ task, generation }) => ({ name: task.topic, generation, taskId: task.taskId })),
  );
}

function identify(endpoint: PeerEndpoint, { cell, parameters }: RuntimeOptions, settings: CoreSettings): void {
  const { clusterUuid, nodeId, bootId } = settings;
  endpoint.identify({
    cell,
    clusterUuid,
    nodeId,
    bootId,
    parameters: [
      ...parameters(settings),
      { name: "codec", value: CODEC_NAME },
      { name: "key format", value: KEY_FORMAT },
    ],
  });
}
