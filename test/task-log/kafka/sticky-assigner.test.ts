/** The sticky assigner as a function: balance first, then as few moves as balance allows. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  type AssignmentMember,
  assignSticky,
  NO_OWNERSHIP,
  parseOwnership,
} from "../../../src/task-log/kafka/sticky-assigner.ts";

const partitionsOf = (topic: string, count: number): { topic: string; partition: number }[] =>
  Array.from({ length: count }, (_, partition) => ({ topic, partition }));

const member = (memberId: string, owned: readonly number[] = [], generation = 1): AssignmentMember => ({
  memberId,
  topics: ["t"],
  owned: owned.length === 0 ? NO_OWNERSHIP : { generation, partitions: { t: owned } },
});

function assigned(members: readonly AssignmentMember[], count: number): Record<string, readonly number[]> {
  return Object.fromEntries(
    [...assignSticky(members, partitionsOf("t", count))].map(([id, topics]) => [id, topics["t"] ?? []]),
  );
}

test("a first assignment is balanced", () => {
  expect(assigned([member("b"), member("a"), member("c")], 7)).toEqual({ a: [0, 3, 6], b: [1, 4], c: [2, 5] });
});

test("who stays keeps all, if balance allows it", () => {
  expect(assigned([member("a", [1, 3]), member("b", [0, 2])], 4)).toEqual({ a: [1, 3], b: [0, 2] });
});

test("a joiner gets only what the others have too much of", () => {
  expect(assigned([member("a", [0, 1, 2, 3, 4, 5]), member("b")], 6)).toEqual({ a: [0, 1, 2], b: [3, 4, 5] });
});

test("what a member left behind goes to those who have least", () => {
  expect(assigned([member("a", [0, 1]), member("c", [5])], 6)).toEqual({ a: [0, 1, 3], c: [2, 4, 5] });
});

test("a claim of an older generation loses: its member missed a rebalance", () => {
  expect(assigned([member("a", [0, 1], 3), member("b", [0, 1], 5)], 2)).toEqual({ a: [1], b: [0] });
  expect(assigned([member("a", [0, 1], 5), member("b", [0, 1], 3)], 2)).toEqual({ a: [0], b: [1] });
});

test("a partition goes only to a member that subscribed to its topic", () => {
  const both: AssignmentMember = { memberId: "a", topics: ["t", "u"], owned: NO_OWNERSHIP };
  const one: AssignmentMember = { memberId: "b", topics: ["t"], owned: { generation: 9, partitions: { u: [0] } } };
  const result = assignSticky([both, one], [...partitionsOf("t", 2), ...partitionsOf("u", 2)]);
  expect(result.get("a")?.["u"]).toEqual([0, 1]);
  expect(result.get("b")?.["u"]).toBeUndefined();
});

test("nobody, nothing", () => {
  expect(assignSticky([], partitionsOf("t", 3)).size).toBe(0);
  expect(assigned([member("a", [0, 1])], 0)).toEqual({ a: [] });
});

test("any history: each partition once, shares differ by one at most, and no kept partition could have been kept more", () => {
  const members = fc
    .array(fc.record({ owned: fc.uniqueArray(fc.nat(15), { maxLength: 16 }), generation: fc.nat(4) }), {
      minLength: 1,
      maxLength: 6,
    })
    .map((list) => list.map(({ owned, generation }, index) => member(`m${index}`, owned, generation)));
  fc.assert(
    fc.property(members, fc.nat(16), (group, count) => {
      const result = assigned(group, count);
      const all = Object.values(result).flat();
      expect(all.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, index) => index));
      const sizes = Object.values(result).map((list) => list.length);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      // Assigning again what was just assigned moves nothing.
      const again = group.map(({ memberId }) => member(memberId, result[memberId], 7));
      expect(assigned(again, count)).toEqual(result);
    }),
    { numRuns: 300 },
  );
});

test("what another member sent is read with suspicion", () => {
  expect(parseOwnership(Buffer.from('{"generation":3,"partitions":{"t":[0,2]}}'))).toEqual({
    generation: 3,
    partitions: { t: [0, 2] },
  });
  for (const bytes of ["", "{", "null", "7", '"x"', "{}", '{"generation":"3","partitions":{}}', '{"generation":3}']) {
    expect(parseOwnership(Buffer.from(bytes))).toEqual(NO_OWNERSHIP);
  }
  expect(parseOwnership(null)).toEqual(NO_OWNERSHIP);
  expect(parseOwnership(Buffer.from('{"generation":3,"partitions":{"t":[0,-1,"1",2.5,null],"u":7}}'))).toEqual({
    generation: 3,
    partitions: { t: [0] },
  });
});
