/** `docs/simulation/mutations.md`, as `bun run mutations --table` writes it. */
import type { SeededBug } from "./list.ts";

export interface Finding {
  readonly bug: SeededBug;
  /** Which invariant was violated; "counterexample" of a model, "" for nothing. */
  readonly invariant: string;
  /** So many seeds were run until then, that one included. */
  readonly seeds: number;
  readonly message: string;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

export function tableOf(findings: readonly Finding[], commit: string): string {
  const simulated = findings.filter(({ bug }) => bug.finder === "simulator");
  const found = simulated.filter(({ invariant }) => invariant !== "");
  const needed = found.map(({ seeds }) => seeds);
  const rows = findings.map(({ bug, invariant, seeds }) => {
    const { id, rule } = bug;
    if (bug.finder === "model") return `| ${id} | ${rule} | ${bug.bug} | model: \`${bug.test}\` | ${bug.why} |`;
    if (invariant === "") return `| ${id} | ${rule} | ${bug.bug} | MISSED | ${seeds} |`;
    return `| ${id} | ${rule} | ${bug.bug} | simulator: ${invariant} | ${seeds} |`;
  });
  return `# Seeded bugs, and what finds them

Made by \`bun run mutations --table\` at commit ${commit}; not to be edited. Each bug is one changed line of the product, put in by a loader
plugin when the simulator loads the file. The simulator then runs its ordinary swarm from seed 0 until an invariant is violated; a crash
or a hang counts as nothing. "seeds" says how many it took. \`bun run simulate --mutation ID --seed S --trace\` (S: seeds - 1) tells the story.

${findings.length} bugs, ${findings.filter(({ invariant }) => invariant !== "").length} found: ${found.length} by the simulator (median ${median(needed)} seeds, at most ${Math.max(0, ...needed)}), ${findings.length - simulated.length} by the models.

| id | rule | the bug | found by | seeds, or why the model |
| --- | --- | --- | --- | --- |
${rows.join("\n")}
`;
}
