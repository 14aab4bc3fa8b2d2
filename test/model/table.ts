/**
 * The table of the models: `bun run test/model/table.ts [MODEL]... [--stories]`. For each model all rules on, with its
 * bounds, states and seconds; then each rule taken away, with the length of the shortest counterexample, and what keeps
 * the rules without one. Ends with 1 when a model finds something it should not, or does not find what it should.
 */
import { parseArgs } from "node:util";
import type { Ablation } from "./ablation.ts";
import { models, type ModelCoverage, notModelled, withoutCounterexample } from "./coverage.ts";
import type { Exploration } from "./explore.ts";
import { boundsOf, brokenLine, soundLine } from "./report.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { stories: { type: "boolean", default: false } },
});
const unknown = positionals.filter((name) => models.every(({ model }) => model !== name));
if (unknown.length > 0) {
  console.error(`no such model: ${unknown.join(", ")}; there are ${models.map(({ model }) => model).join(", ")}`);
  process.exit(2);
}

let wrong = 0;
const began = performance.now();
for (const covered of models) {
  if (positionals.length > 0 && !positionals.includes(covered.model)) continue;
  console.log(`\n${covered.model} model`);
  prove(covered);
  for (const row of covered.ablations) ablate(row, covered.runWithout(row));
  for (const name of covered.switches) {
    const reason = withoutCounterexample[`${covered.model} ${name}`];
    if (reason !== undefined) console.log(`without      no counterexample: ${name}. ${reason}`);
  }
}
if (positionals.length === 0) {
  console.log("\nnot modelled");
  for (const [rule, reason] of Object.entries(notModelled)) console.log(`${rule.padEnd(4)} ${reason}`);
}
console.log(`\n${wrong} unexpected, ${((performance.now() - began) / 1_000).toFixed(1)} s`);
process.exit(wrong === 0 ? 0 : 1);

function prove({ proofs }: ModelCoverage): void {
  for (const { bounds, run } of proofs) {
    const result = run();
    if (result.exhaustive && result.violation === undefined) {
      console.log(soundLine(result, { title: boundsOf(bounds) }));
      continue;
    }
    wrong++;
    console.log(`UNEXPECTED ${result.violation?.kind ?? "capped"}: ${boundsOf(bounds)}`);
    for (const step of result.violation?.story ?? []) console.log(`    ${step}`);
  }
}

function ablate(row: Ablation, result: Exploration): void {
  const { violation } = result;
  const expected = violation?.kind === row.kind && violation.story.length === row.steps;
  if (!expected) wrong++;
  const found = violation === undefined ? "nothing" : `${violation.kind} in ${violation.story.length} steps`;
  console.log(brokenLine(row, result) + (expected ? "" : `  UNEXPECTED: ${found}`));
  if (values.stories) for (const step of violation?.story ?? []) console.log(`    ${step}`);
}
