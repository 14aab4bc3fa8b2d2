import { describe, expect, test } from "bun:test";
import { ruleOf } from "./ablation.ts";
import { models, notModelled, withoutCounterexample } from "./coverage.ts";

const rules = Array.from({ length: 24 }, (_, k) => `R${k + 1}`);
const shown = new Set(models.flatMap(({ ablations }) => ablations.map(({ rule }) => rule)));

describe("the table of rules and models", () => {
  test("is complete: each of R1-R24 has a counterexample or a reason for having none", () => {
    const missing = rules.filter((rule) => !shown.has(rule) && !(rule in notModelled));
    expect(missing).toEqual([]);
  });

  test("gives reasons only for rules that exist and have no counterexample", () => {
    expect(Object.keys(notModelled).filter((rule) => !rules.includes(rule) || shown.has(rule))).toEqual([]);
    expect([...shown].filter((rule) => !rules.includes(rule))).toEqual([]);
  });

  for (const { model, switches, ablations } of models) {
    test(`knows each switch of the ${model} model as needed, or says why it is not`, () => {
      const needed = new Set(ablations.map(({ without }) => without));
      const silent = switches.filter((name) => !needed.has(name) && !(`${model} ${name}` in withoutCounterexample));
      expect(silent).toEqual([]);
      expect(switches.filter((name) => needed.has(name) && `${model} ${name}` in withoutCounterexample)).toEqual([]);
      for (const { rule, without } of ablations) expect(rule).toBe(ruleOf(without));
    });
  }

  test("names no switch that no model has", () => {
    const known = new Set(models.flatMap(({ model, switches }) => switches.map((name) => `${model} ${name}`)));
    expect(Object.keys(withoutCounterexample).filter((name) => !known.has(name))).toEqual([]);
  });
});
