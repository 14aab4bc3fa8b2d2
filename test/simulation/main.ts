/**
 * `bun run simulate --seeds 2000 --json`: a whole cell under faults in virtual time, thousands of times; `arguments.ts` says what else.
 *
 * With `--json` the last line of standard output is the summary (`summary.ts`); progress goes to standard error. Exit code 1 when a
 * seed violated an invariant, crashed or hung; the clock never fails a run. 2: the command line was wrong.
 */
import { type Arguments, commandFor, parseArguments, USAGE } from "./arguments.ts";
import { type Outcome, runJobs, startPool } from "./pool.ts";
import { commitOf } from "./commit.ts";
import type { SeedOptions, SeedResult } from "./seed-result.ts";
import { shrink } from "./shrink.ts";
import { SummaryBuilder } from "./summary.ts";
import { story } from "./trace.ts";

const PROGRESS_MS = 5_000;
/** One seed in so many runs twice (X4). */
const TWICE_EVERY = 25;
/** A run with so many violations says nothing new any more. */
const VIOLATIONS_MAX = 100;

const startedAt = performance.now();
const seconds = (): number => (performance.now() - startedAt) / 1_000;
const say = (message: string): void => void process.stderr.write(`${message}\n`);
const print = (message: string): void => void process.stdout.write(`${message}\n`);

process.exitCode = await main();

async function main(): Promise<number> {
  let args: Arguments;
  try {
    args = parseArguments(process.argv.slice(2));
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    say(USAGE);
    return 2;
  }
  const commit = await commitOf();
  if (args.trace || args.shrink) return oneSeed(args, commit);
  return manySeeds(args, commit);
}

async function manySeeds(args: Arguments, commit: string): Promise<number> {
  const summary = new SummaryBuilder();
  const endsAt = startedAt + args.minutes * 60_000;
  let next = args.from;
  const report = (seed: number, invariant: string, message: string, result: SeedResult | null): void => {
    say(failureText({ seed, invariant, message, result, options: args.options, mutation: args.mutation, commit }));
  };
  const pool = startPool({
    workers: Math.min(args.workers, args.seeds),
    seedMsMax: args.secondsPerSeedMax * 1_000,
    twiceEvery: TWICE_EVERY,
    mutation: args.mutation,
    next: () => {
      if (next >= args.from + args.seeds || performance.now() >= endsAt) return null;
      if (summary.violations >= VIOLATIONS_MAX) return null;
      return { seed: next++, options: args.options };
    },
    onResult: (result) => {
      summary.add(result);
      const { violation } = result;
      if (violation !== null) report(result.seed, violation.invariant, violation.message, result);
    },
    onFailure: (failure) => {
      summary.lost(failure);
      report(failure.seed, failure.invariant, failure.message, null);
    },
  });
  const progress = setInterval(() => say(progressLine(summary)), PROGRESS_MS);
  await pool.finished;
  clearInterval(progress);
  const command = `bun run simulate ${process.argv.slice(2).join(" ")}`;
  const built = summary.build({ commit, command, from: args.from, seconds: seconds() });
  if (summary.violations >= VIOLATIONS_MAX) say(`ended after ${summary.violations} violations`);
  print(args.json ? JSON.stringify(built) : JSON.stringify(built, null, 2));
  if (!args.json) print(`${built.seeds} seeds, ${built.violations} violations`);
  return built.violations === 0 ? 0 : 1;
}

function progressLine(summary: SummaryBuilder): string {
  const { seeds, violations, virtualHours, rowsHit } = summary;
  const hours = virtualHours.toFixed(1);
  return `${seconds().toFixed(0).padStart(6)} s  ${seeds} seeds, ${violations} violations, ${hours} virtual hours, ${rowsHit} rows`;
}

interface FailureParts {
  readonly seed: number;
  readonly invariant: string;
  readonly message: string;
  readonly result: SeedResult | null;
  readonly options: SeedOptions;
  readonly mutation: string | undefined;
  readonly commit: string;
}

/** Seed, configuration, commit and the command that repeats it (SIM9). */
function failureText({ seed, invariant, message, result, options, mutation, commit }: FailureParts): string {
  const at =
    result?.violation === null || result === null ? "" : ` after ${(result.violation.at / 1_000).toFixed(3)} s`;
  const said = message.startsWith(`${invariant}: `) ? message : `${invariant}: ${message}`;
  const lines = [`VIOLATION in seed ${seed}${at}: ${said}`, `  commit   ${commit}`];
  if (result !== null) {
    lines.push(`  settings ${JSON.stringify(result.settings)}`);
    for (const fault of result.plan) lines.push(`  fault    ${fault}`);
  }
  lines.push(`  story    ${commandFor(seed, options, mutation, "--trace")}`);
  lines.push(`  smaller  ${commandFor(seed, options, mutation, "--shrink")}`);
  return lines.join("\n");
}

async function oneSeed(args: Arguments, commit: string): Promise<number> {
  const { from: seed, mutation } = args;
  const run = (options: readonly SeedOptions[]): Promise<Outcome[]> =>
    runJobs(
      options.map((one) => ({ seed, options: one })),
      { workers: args.workers, seedMsMax: args.secondsPerSeedMax * 1_000, twiceEvery: 0, mutation },
    );
  let { options } = args;
  if (args.shrink) {
    const smallest = await shrink(options, run, say);
    if (smallest === null) {
      say(`seed ${seed} violates nothing: there is nothing to shrink`);
      return 0;
    }
    ({ options } = smallest);
    print(`smallest: ${smallest.summary}`);
    print(commandFor(seed, options, mutation, "--trace"));
  }
  const [outcome] = await run([{ ...options, withHistory: true }]);
  if (outcome === undefined || "failure" in outcome) {
    const { invariant, message } = outcome?.failure ?? { invariant: "crash", message: "no outcome" };
    say(failureText({ seed, invariant, message, result: null, options, mutation, commit }));
    return 1;
  }
  const { result } = outcome;
  if (args.trace) {
    for (const line of story(result, args.full)) print(line);
    print(`commit ${commit}; again: ${commandFor(seed, options, mutation, "--trace")}`);
  }
  if (args.json) {
    const { history: _, ...plain } = result;
    print(JSON.stringify({ commit, options, ...plain }));
  }
  return result.violation === null ? 0 : 1;
}
