import { expect, test } from "bun:test";
import { FailedForGood, OutcomeUnknown, outcomeOf } from "../../src/execution/outcome-errors.ts";

test("an ordinary error says that nothing happened", () => {
  for (const thrown of [new Error("no"), "no", null, undefined, 7, {}]) expect(outcomeOf(thrown)).toBe("failed");
});

test("R21: a wrapped error that does not know makes the run unknown, however deep it is", () => {
  const unknown = new OutcomeUnknown("no answer");
  expect(outcomeOf(unknown)).toBe("unknown");
  expect(outcomeOf(new Error("charge failed", { cause: new Error("http", { cause: unknown }) }))).toBe("unknown");
  expect(outcomeOf(new AggregateError([new Error("one"), unknown]))).toBe("unknown");
  expect(outcomeOf(new AggregateError([new FailedForGood("410"), unknown]))).toBe("unknown");
  // Who asked the other end meanwhile says so himself.
  expect(outcomeOf(new FailedForGood("refused", { cause: unknown }))).toBe("failed-for-good");
});

test("a wrapped failure for good is one", () => {
  expect(outcomeOf(new Error("webhook", { cause: new FailedForGood("410") }))).toBe("failed-for-good");
});

test("what cannot be read is an ordinary failure, and a circle ends", () => {
  const circle = new Error("a");
  circle.cause = circle;
  expect(outcomeOf(circle)).toBe("failed");
  const hostile = new Proxy(new Error("b"), {
    get() {
      throw new Error("no reading");
    },
  });
  expect(outcomeOf(hostile)).toBe("failed");
});
