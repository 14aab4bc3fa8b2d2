/**
 * What the tests of this folder assert, and the shape of an ablation: one rule taken away, and what then goes wrong.
 * A failed assertion shows the story, because the story is the finding.
 */
import { expect, test } from "bun:test";
import { describe, explore, type Exploration, type Model, type ViolationKind } from "./explore.ts";
import type { Packed } from "./packed.ts";

/** Above every model here (the largest has 1,265,136 states, 68 bytes each); one that reaches it counts as unproven. */
export const statesMax = 1_600_000;

export interface Ablation<Switch extends string = string, Bounds = unknown> {
  /** The rule of the protocol, "R6". */
  readonly rule: string;
  /** The switch of the model that is turned off; its name begins with the rule's number. */
  readonly without: Switch;
  /** What the cluster then lacks, completing the sentence "without ...". */
  readonly saying: string;
  /** The fault budget in which it shows. */
  readonly bounds: Bounds;
  readonly kind: ViolationKind;
  /** The length of the shortest story. */
  readonly steps: number;
}

export function ablation<Switch extends string, Bounds>(
  without: Switch,
  saying: string,
  bounds: Bounds,
  kind: ViolationKind,
  steps: number,
): Ablation<Switch, Bounds> {
  return { rule: ruleOf(without), without, saying, bounds, kind, steps };
}

/** "r6Adoption" belongs to "R6". */
export function ruleOf(name: string): string {
  const number = /^r(\d+)/.exec(name)?.[1];
  if (number === undefined) throw new Error(`the switch ${name} names no rule`);
  return `R${number}`;
}

/** All switches of a model on, or all but one. */
export function rulesOn<Switch extends string>(names: readonly Switch[], off?: Switch): Record<Switch, boolean> {
  return Object.fromEntries(names.map((name) => [name, name !== off])) as Record<Switch, boolean>;
}

export function assertSound<S extends Packed>(model: Model<S>, states?: number): Exploration {
  const result = explore(model, statesMax);
  if (result.violation || !result.exhaustive) throw new Error(describe(result));
  if (states !== undefined) expect(result.states).toBe(states);
  return result;
}

export function assertBroken<S extends Packed>(model: Model<S>, kind: ViolationKind, steps: number): Exploration {
  const result = explore(model, statesMax);
  const { violation } = result;
  if (violation?.kind !== kind || violation.story.length !== steps) {
    throw new Error(`expected ${kind} in ${steps} steps, got ${describe(result)}`);
  }
  return result;
}

/** One test for each row; `limitMs` is each test's own limit. */
export function testAblations<Switch extends string, Bounds, S extends Packed>(
  model: (bounds: Bounds, rules: Record<Switch, boolean>) => Model<S>,
  rules: readonly Switch[],
  rows: readonly Ablation<Switch, Bounds>[],
  limitMs = 15_000,
): void {
  for (const { rule, without, saying, bounds, kind, steps } of rows) {
    const broken = (): void => void assertBroken(model(bounds, rulesOn(rules, without)), kind, steps);
    test(`${rule}: without ${saying}: ${kind} in ${steps} steps`, broken, limitMs);
  }
}
