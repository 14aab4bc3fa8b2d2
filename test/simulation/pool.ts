/**
 * Seeds over several processes. Each job handed out comes back exactly once: as a result, or as the failure "crash" or "hang" of the
 * process that ran it, which is then replaced by a new one.
 */
import { join } from "node:path";
import type { SeedResult } from "./seed-result.ts";
import type { Job, WorkerAnswer, WorkerRequest } from "./serve-seeds.ts";

/** Seeds handed to a worker at a time: when the clock ends a run, only those under way are waited for. */
const CHUNK = 1;
/** After so many seeds a worker is replaced: nothing that one seed leaves behind lasts for ever. The first sixty of each cost twice as much. */
const SEEDS_PER_PROCESS_MAX = 4_000;
/** What a worker may allocate before its memory is collected: a run leaves little behind, so seldom is cheaper (about a tenth). */
const HEAP = { BUN_JSC_largeHeapSize: String(256 * 1_024 * 1_024) };
/** Of what a worker wrote to standard error, this much is kept for the report of its end. */
const STDERR_CHARS_MAX = 4_000;

export interface SeedFailure {
  readonly seed: number;
  readonly invariant: string; // or "crash", "hang"
  readonly message: string;
}

export interface PoolOptions {
  readonly workers: number;
  /** Wall time that one seed may take, a new worker's start included. */
  readonly seedMsMax: number;
  readonly twiceEvery: number;
  /** Plugged into the workers when they load the sources; see `mutations/plugin.ts`. */
  readonly mutation?: string;
  /** Default: `worker.ts`. */
  readonly command?: readonly string[];
  /** The next job, or null when there are no more; asked until then. */
  readonly next: () => Job | null;
  readonly onResult: (result: SeedResult, job: Job) => void;
  /** The job gave no result. */
  readonly onFailure: (failure: SeedFailure, job: Job) => void;
}

const HERE = import.meta.dir;

function commandOf({ command, mutation }: PoolOptions): string[] {
  if (command !== undefined) return [...command];
  const preload = mutation === undefined ? [] : ["--preload", join(HERE, "mutations/plugin.ts")];
  return [process.execPath, ...preload, join(HERE, "worker.ts")];
}

/** One place of the pool: a process, and its successors. */
class Place {
  readonly #options: PoolOptions;
  #stopped = false;
  #kill: () => void = () => {};

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    let jobs = this.#take();
    while (jobs.length > 0 && !this.#stopped) jobs = await this.#oneProcess(jobs);
  }

  stop(): void {
    this.#stopped = true;
    this.#kill();
  }

  #take(): Job[] {
    const jobs: Job[] = [];
    while (!this.#stopped && jobs.length < CHUNK) {
      const job = this.#options.next();
      if (job === null) break;
      jobs.push(job);
    }
    return jobs;
  }

  /** @returns the jobs that the next process has to begin with; empty: there are no more */
  async #oneProcess(first: Job[]): Promise<Job[]> {
    const { twiceEvery, seedMsMax, mutation, onResult, onFailure } = this.#options;
    let left = first;
    let handed = 0;
    let end: "own" | "replaced" | "hang" = "own";
    let timer: Timer | undefined;
    const receive = (answer: WorkerAnswer): void => {
      if (this.#stopped || end !== "own") return;
      watch();
      if (answer.type === "done") {
        left = this.#take();
        if (left.length === 0 || handed >= SEEDS_PER_PROCESS_MAX) replace();
        else hand();
        return;
      }
      const job = left[0]!;
      left = left.slice(1);
      if (answer.type === "result") onResult(answer.result, job);
      else onFailure({ seed: job.seed, invariant: "crash", message: answer.message }, job);
    };
    const child = Bun.spawn(commandOf(this.#options), {
      env: { ...HEAP, ...process.env, ...(mutation === undefined ? {} : { SIMULATION_MUTATION: mutation }) },
      stdio: ["ignore", "ignore", "pipe"],
      serialization: "json",
      ipc: receive,
    });
    const errors = new Response(child.stderr).text();
    this.#kill = () => child.kill("SIGKILL");
    const replace = (): void => {
      end = "replaced";
      child.kill("SIGKILL");
    };
    const watch = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        end = "hang";
        child.kill("SIGKILL");
      }, seedMsMax);
    };
    const hand = (): void => {
      handed += left.length;
      watch();
      const request: WorkerRequest = { jobs: left, twiceEvery };
      child.send(request);
    };
    hand();
    const code = await child.exited;
    clearTimeout(timer);
    const said = (await errors).trim().slice(-STDERR_CHARS_MAX);
    const job = left[0];
    // `end` was set by the callbacks above while this waited.
    if (this.#stopped || (end as string) === "replaced") return left;
    if (job === undefined) return this.#take(); // it ended with nothing under way
    const failure =
      (end as string) === "hang"
        ? { invariant: "hang", message: `no result after ${seedMsMax / 1_000} s` }
        : { invariant: "crash", message: `its process ended with ${child.signalCode ?? code}: ${said}` };
    onFailure({ seed: job.seed, ...failure }, job);
    return left.length > 1 ? left.slice(1) : this.#take();
  }
}

export interface Pool {
  /** Every job that was handed out has come back. */
  readonly finished: Promise<void>;
  /** Ends the workers now; what is under way is dropped. */
  readonly stop: () => void;
}

export function startPool(options: PoolOptions): Pool {
  const places = Array.from({ length: options.workers }, () => new Place(options));
  const finished = Promise.all(places.map((place) => place.run())).then(() => {});
  return { finished, stop: () => places.forEach((place) => place.stop()) };
}

export type Outcome = { readonly result: SeedResult } | { readonly failure: SeedFailure };

/** Runs these jobs and no others; outcomes in the order of the jobs. */
export async function runJobs(
  jobs: readonly Job[],
  options: Pick<PoolOptions, "workers" | "seedMsMax" | "twiceEvery" | "mutation" | "command">,
): Promise<Outcome[]> {
  const outcomes = new Map<Job, Outcome>();
  const left = [...jobs];
  await startPool({
    ...options,
    workers: Math.min(options.workers, jobs.length),
    next: () => left.shift() ?? null,
    onResult: (result, job) => void outcomes.set(job, { result }),
    onFailure: (failure, job) => void outcomes.set(job, { failure }),
  }).finished;
  return jobs.map((job) => outcomes.get(job)!);
}
