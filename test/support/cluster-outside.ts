/** What can be seen of a cluster from outside, with Kafka's and ZooKeeper's own eyes: no word of a node is believed. */
import { Kafka, logLevel } from "kafkajs";
import { CellPaths } from "../../src/coordinator/zookeeper/connect-string.ts";
import { openKafkaTaskLog } from "../../src/task-log/kafka/index.ts";
import { valueOf, withClient } from "../conformance/zookeeper-client.ts";
import type { Cluster } from "./cluster.ts";
import { type FoundRecord, readTopicOf } from "./read-topic.ts";

/** Members of the cluster's consumer group, as the broker has them, and the group's state ("Stable", …). */
export async function groupMembers(cluster: Cluster): Promise<{ readonly state: string; readonly members: number }> {
  const admin = new Kafka({ brokers: [cluster.servers.kafka.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    const { groups } = await admin.describeGroups([cluster.group]);
    return { state: groups[0]?.state ?? "", members: groups[0]?.members.length ?? 0 };
  } finally {
    await admin.disconnect();
  }
}

/** A record with its headers as text. */
export interface OutsideRecord {
  readonly partition: number;
  readonly value: string | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** Every record that a topic holds now, in partition order; a topic that does not exist holds none. */
export async function readTopic(cluster: Cluster, topic: string): Promise<OutsideRecord[]> {
  const brokers = [cluster.servers.kafka.brokers];
  const log = openKafkaTaskLog({ brokers, clientId: `${cluster.group}-reader`, onWarning: () => undefined });
  try {
    return (await readTopicOf(log, topic)).map(shown);
  } finally {
    await log.close();
  }
}

function shown({ partition, value, headers }: FoundRecord): OutsideRecord {
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return {
    partition,
    value: value === null ? null : text(value),
    headers: Object.fromEntries(Object.entries(headers).map(([name, bytes]) => [name, text(bytes)])),
  };
}

/** Removes the leader's ephemeral node, as its session's end would: an election without the wait for that end. */
export async function removeLeaderNode(cluster: Cluster): Promise<void> {
  const path = new CellPaths("", "/vouch", cluster.cell).leader;
  await withClient(cluster.servers.zookeeper.address, async (client) => {
    valueOf(await client.multi([{ type: "remove", path, version: "any" }]));
  });
}
