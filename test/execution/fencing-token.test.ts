import { expect, test } from "bun:test";
import { FencingToken } from "../../src/execution/fencing-token.ts";

const rising = [
  new FencingToken(1, 9),
  new FencingToken(1, 10),
  new FencingToken(2, 0),
  new FencingToken(10, 0),
  new FencingToken(10, 2 ** 40),
  new FencingToken(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
];

test("G1: the order of the tokens is the order of their texts", () => {
  for (let i = 0; i < rising.length; i++) {
    for (let j = 0; j < rising.length; j++) {
      const [a, b] = [rising[i]!, rising[j]!];
      expect(Math.sign(a.compare(b))).toBe(Math.sign(i - j));
      expect(a.toString() < b.toString()).toBe(i < j);
    }
  }
});

test("a token is read back from its text, and from nothing else", () => {
  for (const token of rising) expect(FencingToken.parse(token.toString())).toEqual(token);
  for (const text of ["", "1-2", "0000000000000001-0000000000000002 ", "9999999999999999-0000000000000000", "-1"]) {
    expect(FencingToken.parse(text)).toBeNull();
  }
});

test("in JSON it is its text", () => {
  expect(JSON.stringify({ token: new FencingToken(3, 4) })).toBe('{"token":"0000000000000003-0000000000000004"}');
});
