/**
 * Model states as bytes that read like records.
 *
 * A model names its fields once; `layout` gives views whose getters and setters work on one byte array, so that the
 * explorer can copy, hash and compare states as a few words without the models knowing. Each field holds 0-255; a
 * value outside is refused at the assignment, because a wrapped counter would merge states that differ.
 */

class One<Name extends string> {
  readonly kind = "one";
  readonly names: readonly Name[];
  constructor(names: readonly Name[]) {
    this.names = names;
  }
}

class Many<Name extends string> {
  readonly kind = "many";
  readonly count: number;
  readonly names: readonly Name[];
  constructor(count: number, names: readonly Name[]) {
    this.count = count;
    this.names = names;
  }
}

/** A single record with these fields, e.g. the shared world of a model. */
export const one = <const Name extends string>(...names: Name[]): One<Name> => new One(names);

/** `count` records with these fields, read as a function of their index: `state.node(2).phase`. */
export const many = <const Name extends string>(count: number, ...names: Name[]): Many<Name> => new Many(count, names);

/** One record of a state; `clear` sets all of its fields to 0. */
export type Fields<Name extends string> = Record<Name, number> & Clearable;

interface Clearable {
  clear(): void;
}

type Parts = Readonly<Record<string, One<string> | Many<string>>>;

export interface Packed {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
}

export type View<P extends Parts> = Packed & {
  readonly [K in keyof P]: P[K] extends One<infer Name>
    ? Fields<Name>
    : P[K] extends Many<infer Name>
      ? (index: number) => Fields<Name>
      : never;
};

export interface Layout<S extends Packed> {
  /** 32-bit words of one state. */
  readonly words: number;
  /** A new view over zeroed bytes. */
  view(): S;
}

/** The view that a layout gives. */
export type StateOf<L> = L extends Layout<infer S> ? S : never;

type FieldsClass = new (bytes: Uint8Array, start: number) => Fields<string>;

function fieldsClass(names: readonly string[]): FieldsClass {
  class PackedFields {
    readonly $bytes: Uint8Array;
    readonly $start: number;
    constructor(bytes: Uint8Array, start: number) {
      this.$bytes = bytes;
      this.$start = start;
    }
    clear(): void {
      this.$bytes.fill(0, this.$start, this.$start + names.length);
    }
  }
  for (const [offset, name] of names.entries()) {
    if (name === "clear" || name.startsWith("$")) throw new Error(`a field cannot be named ${name}`);
    Object.defineProperty(PackedFields.prototype, name, {
      get(this: PackedFields): number {
        return this.$bytes[this.$start + offset]!;
      },
      set(this: PackedFields, value: number) {
        if (!(value >= 0 && value <= 255)) throw new RangeError(`${name} = ${value} does not fit into a byte`);
        this.$bytes[this.$start + offset] = value;
      },
    });
  }
  // The accessors that were just defined are what `Fields` says; the compiler cannot see them.
  return PackedFields as unknown as FieldsClass;
}

export function layout<const P extends Parts>(parts: P): Layout<View<P>> {
  const rooms = Object.entries(parts).map(([name, part]) => ({ name, part, make: fieldsClass(part.names) }));
  const size = rooms.reduce((sum, { part }) => sum + part.names.length * (part instanceof Many ? part.count : 1), 0);
  const words = Math.ceil(size / 4);
  const view = (): View<P> => {
    const bytes = new Uint8Array(words * 4);
    const result: Record<string, unknown> = { bytes, words: new Uint32Array(bytes.buffer) };
    let base = 0;
    for (const { name, part, make } of rooms) {
      if (part instanceof Many) {
        const items: Fields<string>[] = [];
        for (let k = 0; k < part.count; k++, base += part.names.length) items.push(new make(bytes, base));
        result[name] = (index: number) => items[index]!;
      } else {
        result[name] = new make(bytes, base);
        base += part.names.length;
      }
    }
    return result as View<P>;
  };
  return { words, view };
}
