/**
 * Measures how long claims wait for their verdicts. Two calls a frame, none a task.
 */

/** Claims whose verdict never comes (a lost leader) must not pile up: beyond this many the oldest are forgotten. */
const OPEN_MAX = 4_096;

export class VerdictLatency {
  readonly #sentAt = new Map<number, number>();
  readonly #observe: (seconds: number) => void;

  /** `observe` gets the seconds between question and answer of each batch. */
  constructor(observe: (seconds: number) => void) {
    this.#observe = observe;
  }

  /** A report with these questions leaves; `at` in milliseconds of the monotonic clock. */
  asked(questions: readonly { readonly number: number }[], at: number): void {
    for (const { number } of questions) this.#sentAt.set(number, at);
    for (const number of this.#sentAt.keys()) {
      if (this.#sentAt.size <= OPEN_MAX) break;
      this.#sentAt.delete(number);
    }
  }

  /** Verdicts came in; those of an unknown question are ignored. */
  answered(answers: readonly { readonly number: number }[], at: number): void {
    for (const { number } of answers) {
      const sentAt = this.#sentAt.get(number);
      if (sentAt === undefined) continue;
      this.#sentAt.delete(number);
      this.#observe((at - sentAt) / 1_000);
    }
  }
}
