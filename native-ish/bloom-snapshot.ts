/**
 * A filter as bytes and back. Files, fsync and renames are the data directory's business.
 *
 * Layout, little-endian:
 *   magic, version, header bytes, blocks, k, seed, generations, generationsMax   (u32 each)
 *   capacity, windowMs, sequence                                                 (u64 each)
 *   per generation, oldest first: id, opened at, insertions                      (u64 each)
 *   CRC32 of the header                                                          (u32)
 *   per generation, per 4 KiB segment: its bytes, its CRC32; the complement of the CRC32 when the writer itself did not
 *     fully know the segment: its bits are right, others are missing
 *   total CRC32, over the header's CRC32 and then each segment's, in order
 *
 * Guarantees: the reader compares the length with the header before it allocates. A segment with a bad CRC is *unknown*:
 * its bits are not used, and its keys are called seen until a peer's segment repairs it. Damage in the header is a typed
 * error. The writer may be read piece by piece while keys are inserted: a key lies in one block, so it is in the
 * snapshot whole or not at all, and every key up to the header's sequence number is.
 */
import { BloomBits, type Generation, SEGMENT_BYTES } from "./bloom-blocks.ts";
import { BloomMalformedError } from "./bloom-errors.ts";
import { BLOCK_BYTES, type BloomParameters, checkParameters, GENERATIONS_MAX, requireInteger } from "./bloom-sizing.ts";
import { readInteger, segmentBytes, writeInteger } from "./bloom-sync.ts";
import { crc32 } from "./crc32.ts";

const MAGIC = 0x4d4c4256; // "VBLM"
export const SNAPSHOT_VERSION = 1;
const FIXED_BYTES = 56;
const GENERATION_BYTES = 24;
const CRC_BYTES = 4;
/** How much `snapshotChunks` copies at once: a few hundred microseconds of work. */
const SEGMENTS_PER_CHUNK = 64;

export interface SnapshotHeader {
  readonly parameters: BloomParameters;
  readonly generationsMax: number;
  readonly capacity: number;
  readonly windowMs: number;
  readonly sequence: number;
}

export interface UnknownSegment {
  readonly generationId: number;
  readonly index: number;
}

export interface DecodedSnapshot {
  readonly header: SnapshotHeader;
  readonly generations: Generation[];
  /** Fetch these from a peer; empty when all is well. */
  readonly unknownSegments: UnknownSegment[];
  /** False when the last checksum is wrong: something is damaged, if only the trailer. */
  readonly totalMatches: boolean;
}

/** How many bytes a snapshot has. */
export function snapshotBytes(blocks: number, generations: number): number {
  const dataBytes = blocks * BLOCK_BYTES;
  const segments = Math.ceil(dataBytes / SEGMENT_BYTES);
  return headerBytes(generations) + generations * (dataBytes + segments * CRC_BYTES) + CRC_BYTES;
}

/** The snapshot in pieces of about 256 KiB, each copied when it is asked for. The list of generations must not change. */
export function* snapshotChunks(
  header: SnapshotHeader,
  generations: readonly Generation[],
): Generator<Uint8Array<ArrayBuffer>, void, undefined> {
  const head = encodeHeader(header, generations);
  const crcWord = new Uint8Array(CRC_BYTES);
  const crcView = new DataView(crcWord.buffer);
  let total = crc32(head.subarray(head.length - CRC_BYTES));
  yield head;
  for (const { bits } of generations) {
    for (let first = 0; first < bits.segmentCount; first += SEGMENTS_PER_CHUNK) {
      const end = Math.min(first + SEGMENTS_PER_CHUNK, bits.segmentCount);
      const lastBytes = segmentBytes(bits, end - 1).length;
      const chunk = new Uint8Array((end - first - 1) * SEGMENT_BYTES + lastBytes + (end - first) * CRC_BYTES);
      let at = 0;
      for (let index = first; index < end; index++) {
        const piece = segmentBytes(bits, index);
        crcView.setUint32(0, bits.isSegmentUnknown(index) ? ~crc32(piece) : crc32(piece), true);
        chunk.set(piece, at);
        chunk.set(crcWord, at + piece.length);
        total = crc32(crcWord, total);
        at += piece.length + CRC_BYTES;
      }
      yield chunk;
    }
  }
  crcView.setUint32(0, total, true);
  yield crcWord;
}

/** The whole snapshot at once. */
export function encodeSnapshot(header: SnapshotHeader, generations: readonly Generation[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(snapshotBytes(header.parameters.blocks, generations.length));
  let at = 0;
  for (const chunk of snapshotChunks(header, generations)) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

/** @throws BloomMalformedError or BloomParameterError when the header is damaged, of another version, or too short. */
export function decodeSnapshot(bytes: Uint8Array): DecodedSnapshot {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { header, table } = decodeHeader(bytes, view);
  const { parameters } = header;
  const unknownSegments: UnknownSegment[] = [];
  const generations: Generation[] = [];
  let at = headerBytes(table.length);
  let total = crc32(bytes.subarray(at - CRC_BYTES, at));
  for (const { id, openedAtMs, insertions } of table) {
    const bits = new BloomBits(parameters);
    for (let index = 0; index < bits.segmentCount; index++) {
      const target = segmentBytes(bits, index);
      const source = bytes.subarray(at, at + target.length);
      const crcAt = at + target.length;
      const claimed = view.getUint32(crcAt, true);
      const actual = crc32(source);
      const isPartial = claimed === ~actual >>> 0;
      if (claimed === actual || isPartial) target.set(source);
      if (claimed !== actual) {
        bits.markSegmentUnknown(index);
        unknownSegments.push({ generationId: id, index });
      }
      total = crc32(bytes.subarray(crcAt, crcAt + CRC_BYTES), total);
      at = crcAt + CRC_BYTES;
    }
    bits.countBits();
    bits.insertions = insertions;
    generations.push({ id, openedAtMs, bits });
  }
  return { header, generations, unknownSegments, totalMatches: view.getUint32(at, true) === total };
}

function headerBytes(generations: number): number {
  return FIXED_BYTES + generations * GENERATION_BYTES + CRC_BYTES;
}

function encodeHeader(header: SnapshotHeader, generations: readonly Generation[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(headerBytes(generations.length));
  const view = new DataView(bytes.buffer);
  const { blocks, k, seed } = header.parameters;
  const words = [MAGIC, SNAPSHOT_VERSION, bytes.length, blocks, k, seed, generations.length, header.generationsMax];
  for (const [index, word] of words.entries()) view.setUint32(index * 4, word, true);
  writeInteger(view, 32, header.capacity);
  writeInteger(view, 40, header.windowMs);
  writeInteger(view, 48, header.sequence);
  let at = FIXED_BYTES;
  for (const { id, openedAtMs, bits } of generations) {
    writeInteger(view, at, id);
    writeInteger(view, at + 8, openedAtMs);
    writeInteger(view, at + 16, bits.insertions);
    at += GENERATION_BYTES;
  }
  view.setUint32(at, crc32(bytes.subarray(0, at)), true);
  return bytes;
}

interface TableEntry {
  readonly id: number;
  readonly openedAtMs: number;
  readonly insertions: number;
}

function decodeHeader(bytes: Uint8Array, view: DataView): { header: SnapshotHeader; table: TableEntry[] } {
  if (bytes.length < headerBytes(1)) throw new BloomMalformedError("snapshot: shorter than its header");
  if (view.getUint32(0, true) !== MAGIC) throw new BloomMalformedError("snapshot: not a snapshot of a filter");
  const version = view.getUint32(4, true);
  if (version !== SNAPSHOT_VERSION) {
    throw new BloomMalformedError(`snapshot: version ${version}, this program reads ${SNAPSHOT_VERSION}`);
  }
  const generations = view.getUint32(24, true);
  requireInteger("generations", generations, 1, GENERATIONS_MAX);
  const length = headerBytes(generations);
  if (view.getUint32(8, true) !== length || bytes.length < length) {
    throw new BloomMalformedError("snapshot: the header's length does not fit its generations");
  }
  const crcAt = length - CRC_BYTES;
  if (view.getUint32(crcAt, true) !== crc32(bytes.subarray(0, crcAt))) {
    throw new BloomMalformedError("snapshot: the header is damaged");
  }
  const parameters = { blocks: view.getUint32(12, true), k: view.getUint32(16, true), seed: view.getUint32(20, true) };
  checkParameters(parameters);
  const generationsMax = view.getUint32(28, true);
  requireInteger("generationsMax", generationsMax, generations, GENERATIONS_MAX);
  const expectedBytes = snapshotBytes(parameters.blocks, generations);
  if (bytes.length !== expectedBytes) {
    throw new BloomMalformedError(`snapshot: expected ${expectedBytes} bytes, got ${bytes.length}`);
  }
  const table: TableEntry[] = [];
  for (let at = FIXED_BYTES; at < crcAt; at += GENERATION_BYTES) {
    const id = readInteger(view, at, "snapshot");
    const previous = table.at(-1);
    if (previous !== undefined && id <= previous.id)
      throw new BloomMalformedError("snapshot: generations out of order");
    const openedAtMs = readInteger(view, at + 8, "snapshot");
    table.push({ id, openedAtMs, insertions: readInteger(view, at + 16, "snapshot") });
  }
  const header = {
    parameters,
    generationsMax,
    capacity: readInteger(view, 32, "snapshot"),
    windowMs: readInteger(view, 40, "snapshot"),
    sequence: readInteger(view, 48, "snapshot"),
  };
  return { header, table };
}
