/**
 * Deals the partitions of a group to its members. Guarantees: every partition of a topic that somebody subscribed to has
 * exactly one owner, who subscribed to it; members with equal subscriptions differ by at most one partition; a partition
 * moves only when its owner is gone or balance demands it. The same input always gives the same result.
 */

export interface GroupMember {
  readonly memberId: string;
  readonly topics: readonly string[];
  /** Partitions by topic that this member had in the last generation. */
  readonly owned: PartitionsByTopic;
}

export type PartitionsByTopic = ReadonlyMap<string, readonly number[]>;

interface Slot {
  readonly topic: string;
  readonly partition: number;
}

/** `partitionCounts`: of each existing topic; a topic that is not in it is dealt to nobody. */
export function assignSticky(
  members: readonly GroupMember[],
  partitionCounts: ReadonlyMap<string, number>,
): Map<string, PartitionsByTopic> {
  const ordered = [...members].sort((left, right) => (left.memberId < right.memberId ? -1 : 1));
  const held = new Map<string, Slot[]>(ordered.map((member) => [member.memberId, []]));
  const ownerless: Slot[] = [];
  for (const slot of slotsOf(ordered, partitionCounts)) {
    const owner = subscribers(ordered, slot).find((member) => member.owned.get(slot.topic)?.includes(slot.partition));
    if (owner === undefined) ownerless.push(slot);
    else held.get(owner.memberId)?.push(slot);
  }
  for (const slot of ownerless) held.get(lightest(subscribers(ordered, slot), held))?.push(slot);
  balance(ordered, held);
  return new Map([...held].map(([memberId, slots]) => [memberId, groupByTopic(slots)]));
}

function slotsOf(members: readonly GroupMember[], partitionCounts: ReadonlyMap<string, number>): Slot[] {
  const topics = [...new Set(members.flatMap((member) => member.topics))].sort();
  return topics.flatMap((topic) =>
    Array.from({ length: partitionCounts.get(topic) ?? 0 }, (_, partition) => ({ topic, partition })),
  );
}

/** Moves one partition at a time from a member to one that holds at least two fewer; each move lowers the sum of squares, so it ends. */
function balance(members: readonly GroupMember[], held: Map<string, Slot[]>): void {
  for (let moved = true; moved;) {
    moved = false;
    const heaviestFirst = [...members].sort((left, right) => count(held, right) - count(held, left));
    for (const giver of heaviestFirst) {
      const slots = held.get(giver.memberId) ?? [];
      // From the end, so that the lowest partitions are the most faithful ones.
      for (let index = slots.length - 1; index >= 0 && !moved; index--) {
        const slot = slots[index];
        if (slot === undefined) continue;
        const taker = lightest(subscribers(members, slot), held);
        if ((held.get(taker)?.length ?? 0) + 1 >= slots.length) continue;
        slots.splice(index, 1);
        held.get(taker)?.push(slot);
        moved = true;
      }
      if (moved) break;
    }
  }
}

function lightest(members: readonly GroupMember[], held: ReadonlyMap<string, readonly Slot[]>): string {
  let best = "";
  let bestCount = Number.POSITIVE_INFINITY;
  for (const member of members) {
    const slots = count(held, member);
    if (slots < bestCount) [best, bestCount] = [member.memberId, slots];
  }
  return best;
}

function count(held: ReadonlyMap<string, readonly Slot[]>, member: GroupMember): number {
  return held.get(member.memberId)?.length ?? 0;
}

function subscribers(members: readonly GroupMember[], slot: Slot): GroupMember[] {
  return members.filter((member) => member.topics.includes(slot.topic));
}

function groupByTopic(slots: readonly Slot[]): PartitionsByTopic {
  const byTopic = new Map<string, number[]>();
  for (const slot of slots) {
    const partitions = byTopic.get(slot.topic);
    if (partitions === undefined) byTopic.set(slot.topic, [slot.partition]);
    else partitions.push(slot.partition);
  }
  for (const partitions of byTopic.values()) partitions.sort((left, right) => left - right);
  return byTopic;
}
