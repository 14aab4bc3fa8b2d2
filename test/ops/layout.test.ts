import { expect, test } from "bun:test";
import { ageText, countText, rangesText, wrap } from "../../src/ops/layout.ts";

test("sentences break at spaces, words only where they alone are longer than a line", () => {
  expect(wrap("one two three four", 9)).toBe("one two\n  three\n  four");
  expect(wrap("  one two three", 9, "    ")).toBe("  one two\n    three");
  expect(wrap("abcdefghij kl", 5, " ")).toBe("abcde\n fghi\n j kl");
  expect(wrap("", 5)).toBe("");
  const long = wrap(`n1: ${"x".repeat(300)} and ${"y z ".repeat(60)}`, 80);
  expect(long.split("\n").every((line) => line.length <= 80)).toBe(true);
  expect(long.replace(/\s/g, "")).toBe(`n1:${"x".repeat(300)}and${"yz".repeat(60)}`);
});

test("ages in the unit that a person would choose, counts exact while they are short", () => {
  expect([0, 400, 99_900, 150_000, 7_200_000].map(ageText)).toEqual(["0.0 s", "0.4 s", "99.9 s", "3 min", "2 h"]);
  expect([7, 99_999_999, 123_456_789, 4.2e15].map(countText)).toEqual(["7", "99999999", "123.5M", "4200000.0G"]);
});

test("partitions as ranges", () => {
  expect(rangesText([0, 1, 2, 7, 9, 10])).toBe("0-2 7 9-10");
  expect(rangesText([5])).toBe("5");
  expect(rangesText([])).toBe("");
});
