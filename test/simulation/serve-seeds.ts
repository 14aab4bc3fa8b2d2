/**
 * The inside of a worker: runs the jobs that it is sent, one after the other, and sends each result. A seed is one synchronous call:
 * while it runs nothing else of this process does. Which seed a worker died of is the parent's to say.
 */
import type { SeedOptions, SeedResult } from "./seed-result.ts";

export interface Job {
  readonly seed: number;
  readonly options: SeedOptions;
}

export interface WorkerRequest {
  readonly jobs: readonly Job[];
  /** Every seed that this divides runs twice: equal seeds must give equal event logs (X4). 0: none. */
  readonly twiceEvery: number;
}

export type WorkerAnswer =
  | { readonly type: "result"; readonly result: SeedResult }
  | { readonly type: "threw"; readonly message: string }
  | { readonly type: "done" };

export type RunSeed = (seed: number, options: SeedOptions) => SeedResult;

export function answerTo(run: RunSeed, { seed, options }: Job, twiceEvery: number): WorkerAnswer {
  try {
    const result = run(seed, options);
    if (twiceEvery === 0 || seed % twiceEvery !== 0 || result.violation !== null) return { type: "result", result };
    const again = run(seed, options);
    if (again.hash === result.hash) return { type: "result", result };
    const message = `one seed, two event logs: ${result.hash}, then ${again.hash}`;
    return { type: "result", result: { ...result, violation: { invariant: "X4", message, at: result.virtualMs } } };
  } catch (error) {
    return { type: "threw", message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

/** Serves the parent until it closes the channel; the first seed waits until what it needs is `ready`. */
export function serve(run: RunSeed, ready: Promise<void>): void {
  const send = (answer: WorkerAnswer): void => void process.send?.(answer);
  const carryOut = async ({ jobs, twiceEvery }: WorkerRequest): Promise<void> => {
    await ready;
    for (const job of jobs) {
      send(answerTo(run, job, twiceEvery));
      await new Promise((resolve) => setImmediate(resolve)); // what was sent leaves before the next seed takes the thread
    }
    send({ type: "done" });
  };
  process.on("message", (request: WorkerRequest) => void carryOut(request));
  process.on("disconnect", () => process.exit(0));
}
