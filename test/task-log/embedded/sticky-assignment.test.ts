import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  assignSticky,
  type GroupMember,
  type PartitionsByTopic,
} from "../../../src/task-log/embedded/sticky-assignment.ts";

function member(memberId: string, topics: readonly string[], owned: PartitionsByTopic = new Map()): GroupMember {
  return { memberId, topics, owned };
}

function namesOf(assigned: PartitionsByTopic | undefined): string[] {
  return [...(assigned ?? [])].flatMap(([topic, partitions]) => partitions.map((partition) => `${topic}#${partition}`));
}

const groups = fc.record({
  counts: fc.dictionary(fc.constantFrom("a", "b", "constructor"), fc.integer({ min: 0, max: 12 })),
  steps: fc.array(
    fc.array(
      fc.record({
        id: fc.integer({ min: 0, max: 5 }),
        topics: fc.uniqueArray(fc.constantFrom("a", "b", "constructor"), { minLength: 1 }),
      }),
      { maxLength: 6 },
    ),
    { minLength: 1, maxLength: 4 },
  ),
});

test("every partition has one owner, who subscribed to it, through any changes of the members", () => {
  fc.assert(
    fc.property(groups, ({ counts, steps }) => {
      const partitionCounts = new Map(Object.entries(counts));
      let last = new Map<string, PartitionsByTopic>();
      for (const step of steps) {
        const byId = new Map(step.map(({ id, topics }) => [`m${id}`, topics]));
        const members = [...byId].map(([id, topics]) => member(id, topics, last.get(id)));
        last = assignSticky(members, partitionCounts);
        const owned = [...last.values()].flatMap(namesOf).sort();
        const expected = [...partitionCounts]
          .filter(([topic]) => members.some(({ topics }) => topics.includes(topic)))
          .flatMap(([topic, count]) => Array.from({ length: count }, (_, partition) => `${topic}#${partition}`))
          .sort();
        expect(owned).toEqual(expected);
        for (const { memberId, topics } of members) {
          expect([...(last.get(memberId)?.keys() ?? [])].every((topic) => topics.includes(topic))).toBe(true);
        }
      }
    }),
  );
});

test("equal subscriptions: balanced to one, and nothing moves that balance does not demand", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 30 }),
      fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }),
      (count, sizes) => {
        let last = new Map<string, PartitionsByTopic>();
        for (const size of sizes) {
          const members = Array.from({ length: size }, (_, id) => member(`m${id}`, ["t"], last.get(`m${id}`)));
          const next = assignSticky(members, new Map([["t", count]]));
          const lengths = [...next.values()].map((assigned) => namesOf(assigned).length);
          expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(1);
          for (const { memberId } of members) {
            const before = namesOf(last.get(memberId));
            const kept = namesOf(next.get(memberId)).filter((name) => before.includes(name)).length;
            expect(kept).toBeGreaterThanOrEqual(Math.min(before.length, Math.floor(count / size)));
          }
          last = next;
        }
      },
    ),
  );
});

test("the same members in another order get the same partitions", () => {
  const members = [member("x", ["t"]), member("y", ["t", "u"]), member("z", ["u"])];
  const counts = new Map([
    ["t", 5],
    ["u", 4],
  ]);
  const assigned = assignSticky(members, counts);
  expect(assignSticky(members.toReversed(), counts)).toEqual(assigned);
});
