/**
 * What is inside a compressed record batch. gzip and zstd are the platform's; the blocks of lz4 and snappy are decoded by
 * packages in plain JavaScript, which also work in the compiled executable, and their containers are walked here: lz4's
 * frame (the package's own reader looks for block checksums in the wrong place), snappy's plain format and the one with
 * a header and several blocks that Java producers write.
 *
 * Guarantees: an Error that names the compression, or at most DECOMPRESSED_BYTES_MAX bytes; it ends for every input. It
 * does not promise to notice damage: the batch's checksum, compared before, does.
 */

import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { decompressBlock } from "lz4js";
import { uncompress } from "snappyjs";
import { describeError } from "../../errors.ts";

/** A record is 1 MiB at most by Kafka's default, a batch likewise before compression; this bounds what a bomb can take. */
export const DECOMPRESSED_BYTES_MAX = 128 * 1024 * 1024;

interface Codec {
  readonly name: string;
  /** @throws Error when the bytes are of another format or give more than `limit` bytes. */
  readonly decompress: (bytes: Buffer, limit: number) => Buffer;
}

/** By the number in a batch's attributes (Kafka's documentation, "Record Batch"). */
const CODECS: Readonly<Record<number, Codec>> = {
  1: { name: "gzip", decompress: (bytes, limit) => gunzipSync(bytes, { maxOutputLength: limit }) },
  2: { name: "snappy", decompress: snappy },
  3: { name: "lz4", decompress: lz4 },
  4: { name: "zstd", decompress: (bytes, limit) => zstdDecompressSync(bytes, { maxOutputLength: limit }) },
};

/**
 * @param compression 1 to 4; 0 (none) is the caller's
 * @throws Error that says which compression failed, and how
 */
export function decompress(bytes: Buffer, compression: number, limit: number = DECOMPRESSED_BYTES_MAX): Buffer {
  const codec = CODECS[compression];
  if (codec === undefined) {
    const known = Object.values(CODECS).map(({ name }) => name);
    throw new Error(`compression number ${compression} is not supported (${known.join(", ")} are)`);
  }
  try {
    return codec.decompress(bytes, limit);
  } catch (error) {
    throw new Error(`${codec.name} data cannot be decompressed: ${describeError(error)}`, { cause: error });
  }
}

const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);
const XERIAL_HEADER_BYTES = 16; // the magic, a version and the lowest version that can read it

function snappy(bytes: Buffer, limit: number): Buffer {
  if (!bytes.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC)) return asBuffer(uncompress(bytes, limit));
  const blocks: Buffer[] = [];
  let left = limit;
  let at = XERIAL_HEADER_BYTES;
  while (at < bytes.length) {
    const length = bytes.readInt32BE(at);
    const end = at + 4 + length;
    if (length < 0 || end > bytes.length) throw new RangeError(`a block declares ${length} bytes`);
    const block = asBuffer(uncompress(bytes.subarray(at + 4, end), left));
    left -= block.length;
    blocks.push(block);
    at = end;
  }
  return Buffer.concat(blocks);
}

const LZ4_MAGIC = 0x184d2204;
const LZ4_VERSION = 0x40;
const LZ4_FLAG = { version: 0xc0, blockChecksum: 0x10, contentSize: 0x08, dictionary: 0x01 };
const LZ4_STORED = 0x80000000; // a block that did not become smaller is stored as it is
/** Each byte of a length adds 255 at most. */
const LZ4_RATIO_MAX = 255;

interface Lz4Block {
  readonly begin: number;
  readonly end: number;
  readonly stored: boolean;
}

/** An lz4 frame ("LZ4 Frame Format Description", version 1.6), with its blocks alone or linked. */
function lz4(bytes: Buffer, limit: number): Buffer {
  const { blocks, blockBytesMax } = lz4Blocks(bytes);
  const most = ({ begin, end, stored }: Lz4Block): number =>
    Math.min(blockBytesMax, (end - begin) * (stored ? 1 : LZ4_RATIO_MAX));
  const target = Buffer.allocUnsafe(
    Math.min(
      limit,
      blocks.reduce((sum, block) => sum + most(block), 0),
    ),
  );
  let at = 0;
  for (const block of blocks) {
    const source = bytes.subarray(block.begin, block.end);
    const end = block.stored ? at + source.length : decompressBlock(source, target, 0, source.length, at);
    if (end > target.length || end - at > blockBytesMax) throw new RangeError("a block is longer than it may be");
    if (block.stored) source.copy(target, at);
    at = end;
  }
  // Records are views into what is returned: of a large reserve only the part in use is to be kept.
  return at * 2 < target.length ? Buffer.from(target.subarray(0, at)) : target.subarray(0, at);
}

/** @throws RangeError when the frame ends inside, Error when it is of another format. */
function lz4Blocks(bytes: Buffer): { readonly blocks: readonly Lz4Block[]; readonly blockBytesMax: number } {
  if (bytes.readUInt32LE(0) !== LZ4_MAGIC) throw new Error("no lz4 frame");
  const flags = bytes.readUInt8(4);
  const sizeCode = (bytes.readUInt8(5) >> 4) & 7;
  if ((flags & LZ4_FLAG.version) !== LZ4_VERSION || sizeCode < 4) throw new Error("an lz4 frame of another version");
  if ((flags & LZ4_FLAG.dictionary) !== 0) throw new Error("an lz4 frame with a dictionary");
  const checksumBytes = (flags & LZ4_FLAG.blockChecksum) === 0 ? 0 : 4;
  const blocks: Lz4Block[] = [];
  let at = 7 + ((flags & LZ4_FLAG.contentSize) === 0 ? 0 : 8); // the last of them the header's checksum
  for (;;) {
    const declared = bytes.readUInt32LE(at);
    if (declared === 0) return { blocks, blockBytesMax: 2 ** (8 + 2 * sizeCode) };
    const stored = declared >= LZ4_STORED;
    const begin = at + 4;
    const end = begin + (stored ? declared - LZ4_STORED : declared);
    if (end > bytes.length) throw new RangeError(`a block declares ${end - begin} bytes`);
    blocks.push({ begin, end, stored });
    at = end + checksumBytes;
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
