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

/** Longer keys are hashed in memory of their own, which is not kept. */
const BUFFER_BYTES = 4096;
const PREFIX_BYTES_MAX = 1024;

/** One XXH64 over the first bytes of `memory`; the result's sign means nothing. */
interface Engine {
  readonly memory: Uint8Array;
  readonly hash: (length: number, seed: bigint) => bigint;
  readonly isDirect: boolean;
  /** Whose prefix lies in front: keys come in batches of one kind, so it is seldom written anew. */
  prefixOf: KeyHash | null;
}

/**
 * The package, and the one engine of a hash and of all that were made from it. Not one for each prefix: beyond a handful
 * of WebAssembly memories the engine collects all garbage before it makes the next, 10 to 200 ms for each partition.
 */
interface Source {
  readonly api: XXHashAPI;
  readonly engine: Engine;
}

/** @throws BloomParameterError when the seed is not an integer in 0..2^31-1. */
export async function loadKeyHash(seed = 0): Promise<KeyHash> {
  requireInteger("seed", seed, 0, SEED_MAX);
  source ??= loadSource();
  return new KeyHash(await source, seed, new Uint8Array(0));
}

/** Loaded once a process: everything after that is synchronous, so one engine does for all. */
let source: Promise<Source> | undefined;

async function loadSource(): Promise<Source> {
  const api = await xxhash();
  return { api, engine: (await loadDirectEngine(api)) ?? wrappedEngine(api) };
}

/**
 * The package's WebAssembly file, called without its wrapper: no copy and no second BigInt, which is half of the time
 * (47 instead of 76 to 115 ns a key). Undefined where there is no such file, or where it does not agree with the wrapper:
 * then the wrapper is used, to the same result.
 */
async function loadDirectEngine(api: XXHashAPI): Promise<Engine | undefined> {
  try {
    const file = Bun.file(wasmFile());
    const engine = directEngine(new WebAssembly.Module(await file.bytes()));
    engine.memory.set([1, 2, 3]);
    const agrees = BigInt.asUintN(64, engine.hash(3, 7n)) === api.h64Raw(Uint8Array.of(1, 2, 3), 7n);
    return agrees ? engine : undefined;
  } catch {
    // Not an error: the wrapper does the same, only slower.
    return undefined;
  }
}

/** The build puts it beside the code of the executable, in which packages have no places of their own. */
function wasmFile(): URL {
  if (Bun.isStandaloneExecutable) return new URL("./xxhash.wasm", import.meta.url);
  return new URL("../workerd/xxhash.wasm", import.meta.resolve("xxhash-wasm"));
}

function directEngine(module: WebAssembly.Module): Engine {
  const { mem, xxh64 } = new WebAssembly.Instance(module).exports;
  if (!(mem instanceof WebAssembly.Memory) || typeof xxh64 !== "function") throw new TypeError("not xxhash.wasm");
  const call = xxh64 as (at: number, length: number, seed: bigint) => bigint;
  const memory = new Uint8Array(mem.buffer);
  return { memory, hash: (length, seed) => call(0, length, seed), isDirect: true, prefixOf: null };
}

function wrappedEngine(api: XXHashAPI): Engine {
  const memory = new Uint8Array(PREFIX_BYTES_MAX + BUFFER_BYTES);
  const hash: Engine["hash"] = (length, seed) => api.h64Raw(memory.subarray(0, length), seed);
  return { memory, hash, isDirect: false, prefixOf: null };
}

export class KeyHash {
  readonly seed: number;
  readonly #source: Source;
  readonly #seed: bigint;
  readonly #prefix: Uint8Array;
  readonly #engine: Engine;
  /** Where the keys go: while the prefix is in front, only what follows it is written per key. */
  readonly #afterPrefix: Uint8Array;
  readonly #split = new DataView(new ArrayBuffer(8));
  readonly #encoder = new TextEncoder();

  /** Use `loadKeyHash`, then `withPrefix`. @throws RangeError when the prefixes together exceed 1,024 bytes. */
  constructor(source: Source, seed: number, prefix: Uint8Array) {
    if (prefix.length > PREFIX_BYTES_MAX) throw new RangeError(`a prefix of ${prefix.length} bytes`);
    this.#source = source;
    this.seed = seed;
    this.#seed = BigInt(seed);
    this.#prefix = prefix;
    this.#engine = source.engine;
    this.#afterPrefix = this.#engine.memory.subarray(prefix.length, prefix.length + BUFFER_BYTES);
  }

  /** True when keys are hashed without the package's wrapper; the results are the same. */
  get isDirect(): boolean {
    return this.#engine.isDirect;
  }

  /** The same hash through the package's wrapper, to compare. */
  wrapped(): KeyHash {
    const { api } = this.#source;
    return new KeyHash({ api, engine: wrappedEngine(api) }, this.seed, this.#prefix);
  }

  /**
   * The same hash for another kind of key: `tag`, the length of `text` in bytes, `text`, then the key. Make one per
   * kind (and dedup epoch, and topic) and keep it: the prefix costs only its bytes afterwards.
   * @throws RangeError when the prefixes together exceed 1,024 bytes.
   */
  withPrefix(tag: KeyTag, text = ""): KeyHash {
    const encoded = this.#encoder.encode(text);
    const prefix = new Uint8Array(this.#prefix.length + 5 + encoded.length);
    prefix.set(this.#prefix);
    prefix[this.#prefix.length] = tag;
    // The length keeps ("a", "bc") apart from ("ab", "c").
    new DataView(prefix.buffer).setUint32(this.#prefix.length + 1, encoded.length, true);
    prefix.set(encoded, this.#prefix.length + 5);
    return new KeyHash(this.#source, this.seed, prefix);
  }

  /** Writes the pair of a text: high half into `pairs[2 * index]`, low half into `pairs[2 * index + 1]`. */
  hashInto(text: string, pairs: Uint32Array, index: number): void {
    // UTF-8 needs at most three bytes for a UTF-16 unit.
    if (text.length * 3 > BUFFER_BYTES) {
      this.hashBytesInto(this.#encoder.encode(text), pairs, index);
      return;
    }
    this.#takeEngine();
    const { written } = this.#encoder.encodeInto(text, this.#afterPrefix);
    this.#write(this.#engine.hash(this.#prefix.length + written, this.#seed), pairs, index);
  }

  /** The same for bytes; a text and its UTF-8 bytes have the same pair. */
  hashBytesInto(bytes: Uint8Array, pairs: Uint32Array, index: number): void {
    if (bytes.length <= BUFFER_BYTES) {
      this.#takeEngine();
      this.#afterPrefix.set(bytes);
      this.#write(this.#engine.hash(this.#prefix.length + bytes.length, this.#seed), pairs, index);
      return;
    }
    const whole = new Uint8Array(this.#prefix.length + bytes.length);
    whole.set(this.#prefix);
    whole.set(bytes, this.#prefix.length);
    this.#write(this.#source.api.h64Raw(whole, this.#seed), pairs, index);
  }

  /** All texts at once; returns 2 words a text. For tests and tools: the hot paths keep their own batch. */
  hashMany(texts: readonly string[]): Uint32Array {
    const pairs = new Uint32Array(texts.length * 2);
    for (const [index, text] of texts.entries()) this.hashInto(text, pairs, index);
    return pairs;
  }

  #takeEngine(): void {
    if (this.#engine.prefixOf === this) return;
    this.#engine.memory.set(this.#prefix);
    this.#engine.prefixOf = this;
  }

  #write(hash: bigint, pairs: Uint32Array, index: number): void {
    if (index < 0 || index * 2 + 1 >= pairs.length) throw new RangeError(`pair ${index} is outside the batch`);
    this.#split.setBigInt64(0, hash);
    pairs[index * 2] = this.#split.getUint32(0);
    pairs[index * 2 + 1] = this.#split.getUint32(4);
  }
}
