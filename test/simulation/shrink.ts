/**
 * A smaller run that violates the same invariant (SIM9): fewer kinds of faults, fewer faults, fewer tasks, nodes and partitions. Each
 * step keeps what still fails; the seed stays the same. Not the smallest there is: the smallest that these steps find.
 */
import type { SimulationSettings } from "./observer.ts";
import type { Outcome } from "./pool.ts";
import type { SeedOptions, SeedResult } from "./seed-result.ts";

const RUNS_MAX = 600;

type Run = (options: readonly SeedOptions[]) => Promise<Outcome[]>;

export interface Smallest {
  readonly options: SeedOptions;
  readonly summary: string;
}

class Shrinker {
  options: SeedOptions;
  result: SeedResult;
  runs = 0;
  readonly #invariant: string;
  readonly #run: Run;
  readonly #say: (message: string) => void;

  constructor(options: SeedOptions, result: SeedResult, run: Run, say: (message: string) => void) {
    this.options = options;
    this.result = result;
    this.#invariant = result.violation!.invariant;
    this.#run = run;
    this.#say = say;
  }

  /** Takes the first of the candidates that still violates the invariant. */
  async take(candidates: readonly SeedOptions[], what: (candidate: number) => string): Promise<number | null> {
    if (candidates.length === 0 || this.runs >= RUNS_MAX) return null;
    this.runs += candidates.length;
    const outcomes = await this.#run(candidates);
    const found = outcomes.findIndex(
      (outcome) => "result" in outcome && outcome.result.violation?.invariant === this.#invariant,
    );
    const outcome = outcomes[found];
    if (outcome === undefined || !("result" in outcome)) return null;
    this.options = candidates[found]!;
    ({ result: this.result } = outcome);
    this.#say(`${what(found)}: still ${this.#invariant}`);
    return found;
  }

  withOverride(change: Partial<SimulationSettings>): SeedOptions {
    return { ...this.options, overrides: { ...this.options.overrides, ...change } };
  }

  /** The faults that happen now, as indexes of the plan. */
  get faults(): readonly number[] {
    return this.options.faultsOnly ?? this.result.plan.map((_, index) => index);
  }
}

/** A line of the plan reads "3: 12000 ms kill b for 500 ms". */
function kindOf(line: string): string {
  return / ms ([a-z-]+)/.exec(line)?.[1] ?? line;
}

async function dropKinds(shrinker: Shrinker): Promise<void> {
  const { plan } = shrinker.result; // of the faults that happen, in their order
  const kinds = new Map(shrinker.faults.map((index, at) => [index, kindOf(plan[at] ?? "")]));
  for (const kind of new Set(kinds.values())) {
    const kept = shrinker.faults.filter((index) => kinds.get(index) !== kind);
    if (kept.length === shrinker.faults.length) continue;
    await shrinker.take([{ ...shrinker.options, faultsOnly: kept }], () => `without ${kind}`);
  }
}

/** Delta debugging: halves, quarters, ... until no single fault can be left out. */
async function dropFaults(shrinker: Shrinker): Promise<void> {
  let pieces = 2;
  while (shrinker.faults.length > 0 && shrinker.runs < RUNS_MAX) {
    const { faults } = shrinker;
    const size = Math.max(1, Math.ceil(faults.length / pieces));
    const candidates: SeedOptions[] = [];
    for (let at = 0; at < faults.length; at += size) {
      const faultsOnly = [...faults.slice(0, at), ...faults.slice(at + size)];
      candidates.push({ ...shrinker.options, faultsOnly });
    }
    const before = faults.length;
    const taken = await shrinker.take(candidates, () => `${before} faults, less ${size}`);
    if (taken !== null) pieces = Math.max(2, pieces - 1);
    else if (size === 1) return;
    else pieces *= 2;
  }
}

/** Lower values of one number, the lowest first. */
async function lower(
  shrinker: Shrinker,
  name: string,
  now: number,
  least: number,
  optionsFor: (value: number) => SeedOptions,
): Promise<void> {
  let value = now;
  while (value > least) {
    const steps = [least, Math.floor(value / 4), Math.floor(value / 2), Math.floor((3 * value) / 4), value - 1];
    const tried = [...new Set(steps.filter((step) => step >= least && step < value))];
    const found = await shrinker.take(tried.map(optionsFor), (i) => `${name} ${tried[i]}`);
    if (found === null) return;
    value = tried[found]!;
  }
}

/** @returns null when the run as it is violates nothing */
export async function shrink(options: SeedOptions, run: Run, say: (message: string) => void): Promise<Smallest | null> {
  const [first] = await run([options]);
  if (first === undefined || !("result" in first) || first.result.violation === null) return null;
  const { nodes, partitions } = first.result.settings;
  const shrinker = new Shrinker(options, first.result, run, say);
  await dropKinds(shrinker);
  await dropFaults(shrinker);
  await lower(shrinker, "tasks", shrinker.result.tasks, 1, (tasksMax) => ({ ...shrinker.options, tasksMax }));
  await lower(shrinker, "partitions", partitions, 1, (value) => shrinker.withOverride({ partitions: value }));
  await lower(shrinker, "nodes", nodes, 2, (value) => shrinker.withOverride({ nodes: value }));
  await dropFaults(shrinker);
  await lower(shrinker, "tasks", shrinker.result.tasks, 1, (tasksMax) => ({ ...shrinker.options, tasksMax }));
  const { result } = shrinker;
  const counts = `${result.settings.nodes} nodes, ${result.settings.partitions} partitions, ${result.tasks} tasks`;
  return {
    options: shrinker.options,
    summary: `${counts}, ${result.plan.length} faults (${result.plan.join("; ")}), ${shrinker.runs} runs tried; ${result.violation?.invariant}: ${result.violation?.message}`,
  };
}
