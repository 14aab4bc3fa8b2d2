/** The command line of `bun run simulate`. */
import { parseArgs } from "node:util";
import type { SeedOptions } from "./seed-result.ts";

export interface Arguments {
  /** Infinity: until the clock ends it. */
  readonly seeds: number;
  readonly from: number;
  readonly minutes: number; // Infinity: no limit
  readonly workers: number;
  readonly secondsPerSeedMax: number;
  readonly json: boolean;
  readonly trace: boolean;
  readonly full: boolean;
  readonly shrink: boolean;
  readonly mutation: string | undefined;
  readonly options: SeedOptions;
}

export const USAGE = `bun run simulate [options]
  --seeds N       that many seeds (default 200; with --minutes alone: as many as fit)
  --from S        the first of them (default 0)
  --minutes M     ends by the clock, after the seeds under way
  --workers N     processes (default 2)
  --json          the last line is one JSON object
  --seed S        this seed alone; with it:
    --trace         its story, as far as it concerns the violation; --full: all of it
    --shrink        the smallest run that still violates the invariant
    --override J    settings that replace the seed's own, as JSON: '{"nodes":2}'
    --faults LIST   only these faults of the seed's plan, by index: 0,3; "none" for no fault
    --tasks N       at most so many records
  --without LIST  invariants that are not checked: I3,H1
  --mutation ID   with this bug of mutations/list.ts plugged in
  --seed-seconds  wall time that one seed may take (default 60)`;

function whole(name: string, text: string | undefined, fallback: number, low = 0): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < low || text.trim() === "") {
    throw new RangeError(`--${name}: expected a whole number from ${low}, got "${text}"`);
  }
  return value;
}

function positive(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!(value > 0)) throw new RangeError(`--${name}: expected a number above 0, got "${text}"`);
  return value;
}

/** @throws Error that says what was expected */
export function parseArguments(argv: readonly string[]): Arguments {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seeds: { type: "string" },
      from: { type: "string" },
      minutes: { type: "string" },
      workers: { type: "string" },
      json: { type: "boolean", default: false },
      seed: { type: "string" },
      trace: { type: "boolean", default: false },
      full: { type: "boolean", default: false },
      shrink: { type: "boolean", default: false },
      override: { type: "string" },
      faults: { type: "string" },
      tasks: { type: "string" },
      without: { type: "string" },
      mutation: { type: "string" },
      "seed-seconds": { type: "string" },
    },
  });
  const one = values.seed === undefined ? undefined : whole("seed", values.seed, 0);
  if (one === undefined && (values.trace || values.shrink)) throw new Error("--trace and --shrink need --seed");
  if (one !== undefined && (values.seeds ?? values.from ?? values.minutes) !== undefined) {
    throw new Error("--seed stands alone: no --seeds, --from or --minutes with it");
  }
  const { faults, override } = values;
  const options: SeedOptions = {
    ...(override === undefined ? {} : { overrides: objectOf(override) }),
    ...(faults === undefined ? {} : { faultsOnly: faults === "none" ? [] : faults.split(",").map(index) }),
    ...(values.tasks === undefined ? {} : { tasksMax: whole("tasks", values.tasks, 0, 1) }),
    ...(values.without === undefined ? {} : { without: values.without.split(",") }),
  };
  return {
    seeds: one === undefined ? whole("seeds", values.seeds, values.minutes === undefined ? 200 : Infinity, 1) : 1,
    from: one ?? whole("from", values.from, 0),
    minutes: positive("minutes", values.minutes, Infinity),
    workers: whole("workers", values.workers, 2, 1),
    secondsPerSeedMax: positive("seed-seconds", values["seed-seconds"], 60),
    json: values.json,
    trace: values.trace,
    full: values.full,
    shrink: values.shrink,
    mutation: values.mutation,
    options,
  };
}

const index = (text: string): number => whole("faults", text, 0);

function objectOf(json: string): NonNullable<SeedOptions["overrides"]> {
  const value: unknown = JSON.parse(json);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`--override: expected a JSON object, got ${json}`);
  }
  return value;
}

/** The command that repeats a run. */
export function commandFor(
  seed: number,
  options: SeedOptions,
  mutation: string | undefined,
  ...flags: string[]
): string {
  const words = ["bun run simulate --seed", String(seed)];
  if (options.overrides !== undefined && Object.keys(options.overrides).length > 0) {
    words.push(`--override '${JSON.stringify(options.overrides)}'`);
  }
  if (options.faultsOnly !== undefined) words.push(`--faults ${options.faultsOnly.join(",") || "none"}`);
  if (options.tasksMax !== undefined) words.push(`--tasks ${options.tasksMax}`);
  if (options.without !== undefined) words.push(`--without ${options.without.join(",")}`);
  if (mutation !== undefined) words.push(`--mutation ${mutation}`);
  return [...words, ...flags].join(" ");
}
