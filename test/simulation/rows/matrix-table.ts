/**
 * Writes into docs/failure-matrix.md what shows each row (the titles of the tests and the lists of `matrix-places.ts`), and in how
 * many seeds of the published long run the simulator hit it; `--check` says whether it is up to date and changes nothing.
 *
 *     bun test/simulation/rows/matrix-table.ts [--check]
 */
import { join } from "node:path";
import { COUNTED, findPlaces, placeOf, type Places, shareOf } from "../../scenarios/matrix-places.ts";
import { notSimulated } from "./index.ts";

const ROOT = join(import.meta.dir, "..", "..", "..");
const MATRIX = join(ROOT, "docs", "failure-matrix.md");
const LONG_RUN = join(ROOT, "docs", "simulation", "long-run.json");
const SHOWN_BY = "shown by";
const COLUMN = "simulated";
const ROW_ID = /^[A-Z]\d+$/;

export interface LongRun {
  readonly seeds: number;
  readonly rows: Readonly<Record<string, number>>;
}

/** What the column says about a row; `run` null: no long run was published yet. */
export function coverageOf(id: string, run: LongRun | null): string {
  const hits = run?.rows[id] ?? 0;
  if (hits > 0) return `${hits} ${hits === 1 ? "seed" : "seeds"}`;
  const reason = notSimulated[id];
  if (reason !== undefined) return `no: ${reason}`;
  return run === null ? "not run yet" : `not hit in ${run.seeds} seeds`;
}

function cellsOf(line: string): string[] {
  return line
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());
}

function lineOf(cells: readonly string[], widths: readonly number[]): string {
  const padded = cells.map((cell, i) => (/^-+$/.test(cell) ? "-".repeat(widths[i]!) : cell.padEnd(widths[i]!)));
  return `| ${padded.join(" | ")} |`;
}

/** The table anew, with what shows each row, and the column of the run last; any other table is left as it is. */
function tableWith(lines: readonly string[], run: LongRun | null, places: Places | null): readonly string[] {
  const table = lines.map(cellsOf);
  if (table[0]?.[0] !== "row") return lines;
  const at = table[0].indexOf(COLUMN);
  const shownAt = table[0].indexOf(SHOWN_BY);
  const cells = table.map((row, i) => {
    const placed = row.map((cell, column) =>
      places !== null && column === shownAt && i > 1 ? placeOf(row[0] ?? "", places) : cell,
    );
    const kept = placed.filter((_, column) => column !== at);
    if (i === 0) return [...kept, COLUMN];
    if (i === 1) return [...kept, "-"];
    return [...kept, ROW_ID.test(row[0] ?? "") ? coverageOf(row[0]!, run) : ""];
  });
  const widths = cells[0]!.map((_, column) => Math.max(3, ...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) => lineOf(row, widths));
}

/** The document with the column of this long run, and with the places of its rows where they are given. */
export function withCoverage(text: string, run: LongRun | null, places: Places | null = null): string {
  const out: string[] = [];
  let table: string[] = [];
  for (const line of [...text.split("\n"), ""]) {
    if (line.startsWith("|")) {
      table.push(line);
      continue;
    }
    const counted = places !== null && line.startsWith(COUNTED);
    out.push(...tableWith(table, run, places), counted ? shareOf(places) : line);
    table = [];
  }
  out.pop(); // the empty line that ended the last table
  return out.join("\n");
}

/** Null when no long run was published. @throws SyntaxError when its file is damaged */
export async function readLongRun(): Promise<LongRun | null> {
  const file = Bun.file(LONG_RUN);
  if (!(await file.exists())) return null;
  const { seeds, rows } = (await file.json()) as LongRun;
  return { seeds, rows };
}

export async function matrixIsCurrent(): Promise<boolean> {
  const text = await Bun.file(MATRIX).text();
  return text === withCoverage(text, await readLongRun(), await findPlaces());
}

if (import.meta.main) {
  if (!process.argv.includes("--check")) {
    const text = await Bun.file(MATRIX).text();
    const places = await findPlaces();
    for (const fault of places.faults) console.error(fault);
    if (places.faults.length > 0) process.exitCode = 1;
    await Bun.write(MATRIX, withCoverage(text, await readLongRun(), places));
  } else if (!(await matrixIsCurrent())) {
    console.error(
      "docs/failure-matrix.md is not of the tests and docs/simulation/long-run.json: bun test/simulation/rows/matrix-table.ts",
    );
    process.exitCode = 1;
  }
}
