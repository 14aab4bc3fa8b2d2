/**
 * Walks over a msgpack body without building anything, so that the decoder proper only ever sees input whose cost is
 * known: it preallocates arrays from their headers, and nested headers would let a few hundred bytes take megabytes.
 *
 * Guarantees for a body that passes: exactly one value, an array; depth and lengths within the limits; the declared
 * elements of all arrays together are at most the body's bytes; no maps, no extension types, no nil.
 */
import { ARRAY_LENGTH_MAX, BULK_BYTES_MAX, DEPTH_MAX, STRING_BYTES_MAX } from "./limits.ts";
import { protocolError } from "./protocol-error.ts";

/** Bytes of the plain values whose size follows from the first byte; 0: not such a value. Index: first byte - 0xc0. */
const FIXED_BYTES = [0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 5, 9, 2, 3, 5, 9, 2, 3, 5, 9];

/** @throws VouchError "protocol" */
export function scanBody(body: Uint8Array): void {
  /** Elements still to come, a level; level 0 is the body itself. */
  const open = new Uint32Array(DEPTH_MAX + 1);
  open[0] = 1;
  let depth = 0;
  let declared = 0;
  let at = 0;
  while (depth >= 0) {
    if (open[depth]! === 0) {
      depth--;
      continue;
    }
    open[depth] = open[depth]! - 1;
    if (at >= body.length) throw protocolError("the frame ends inside a value");
    const first = body[at]!;
    const elements = arrayLength(body, at, first);
    if (elements < 0) {
      if (at === 0) throw protocolError("the frame is not an array");
      at += plainBytes(body, at, first);
      continue;
    }
    if (depth === DEPTH_MAX) throw protocolError(`nested deeper than ${DEPTH_MAX}`);
    if (elements > ARRAY_LENGTH_MAX) throw protocolError(`an array of ${elements}, more than ${ARRAY_LENGTH_MAX}`);
    declared += elements;
    if (declared > body.length) throw protocolError("more elements declared than the frame has bytes");
    open[++depth] = elements;
    at += first <= 0x9f ? 1 : first === 0xdc ? 3 : 5;
  }
  if (at !== body.length) {
    throw protocolError(at > body.length ? "the frame ends inside a value" : "bytes after the frame's value");
  }
}

/** -1 when no array begins here. */
function arrayLength(body: Uint8Array, at: number, first: number): number {
  if (first >= 0x90 && first <= 0x9f) return first - 0x90;
  if (first === 0xdc) return lengthAt(body, at + 1, 2);
  if (first === 0xdd) return lengthAt(body, at + 1, 4);
  return -1;
}

/** Header and content of one value that is no array; may point past the end, which the caller notices. */
function plainBytes(body: Uint8Array, at: number, first: number): number {
  if (first <= 0x7f || first >= 0xe0) return 1;
  if (first >= 0xa0 && first <= 0xbf) return 1 + first - 0xa0;
  const fixed = FIXED_BYTES[first - 0xc0] ?? 0;
  if (fixed > 0) return fixed;
  if (first >= 0xc4 && first <= 0xc6) {
    const header = 1 << (first - 0xc4);
    return withinLimit(lengthAt(body, at + 1, header), BULK_BYTES_MAX, "binary") + 1 + header;
  }
  if (first >= 0xd9 && first <= 0xdb) {
    const header = 1 << (first - 0xd9);
    return withinLimit(lengthAt(body, at + 1, header), STRING_BYTES_MAX, "text") + 1 + header;
  }
  throw protocolError(`a value of type 0x${first.toString(16)}, which this protocol does not use`);
}

function lengthAt(body: Uint8Array, at: number, bytes: number): number {
  if (at + bytes > body.length) throw protocolError("the frame ends inside a value");
  let length = 0;
  for (let index = 0; index < bytes; index++) length = length * 256 + body[at + index]!;
  return length;
}

function withinLimit(length: number, limit: number, what: string): number {
  if (length > limit) throw protocolError(`${what} of ${length} bytes, more than ${limit}`);
  return length;
}
