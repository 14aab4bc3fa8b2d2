/**
 * CRC-32 in two polynomials, eight bytes a step: it finds damage, and proves nothing against malice. Pure and synchronous,
 * so that the filter's bytes need no platform module.
 */

/** As in zlib and PNG, reflected. */
const ZLIB = makeTables(0xedb88320);
/** CRC-32C, reflected: with which producers sign record batches. kafkajs has one too, five times slower. */
const CASTAGNOLI = makeTables(0x82f63b78);

/** The checksum of bytes; pass the previous result to go on over a second piece. */
export function crc32(bytes: Uint8Array, previous = 0): number {
  return checksum(ZLIB, bytes, previous);
}

export function crc32c(bytes: Uint8Array): number {
  return checksum(CASTAGNOLI, bytes, 0);
}

function checksum(table: Int32Array, bytes: Uint8Array, previous: number): number {
  let crc = ~previous;
  let i = 0;
  // The tables lie one after another, the one for the byte farthest back last.
  for (const end = bytes.length - 7; i < end; i += 8) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    crc =
      table[1792 + (crc & 255)]! ^
      table[1536 + ((crc >>> 8) & 255)]! ^
      table[1280 + ((crc >>> 16) & 255)]! ^
      table[1024 + (crc >>> 24)]! ^
      table[768 + bytes[i + 4]!]! ^
      table[512 + bytes[i + 5]!]! ^
      table[256 + bytes[i + 6]!]! ^
      table[bytes[i + 7]!]!;
  }
  for (; i < bytes.length; i++) crc = table[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

function makeTables(polynomial: number): Int32Array {
  const tables = new Int32Array(2048);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    tables[byte] = crc;
  }
  for (let i = 256; i < 2048; i++) {
    const shorter = tables[i - 256]!;
    tables[i] = tables[shorter & 255]! ^ (shorter >>> 8);
  }
  return tables;
}
