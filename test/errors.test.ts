/** Whatever user code throws has a text, and asking for it never throws. */
import { expect, test } from "bun:test";
import { describeError, toError } from "../src/errors.ts";

const no = (): never => {
  throw new Error("no");
};

test("the causes are told once each, outermost first", () => {
  const error = new Error("cannot write: disk full", { cause: new Error("disk full", { cause: new Error("EIO") }) });
  expect(describeError(error)).toBe("cannot write: disk full: EIO");
});

test.each([
  ["a text", "as it is", "as it is"],
  ["undefined", undefined, "a non-error was thrown: undefined"],
  ["null", null, "a non-error was thrown: null"],
  ["a number", 7, "a non-error was thrown: 7"],
  ["a bigint", 7n, "a non-error was thrown: 7"],
  ["a symbol", Symbol("x"), "a non-error was thrown: Symbol(x)"],
  ["an object", { code: 1 }, 'a non-error was thrown: {"code":1}'],
  ["an object whose texts throw", { toJSON: no, toString: no }, "a non-error was thrown: something that has no text"],
  ["a proxy that throws", new Proxy({}, { get: no, getPrototypeOf: no }), "something was thrown that has no text"],
  [
    "an error whose message throws",
    Object.defineProperty(new Error("x"), "message", { get: no }),
    "something was thrown that has no text",
  ],
  [
    "an error whose cause throws",
    Object.defineProperty(new Error("x"), "cause", { get: no }),
    "x: something was thrown that has no text",
  ],
])("%s", (_, thrown, text) => {
  expect(describeError(thrown)).toBe(text);
  expect(toError(thrown)).toBeInstanceOf(Error);
});
