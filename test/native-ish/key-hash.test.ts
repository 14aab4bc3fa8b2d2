import { describe, expect, test } from "bun:test";
import xxhash from "xxhash-wasm";
import { BloomParameterError } from "../../native-ish/bloom.ts";
import { KeyTag, loadKeyHash } from "../../native-ish/key-hash.ts";

describe("KeyHash", () => {
  test("is one XXH64, high half first, also for long, empty and non-ASCII keys", async () => {
    const api = await xxhash();
    const hash = await loadKeyHash(12345);
    const texts = ["", "a", "payments:3:42", "über-aufgabe-№7-任务-🎈", "x".repeat(1024), "ü".repeat(5000)];
    const pairs = hash.hashMany(texts);
    for (const [index, text] of texts.entries()) {
      const joined = (BigInt(pairs[index * 2]!) << 32n) | BigInt(pairs[index * 2 + 1]!);
      expect(joined).toBe(api.h64(text, 12345n));
    }
  });

  test("golden values: a change would forget every filter ever written", async () => {
    const hash = await loadKeyHash(1);
    const plain = hash.hashMany(["payments:0:10"]);
    const delivery = hash.withPrefix(KeyTag.deliveryKey, "1").hashMany(["payments:0:10"]);
    const task = hash.withPrefix(KeyTag.taskId, "1").hashMany(["payments:0:10"]);
    const show = (pairs: Uint32Array) => Array.from(pairs, (word) => word.toString(16).padStart(8, "0")).join("-");
    expect([plain, delivery, task].map(show)).toEqual(["b37a720e-bcb45e4f", "ec51658f-f4dc6d22", "66b63203-c4393783"]);
  });

  test("the prefix is its tag, the length of its text as four little-endian bytes, and the text", async () => {
    const hash = await loadKeyHash(1);
    const byHand = new Uint32Array(2);
    hash.hashBytesInto(Uint8Array.of(KeyTag.taskId, 2, 0, 0, 0, 0x31, 0x32, 0x61), byHand, 0);
    expect(hash.withPrefix(KeyTag.taskId, "12").hashMany(["a"])).toEqual(byHand);
  });

  test("a task id that reads like a delivery key is another key, and so is one of another dedup epoch", async () => {
    const hash = await loadKeyHash(1);
    const kinds = [
      hash,
      hash.withPrefix(KeyTag.deliveryKey, "1"),
      hash.withPrefix(KeyTag.taskId, "1"),
      hash.withPrefix(KeyTag.taskId, "2"),
      hash.withPrefix(KeyTag.taskId, "1").withPrefix(KeyTag.plain, "payments"),
    ];
    const seen = new Set(kinds.map((kind) => kind.hashMany(["payments:0:10"]).join()));
    expect(seen.size).toBe(kinds.length);
  });

  test("where the prefix ends and the key begins is part of the hash", async () => {
    const hash = await loadKeyHash(1);
    const left = hash.withPrefix(KeyTag.taskId, "a").hashMany(["bc"]);
    const right = hash.withPrefix(KeyTag.taskId, "ab").hashMany(["c"]);
    expect(left).not.toEqual(right);
  });

  test("hashes that share an engine do not disturb each other", async () => {
    const hash = await loadKeyHash(1);
    for (const root of [hash, hash.wrapped()]) {
      const kinds = ["a", "b", "a longer text"].map((text) => root.withPrefix(KeyTag.deliveryKey, text));
      const alone = kinds.map((kind) => kind.hashMany(["one", "two"]));
      const mixed = kinds.map((): Uint32Array => new Uint32Array(4));
      for (const [index, text] of ["one", "two"].entries()) {
        for (const [at, kind] of kinds.entries()) kind.hashInto(text, mixed[at]!, index);
      }
      expect(mixed).toEqual(alone);
    }
  });

  test("a partition costs no WebAssembly instance: the engine would collect all garbage for each", async () => {
    const hash = await loadKeyHash(1);
    const { Instance } = WebAssembly;
    let made = 0;
    class Counted extends Instance {
      constructor(module: WebAssembly.Module) {
        super(module);
        made++;
      }
    }
    WebAssembly.Instance = Counted as typeof Instance;
    try {
      for (let partition = 0; partition < 100; partition++) hash.withPrefix(KeyTag.deliveryKey, `${partition}`);
      expect(hash.isDirect).toBe(true);
      expect(made).toBe(0);
    } finally {
      WebAssembly.Instance = Instance;
    }
  });

  test("a text and its UTF-8 bytes are one key, whatever their length", async () => {
    const hash = (await loadKeyHash(9)).withPrefix(KeyTag.taskId, "1");
    for (const text of ["", "ü", "k".repeat(4096), "k".repeat(4097), "任".repeat(3000)]) {
      const pairs = new Uint32Array(4);
      hash.hashInto(text, pairs, 0);
      hash.hashBytesInto(new TextEncoder().encode(text), pairs, 1);
      expect([pairs[2], pairs[3]]).toEqual([pairs[0], pairs[1]]);
    }
  });

  test("called directly or through the package's wrapper, the pairs are the same", async () => {
    const direct = (await loadKeyHash(77)).withPrefix(KeyTag.deliveryKey, "epoch 3");
    const wrapped = direct.wrapped();
    expect([direct.isDirect, wrapped.isDirect]).toEqual([true, false]);
    const texts = Array.from({ length: 300 }, (_, length) => "aé任🎈".repeat(length).slice(0, length));
    texts.push("x".repeat(1365), "x".repeat(1366), "y".repeat(100_000));
    expect(direct.hashMany(texts)).toEqual(wrapped.hashMany(texts));
    expect(wrapped.withPrefix(KeyTag.plain).hashMany(["a"])).toEqual(direct.withPrefix(KeyTag.plain).hashMany(["a"]));
    expect(() => direct.withPrefix(KeyTag.plain, "p".repeat(1020))).toThrow(RangeError);
  });

  test("refuses seeds on the slow path and pairs outside the batch", async () => {
    const refused = await loadKeyHash(2 ** 31).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(BloomParameterError);
    const hash = await loadKeyHash(1);
    expect(() => hash.hashInto("a", new Uint32Array(2), 1)).toThrow(RangeError);
    expect(() => hash.hashInto("a", new Uint32Array(2), -1)).toThrow(RangeError);
  });
});
