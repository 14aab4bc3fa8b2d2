/**
 * The commit metadata (R15a): what a commit says beside the position. Text, at most 4,096 bytes:
 * `v1|<dedup epoch>|<topic generation>|<cluster uuid>|<epoch>|<from>|<reserved ceiling>|<leader epoch>|<bitmap, base64>`.
 * Bit i of the bitmap: offset position + i is final.
 */

export interface CommitMetadata {
  readonly dedupEpoch: number;
  readonly topicGeneration: number;
  readonly clusterUuid: string;
  readonly epoch: number;
  readonly from: number;
  readonly ceiling: number;
  readonly leaderEpoch: number;
  readonly finals: Uint8Array;
}

export const METADATA_BYTES_MAX = 4_096;
/** Bitmap bytes that fit beside the other fields once in base64: 23,000 offsets. */
export const BITMAP_BYTES_MAX = 2_880;

export function formatMetadata(metadata: CommitMetadata): string {
  const { dedupEpoch, topicGeneration, clusterUuid, epoch, from, ceiling, leaderEpoch } = metadata;
  const finals = metadata.finals.subarray(0, BITMAP_BYTES_MAX);
  return `v1|${dedupEpoch}|${topicGeneration}|${clusterUuid}|${epoch}|${from}|${ceiling}|${leaderEpoch}|${finals.toBase64()}`;
}

/** Null for anything that this version did not write: then the commit is a foreign one. */
export function parseMetadata(text: string): CommitMetadata | null {
  const parts = text.split("|");
  if (parts.length !== 9 || parts[0] !== "v1") return null;
  const numbers = [parts[1], parts[2], parts[4], parts[5], parts[6], parts[7]].map((part) => Number(part));
  if (numbers.some((number) => !Number.isSafeInteger(number))) return null;
  const finals = decodeBase64(parts[8]!);
  if (finals === null) return null;
  return {
    dedupEpoch: numbers[0]!,
    topicGeneration: numbers[1]!,
    clusterUuid: parts[3]!,
    epoch: numbers[2]!,
    from: numbers[3]!,
    ceiling: numbers[4]!,
    leaderEpoch: numbers[5]!,
    finals,
  };
}

/** Half of what the tables keep. No cell holds so many elections: a larger number is no epoch of ours. */
const EPOCH_MAX = 2 ** 31;

/** The highest epoch in which the present commits of these partitions were made by this cell; 0 when there is none. */
export function highestEpoch(
  partitions: readonly { readonly committed: number | null; readonly metadata: string }[],
  clusterUuid: string,
): number {
  let highest = 0;
  for (const { committed, metadata } of partitions) {
    const read = committed === null ? null : parseMetadata(metadata);
    if (read?.clusterUuid === clusterUuid && read.epoch <= EPOCH_MAX) highest = Math.max(highest, read.epoch);
  }
  return highest;
}

function decodeBase64(text: string): Uint8Array | null {
  try {
    return Uint8Array.fromBase64(text);
  } catch {
    return null; // foreign or damaged text: the caller treats the whole commit as not ours
  }
}

/** How many bits there are up to the last one that is set. */
export function bitsEnd(bits: Uint8Array): number {
  let end = 8 * bits.length;
  while (end > 0 && !bitAt(bits, end - 1)) end--;
  return end;
}

export function bitAt(bits: Uint8Array, index: number): boolean {
  return index >= 0 && index >> 3 < bits.length && (bits[index >> 3]! & (1 << (index & 7))) !== 0;
}
