/** What the tests of this folder assert. A failed assertion shows the story, because the story is the finding. */
import { afterAll, expect, test } from "bun:test";
import { type Ablation, rulesOn } from "./ablation.ts";
import { describe, explore, type Exploration, type Model, type ViolationKind } from "./explore.ts";
import type { Packed } from "./packed.ts";
import { brokenLine, soundLine } from "./report.ts";

/** Above every model here (the largest has 1,265,136 states, 68 bytes each); one that reaches it counts as unproven. */
export const statesMax = 1_600_000;

/** What this file's tests found; printed by `reportAtEnd`. */
const lines: string[] = [];

/** Called once by a test file: what its models found is printed when its tests are over. */
export function reportAtEnd(): void {
  afterAll(() => console.log(lines.splice(0).join("\n")));
}

/** `without`: the rule that is off, for a test that keeps a rule's want of a counterexample as a finding. */
export function assertSound<S extends Packed>(model: Model<S>, states?: number, without?: string): Exploration {
  const result = explore(model, statesMax);
  if (result.violation || !result.exhaustive) throw new Error(describe(result));
  if (states !== undefined) expect(result.states).toBe(states);
  lines.push(soundLine(result, { without }));
  return result;
}

/** `story`: words that the steps of the counterexample must show, in this order. */
export function assertBroken<S extends Packed>(
  model: Model<S>,
  kind: ViolationKind,
  steps: number,
  story: readonly string[] = [],
): Exploration {
  const result = explore(model, statesMax);
  const { violation } = result;
  if (violation?.kind !== kind || violation.story.length !== steps) {
    throw new Error(`expected ${kind} in ${steps} steps, got ${describe(result)}`);
  }
  const missing = missingFrom(violation.story, story);
  if (missing !== undefined) throw new Error(`expected a step with "${missing}" here, got ${describe(result)}`);
  return result;
}

/** The first of these words that no step shows after the one before it. */
function missingFrom(steps: readonly string[], story: readonly string[]): string | undefined {
  let at = 0;
  return story.find((words) => {
    const found = steps.findIndex((step, k) => k >= at && step.includes(words));
    at = found + 1;
    return found < 0;
  });
}

/** One test for each row; `limitMs` is each test's own limit. */
export function testAblations<Switch extends string, Bounds, S extends Packed>(
  model: (bounds: Bounds, rules: Record<Switch, boolean>) => Model<S>,
  rules: readonly Switch[],
  rows: readonly Ablation<Switch, Bounds>[],
  limitMs = 15_000,
): void {
  for (const row of rows) {
    const { rule, without, saying, bounds, kind, steps, story } = row;
    const broken = (): void => {
      lines.push(brokenLine(row, assertBroken(model(bounds, rulesOn(rules, without)), kind, steps, story)));
    };
    test(`${rule}: without ${saying}: ${kind} in ${steps} steps`, broken, limitMs);
  }
}
