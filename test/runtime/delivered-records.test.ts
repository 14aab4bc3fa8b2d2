import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DeliveredRecords } from "../../src/runtime/delivered-records.ts";
import type { TaskRecord } from "../../src/task-log/task-log.ts";

function record(offset: number): TaskRecord {
  return { offset, key: null, value: null, headers: {}, timestampMs: 0 };
}

/** Offsets of a batch with gaps: every third is missing when `gaps`. */
function records(from: number, to: number, gaps: boolean): TaskRecord[] {
  const made: TaskRecord[] = [];
  for (let offset = from; offset < to; offset++) if (!gaps || offset % 3 !== 0) made.push(record(offset));
  return made;
}

describe("delivered records", () => {
  test("R14: only what continues the fetch position is kept", () => {
    const kept = new DeliveredRecords(1, 10);
    kept.add(10, 20, records(10, 20, false));
    kept.add(15, 25, records(15, 25, false));
    kept.add(21, 25, records(21, 25, false));
    expect(kept.get(19)?.offset).toBe(19);
    expect(kept.get(20)).toBeNull();
    expect(kept.get(9)).toBeNull();
    expect(kept.position).toBe(20);
  });

  test("a seek back forgets what comes again, also in the middle of a batch", () => {
    const kept = new DeliveredRecords(1, 0);
    kept.add(0, 10, records(0, 10, false));
    kept.add(10, 20, records(10, 20, false));
    kept.seek(5);
    expect(kept.get(4)?.offset).toBe(4);
    expect(kept.get(5)).toBeNull();
    const again = records(5, 12, false);
    kept.add(5, 12, again);
    expect(kept.get(5)).toBe(again[0]!);
  });

  test("whole batches below the released position go", () => {
    const kept = new DeliveredRecords(1, 0);
    for (let from = 0; from < 100; from += 10) kept.add(from, from + 10, records(from, from + 10, false));
    kept.release(55);
    expect(kept.batchCount).toBe(5);
    expect(kept.get(49)).toBeNull();
    expect(kept.get(55)?.offset).toBe(55);
    kept.release(100);
    expect(kept.batchCount).toBe(0);
  });

  test("finds what a map would find", () => {
    const step = fc.oneof(
      fc.record({
        type: fc.constant("add"),
        skip: fc.integer({ min: 0, max: 2 }),
        size: fc.integer({ min: 0, max: 9 }),
        gaps: fc.boolean(),
      }),
      fc.record({ type: fc.constant("seek"), back: fc.integer({ min: 0, max: 25 }) }),
      fc.record({ type: fc.constant("release"), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const kept = new DeliveredRecords(1, 100);
        const model = new Map<number, TaskRecord>();
        let position = 100;
        let released = 100;
        for (const each of steps) {
          if (each.type === "add") {
            const from = position + (each.skip === 2 ? 1 : 0);
            const batch = records(from, from + each.size, each.gaps);
            kept.add(from, from + each.size, batch);
            if (from !== position) continue;
            for (const item of batch) model.set(item.offset, item);
            position += each.size;
          } else if (each.type === "seek") {
            position = Math.max(released, position - each.back);
            kept.seek(position);
            for (const offset of model.keys()) if (offset >= position) model.delete(offset);
          } else {
            released = Math.max(released, Math.floor(100 + (position - 100) * each.share));
            kept.release(released);
          }
          for (let offset = released; offset < position + 3; offset++) {
            expect(kept.get(offset)).toBe(model.get(offset) ?? null);
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});
