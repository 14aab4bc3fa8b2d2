/**
 * The main thread's side of the watchdog (R12): a thread of this process that kills it when handlers run on after this
 * node lost its cell, or when one ignores its abort. The other nodes count on it: after the quarantine they believe that
 * nothing of a silent node runs any more.
 *
 * Guarantees: when `running` is above 0 and the time last given by `lease` or `work` is over, the process gets SIGKILL
 * within two look intervals. `healthyUntil` passes at most `healthyMs` after the watchdog stopped looking. It does not help
 * against a stop of the whole process: then it bites when the process goes on.
 */
import type { PartitionId } from "../core/identity.ts";
import { VouchError } from "../errors.ts";
import type { WorkGuard } from "./runner.ts";
import { durationWord, nameFrom, Word, WORDS, type WatchdogStart } from "./watchdog-words.ts";

export interface WatchdogOptions {
  /** The monotonic clock of the core, in milliseconds. Default: `performance.now`. */
  readonly now?: () => number;
  /** By topic index: to name a task in its last words. */
  readonly topics?: readonly string[];
  readonly lookMs?: number; // between two looks of the watchdog
  readonly askMs?: number; // between two questions whether it lives
  readonly healthyMs?: number; // how long an answer counts, from its question on
  readonly startMs?: number; // how long the thread may take to begin
  /** Starts are allowed until then; called with each answer. */
  readonly onHealthy?: (healthyUntil: number) => void;
  /** The thread died. No answer will come any more: this node starts nothing until it is started anew. */
  readonly onFailure?: (error: VouchError) => void;
}

const LOOK_MS = 50;
const ASK_MS = 250;
const HEALTHY_MS = 1_500;
const START_MS = 10_000;

export class Watchdog implements WorkGuard, AsyncDisposable {
  readonly #words = new Int32Array(new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT));
  readonly #worker: Worker;
  readonly #now: () => number;
  readonly #healthyMs: number;
  readonly #options: WatchdogOptions;
  readonly #timer: ReturnType<typeof setInterval>;
  #askedAtMs: number;
  #healthyUntil = Number.NEGATIVE_INFINITY;
  #error: VouchError | null = null;
  #closed = false;

  /** Use `startWatchdog`. */
  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#healthyMs = options.healthyMs ?? HEALTHY_MS;
    this.lease(Number.POSITIVE_INFINITY);
    this.work(0, Number.POSITIVE_INFINITY);
    this.#askedAtMs = this.#now();
    Atomics.add(this.#words, Word.question, 1);
    this.#worker = new Worker(new URL("./watchdog-worker.ts", import.meta.url));
    this.#worker.addEventListener("error", (event) => this.#fail(event.message));
    this.#worker.addEventListener("close", () => this.#fail("the thread ended"));
    this.#worker.unref(); // an idle process may end; handlers keep it alive by themselves
    const { topics = [], lookMs = LOOK_MS } = options;
    this.#worker.postMessage({ words: this.#words, lookMs, topics } satisfies WatchdogStart);
    this.#timer = setInterval(() => this.#ask(), options.askMs ?? ASK_MS);
    this.#timer.unref();
  }

  /**
   * Milliseconds until no handler of this node may run any more; Infinity while nothing limits them. Call it at every tick
   * with the lease's remaining time plus the grace: the watchdog counts on from the last call.
   */
  lease(remainingMs: number): void {
    Atomics.store(this.#words, Word.leaseMs, durationWord(remainingMs));
    Atomics.add(this.#words, Word.leaseCounter, 1);
  }

  work(running: number, remainingMs: number): void {
    // The order matters when work begins: its time must be there before it counts as running.
    Atomics.store(this.#words, Word.workMs, durationWord(remainingMs));
    Atomics.add(this.#words, Word.workCounter, 1);
    Atomics.store(this.#words, Word.running, running);
  }

  names(pid: PartitionId, offset: number, isCheck: boolean): void {
    Atomics.store(this.#words, Word.pid, pid);
    Atomics.store(this.#words, Word.offsetHigh, Math.floor(offset / 2 ** 32));
    Atomics.store(this.#words, Word.offsetLow, offset);
    Atomics.store(this.#words, Word.isCheck, isCheck ? 1 : 0);
  }

  /** What user code runs now, in words: "" for none. Also right inside of a handler's call. */
  busyWith(): string {
    const running = Atomics.load(this.#words, Word.running);
    if (running === 0) return "";
    const name = nameFrom(this.#words, this.#options.topics ?? []);
    return running === 1 ? name : `${name} and ${running - 1} more`;
  }

  /** Starts are allowed before this moment of the monotonic clock. */
  healthyUntil(): number {
    this.#collect();
    return this.#healthyUntil;
  }

  /** Why the thread is gone; null while it lives. */
  failure(): VouchError | null {
    return this.#error;
  }

  /** Ends the thread. Only when no handler runs any more: from then on nothing guards them. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    Atomics.store(this.#words, Word.stop, 1);
    this.#healthyUntil = Number.NEGATIVE_INFINITY;
    this.#worker.terminate();
  }

  /** Takes an answer that came since the last question. It counts from the question, so a late answer is worth less. */
  #collect(): void {
    if (this.#closed || Atomics.load(this.#words, Word.answer) !== Atomics.load(this.#words, Word.question)) return;
    const until = this.#askedAtMs + this.#healthyMs;
    if (until <= this.#healthyUntil) return;
    this.#healthyUntil = until;
    this.#options.onHealthy?.(until);
  }

  #ask(): void {
    this.#collect();
    // One question at a time: an unanswered one stays, so that its age shows.
    if (Atomics.load(this.#words, Word.answer) !== Atomics.load(this.#words, Word.question)) return;
    this.#askedAtMs = this.#now();
    Atomics.add(this.#words, Word.question, 1);
  }

  #fail(message: string): void {
    if (this.#closed || this.#error !== null) return;
    this.#error = new VouchError("closed", `the watchdog thread failed: ${message}`, { retriable: false });
    this.#options.onFailure?.(this.#error);
  }
}

const START_POLL_MS = 5;

/**
 * Starts the watchdog's thread and waits until it has answered once.
 * @throws VouchError "closed" when the thread fails or does not answer within `startMs`.
 */
export async function startWatchdog(options: WatchdogOptions = {}): Promise<Watchdog> {
  const watchdog = new Watchdog(options);
  const startMs = options.startMs ?? START_MS;
  const from = performance.now();
  while (watchdog.healthyUntil() === Number.NEGATIVE_INFINITY) {
    const failure = watchdog.failure();
    if (failure !== null || performance.now() - from > startMs) {
      await watchdog[Symbol.asyncDispose]();
      throw failure ?? new VouchError("closed", `the watchdog thread did not answer within ${startMs} ms`);
    }
    await Bun.sleep(START_POLL_MS);
  }
  return watchdog;
}
