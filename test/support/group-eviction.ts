/**
 * Takes one member out of a consumer group behind its back, as a broker does whose session timer ran out: a LeaveGroup
 * request in its name. The member learns of it by its next request, which the broker refuses.
 */
import { connect } from "node:net";
import { Kafka, logLevel } from "kafkajs";
import type { Cluster } from "./cluster.ts";

const LEAVE_GROUP = { key: 13, version: 2 };
const ANSWER_WITHIN_MS = 5_000;

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

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(2);
  length.writeInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function ask(port: number, request: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port }, () => socket.write(request));
    let received = Buffer.alloc(0);
    socket.setTimeout(ANSWER_WITHIN_MS, () => socket.destroy(new Error("the broker does not answer")));
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return;
      socket.destroy();
      resolve(received);
    });
  });
}
