/** The grant table, its index and its deltas against models that are too simple to be wrong. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DeltaBuilder } from "../../src/core/leader/delta-builder.ts";
import { HashIndex } from "../../src/core/leader/hash-index.ts";
import { DIRTY_FLAG, FREE_FLAG, FRESH_FLAG, MAYBE_FLAG, Phase } from "../../src/core/messages.ts";
import { NumberList, offsetAt, packOffsets } from "../../src/core/offsets.ts";
import { GrantTable, isFinalPhase, SLOTS_MAX, type PartitionTable } from "../../src/core/table.ts";
import { listOf } from "./support.ts";

const KEPT = 0x07 | DIRTY_FLAG | FREE_FLAG | MAYBE_FLAG;
const HOLDERS = ["", "a/1", "b/1", "b/2"];

interface Row {
  readonly holder: string;
  readonly epoch: number;
  readonly stamp: number;
  readonly phaseByte: number;
  readonly unknownRuns: number;
  readonly attempts: number;
  readonly hi: number;
  readonly lo: number;
}

const phaseByte = fc
  .record({ phase: fc.nat(5), flags: fc.nat(15) })
  .map(
    ({ phase, flags }) =>
      phase |
      (flags & 1 ? DIRTY_FLAG : 0) |
      (flags & 2 ? FREE_FLAG : 0) |
      (flags & 4 ? MAYBE_FLAG : 0) |
      (flags & 8 ? FRESH_FLAG : 0),
  );
const word = fc.nat(3).map((n) => n * 0x5555_5555); // few values: equal hashes are the interesting case
const row: fc.Arbitrary<Row> = fc.record({
  holder: fc.constantFrom(...HOLDERS),
  epoch: fc.integer({
    min: 1,
    max: 3,
  }),
  stamp: fc.integer({
    min: 1,
    max: 9,
  }),
  phaseByte,
  unknownRuns: fc.nat(255),
  attempts: fc.nat(255),
  hi: word,
  lo: word,
});

/** The dumb model of one partition. */
class Model {
  readonly rows = new Map<number, Row>();
  from = -1;
  watermark = 0;

  advance(watermark: number): void {
    if (watermark <= this.watermark) return;
    this.watermark = watermark;
    for (const offset of this.rows.keys()) if (offset < watermark) this.rows.delete(offset);
  }

  restartAt(from: number): void {
    if (from < this.watermark) {
      this.rows.clear();
      this.watermark = from;
    }
    this.advance(from);
    this.from = from;
  }

  get ledger(): number {
    return [...this.rows.values()].filter(({ phaseByte: byte }) => (byte & 7) === Phase.executed).length;
  }
}

function write(table: GrantTable, partition: PartitionTable, offset: number, r: Row): void {
  const { epoch, stamp, unknownRuns, attempts, hi, lo } = r;
  partition.write(offset, table.holderIndex(r.holder), epoch, stamp, r.phaseByte, unknownRuns, attempts, hi, lo);
}

function expectSame(partition: PartitionTable, model: Model, around: number): void {
  expect([partition.from, partition.watermark, partition.entries, partition.ledger]).toEqual([
    model.from,
    model.watermark,
    model.rows.size,
    model.ledger,
  ]);
  for (let offset = Math.max(0, model.watermark - 3); offset < around; offset++) {
    const known = model.rows.get(offset);
    expect([offset, partition.has(offset)]).toEqual([offset, known !== undefined]);
    if (known === undefined) {
      expect(partition.read(offset)).toBeNull();
      continue;
    }
    const { phaseByte: byte, hi, lo, ...rest } = known;
    expect(partition.read(offset)).toEqual({
      ...rest,
      offset,
      hashHi: hi >>> 0,
      hashLo: lo >>> 0,
      phase: (byte & 7) as Phase,
      dirty: (byte & DIRTY_FLAG) !== 0,
      maybe: (byte & MAYBE_FLAG) !== 0,
    });
    expect(partition.isFree(offset)).toBe((byte & FREE_FLAG) !== 0);
  }
}

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("write" as const), at: fc.nat(40), row }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("write" as const), at: fc.integer({ min: 900, max: 2_500 }), row }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("advance" as const), at: fc.nat(20), row }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("restart" as const), at: fc.integer({ min: -20, max: 30 }), row }),
  },
);

describe("PartitionTable", () => {
  test("writes, advances and restarts like a map of offsets", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 40), fc.array(step, { maxLength: 60 }), (base, steps) => {
        const table = new GrantTable();
        const partition = table.partition(0);
        const model = new Model();
        partition.restartAt(base);
        model.restartAt(base);
        for (const { do: what, at, row: r } of steps) {
          const offset = Math.max(0, model.watermark + at);
          if (what === "write") {
            write(table, partition, offset, r);
            model.rows.set(offset, r);
          } else if (what === "advance") {
            partition.advance(offset);
            model.advance(offset);
          } else {
            partition.restartAt(offset);
            model.restartAt(offset);
          }
        }
        expectSame(
          partition,
          model,
          Math.max(model.watermark + 60, ...[...model.rows.keys()].map((offset) => offset + 2)),
        );
      }),
      { numRuns: 150 },
    );
  });

  test("holds what fits, and says what does not", () => {
    const partition = new GrantTable().partition(0);
    partition.restartAt(100);
    expect([99, 100, 100 + SLOTS_MAX - 1, 100 + SLOTS_MAX].map((offset) => partition.fits(offset))).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  test("a merge is the best of all rows, in whatever order and however often they come", () => {
    const rows = fc.array(fc.record({ offset: fc.nat(5), row }), { maxLength: 12 });
    fc.assert(
      fc.property(fc.array(rows, { minLength: 1, maxLength: 4 }), fc.nat(), (members, seed) => {
        const tables = members.map((list) => {
          const table = new GrantTable();
          table.partition(0).restartAt(0);
          for (const { offset, row: r } of list) write(table, table.partition(0), offset, r);
          return table;
        });
        const merged = new GrantTable();
        merged.partition(0).restartAt(0);
        const order = [...tables, ...tables].sort(
          (a, b) => ((tables.indexOf(a) * seed) % 3) - ((tables.indexOf(b) * seed) % 3),
        );
        for (const table of order) {
          const told = table.rows(0);
          if (told !== null) merged.merge(told);
        }
        for (let offset = 0; offset < 6; offset++) {
          const all = tables.flatMap((table) => table.partition(0).read(offset) ?? []);
          const found = merged.partition(0).read(offset);
          if (all.length === 0) {
            expect(found).toBeNull();
            continue;
          }
          const finals = all.filter(({ phase }) => isFinalPhase(phase));
          const candidates = finals.length > 0 ? finals : all;
          const rank = ({ epoch, stamp }: { epoch: number; stamp: number }) => epoch * 100 + stamp;
          expect(rank(found!)).toBe(Math.max(...candidates.map(rank)));
          expect(isFinalPhase(found!.phase)).toBe(finals.length > 0);
          expect(candidates).toContainEqual(found!);
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe("HashIndex", () => {
  test("finds every other entry with a hash, and none that is gone or has another", () => {
    const entry = fc.record({ pid: fc.nat(2), at: fc.nat(20), row });
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 80 }), fc.nat(15), fc.boolean(), (entries, watermark, rebuild) => {
        const table = new GrantTable();
        const index = new HashIndex(table);
        const model = new Map<string, { pid: number; offset: number; hi: number; lo: number }>();
        for (const pid of [0, 1, 2]) table.partition(pid).restartAt(2 ** 33 - 100); // offsets above 32 bits
        for (const { pid, at, row: r } of entries) {
          const offset = 2 ** 33 - 100 + at;
          const unnamed = r.hi === 0 && r.lo === 0;
          write(table, table.partition(pid), offset, r);
          if (!unnamed) index.add(pid, offset, r.hi, r.lo);
          model.set(`${pid}:${offset}`, { pid, offset, hi: r.hi, lo: r.lo });
        }
        table.partition(1).advance(2 ** 33 - 100 + watermark);
        if (rebuild) index.rebuild();
        const live = [...model.values()].filter(({ pid, offset }) => pid !== 1 || offset >= 2 ** 33 - 100 + watermark);
        for (const asked of live.filter(({ hi, lo }) => hi !== 0 || lo !== 0)) {
          const same = live.filter(
            ({ hi, lo, pid, offset }) =>
              hi === asked.hi && lo === asked.lo && !(pid === asked.pid && offset === asked.offset),
          );
          const found = index.others(asked.hi, asked.lo, asked.pid, asked.offset);
          const key = ({ pid, offset }: { pid: number; offset: number }) => `${pid}:${offset}`;
          expect(found.map(key).toSorted()).toEqual(same.map(key).toSorted());
          expect(index.hasOther(asked.hi, asked.lo, asked.pid, asked.offset)).toBe(same.length > 0);
        }
        expect(index.others(7, 7, 0, 0)).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  test("grows with the table and stays exact", () => {
    const table = new GrantTable();
    const index = new HashIndex(table);
    const partition = table.partition(0);
    partition.restartAt(0);
    for (let offset = 0; offset < 12_000; offset++) {
      const lo = offset >> 1; // pairs share a hash
      partition.write(offset, 0, 1, 1 + offset, Phase.granted, 0, 0, 7, lo);
      index.add(0, offset, 7, lo);
    }
    for (let offset = 0; offset < 12_000; offset += 97)
      expect(index.others(7, offset >> 1, 0, offset)).toEqual([{ pid: 0, offset: offset ^ 1 }]);
  });
});

describe("DeltaBuilder", () => {
  test("what it takes apart, apply puts together: a replica has what the leader wrote", () => {
    const change = fc.record({ pid: fc.nat(1), at: fc.nat(30), row, raise: fc.nat(40) });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 80 }), fc.nat(9), (changes, perDelta) => {
        const leader = new GrantTable();
        const replica = new GrantTable();
        const builder = new DeltaBuilder();
        let seq = 0;
        let stamp = 0;
        const take = () => {
          const delta = builder.take(3, ++seq);
          expect(delta).toMatchObject({ epoch: 3, seq });
          for (const { pid, from, watermark } of delta.watermarks) {
            if (replica.partition(pid).from !== from) replica.partition(pid).restartAt(from);
            replica.partition(pid).advance(watermark);
          }
          for (const batch of delta.entries) replica.apply(batch, delta.epoch);
          expect(builder.empty).toBe(true);
        };
        for (const table of [leader, replica]) for (const pid of [0, 1]) table.partition(pid).restartAt(0);
        changes.forEach(({ pid, at, row: r, raise }, i) => {
          const partition = leader.partition(pid);
          if (raise < 5) {
            partition.advance(partition.watermark + raise);
            builder.watermark(pid, partition.from, partition.watermark);
          }
          const offset = partition.watermark + at;
          const slot = partition.slot(offset);
          const known = partition.has(offset);
          const hi = known ? partition.hashes[2 * slot]! : r.hi;
          const lo = known ? partition.hashes[2 * slot + 1]! : r.lo;
          write(leader, partition, offset, { ...r, epoch: 3, stamp: ++stamp, hi, lo });
          const { unknownRuns, attempts } = r;
          builder.change(pid, r.holder, offset, stamp, r.phaseByte, unknownRuns, attempts, hi, lo, !known);
          if (i % (perDelta + 1) === 0) take();
        });
        take();
        for (const pid of [0, 1]) {
          expect(replica.rows(pid)).toEqual(leader.rows(pid));
          expect(replica.partition(pid).watermark).toBe(leader.partition(pid).watermark);
        }
        expect(replica.ledger).toBe(leader.ledger);
      }),
      { numRuns: 150 },
    );
  });

  test("neighbours travel in one batch, and FRESH is told but not kept", () => {
    const builder = new DeltaBuilder();
    for (let i = 0; i < 100; i++) builder.change(0, "a/1", 10 + i, 1 + i, Phase.granted | FRESH_FLAG, 0, 0, 1, i, true);
    const { entries } = builder.take(1, 1);
    expect(entries).toHaveLength(1);
    expect(listOf(entries[0]!.offsets)).toHaveLength(100);
    expect(entries[0]!.phases[0]! & FRESH_FLAG).toBe(FRESH_FLAG);
    const table = new GrantTable();
    table.partition(0).restartAt(0);
    table.apply(entries[0]!, 1);
    expect(table.partition(0).meta[10]! & 0x7f & ~KEPT).toBe(0);
  });
});

test("packed offsets come out as they went in", () => {
  const ascending = fc.uniqueArray(fc.nat(5_000), { maxLength: 50 }).map((list) => list.toSorted((a, b) => a - b));
  fc.assert(
    fc.property(ascending, fc.nat(2 ** 50), fc.nat(50), (list, base, begin) => {
      const numbers = new NumberList();
      for (const offset of list) numbers.push(base + offset);
      const from = Math.min(begin, list.length);
      const packed = packOffsets(numbers.values, from, list.length);
      expect(Array.from({ length: packed.count }, (_, i) => offsetAt(packed, i))).toEqual(
        list.slice(from).map((offset) => base + offset),
      );
    }),
  );
});
