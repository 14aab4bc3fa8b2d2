/** What a run of many seeds says at its end, and how several such runs become one. */
import type { SeedFailure } from "./pool.ts";
import type { SeedResult } from "./seed-result.ts";

/** Rows of the failure matrix, A1 to M17. */
const LAST_ROWS = { A: 13, B: 14, C: 19, D: 12, E: 25, F: 16, M: 17 } as const;
export const matrixRows: readonly string[] = Object.entries(LAST_ROWS).flatMap(([part, last]) =>
  Array.from({ length: last }, (_, i) => `${part}${i + 1}`),
);
/** Failures that are told in full; all are counted. */
const FAILURES_MAX = 50;

type Counts = Readonly<Record<string, number>>;

/** Sums over all seeds, from which averages are made. */
interface Totals {
  readonly virtualSeconds: number;
  readonly faultSeconds: number; // until no more faults came
  readonly faults: number;
  readonly nodes: number;
  readonly events: number;
}

export interface Summary {
  readonly commit: string;
  readonly command: string;
  readonly from: number;
  readonly seeds: number;
  readonly violations: number;
  readonly virtualHours: number;
  readonly tasks: number;
  readonly runs: number;
  readonly elections: number;
  readonly faults: Counts; // by kind
  readonly doubts: Counts; // by outcome
  readonly rows: Counts; // seeds that hit the row
  readonly rowsHit: number;
  readonly rowsTotal: number;
  readonly rowsMissed: readonly string[];
  readonly averages: {
    readonly tasksPerSeed: number;
    readonly faultSecondsPerSeed: number;
    readonly virtualSecondsPerSeed: number;
    readonly faultsPerSeed: number;
    readonly nodesPerSeed: number;
    readonly runsPerSeed: number;
  };
  readonly totals: Totals;
  readonly seconds: number; // wall time
  readonly failures: readonly SeedFailure[];
  /** Of a merged summary: what it was made of. */
  readonly pieces?: readonly { readonly from: number; readonly seeds: number; readonly seconds: number }[];
}

const round = (value: number, digits: number): number => Math.round(value * 10 ** digits) / 10 ** digits;

function addCounts(into: Record<string, number>, counts: Counts): void {
  for (const [name, count] of Object.entries(counts)) into[name] = (into[name] ?? 0) + count;
}

/** By name, so that two summaries can be compared line by line. */
function sorted(counts: Counts): Counts {
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Matrix order first; a row that the matrix does not know is an error of the counter. */
function inMatrixOrder(rows: Counts): Counts {
  const unknown = Object.keys(rows).filter((row) => !matrixRows.includes(row));
  if (unknown.length > 0) throw new Error(`rows that the matrix does not have: ${unknown.join(", ")}`);
  return Object.fromEntries(matrixRows.filter((row) => (rows[row] ?? 0) > 0).map((row) => [row, rows[row]!]));
}

export class SummaryBuilder {
  seeds = 0;
  violations = 0;
  #tasks = 0;
  #runs = 0;
  #elections = 0;
  #virtualMs = 0;
  #faultMs = 0;
  #faultCount = 0;
  #nodes = 0;
  #events = 0;
  readonly #faults: Record<string, number> = {};
  readonly #doubts: Record<string, number> = {};
  readonly #rows: Record<string, number> = {};
  readonly #failures: SeedFailure[] = [];

  get virtualHours(): number {
    return this.#virtualMs / 3_600_000;
  }

  get rowsHit(): number {
    return Object.keys(this.#rows).length;
  }

  add(result: SeedResult): void {
    this.seeds++;
    this.#tasks += result.tasks;
    this.#runs += result.runs;
    this.#elections += result.elections;
    this.#virtualMs += result.virtualMs;
    this.#faultMs += result.faultMs;
    this.#nodes += result.nodes;
    this.#events += result.events;
    addCounts(this.#faults, result.faults);
    addCounts(this.#doubts, result.doubts);
    for (const count of Object.values(result.faults)) this.#faultCount += count;
    for (const row of new Set(result.rows)) this.#rows[row] = (this.#rows[row] ?? 0) + 1;
    if (result.violation !== null) {
      const { invariant, message } = result.violation;
      this.#fail({ seed: result.seed, invariant, message });
    }
  }

  /** A seed without a result: its process crashed or hung. */
  lost(failure: SeedFailure): void {
    this.seeds++;
    this.#fail(failure);
  }

  #fail(failure: SeedFailure): void {
    this.violations++;
    if (this.#failures.length < FAILURES_MAX) this.#failures.push(failure);
  }

  build(of: { commit: string; command: string; from: number; seconds: number }): Summary {
    const totals: Totals = {
      virtualSeconds: this.#virtualMs / 1_000,
      faultSeconds: this.#faultMs / 1_000,
      faults: this.#faultCount,
      nodes: this.#nodes,
      events: this.#events,
    };
    return compose({
      ...of,
      seeds: this.seeds,
      violations: this.violations,
      tasks: this.#tasks,
      runs: this.#runs,
      elections: this.#elections,
      faults: this.#faults,
      doubts: this.#doubts,
      rows: this.#rows,
      totals,
      failures: this.#failures,
    });
  }
}

type Parts = Omit<Summary, "virtualHours" | "rowsHit" | "rowsTotal" | "rowsMissed" | "averages">;

function compose(parts: Parts): Summary {
  const { seeds, totals } = parts;
  const perSeed = (total: number): number => round(total / Math.max(1, seeds), 2);
  const rows = inMatrixOrder(parts.rows);
  return {
    commit: parts.commit,
    command: parts.command,
    from: parts.from,
    seeds,
    violations: parts.violations,
    virtualHours: round(totals.virtualSeconds / 3_600, 2),
    tasks: parts.tasks,
    runs: parts.runs,
    elections: parts.elections,
    faults: sorted(parts.faults),
    doubts: sorted(parts.doubts),
    rows,
    rowsHit: Object.keys(rows).length,
    rowsTotal: matrixRows.length,
    rowsMissed: matrixRows.filter((row) => rows[row] === undefined),
    averages: {
      tasksPerSeed: perSeed(parts.tasks),
      faultSecondsPerSeed: perSeed(totals.faultSeconds),
      virtualSecondsPerSeed: perSeed(totals.virtualSeconds),
      faultsPerSeed: perSeed(totals.faults),
      nodesPerSeed: perSeed(totals.nodes),
      runsPerSeed: perSeed(parts.runs),
    },
    totals: {
      ...totals,
      virtualSeconds: round(totals.virtualSeconds, 1),
      faultSeconds: round(totals.faultSeconds, 1),
    },
    seconds: round(parts.seconds, 1),
    failures: parts.failures,
    ...(parts.pieces === undefined ? {} : { pieces: parts.pieces }),
  };
}

/**
 * One summary of several runs.
 * @throws Error when they are of different commits, or two of them ran the same seed
 */
export function mergeSummaries(summaries: readonly Summary[]): Summary {
  const first = summaries[0];
  if (first === undefined) throw new Error("nothing to merge");
  const commits = [...new Set(summaries.map(({ commit }) => commit))];
  if (commits.length > 1) throw new Error(`not of one commit: ${commits.join(", ")}`);
  const pieces = summaries
    .flatMap(({ pieces: inner, from, seeds, seconds }) => inner ?? [{ from, seeds, seconds }])
    .sort((a, b) => a.from - b.from);
  for (const [i, piece] of pieces.entries()) {
    const before = pieces[i - 1];
    if (before !== undefined && before.from + before.seeds > piece.from) {
      throw new Error(`seeds from ${piece.from} are in two of them`);
    }
  }
  const sum = (of: (summary: Summary) => number): number => summaries.reduce((total, one) => total + of(one), 0);
  const counts = (of: (summary: Summary) => Counts): Counts => {
    const into: Record<string, number> = {};
    for (const one of summaries) addCounts(into, of(one));
    return into;
  };
  return compose({
    commit: first.commit,
    command: first.command,
    from: pieces[0]!.from,
    seeds: sum(({ seeds }) => seeds),
    violations: sum(({ violations }) => violations),
    tasks: sum(({ tasks }) => tasks),
    runs: sum(({ runs }) => runs),
    elections: sum(({ elections }) => elections),
    faults: counts(({ faults }) => faults),
    doubts: counts(({ doubts }) => doubts),
    rows: counts(({ rows }) => rows),
    totals: {
      virtualSeconds: sum(({ totals }) => totals.virtualSeconds),
      faultSeconds: sum(({ totals }) => totals.faultSeconds),
      faults: sum(({ totals }) => totals.faults),
      nodes: sum(({ totals }) => totals.nodes),
      events: sum(({ totals }) => totals.events),
    },
    seconds: sum(({ seconds }) => seconds),
    failures: summaries.flatMap(({ failures }) => failures).slice(0, FAILURES_MAX),
    pieces,
  });
}
