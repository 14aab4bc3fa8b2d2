/**
 * Takes one member out of a consumer group behind its back, as a broker does whose session timer ran out: a LeaveGroup
 * request in its name. The member learns of it by its next request, which the broker refuses.
 */
import { Kafka, logLevel } from "kafkajs";
import { ask, text } from "./broker-question.ts";
import type { Cluster } from "./cluster.ts";

const LEAVE_GROUP = { key: 13, version: 2 };

/** @throws Error when the node is no member, or when the broker refuses. */
export async function evictFromGroup(cluster: Cluster, nodeName: string): Promise<void> {
  const memberId = await memberIdOf(cluster, nodeName);
  if (memberId === null) throw new Error(`${nodeName} is no member of ${cluster.group}`);
  const header = Buffer.alloc(8);
  header.writeInt16BE(LEAVE_GROUP.key, 0);
  header.writeInt16BE(LEAVE_GROUP.version, 2);
  header.writeInt32BE(1, 4); // correlation id
  const body = Buffer.concat([header, text("eviction"), text(cluster.group), text(memberId)]);
  const size = Buffer.alloc(4);
  size.writeInt32BE(body.length);
  const answer = await ask(cluster.servers.kafka.port, Buffer.concat([size, body]));
  // size, correlation id, throttle time, error code
  const code = answer.readInt16BE(12);
  if (code !== 0) throw new Error(`the broker refuses to let ${memberId} leave: error ${code}`);
}

/** The node's member id in a group that is not rebalancing, as the broker has it; null when it is no member now. */
export async function memberIdOf(cluster: Cluster, nodeName: string): Promise<string | null> {
  const admin = new Kafka({ brokers: [cluster.servers.kafka.brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    const { groups } = await admin.describeGroups([cluster.group]);
    const [group] = groups;
    if (group?.state !== "Stable") return null;
    return group.members.find((each) => each.clientId === `vouch-${nodeName}`)?.memberId ?? null;
  } finally {
    await admin.disconnect();
  }
}
