/**
 * CRC-32 (the reflected polynomial 0xedb88320, as in zlib and PNG): finds damage, proves nothing against malice.
 * Pure and synchronous, so that the filter's bytes need no platform module.
 */

const TABLES = makeTables();

/** The checksum of bytes; pass the previous result to go on over a second piece. */
export function crc32(bytes: Uint8Array, previous = 0): number {
  const table = TABLES;
  let crc = ~previous;
  let i = 0;
  // Four bytes a step; the tables lie one after another, the one for the byte farthest back last.
  for (const end = bytes.length - 3; i < end; i += 4) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    crc =
      table[768 + (crc & 255)]! ^
      table[512 + ((crc >>> 8) & 255)]! ^
      table[256 + ((crc >>> 16) & 255)]! ^
      table[crc >>> 24]!;
  }
  for (; i < bytes.length; i++) crc = table[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

function makeTables(): Int32Array {
  const tables = new Int32Array(1024);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    tables[byte] = crc;
  }
  for (let i = 256; i < 1024; i++) {
    const shorter = tables[i - 256]!;
    tables[i] = tables[shorter & 255]! ^ (shorter >>> 8);
  }
  return tables;
}
