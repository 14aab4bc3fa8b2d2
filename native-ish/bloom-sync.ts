/**
 * What travels between replicas of a filter: deltas (key pairs, in order, by sequence number) and, where the order was
 * lost, digests and segments (4 KiB pieces of a generation, by OR). Bytes and plain records only; carries nothing itself.
 *
 * Guarantees: applying any of it twice, late or out of order sets no wrong bit and clears none. What came from outside
 * is validated before it touches a filter. A CRC32 that is equal by accident (2^-32 for a segment that differs in many
 * bits) hides a difference; therefore a joining node takes a whole snapshot, and digests only repair.
 */
import { type BloomBits, type Generation, SEGMENT_BYTES, SEGMENT_WORDS } from "./bloom-blocks.ts";
import { BloomIncompatibleError, BloomMalformedError } from "./bloom-errors.ts";
import { type BloomParameters, sameParameters } from "./bloom-sizing.ts";
import { crc32 } from "./crc32.ts";

/** Consecutive new keys of one generation. */
export interface DeltaRun {
  readonly generationId: number;
  readonly openedAtMs: number;
  /** High half, low half, high half, ...; may be empty: then the run only says that the generation exists. */
  readonly pairs: Uint32Array;
}

/** The insertions with sequence numbers fromSequence .. toSequence - 1. */
export interface BloomDelta {
  readonly fromSequence: number;
  readonly toSequence: number;
  readonly runs: readonly DeltaRun[];
}

export interface GenerationDigest {
  readonly generationId: number;
  readonly openedAtMs: number;
  /** CRC32 of each 4 KiB segment, the last one possibly shorter. */
  readonly segments: Uint32Array;
  /** Indexes of segments whose content this replica does not fully know; usually empty. */
  readonly unknown: Uint32Array;
}

export interface SegmentRequest {
  readonly generationId: number;
  readonly indexes: Uint32Array;
}

/** Some segments of one generation. */
export interface SegmentBatch {
  readonly generationId: number;
  readonly openedAtMs: number;
  /** How many insertions the sender has counted in this generation. */
  readonly insertions: number;
  readonly indexes: Uint32Array;
  /** One byte an index: 1 when the sender itself does not fully know this segment. */
  readonly partial: Uint8Array;
  /** The segments one after another, little-endian. */
  readonly bytes: Uint8Array;
}

const DELTA_MAGIC = 0x31444256; // "VBD1"
const DELTA_HEADER_BYTES = 40;
const RUN_BYTES = 24;
const CRC_BYTES = 4;

/**
 * Little-endian: magic, blocks, k, seed (u32 each), from, to (u64), run count, 0; per run: generation id, opened at
 * (u64), pair count, 0; then all pairs; then the CRC32 of everything before it.
 */
export function encodeDelta(parameters: BloomParameters, delta: BloomDelta): Uint8Array<ArrayBuffer> {
  const words = delta.runs.reduce((sum, run) => sum + run.pairs.length, 0);
  const tableEnd = DELTA_HEADER_BYTES + delta.runs.length * RUN_BYTES;
  const bytes = new Uint8Array(tableEnd + words * 4 + CRC_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, DELTA_MAGIC, true);
  view.setUint32(4, parameters.blocks, true);
  view.setUint32(8, parameters.k, true);
  view.setUint32(12, parameters.seed, true);
  writeInteger(view, 16, delta.fromSequence);
  writeInteger(view, 24, delta.toSequence);
  view.setUint32(32, delta.runs.length, true);
  let table = DELTA_HEADER_BYTES;
  let data = tableEnd;
  for (const run of delta.runs) {
    writeInteger(view, table, run.generationId);
    writeInteger(view, table + 8, run.openedAtMs);
    view.setUint32(table + 16, run.pairs.length / 2, true);
    bytes.set(new Uint8Array(run.pairs.buffer, run.pairs.byteOffset, run.pairs.byteLength), data);
    table += RUN_BYTES;
    data += run.pairs.byteLength;
  }
  view.setUint32(data, crc32(bytes.subarray(0, data)), true);
  return bytes;
}

/**
 * @throws BloomMalformedError when lengths, numbers or the checksum do not agree.
 * @throws BloomIncompatibleError when it is for a filter of another geometry, k or seed.
 */
export function decodeDelta(bytes: Uint8Array, expected: BloomParameters): BloomDelta {
  if (bytes.length < DELTA_HEADER_BYTES + CRC_BYTES) throw new BloomMalformedError("delta: shorter than its header");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== DELTA_MAGIC) throw new BloomMalformedError("delta: not a delta");
  const end = bytes.length - CRC_BYTES;
  if (view.getUint32(end, true) !== crc32(bytes.subarray(0, end))) throw new BloomMalformedError("delta: bad checksum");
  const theirs = { blocks: view.getUint32(4, true), k: view.getUint32(8, true), seed: view.getUint32(12, true) };
  requireCompatible(expected, theirs);
  const fromSequence = readInteger(view, 16, "delta");
  const toSequence = readInteger(view, 24, "delta");
  const runCount = view.getUint32(32, true);
  const tableEnd = DELTA_HEADER_BYTES + runCount * RUN_BYTES;
  if (tableEnd > end) throw new BloomMalformedError("delta: the run table is cut off");
  const runs: DeltaRun[] = [];
  let data = tableEnd;
  for (let at = DELTA_HEADER_BYTES; at < tableEnd; at += RUN_BYTES) {
    const pairBytes = view.getUint32(at + 16, true) * 8;
    if (data + pairBytes > end) throw new BloomMalformedError("delta: the pairs are cut off");
    // A copy, because a frame's bytes need not be aligned to words.
    const pairs = new Uint32Array(bytes.slice(data, data + pairBytes).buffer);
    runs.push({ generationId: readInteger(view, at, "delta"), openedAtMs: readInteger(view, at + 8, "delta"), pairs });
    data += pairBytes;
  }
  if (data !== end || (data - tableEnd) / 8 !== toSequence - fromSequence) {
    throw new BloomMalformedError("delta: pairs and sequence numbers do not agree");
  }
  return { fromSequence, toSequence, runs };
}

/** @throws BloomIncompatibleError naming both sides. */
export function requireCompatible(mine: BloomParameters, theirs: BloomParameters): void {
  if (sameParameters(mine, theirs)) return;
  const say = (side: BloomParameters) => `blocks ${side.blocks}, k ${side.k}, seed ${side.seed}`;
  throw new BloomIncompatibleError(`expected a filter of ${say(mine)}; got ${say(theirs)}`);
}

/** The digests of all generations, oldest first: 4 bytes for each 4 KiB. */
export function digestsOf(generations: readonly Generation[]): GenerationDigest[] {
  return generations.map(({ id, openedAtMs, bits }) => {
    const segments = new Uint32Array(bits.segmentCount);
    const unknown: number[] = [];
    for (let index = 0; index < segments.length; index++) {
      segments[index] = crc32(segmentBytes(bits, index));
      if (bits.isSegmentUnknown(index)) unknown.push(index);
    }
    return { generationId: id, openedAtMs, segments, unknown: Uint32Array.from(unknown) };
  });
}

/**
 * What to ask the peer for: each segment that differs or that only the peer knows. A generation that we do not hold
 * counts as empty, so its empty segments do not travel; it is asked for even when it is all empty.
 * @throws BloomMalformedError when the peer's digest has not as many segments as ours.
 */
export function differingSegments(
  mine: readonly GenerationDigest[],
  theirs: readonly GenerationDigest[],
  parameters: BloomParameters,
): SegmentRequest[] {
  const segmentCount = Math.ceil((parameters.blocks * 16) / SEGMENT_WORDS);
  const requests: SegmentRequest[] = [];
  for (const their of theirs) {
    if (their.segments.length !== segmentCount) {
      throw new BloomMalformedError(`digest: expected ${segmentCount} segments, got ${their.segments.length}`);
    }
    const own = mine.find((digest) => digest.generationId === their.generationId);
    const indexes: number[] = [];
    for (let index = 0; index < segmentCount; index++) {
      const ownCrc = own?.segments[index] ?? emptyCrc(index, parameters);
      const onlyTheyKnow = own?.unknown.includes(index) === true && !their.unknown.includes(index);
      if (ownCrc !== their.segments[index] || onlyTheyKnow) indexes.push(index);
    }
    if (indexes.length > 0 || own === undefined) {
      requests.push({ generationId: their.generationId, indexes: Uint32Array.from(indexes) });
    }
  }
  return requests;
}

/** Copies of the requested segments. Generations that are no longer held and indexes beyond the end are left out. */
export function segmentsOf(generations: readonly Generation[], requests: readonly SegmentRequest[]): SegmentBatch[] {
  const batches: SegmentBatch[] = [];
  for (const request of requests) {
    const generation = generations.find((candidate) => candidate.id === request.generationId);
    if (generation === undefined) continue;
    const { bits } = generation;
    const indexes = [...new Set(request.indexes)].filter((index) => index < bits.segmentCount);
    const pieces = indexes.map((index) => segmentBytes(bits, index));
    const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    batches.push({
      generationId: generation.id,
      openedAtMs: generation.openedAtMs,
      insertions: bits.insertions,
      indexes: Uint32Array.from(indexes),
      partial: Uint8Array.from(indexes, (index) => (bits.isSegmentUnknown(index) ? 1 : 0)),
      bytes,
    });
  }
  return batches;
}

/** @throws BloomMalformedError when the batch does not fit a filter of this many blocks. */
export function checkSegmentBatch(batch: SegmentBatch, parameters: BloomParameters): void {
  const totalBytes = parameters.blocks * 64;
  const segmentCount = Math.ceil(totalBytes / SEGMENT_BYTES);
  let expectedBytes = 0;
  for (const index of batch.indexes) {
    if (index >= segmentCount) throw new BloomMalformedError(`segment ${index} of ${segmentCount}`);
    expectedBytes += Math.min(SEGMENT_BYTES, totalBytes - index * SEGMENT_BYTES);
  }
  if (batch.bytes.length !== expectedBytes || batch.partial.length !== batch.indexes.length) {
    throw new BloomMalformedError(`segments: expected ${expectedBytes} bytes, got ${batch.bytes.length}`);
  }
  for (const value of [batch.generationId, batch.openedAtMs, batch.insertions]) {
    if (!Number.isSafeInteger(value) || value < 0) throw new BloomMalformedError(`segments: bad number ${value}`);
  }
}

/** OR of a checked batch into one generation; returns how many bits were new. A fully known segment repairs ours. */
export function mergeSegmentBatch(bits: BloomBits, batch: SegmentBatch): number {
  let added = 0;
  let at = 0;
  for (const [position, index] of batch.indexes.entries()) {
    const length = segmentBytes(bits, index).length;
    const words = new Uint32Array(batch.bytes.slice(at, at + length).buffer);
    added += bits.merge(words, index * SEGMENT_WORDS);
    if (batch.partial[position] === 0) bits.markSegmentKnown(index);
    at += length;
  }
  if (added > 0) bits.recount(batch.insertions);
  return added;
}

/** A view, not a copy. */
export function segmentBytes(bits: BloomBits, index: number): Uint8Array<ArrayBuffer> {
  const words = bits.words.subarray(index * SEGMENT_WORDS, (index + 1) * SEGMENT_WORDS);
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

/** Integers up to 2^53 - 1 as 8 bytes. */
export function writeInteger(view: DataView, at: number, value: number): void {
  view.setBigUint64(at, BigInt(value), true);
}

/** @throws BloomMalformedError for a value above 2^53 - 1. */
export function readInteger(view: DataView, at: number, what: string): number {
  const value = Number(view.getBigUint64(at, true));
  if (!Number.isSafeInteger(value)) throw new BloomMalformedError(`${what}: a number above 2^53 - 1`);
  return value;
}

const EMPTY_SEGMENT = new Uint8Array(SEGMENT_BYTES);
const EMPTY_CRC = crc32(EMPTY_SEGMENT);

function emptyCrc(index: number, parameters: BloomParameters): number {
  const length = Math.min(SEGMENT_BYTES, parameters.blocks * 64 - index * SEGMENT_BYTES);
  return length === SEGMENT_BYTES ? EMPTY_CRC : crc32(EMPTY_SEGMENT.subarray(0, length));
}
