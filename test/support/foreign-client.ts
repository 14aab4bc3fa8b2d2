/**
 * What somebody with Kafka's own tools does to a cell's group and topic: commits (also in the name of a member, as a
 * program that shares its client or a stale one would), deletes offsets, records and topics, adds partitions.
 */
import { type Admin, Kafka, logLevel } from "kafkajs";
import { ask, int16, text } from "./broker-question.ts";
import type { Cluster } from "./cluster.ts";
import { memberIdOf } from "./group-eviction.ts";

const OFFSET_COMMIT = { key: 8, version: 2 };
const ILLEGAL_GENERATION = 22;
const GENERATIONS_TRIED = 200;
const NO_GENERATION = -1; // the broker takes it for a group without members only

export interface ForeignCommit {
  readonly partition: number;
  readonly offset: number;
}

/**
 * Commits without metadata. `inNameOf`: a node that is a member now, whose id and generation are used; without it the
 * group must be empty. @throws Error with the broker's code when it refuses.
 */
export async function foreignCommit(
  cluster: Cluster,
  commits: readonly ForeignCommit[],
  inNameOf?: string,
): Promise<void> {
  const memberId = inNameOf === undefined ? "" : await memberIdOf(cluster, inNameOf);
  if (memberId === null) throw new Error(`${inNameOf} is no member of ${cluster.group}`);
  if (inNameOf === undefined) return refusedWith(await commitAs(cluster, commits, memberId, NO_GENERATION));
  // The broker tells nobody a group's generation, and refuses a wrong one: it is found by trying.
  for (let generation = 1; generation <= GENERATIONS_TRIED; generation++) {
    const code = await commitAs(cluster, commits, memberId, generation);
    if (code !== ILLEGAL_GENERATION) return refusedWith(code);
  }
  throw new Error(`no generation up to ${GENERATIONS_TRIED} is the group's`);
}

/** While no node is a member: `kafka-consumer-groups --delete`, or the broker after `offsets.retention.minutes`. */
export function deleteGroup(cluster: Cluster): Promise<void> {
  return withAdmin(cluster, async (admin) => {
    await admin.deleteGroups([cluster.group]);
  });
}

/** As retention does: what lies below `offset` is gone. */
export function deleteRecordsBelow(cluster: Cluster, partition: number, offset: number): Promise<void> {
  return withAdmin(cluster, async (admin) => {
    await admin.fetchTopicOffsets(cluster.topic); // loads the metadata that the next call stands on
    await admin.deleteTopicRecords({ topic: cluster.topic, partitions: [{ partition, offset: String(offset) }] });
  });
}

export function deleteTopic(cluster: Cluster): Promise<void> {
  return withAdmin(cluster, (admin) => admin.deleteTopics({ topics: [cluster.topic] }));
}

export function createTopicAgain(cluster: Cluster): Promise<void> {
  return withAdmin(cluster, async (admin) => {
    await admin.createTopics({ topics: [{ topic: cluster.topic, numPartitions: cluster.partitions }] });
  });
}

/** From now on the topic has `count` partitions. */
export function addPartitions(cluster: Cluster, count: number): Promise<void> {
  return withAdmin(cluster, async (admin) => {
    await admin.createPartitions({ topicPartitions: [{ topic: cluster.topic, count }] });
  });
}

async function withAdmin<T>(cluster: Cluster, use: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = new Kafka({ brokers: [cluster.servers.kafka.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

function refusedWith(code: number): void {
  if (code !== 0) throw new Error(`the broker refuses the commit: error ${code}`);
}

/** @returns the broker's error code of the first partition, 0 when it took them */
async function commitAs(
  { servers, group, topic }: Cluster,
  commits: readonly ForeignCommit[],
  memberId: string,
  generation: number,
): Promise<number> {
  const body = Buffer.concat([
    int16(OFFSET_COMMIT.key),
    int16(OFFSET_COMMIT.version),
    int32(1), // correlation id
    text("meddler"),
    text(group),
    int32(generation),
    text(memberId),
    int64(-1), // retention: the broker's
    int32(1),
    text(topic),
    int32(commits.length),
    ...commits.flatMap(({ partition, offset }) => [int32(partition), int64(offset), text("")]),
  ]);
  const answer = await ask(servers.kafka.port, Buffer.concat([int32(body.length), body]));
  const topicBytes = answer.readInt16BE(12); // behind size, correlation id and the number of topics
  return answer.readInt16BE(14 + topicBytes + 8); // behind the number of partitions and the first one's number
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function int64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
}
