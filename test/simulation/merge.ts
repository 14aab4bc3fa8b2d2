/**
 * `bun test/simulation/merge.ts a.json b.json > out.json`: one summary of a long run that was made in pieces. A file is what
 * `bun run simulate --json` wrote: its last line counts. All must be of one commit, and no seed may be in two of them.
 */
import { mergeSummaries, type Summary } from "./summary.ts";

async function summaryOf(path: string): Promise<Summary> {
  const text = (await Bun.file(path).text()).trim();
  // A merged summary is one object over many lines; a run's is its last line.
  const json = text.startsWith("{") ? text : text.slice(text.lastIndexOf("\n") + 1);
  return JSON.parse(json) as Summary;
}

if (import.meta.main) {
  const paths = process.argv.slice(2);
  if (paths.length === 0) {
    console.error("expected the files of the summaries");
    process.exit(2);
  }
  const merged = mergeSummaries(await Promise.all(paths.map(summaryOf)));
  process.stdout.write(`${JSON.stringify(merged, null, 2)}\n`);
  process.exitCode = merged.violations === 0 ? 0 : 1;
}
