/** What a join gave to a member: asked of the coordinator (commits) and of the partitions' leaders (the log's bounds). */

import type ConsumerGroup from "kafkajs/src/consumer/consumerGroup";
import type { Assignment } from "../task-log.ts";
import { committedOffsets, EARLIEST, LATEST, listOffsets, type Membership } from "./kafkajs-hooks.ts";
import { lookAtTopics } from "./log-look.ts";
import { keyOf } from "./partition-positions.ts";
import type { Ownership } from "./sticky-assigner.ts";
import type { WakeUp } from "./wake-up.ts";

const RETRY_MS = 100;

/** Tries again while leaders are being elected, for `patienceMs`. @throws kafkajs's error, or the missing leader's */
export async function describeAssignment(
  group: ConsumerGroup,
  membership: Membership,
  patienceMs: number,
  stop: WakeUp,
): Promise<Assignment> {
  const startedMs = performance.now();
  for (;;) {
    try {
      return await describeOnce(group, membership);
    } catch (error) {
      if (performance.now() - startedMs > patienceMs) throw error;
    }
    await stop.rest(RETRY_MS);
    await group.cluster.refreshMetadata();
  }
}

async function describeOnce(group: ConsumerGroup, membership: Membership): Promise<Assignment> {
  const assigned = group.assigned();
  const topics = assigned.map(({ topic }) => topic);
  const [looks, committed, starts, ends] = await Promise.all([
    lookAtTopics(group.coordinator, topics),
    committedOffsets(group),
    listOffsets(group.cluster, assigned, EARLIEST),
    listOffsets(group.cluster, assigned, LATEST),
  ]);
  for (const topic of topics) {
    // Metadata reaches one broker after another. Without an id the topic would pass for the one that the cell knows (E18).
    if (looks?.has(topic) === false) throw new Error(`the group's coordinator has not heard of topic "${topic}" yet`);
  }
  const partitions = assigned.flatMap(({ topic, partitions: numbers }) =>
    numbers.map((partition) => {
      const key = keyOf(topic, partition);
      const commit = committed.get(key);
      const topicId = looks?.get(topic)?.id || undefined;
      return {
        topic,
        partition,
        committed: commit?.offset ?? null,
        metadata: commit?.metadata ?? "",
        logStart: starts.get(key) ?? 0,
        logEnd: ends.get(key) ?? 0,
        ...(topicId === undefined ? {} : { topicId }),
      };
    }),
  );
  return { generation: membership.generation, memberId: membership.memberId, partitions };
}

export function ownershipOf(assignment: Assignment): Ownership {
  const partitions: Record<string, number[]> = {};
  for (const { topic, partition } of assignment.partitions) (partitions[topic] ??= []).push(partition);
  return { generation: assignment.generation, partitions };
}
