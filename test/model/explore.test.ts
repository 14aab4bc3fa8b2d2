import { describe as suite, expect, test } from "bun:test";
import { describe, explore, type Model } from "./explore.ts";
import { layout, many, one, type StateOf } from "./packed.ts";
import { assertBroken, assertSound } from "./prove.ts";

const counters = layout({ total: one("value"), jug: many(2, "litres") });
type Jugs = StateOf<typeof counters>;

/** Two jugs of 3 and 5 litres: 16 states can be reached, and 4 litres stand in the larger after 6 steps. */
function jugs(wanted: number, settledAt?: number): Model<Jugs> {
  const sizes = [3, 5] as const;
  return {
    name: "two jugs",
    layout: counters,
    start: () => {},
    moves(from, moves) {
      for (const i of [0, 1] as const) {
        moves.step(`fill the jug of ${sizes[i]}`, (to) => void (to.jug(i).litres = sizes[i]));
        moves.step(`empty the jug of ${sizes[i]}`, (to) => void (to.jug(i).litres = 0));
        const poured = Math.min(from.jug(i).litres, sizes[1 - i]! - from.jug(1 - i).litres);
        moves.step(`pour from the jug of ${sizes[i]}`, (to) => {
          to.jug(i).litres -= poured;
          to.jug(1 - i).litres += poured;
        });
      }
    },
    violation: (state) => (state.jug(1).litres === wanted ? "broken" : undefined),
    ...(settledAt === undefined ? {} : { isSettled: (state: Jugs) => state.jug(1).litres === settledAt }),
  };
}

/** A line of states 0 to length, walked by ordinary steps or by faults. */
function line(length: number, step: "step" | "fault"): Model<Jugs> {
  return {
    name: "a line",
    layout: counters,
    start: () => {},
    moves(from, moves) {
      const { value } = from.total;
      if (value < length) moves[step](`to ${value + 1}`, (to) => void to.total.value++);
    },
    violation: () => undefined,
    isSettled: (state) => state.total.value === length,
  };
}

suite("explorer", () => {
  test("finds every reachable state and says exhaustive", () => {
    const result = explore(jugs(9), 1_000);
    expect(result).toMatchObject({ states: 16, exhaustive: true, violation: undefined });
    expect(describe(result)).toBe("two jugs: 16 states, exhaustive, nothing found");
  });

  test("tells a shortest story", () => {
    const { violation } = explore(jugs(4), 1_000);
    expect(violation?.kind).toBe("broken");
    expect(violation?.story).toEqual([
      "fill the jug of 5",
      "pour from the jug of 5",
      "empty the jug of 3",
      "pour from the jug of 5",
      "fill the jug of 5",
      "pour from the jug of 5",
    ]);
  });

  test("says capped when its bound ends the search, and that is no proof", () => {
    const result = explore(line(200, "step"), 50);
    expect(result.exhaustive).toBe(false);
    expect(describe(result)).toContain("capped");
  });

  test("finds no state stuck when ordinary steps lead to the end", () => {
    expect(explore(line(9, "step"), 100).violation).toBeUndefined();
  });

  test("does not count a fault as a way out", () => {
    expect(explore(line(3, "fault"), 100).violation).toEqual({ kind: "stuck", story: [] });
    expect(explore(jugs(9, 6), 100).violation?.kind).toBe("stuck");
  });

  test("keeps states apart while its tables grow", () => {
    const grid = layout({ total: one("x", "y") });
    const result = explore(
      {
        name: "a grid",
        layout: grid,
        start: () => {},
        moves(from, moves) {
          if (from.total.x < 200) moves.step("right", (to) => void to.total.x++);
          if (from.total.y < 200) moves.step("up", (to) => void to.total.y++);
        },
        violation: () => undefined,
      },
      100_000,
    );
    expect(result).toMatchObject({ states: 201 * 201, exhaustive: true });
  });
});

suite("assertions", () => {
  test("a violation fails assertSound with its story", () => {
    expect(() => assertSound(jugs(4))).toThrow("1 fill the jug of 5");
  });

  test("another kind or length fails assertBroken with its story", () => {
    expect(() => assertBroken(jugs(4), "double", 6)).toThrow("6 pour from the jug of 5");
    expect(() => assertBroken(jugs(4), "broken", 5)).toThrow("expected broken in 5 steps");
    expect(() => assertBroken(jugs(9), "broken", 6)).toThrow("nothing found");
  });

  test("a story that lacks the words it turns on fails assertBroken", () => {
    const story = explore(jugs(4), 1_000).violation!.story;
    expect(story).toHaveLength(6);
    const told = (...words: string[]) => assertBroken(jugs(4), "broken", 6, words);
    expect(told("fill", "empty", "pour").violation?.story).toEqual(story);
    expect(() => told("fill", "never said")).toThrow('expected a step with "never said"');
    expect(() => told("empty", "empty")).toThrow('expected a step with "empty"'); // each word has its own step
  });

  test("a value outside a byte, and a field with a reserved name, are refused", () => {
    const state = counters.view();
    expect(() => (state.total.value = -1)).toThrow(RangeError);
    expect(() => (state.total.value = 256)).toThrow(RangeError);
    expect(() => layout({ total: one("clear") })).toThrow("cannot be named");
  });
});
