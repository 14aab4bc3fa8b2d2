/** Names of things: partitions, incarnations, delivery keys. Pure. */

/** `topicIndex * 65536 + partition`; topics are sorted and equal on all nodes (R19), so it means the same everywhere. */
export type PartitionId = number;

export function partitionId(topicIndex: number, partition: number): PartitionId {
  return topicIndex * 65_536 + partition;
}

export function topicIndexOf(pid: PartitionId): number {
  return Math.floor(pid / 65_536);
}

export function partitionOf(pid: PartitionId): number {
  return pid % 65_536;
}

/** One life of one node, as text: `nodeId/bootId`. */
export type Incarnation = string;

export function incarnationOf(nodeId: string, bootId: string): Incarnation {
  return `${nodeId}/${bootId}`;
}

export function nodeIdOf(incarnation: Incarnation): string {
  const slash = incarnation.lastIndexOf("/");
  return slash < 0 ? incarnation : incarnation.slice(0, slash);
}

/** The text that stands for a record without a `task-id`: unique within a dedup epoch and topic generation. */
export function deliveryKeyText(topic: string, topicGeneration: number, partition: number, offset: number): string {
  return `${topic}@${topicGeneration}:${partition}:${offset}`;
}

/** Compares two stamps (epoch, sequence): negative when a is older. */
export function compareStamps(epochA: number, sequenceA: number, epochB: number, sequenceB: number): number {
  return epochA === epochB ? sequenceA - sequenceB : epochA - epochB;
}
