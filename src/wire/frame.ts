/**
 * Frames on a stream: a big-endian u32 length, then that many bytes of body. A body is a msgpack array whose first
 * element is the kind number, so the parser can hold each kind to its own maximum before it keeps a byte of the rest.
 *
 * Guarantees: memory grows with the bytes that came, never with a declared length; a frame is judged by its declared
 * length and kind as soon as those are readable. After an error the parser accepts nothing more.
 */
import assert from "node:assert/strict";
import { protocolError } from "./protocol-error.ts";

export const LENGTH_BYTES = 4;
/** The longest beginning that must be seen to judge a frame: length, array16 header, kind. */
const HEAD_BYTES_MAX = LENGTH_BYTES + 4;
const FIRST_BUFFER_BYTES = 16 * 1024;

/** The most bytes that a body of this kind may have; 0 when the kind is not accepted (now). */
export type KindLimit = (kind: number) => number;

/** Gets each body; it may alias the chunk that was pushed. False: take nothing more (the link was closed). */
export type OnFrame = (kind: number, body: Uint8Array) => boolean;

export function writeLength(target: Uint8Array, at: number, bodyBytes: number): void {
  target[at] = bodyBytes >>> 24;
  target[at + 1] = bodyBytes >>> 16;
  target[at + 2] = bodyBytes >>> 8;
  target[at + 3] = bodyBytes;
}

interface Head {
  readonly kind: number;
  readonly bodyBytes: number;
}

export class FrameParser {
  readonly #limitOf: KindLimit;
  readonly #bytesMax: number;
  /** The beginning of a frame that cannot be judged yet. */
  readonly #head = new Uint8Array(HEAD_BYTES_MAX);
  #headBytes = 0;
  /** A judged frame whose body is not complete; null between frames. */
  #open: Head | null = null;
  #body = new Uint8Array(0);
  #bodyBytes = 0;
  #over = false;

  /** `bytesMax`: the largest value that `limitOf` ever answers. */
  constructor(limitOf: KindLimit, bytesMax: number) {
    this.#limitOf = limitOf;
    this.#bytesMax = bytesMax;
  }

  /** True while a frame has begun and is not complete. */
  get midFrame(): boolean {
    return this.#headBytes > 0 || this.#open !== null;
  }

  /** Bytes held back for incomplete frames; for tests of the memory guarantee. */
  get heldBytes(): number {
    return this.#body.length;
  }

  /** @throws VouchError "protocol" for a length or kind that is not accepted. */
  push(chunk: Uint8Array, onFrame: OnFrame): void {
    let at = 0;
    while (at < chunk.length && !this.#over) {
      at = this.#open === null ? this.#begin(chunk, at, onFrame) : this.#fill(chunk, at, onFrame);
    }
  }

  /** Judges a frame from its first bytes, and takes it at once when the chunk has all of it. */
  #begin(chunk: Uint8Array, at: number, onFrame: OnFrame): number {
    const before = this.#headBytes;
    const taken = Math.min(HEAD_BYTES_MAX - before, chunk.length - at);
    this.#head.set(chunk.subarray(at, at + taken), before);
    this.#headBytes += taken;
    const head = this.#judge(this.#head.subarray(0, this.#headBytes));
    if (head === null) return at + taken;
    const bodyStart = at + LENGTH_BYTES - before;
    if (bodyStart >= at && chunk.length - bodyStart >= head.bodyBytes) {
      this.#headBytes = 0;
      this.#hand(head.kind, chunk.subarray(bodyStart, bodyStart + head.bodyBytes), onFrame);
      return bodyStart + head.bodyBytes;
    }
    // What the head already took of the body goes first; it may hold bytes of the next frame when this one is tiny.
    const early = Math.min(this.#headBytes - LENGTH_BYTES, head.bodyBytes);
    this.#body = new Uint8Array(Math.min(head.bodyBytes, FIRST_BUFFER_BYTES));
    this.#body.set(this.#head.subarray(LENGTH_BYTES, LENGTH_BYTES + early));
    this.#bodyBytes = early;
    this.#open = head;
    this.#headBytes = 0;
    if (early === head.bodyBytes) this.#complete(onFrame);
    return at + LENGTH_BYTES + early - before;
  }

  #fill(chunk: Uint8Array, at: number, onFrame: OnFrame): number {
    const open = this.#open;
    assert(open !== null);
    const taken = Math.min(open.bodyBytes - this.#bodyBytes, chunk.length - at);
    const needed = this.#bodyBytes + taken;
    if (needed > this.#body.length) {
      const grown = new Uint8Array(Math.min(open.bodyBytes, Math.max(needed, this.#body.length * 2)));
      grown.set(this.#body.subarray(0, this.#bodyBytes));
      this.#body = grown;
    }
    this.#body.set(chunk.subarray(at, at + taken), this.#bodyBytes);
    this.#bodyBytes = needed;
    if (needed === open.bodyBytes) this.#complete(onFrame);
    return at + taken;
  }

  #complete(onFrame: OnFrame): void {
    const open = this.#open;
    assert(open !== null && this.#bodyBytes === open.bodyBytes);
    const body = this.#body;
    // The body may be kept by whoever decodes it, so the next frame gets a buffer of its own.
    this.#body = new Uint8Array(0);
    this.#bodyBytes = 0;
    this.#open = null;
    this.#hand(open.kind, body, onFrame);
  }

  #hand(kind: number, body: Uint8Array, onFrame: OnFrame): void {
    let goOn = false;
    try {
      goOn = onFrame(kind, body);
    } finally {
      this.#over = !goOn;
    }
  }

  /** null: more bytes are needed to tell. */
  #judge(head: Uint8Array): Head | null {
    try {
      return this.#readHead(head);
    } catch (error) {
      this.#over = true;
      throw error;
    }
  }

  #readHead(head: Uint8Array): Head | null {
    if (head.length < LENGTH_BYTES) return null;
    const bodyBytes = ((head[0]! << 24) | (head[1]! << 16) | (head[2]! << 8) | head[3]!) >>> 0;
    if (bodyBytes < 2 || bodyBytes > this.#bytesMax) {
      throw protocolError(`a frame of ${bodyBytes} bytes, accepted are 2 to ${this.#bytesMax}`);
    }
    if (head.length < LENGTH_BYTES + 1) return null;
    const first = head[LENGTH_BYTES]!;
    const kindAt = LENGTH_BYTES + (first === 0xdc ? 3 : 1);
    if (first !== 0xdc && !(first >= 0x91 && first <= 0x9f)) throw protocolError("the frame is not an array");
    if (kindAt - LENGTH_BYTES >= bodyBytes) throw protocolError("the frame is too short for its kind");
    if (head.length <= kindAt) return null;
    const kind = head[kindAt]!;
    const limit = kind <= 0x7f ? this.#limitOf(kind) : 0;
    if (limit === 0) throw protocolError(`a frame of kind ${kind}, which is not accepted here`);
    if (bodyBytes > limit) throw protocolError(`a frame of kind ${kind} with ${bodyBytes} bytes, more than ${limit}`);
    return { kind, bodyBytes };
  }
}
