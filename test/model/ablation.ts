/** The shape of an ablation: one rule taken away, and what then goes wrong. */
import type { ViolationKind } from "./explore.ts";

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
  /** What the story turns on: words of its steps, in their order. */
  readonly story: readonly string[];
}

export function ablation<Switch extends string, Bounds>(
  without: Switch,
  saying: string,
  bounds: Bounds,
  kind: ViolationKind,
  steps: number,
  ...story: string[]
): Ablation<Switch, Bounds> {
  return { rule: ruleOf(without), without, saying, bounds, kind, steps, story };
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
