/**
 * The vocabulary of the codec: how one field becomes a plain msgpack value and back. A record travels as an array in
 * the order of its table, so a table that misses a field of its type does not compile.
 *
 * Guarantees: `unpack` answers a value of its type whose ranges hold, or throws VouchError "protocol" naming the field.
 * Unpacked typed arrays may alias the input (they do when aligned), so the input must not be written again.
 */
import assert from "node:assert/strict";
import { ARRAY_LENGTH_MAX, OFFSET_MAX } from "./limits.ts";
import { protocolError } from "./protocol-error.ts";

export interface Field<T> {
  pack(value: T): unknown;
  unpack(raw: unknown, name: string): T;
}

export type Fields<T> = { readonly [K in keyof T]-?: Field<T[K]> };

/** Null when the value is consistent, else what is wrong with it. */
export type Check<T> = (value: T) => string | null;

// Typed arrays travel as the host has them.
assert(new Uint8Array(Uint32Array.of(1).buffer)[0] === 1, "this platform is not little-endian");

export function integer(minimum: number, maximum: number): Field<number> {
  return {
    pack: (value) => value,
    unpack(raw, name) {
      if (typeof raw === "number" && Number.isSafeInteger(raw) && raw >= minimum && raw <= maximum) return raw;
      throw refused(name, `an integer from ${minimum} to ${maximum}`, raw);
    },
  };
}

export function duration(maximumMs: number): Field<number> {
  return {
    pack: (value) => value,
    unpack(raw, name) {
      if (typeof raw === "number" && raw >= 0 && raw <= maximumMs) return raw;
      throw refused(name, `milliseconds from 0 to ${maximumMs}`, raw);
    },
  };
}

export const flag: Field<boolean> = {
  pack: (value) => value,
  unpack(raw, name) {
    if (typeof raw === "boolean") return raw;
    throw refused(name, "a boolean", raw);
  },
};

/** `lengthMax` in UTF-16 units; the scan bounds the bytes. */
export function text(lengthMax: number, pattern?: RegExp): Field<string> {
  return {
    pack: (value) => value,
    unpack(raw, name) {
      if (typeof raw === "string" && raw.length <= lengthMax && (pattern === undefined || pattern.test(raw))) {
        return raw;
      }
      throw refused(name, pattern === undefined ? `text of at most ${lengthMax}` : `text like ${pattern.source}`, raw);
    },
  };
}

/** One of a union of texts; travels as its number. */
export function oneOf<T extends string>(numbers: Readonly<Record<T, number>>): Field<T> {
  const byNumber = new Map<unknown, T>();
  for (const name of Object.keys(numbers) as T[]) byNumber.set(numbers[name], name);
  assert(byNumber.size === Object.keys(numbers).length, "two names share a number");
  return {
    pack: (value) => numbers[value],
    unpack(raw, name) {
      const known = byNumber.get(raw);
      if (known !== undefined) return known;
      throw refused(name, `one of ${[...byNumber.keys()].join(", ")}`, raw);
    },
  };
}

/** An integer that is one of a few; for `as const` objects of numbers. */
export function code<T extends number>(known: Readonly<Record<string, T>>): Field<T> {
  const values = new Set<unknown>(Object.values(known));
  return {
    pack: (value) => value,
    unpack(raw, name) {
      if (values.has(raw)) return raw as T;
      throw refused(name, `one of ${[...values].join(", ")}`, raw);
    },
  };
}

export function list<T>(item: Field<T>, lengthMax = ARRAY_LENGTH_MAX): Field<readonly T[]> {
  return {
    pack(values) {
      assert(values.length <= lengthMax, `a list of ${values.length}, more than ${lengthMax}`);
      return values.map((value) => item.pack(value));
    },
    unpack(raw, name) {
      if (!Array.isArray(raw)) throw refused(name, "a list", raw);
      if (raw.length > lengthMax) throw protocolError(`${name}: a list of ${raw.length}, more than ${lengthMax}`);
      return raw.map((value: unknown) => item.unpack(value, name));
    },
  };
}

/** A record as an array in the order of `fields`. The check runs on both sides: an assert here, a refusal there. */
export function record<T extends object>(fields: Fields<T>, check?: Check<T>): Field<T> {
  const names = Object.keys(fields) as (keyof T & string)[];
  return {
    pack(value) {
      const wrong = check?.(value) ?? null;
      assert(wrong === null, `an inconsistent message: ${wrong}`);
      return names.map((name) => fields[name].pack(value[name]));
    },
    unpack(raw, at) {
      if (!Array.isArray(raw) || raw.length !== names.length) {
        throw refused(at, `a record of ${names.length} fields`, raw);
      }
      const value = unpackFields(fields, names, raw, 0);
      const wrong = check?.(value) ?? null;
      if (wrong !== null) throw protocolError(`${at}: ${wrong}`);
      return value;
    },
  };
}

/** Reads `names` from `raw[start]` on. */
export function unpackFields<T extends object>(
  fields: Fields<T>,
  names: readonly (keyof T & string)[],
  raw: readonly unknown[],
  start: number,
): T {
  const value: Partial<T> = {};
  for (let index = 0; index < names.length; index++) {
    const name = names[index]!;
    value[name] = fields[name].unpack(raw[start + index], name);
  }
  // Every key of T is in `names`: the type of `fields` says so.
  return value as T;
}

/** `each` judges every byte, e.g. a phase; names what it wants in `expected`. */
export function bytes(lengthMax: number, each?: (byte: number) => boolean, expected = "bytes"): Field<Uint8Array> {
  return {
    pack: (value) => value,
    unpack(raw, name) {
      const value = binary(raw, name, lengthMax, 1);
      if (each !== undefined) {
        for (const byte of value) if (!each(byte)) throw refused(name, expected, byte);
      }
      return value;
    },
  };
}

export function words16(lengthMax: number): Field<Uint16Array> {
  return {
    pack: (value) => value,
    unpack(raw, name) {
      const value = aligned(binary(raw, name, lengthMax, 2), 2);
      return new Uint16Array(value.buffer, value.byteOffset, value.byteLength / 2);
    },
  };
}

export function words32(lengthMax: number): Field<Uint32Array> {
  return {
    pack: (value) => value,
    unpack(raw, name) {
      const value = aligned(binary(raw, name, lengthMax, 4), 4);
      return new Uint32Array(value.buffer, value.byteOffset, value.byteLength / 4);
    },
  };
}

/** Float64Array of safe integers from 0 on: offsets, stamps, epochs. */
export function integers64(lengthMax: number): Field<Float64Array> {
  return {
    pack: (value) => value,
    unpack(raw, name) {
      const copied = aligned(binary(raw, name, lengthMax, 8), 8);
      const value = new Float64Array(copied.buffer, copied.byteOffset, copied.byteLength / 8);
      for (const each of value) {
        if (!Number.isSafeInteger(each) || each < 0 || each > OFFSET_MAX) {
          throw refused(name, `integers from 0 to ${OFFSET_MAX}`, each);
        }
      }
      return value;
    },
  };
}

function binary(raw: unknown, name: string, lengthMax: number, bytesEach: number): Uint8Array {
  if (!(raw instanceof Uint8Array)) throw refused(name, "binary", raw);
  if (raw.byteLength % bytesEach !== 0 || raw.byteLength / bytesEach > lengthMax) {
    throw protocolError(`${name}: ${raw.byteLength} bytes, expected at most ${lengthMax} items of ${bytesEach}`);
  }
  return raw;
}

/** msgpack puts binary at any offset; typed arrays want theirs, so a misaligned one is copied. */
function aligned(value: Uint8Array, bytesEach: number): Uint8Array {
  return value.byteOffset % bytesEach === 0 ? value : new Uint8Array(value);
}

function refused(name: string, expected: string, got: unknown): Error {
  const shown = typeof got === "string" ? JSON.stringify(got.slice(0, 40)) : typeof got === "number" ? got : typeof got;
  return protocolError(`${name}: expected ${expected}, got ${shown}`);
}
