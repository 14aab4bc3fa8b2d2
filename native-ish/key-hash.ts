/**
 * Text or bytes -> the 8-byte pair by which the rest of the project knows a key. Loads the WebAssembly once; everything
 * after that is synchronous. A key is hashed exactly once, by the node that claims it.
 *
 * One XXH64 is split into two halves. Two XXH32 under two seeds would be correlated: keys that collide under one seed
 * collide under the other far too often.
 *
 * Guarantees: keys under different prefixes (tag, then text such as the dedup epoch) are different byte strings, so a
 * task id that reads like a delivery key is not that key. Text that is not well-formed UTF-16 is hashed with U+FFFD in
 * place of each lone surrogate: such ids may collide, which costs a check, never a task.
 */
import xxhash, { type XXHashAPI } from "xxhash-wasm";
import { requireInteger, SEED_MAX } from "./bloom-sizing.ts";

/** What kind of key it is; the first byte under the hash. */
export const KeyTag = { plain: 0, deliveryKey: 1, taskId: 2 } as const;
export type KeyTag = (typeof KeyTag)[keyof typeof KeyTag];

/** Longer keys are hashed in a buffer of their own, which is not kept. */
const BUFFER_BYTES = 4096;
/** Up to this length, prefix included, a key finds its view of the buffer ready: making one costs half a hash. */
const VIEW_BYTES_MAX = 512;

/** @throws BloomParameterError when the seed is not an integer in 0..2^31-1. */
export async function loadKeyHash(seed = 0): Promise<KeyHash> {
  requireInteger("seed", seed, 0, SEED_MAX);
  return new KeyHash(await xxhash(), seed, new Uint8Array(0));
}

export class KeyHash {
  readonly seed: number;
  readonly #api: XXHashAPI;
  readonly #seed: bigint;
  readonly #prefix: Uint8Array;
  /** The prefix stays in front for good; only what follows it is written per key. */
  readonly #buffer: Uint8Array;
  readonly #afterPrefix: Uint8Array;
  readonly #views: (Uint8Array | undefined)[] = [];
  readonly #split = new DataView(new ArrayBuffer(8));
  readonly #encoder = new TextEncoder();

  /** Use `loadKeyHash`, then `withPrefix`. */
  constructor(api: XXHashAPI, seed: number, prefix: Uint8Array) {
    this.#api = api;
    this.seed = seed;
    this.#seed = BigInt(seed);
    this.#prefix = prefix;
    this.#buffer = new Uint8Array(prefix.length + BUFFER_BYTES);
    this.#buffer.set(prefix);
    this.#afterPrefix = this.#buffer.subarray(prefix.length);
  }

  /**
   * The same hash for another kind of key: `tag`, the length of `text` in bytes, `text`, then the key. Make one per
   * kind (and dedup epoch, and topic) and keep it: the prefix costs only its bytes afterwards.
   */
  withPrefix(tag: KeyTag, text = ""): KeyHash {
    const encoded = this.#encoder.encode(text);
    const prefix = new Uint8Array(this.#prefix.length + 5 + encoded.length);
    prefix.set(this.#prefix);
    prefix[this.#prefix.length] = tag;
    // The length keeps ("a", "bc") apart from ("ab", "c").
    new DataView(prefix.buffer).setUint32(this.#prefix.length + 1, encoded.length, true);
    prefix.set(encoded, this.#prefix.length + 5);
    return new KeyHash(this.#api, this.seed, prefix);
  }

  /** Writes the pair of a text: high half into `pairs[2 * index]`, low half into `pairs[2 * index + 1]`. */
  hashInto(text: string, pairs: Uint32Array, index: number): void {
    if (this.#prefix.length === 0) {
      this.#write(this.#api.h64(text, this.#seed), pairs, index);
      return;
    }
    // UTF-8 needs at most three bytes for a UTF-16 unit.
    if (text.length * 3 > BUFFER_BYTES) {
      this.hashBytesInto(this.#encoder.encode(text), pairs, index);
      return;
    }
    const { written } = this.#encoder.encodeInto(text, this.#afterPrefix);
    this.#write(this.#api.h64Raw(this.#view(this.#prefix.length + written), this.#seed), pairs, index);
  }

  /** The same for bytes; a text and its UTF-8 bytes have the same pair. */
  hashBytesInto(bytes: Uint8Array, pairs: Uint32Array, index: number): void {
    const total = this.#prefix.length + bytes.length;
    let view: Uint8Array;
    if (total <= this.#buffer.length) {
      this.#buffer.set(bytes, this.#prefix.length);
      view = this.#view(total);
    } else {
      view = new Uint8Array(total);
      view.set(this.#prefix);
      view.set(bytes, this.#prefix.length);
    }
    this.#write(this.#api.h64Raw(view, this.#seed), pairs, index);
  }

  /** All texts at once; returns 2 words a text. For tests and tools: the hot paths keep their own batch. */
  hashMany(texts: readonly string[]): Uint32Array {
    const pairs = new Uint32Array(texts.length * 2);
    for (const [index, text] of texts.entries()) this.hashInto(text, pairs, index);
    return pairs;
  }

  #view(length: number): Uint8Array {
    if (length > VIEW_BYTES_MAX) return this.#buffer.subarray(0, length);
    return (this.#views[length] ??= this.#buffer.subarray(0, length));
  }

  #write(hash: bigint, pairs: Uint32Array, index: number): void {
    if (index < 0 || index * 2 + 1 >= pairs.length) throw new RangeError(`pair ${index} is outside the batch`);
    this.#split.setBigUint64(0, hash);
    pairs[index * 2] = this.#split.getUint32(0);
    pairs[index * 2 + 1] = this.#split.getUint32(4);
  }
}
