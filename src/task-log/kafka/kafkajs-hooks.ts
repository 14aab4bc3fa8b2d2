/**
 * Every hook into kafkajs 2.2.4's internals. kafkajs keeps what it does well (connections, metadata, the group protocol,
 * heartbeats); what it does in a way that would cost correctness is taken over here. The hooks are installed when this
 * module is loaded. Those of a group touch only the clusters attached by `attachGroupHooks`: other users of kafkajs in the
 * same process see no difference, except that their idle connections do not spin either.
 *
 * - An idle connection re-arms a timer of -1 ms for ever: here it rests.
 * - A join has no barriers: here the last commit is made before it, and after it no fetch runs until every assigned
 *   partition has an explicit position. Two joins at once become one.
 * - A fetch uses positions that survive an assignment (a seek or pause for a partition that comes back later), hands on
 *   batches that were fetched under an old assignment, and stalls on batches without records: here it is ours.
 * - OFFSET_OUT_OF_RANGE makes kafkajs commit -2 with empty metadata: here that code is never reached.
 * - A commit is repeated by kafkajs in a newer generation: here it is sent once, in the generation that it belongs to.
 */

import { type Kafka, PartitionAssigners } from "kafkajs";
import type Broker from "kafkajs/src/broker";
import type { OffsetCommitRequest } from "kafkajs/src/broker";
import type Cluster from "kafkajs/src/cluster";
import ConsumerGroup, { type OffsetManager } from "kafkajs/src/consumer/consumerGroup";
import { KafkaJSNonRetriableError, KafkaJSProtocolError } from "kafkajs/src/errors";
import RequestQueue from "kafkajs/src/network/requestQueue";
import { createErrorFromCode } from "kafkajs/src/protocol/error";
import fetchRequest, { type FetchRequestTopic } from "kafkajs/src/protocol/requests/fetch/v11/request";
import { decodeFetchResponse, type FetchResponse } from "./fetch-response.ts";

/** What one consumer puts in the place of kafkajs's own join and fetch. */
export interface GroupHooks {
  /** `original` joins and synchronises, with kafkajs's retries. */
  join(group: ConsumerGroup, original: () => Promise<void>): Promise<void>;
  /** One fetch from one broker; records are handed on by the hook itself. kafkajs sends a heartbeat after it. */
  fetch(group: ConsumerGroup, nodeId: string): Promise<void>;
}

const hooksByCluster = new WeakMap<Cluster, GroupHooks>();

/** Takes over join and fetch of the consumer group that uses this cluster object (each kafkajs consumer has its own). */
export function attachGroupHooks(cluster: Cluster, hooks: GroupHooks): void {
  hooksByCluster.set(cluster, hooks);
}

const PENDING_CHECK_MS = 10;

// kafkajs's own schedule runs even when nothing waits, with a delay of -1: a timer each millisecond for ever.
RequestQueue.prototype.scheduleCheckPendingRequests = function (): void {
  if (this.pending.length === 0 || this.throttleCheckTimeoutId !== null) return;
  const delayMs = Math.max(this.throttledUntil - Date.now(), PENDING_CHECK_MS);
  this.throttleCheckTimeoutId = setTimeout(() => {
    this.throttleCheckTimeoutId = null;
    this.checkPendingRequests();
  }, delayMs);
};

const originalJoin = ConsumerGroup.prototype.joinAndSync;
ConsumerGroup.prototype.joinAndSync = function (): Promise<void> {
  const hooks = hooksByCluster.get(this.cluster);
  if (hooks === undefined) return originalJoin.call(this);
  return hooks.join(this, () => originalJoin.call(this));
};

const originalFetch = ConsumerGroup.prototype.fetch;
ConsumerGroup.prototype.fetch = async function (nodeId: string): Promise<readonly never[]> {
  const hooks = hooksByCluster.get(this.cluster);
  if (hooks === undefined) return originalFetch.call(this, nodeId);
  await hooks.fetch(this, nodeId);
  return []; // an empty answer makes kafkajs send the heartbeat and fetch again, and nothing else
};

const originalOutOfRange = ConsumerGroup.prototype.recoverFromOffsetOutOfRange;
ConsumerGroup.prototype.recoverFromOffsetOutOfRange = async function (error: unknown): Promise<void> {
  if (!hooksByCluster.has(this.cluster)) return originalOutOfRange.call(this, error);
  // Our fetch handles it per partition and never throws it; what would follow here is a commit of -2.
  throw new KafkaJSNonRetriableError("an out-of-range position reached kafkajs's own recovery");
};

const READ_COMMITTED = 1;
const READ_UNCOMMITTED = 0;
const NETWORK_DELAY_MS = 5_000;

/** One fetch request. @throws kafkajs's connection and time-out errors, and a protocol error for the answer as a whole. */
export async function fetchFromBroker(
  broker: Broker,
  topics: readonly FetchRequestTopic[],
  limits: { readonly maxWaitMs: number; readonly maxBytes: number },
): Promise<FetchResponse> {
  try {
    return await broker.connectionPool.send<FetchResponse>({
      request: fetchRequest({
        replicaId: -1,
        isolationLevel: READ_COMMITTED,
        maxWaitTime: limits.maxWaitMs,
        minBytes: 1,
        maxBytes: limits.maxBytes,
        topics,
        rackId: "",
      }),
      response: {
        decode: async (payload) => decodeFetchResponse(payload),
        parse: async (answer) => {
          if (answer.errorCode !== 0) throw createErrorFromCode(answer.errorCode);
          return answer;
        },
      },
      requestTimeout: limits.maxWaitMs + NETWORK_DELAY_MS,
    });
  } catch (error) {
    // As kafkajs's broker does it: the pool's other connection goes to the same broken server.
    if (error instanceof Error && error.name === "KafkaJSConnectionClosedError") await broker.disconnect();
    throw error;
  }
}

/** The name Kafka gives an error code, such as "OFFSET_OUT_OF_RANGE". */
export function errorTypeOf(code: number): string {
  return createErrorFromCode(code).type;
}

/** Thrown out of a fetch, it makes kafkajs join the group again. */
export function rejoinRequest(): Error {
  return new KafkaJSProtocolError({
    message: "this member has to join again",
    type: "REBALANCE_IN_PROGRESS",
    code: 27,
    retriable: false,
  });
}

/** Thrown out of a join or fetch, it ends kafkajs's consumer without another try. */
export function endRequest(): Error {
  return new KafkaJSNonRetriableError("the consumer is stopping");
}

export const EARLIEST = -2;
export const LATEST = -1;

export interface TopicPartitions {
  readonly topic: string;
  readonly partitions: readonly number[];
}

/**
 * The log's first offset (EARLIEST) or its end (LATEST: the high watermark, also while a transaction is open) of each
 * partition, as `topic#partition` -> offset, asked of the leaders.
 */
export async function listOffsets(
  cluster: Cluster,
  topics: readonly TopicPartitions[],
  timestamp: typeof EARLIEST | typeof LATEST,
): Promise<ReadonlyMap<string, number>> {
  const byLeader = new Map<number, { topic: string; partitions: { partition: number; timestamp: number }[] }[]>();
  for (const { topic, partitions } of topics) {
    const leaders = new Map(cluster.findTopicPartitionMetadata(topic).map((each) => [each.partitionId, each.leader]));
    for (const partition of partitions) {
      const leader = leaders.get(partition) ?? -1;
      const request = byLeader.get(leader) ?? [];
      byLeader.set(leader, request);
      const same = request.find((each) => each.topic === topic);
      if (same === undefined) request.push({ topic, partitions: [{ partition, timestamp }] });
      else same.partitions.push({ partition, timestamp });
    }
  }
  const offsets = new Map<string, number>();
  await Promise.all(
    [...byLeader].map(async ([leader, request]) => {
      const broker = await cluster.findBroker({ nodeId: String(leader) });
      const { responses } = await broker.listOffsets({ isolationLevel: READ_UNCOMMITTED, topics: request });
      for (const { topic, partitions } of responses) {
        for (const { partition, offset } of partitions) offsets.set(`${topic}#${partition}`, Number(offset));
      }
    }),
  );
  return offsets;
}

/** What the group has committed, as `topic#partition` -> offset and metadata; partitions without a commit are left out. */
export async function committedOffsets(
  group: ConsumerGroup,
): Promise<ReadonlyMap<string, { readonly offset: number; readonly metadata: string }>> {
  const topics = group.assigned().map(({ topic, partitions }) => ({
    topic,
    partitions: partitions.map((partition) => ({ partition })),
  }));
  const found = new Map<string, { offset: number; metadata: string }>();
  if (topics.length === 0) return found; // an empty list would ask for every topic of the group
  const { responses } = await group.coordinator.offsetFetch({ groupId: group.groupId, topics });
  for (const { topic, partitions } of responses) {
    for (const { partition, offset, metadata } of partitions) {
      if (Number(offset) >= 0) found.set(`${topic}#${partition}`, { offset: Number(offset), metadata: metadata ?? "" });
    }
  }
  return found;
}

/** A membership in one group generation: what a commit is stamped with, whatever kafkajs joins meanwhile. */
export interface Membership {
  readonly groupId: string;
  readonly generation: number;
  readonly memberId: string;
  readonly offsetManager: OffsetManager;
}

export function captureMembership(group: ConsumerGroup): Membership {
  const { offsetManager } = group;
  return {
    groupId: group.groupId,
    generation: offsetManager.generationId,
    memberId: offsetManager.memberId,
    offsetManager,
  };
}

/**
 * Takes a member out of its group, over connections of its own. kafkajs forgets to leave when it ends before its first
 * join is complete, and the ghost then holds up the group for a whole session or rebalance time-out. (Its own connections
 * cannot be used for it: the end of their old socket fails the requests of the new one.)
 */
export async function leaveGroup(kafka: Kafka, groupId: string, memberId: string): Promise<void> {
  const made = Promise.withResolvers<Cluster>();
  kafka.consumer({
    groupId,
    partitionAssigners: [
      (config) => {
        made.resolve(config.cluster as unknown as Cluster);
        return PartitionAssigners.roundRobin(config);
      },
    ],
  });
  const cluster = await made.promise;
  try {
    await cluster.connect();
    await cluster.refreshMetadata();
    const coordinator = await cluster.findGroupCoordinator({ groupId });
    await coordinator.leaveGroup({ groupId, memberId });
  } finally {
    await cluster.disconnect();
  }
}

/**
 * Sends one commit, once, in the captured generation: the broker refuses it when that generation is over. When `isOver`
 * answers true after the coordinator's connection was restored, nothing is sent: a commit that its caller has given up
 * must not overtake the next one.
 */
export async function commitOnce(
  membership: Membership,
  topics: OffsetCommitRequest["topics"],
  isOver: () => boolean,
): Promise<void> {
  const coordinator = await membership.offsetManager.getCoordinator();
  if (isOver()) throw new Error("given up before it was sent");
  await coordinator.offsetCommit({
    groupId: membership.groupId,
    memberId: membership.memberId,
    groupGenerationId: membership.generation,
    topics,
  });
}
