/**
 * Who gets which partition. kafkajs's own assigner deals all partitions anew at each join, so that every rebalance moves
 * almost every partition, and each move makes doubts. This one leaves partitions where they are as far as balance allows.
 *
 * Each member says in its join request what it owned and since which group generation; the group's leader keeps a
 * partition with the claimant of the highest generation (a member that missed a rebalance claims in vain), and gives away
 * only what is over a member's share. Members' shares differ by one at most when all subscribe to the same topics.
 */

import { AssignerProtocol, type PartitionAssigner } from "kafkajs";
import type Cluster from "kafkajs/src/cluster";

export interface Ownership {
  readonly generation: number; // -1 before the first assignment
  readonly partitions: Readonly<Record<string, readonly number[]>>; // topic -> partitions
}

export interface AssignmentMember {
  readonly memberId: string;
  readonly topics: readonly string[];
  readonly owned: Ownership;
}

export const NO_OWNERSHIP: Ownership = { generation: -1, partitions: {} };

const PROTOCOL_NAME = "vouch-sticky";
const VERSION = 1;

/**
 * A kafkajs assigner whose join requests carry what `owned()` answers at that moment. `onCluster` is told the cluster
 * object of the consumer that the assigner was made for. A group's members must have one assigner in common, by name: with
 * `clusterUuid` in it the broker lets no member of another cell into the group.
 */
export function stickyAssigner(
  owned: () => Ownership,
  onCluster: (cluster: Cluster) => void,
  clusterUuid: string = "",
): PartitionAssigner {
  const name = clusterUuid === "" ? PROTOCOL_NAME : `${PROTOCOL_NAME}-${clusterUuid}`;
  return ({ cluster: described }) => {
    // kafkajs's published type names only a part of the object that it passes.
    const cluster = described as unknown as Cluster;
    onCluster(cluster);
    return {
      name,
      version: VERSION,
      protocol({ topics }) {
        const userData = Buffer.from(JSON.stringify(owned()));
        return {
          name,
          metadata: AssignerProtocol.MemberMetadata.encode({ version: VERSION, topics, userData }),
        };
      },
      async assign({ members, topics }) {
        const partitions = topics.flatMap((topic) =>
          cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => ({ topic, partition: partitionId })),
        );
        const assigned = assignSticky(members.map(memberOf), partitions);
        return [...assigned].map(([memberId, assignment]) => ({
          memberId,
          memberAssignment: AssignerProtocol.MemberAssignment.encode({
            version: VERSION,
            assignment,
            userData: Buffer.alloc(0),
          }),
        }));
      },
    };
  };
}

/** What another member sent is from outside: what cannot be read is a member that owns nothing. */
function memberOf({ memberId, memberMetadata }: { memberId: string; memberMetadata: Buffer }): AssignmentMember {
  const metadata = AssignerProtocol.MemberMetadata.decode(memberMetadata);
  return { memberId, topics: metadata?.topics ?? [], owned: parseOwnership(metadata?.userData ?? null) };
}

export function parseOwnership(bytes: Buffer | null): Ownership {
  if (bytes === null || bytes.length === 0) return NO_OWNERSHIP;
  let parsed: unknown;
  try {
    parsed = JSON.parse(bytes.toString("utf8"));
  } catch {
    return NO_OWNERSHIP; // not ours: its sender owns nothing that we know of
  }
  if (typeof parsed !== "object" || parsed === null) return NO_OWNERSHIP;
  const { generation, partitions } = parsed as { generation?: unknown; partitions?: unknown };
  if (!Number.isSafeInteger(generation) || typeof partitions !== "object" || partitions === null) return NO_OWNERSHIP;
  const valid: [string, number[]][] = Object.entries(partitions).flatMap(([topic, list]) =>
    Array.isArray(list)
      ? [[topic, list.filter((each): each is number => Number.isSafeInteger(each) && each >= 0)]]
      : [],
  );
  return { generation: Number(generation), partitions: Object.fromEntries(valid) };
}

/** Topic -> partitions for every member, each partition once, as few moves as balance allows. Deterministic. */
export function assignSticky(
  members: readonly AssignmentMember[],
  partitions: readonly { readonly topic: string; readonly partition: number }[],
): ReadonlyMap<string, Record<string, number[]>> {
  const sorted = members.toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1));
  const shares = new Map(sorted.map((member) => [member.memberId, [] as { topic: string; partition: number }[]]));
  if (sorted.length === 0) return new Map();

  const claims = claimsByPartition(sorted);
  const free: { topic: string; partition: number }[] = [];
  for (const each of partitions) {
    const owner = claims.get(`${each.topic}#${each.partition}`);
    const share = owner === undefined ? undefined : shares.get(owner);
    if (share === undefined) free.push(each);
    else share.push(each);
  }

  // Only so many members may have one more than the others; those who hold most keep it.
  const least = Math.floor(partitions.length / sorted.length);
  let extra = partitions.length % sorted.length;
  const byHolding = sorted.toSorted((a, b) => shareOf(shares, b).length - shareOf(shares, a).length);
  for (const member of byHolding) {
    const share = shareOf(shares, member);
    const keep = share.length > least && extra > 0 ? least + 1 : least;
    if (keep > least) extra--;
    free.push(...share.splice(keep));
  }

  for (const each of free.toSorted(byTopicAndPartition)) {
    const eligible = sorted.filter((member) => member.topics.includes(each.topic));
    const [first] = eligible.toSorted((a, b) => shareOf(shares, a).length - shareOf(shares, b).length);
    if (first !== undefined) shareOf(shares, first).push(each);
  }
  return new Map([...shares].map(([memberId, share]) => [memberId, byTopic(share)]));
}

/** Partition -> the subscribed member that claims it with the highest generation. */
function claimsByPartition(members: readonly AssignmentMember[]): ReadonlyMap<string, string> {
  const claims = new Map<string, { memberId: string; generation: number }>();
  for (const { memberId, topics, owned } of members) {
    for (const [topic, list] of Object.entries(owned.partitions)) {
      if (!topics.includes(topic)) continue;
      for (const partition of list) {
        const key = `${topic}#${partition}`;
        if ((claims.get(key)?.generation ?? -1) < owned.generation)
          claims.set(key, { memberId, generation: owned.generation });
      }
    }
  }
  return new Map([...claims].map(([key, { memberId }]) => [key, memberId]));
}

type Share = { topic: string; partition: number }[];

function shareOf(shares: ReadonlyMap<string, Share>, member: AssignmentMember): Share {
  return shares.get(member.memberId) ?? [];
}

function byTopicAndPartition(a: Share[number], b: Share[number]): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1;
  return a.partition - b.partition;
}

function byTopic(share: Share): Record<string, number[]> {
  const topics: Record<string, number[]> = {};
  for (const { topic, partition } of share.toSorted(byTopicAndPartition)) (topics[topic] ??= []).push(partition);
  return topics;
}
