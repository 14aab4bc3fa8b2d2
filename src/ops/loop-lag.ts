/**
 * How long the event loop stands still: a timer that is late by more than its turn was kept waiting by something that
 * computed, or by a machine that gave this process no time. Five looks a second: a stall of 400 ms or more is always seen.
 */

const LOOK_MS = 200;

export class LoopLag implements Disposable {
  readonly #onLag: (lagMs: number) => void;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #dueAt = 0;
  #maxMs = 0;

  /** `onLag` hears of every look that came late, by how much. */
  constructor(onLag: (lagMs: number) => void) {
    this.#onLag = onLag;
    this.#arm();
  }

  /** The longest lag since the last call, in milliseconds. */
  takeMaxMs(): number {
    const maxMs = Math.max(this.#maxMs, this.#lateMs());
    this.#maxMs = 0;
    return maxMs;
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #arm(): void {
    this.#dueAt = performance.now() + LOOK_MS;
    this.#timer = setTimeout(() => this.#look(), LOOK_MS);
  }

  #look(): void {
    const lagMs = this.#lateMs();
    this.#maxMs = Math.max(this.#maxMs, lagMs);
    this.#arm();
    if (lagMs > 0) this.#onLag(lagMs);
  }

  #lateMs(): number {
    return this.#timer === null ? 0 : Math.max(0, performance.now() - this.#dueAt);
  }
}
