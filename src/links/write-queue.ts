/**
 * Frames on their way into a socket that takes only part of what it is given. One growing buffer holds what was not
 * taken; it is given back when empty.
 *
 * Guarantees: bytes leave in order, each once; no more than the limit is kept. It never writes by itself.
 */
import assert from "node:assert/strict";
import { LENGTH_BYTES, writeLength } from "../wire/frame.ts";

/** Takes bytes and answers how many it took; -1 when it is closed. */
export type Write = (bytes: Uint8Array) => number;

const SMALL_BYTES = 64 * 1024;
/** An empty buffer above this is given back, so that one burst does not hold its memory for ever. */
const KEPT_BYTES_MAX = 1024 * 1024;

export class WriteQueue {
  readonly #write: Write;
  readonly #bytesMax: number;
  #buffer = new Uint8Array(SMALL_BYTES);
  #head = 0;
  #tail = 0;

  constructor(write: Write, bytesMax: number) {
    this.#write = write;
    this.#bytesMax = bytesMax;
  }

  get unsentBytes(): number {
    return this.#tail - this.#head;
  }

  /** Copies the body behind its length. False, and nothing is kept: the limit would be passed. */
  push(body: Uint8Array): boolean {
    const bytes = LENGTH_BYTES + body.length;
    if (this.unsentBytes + bytes > this.#bytesMax) return false;
    this.#makeRoom(bytes);
    writeLength(this.#buffer, this.#tail, body.length);
    this.#buffer.set(body, this.#tail + LENGTH_BYTES);
    this.#tail += bytes;
    return true;
  }

  /** "blocked": go on when the socket drains. "closed": it takes nothing more. */
  flush(): "empty" | "blocked" | "closed" {
    while (this.#head < this.#tail) {
      const taken = this.#write(this.#buffer.subarray(this.#head, this.#tail));
      if (taken < 0) return "closed";
      assert(taken <= this.unsentBytes);
      this.#head += taken;
      // A socket that took a part says when it can take more.
      if (this.#head < this.#tail) return "blocked";
    }
    this.#head = 0;
    this.#tail = 0;
    if (this.#buffer.length > KEPT_BYTES_MAX) this.#buffer = new Uint8Array(SMALL_BYTES);
    return "empty";
  }

  #makeRoom(bytes: number): void {
    if (this.#tail + bytes <= this.#buffer.length) return;
    const unsent = this.unsentBytes;
    // Moving to the front is worth it only when at least half of the buffer comes free.
    const fits = unsent + bytes <= this.#buffer.length && this.#head >= this.#buffer.length / 2;
    const target = fits ? this.#buffer : new Uint8Array(Math.max(unsent + bytes, this.#buffer.length * 2));
    target.set(this.#buffer.subarray(this.#head, this.#tail));
    this.#buffer = target;
    this.#head = 0;
    this.#tail = unsent;
  }
}
