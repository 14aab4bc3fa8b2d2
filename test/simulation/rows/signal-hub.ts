/** Who among the counters listens to what, and which of them wait for a condition. What is for a counter that was hit costs nothing more. */
import type { SignalName, Signals } from "./signals.ts";
import type { Poll, Tracker } from "./tracker.ts";

interface Handler {
  readonly tracker: Tracker;
  readonly call: (...args: readonly unknown[]) => void;
}

interface Polled {
  readonly tracker: Tracker;
  readonly poll: Poll;
  readonly end: number;
}

export class SignalHub {
  readonly #handlers = new Map<SignalName, Handler[]>();
  readonly #now: () => number;
  #polls: Polled[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  on<N extends SignalName>(name: N, call: Signals[N], tracker: Tracker): void {
    const handler = { tracker, call: call as unknown as Handler["call"] };
    const known = this.#handlers.get(name);
    if (known === undefined) this.#handlers.set(name, [handler]);
    else known.push(handler);
  }

  until(tracker: Tracker, ms: number, poll: Poll): void {
    this.#polls.push({ tracker, poll, end: this.#now() + ms });
  }

  protected emit<N extends SignalName>(name: N, ...args: Parameters<Signals[N]>): void {
    const handlers = this.#handlers.get(name);
    if (handlers === undefined) return;
    let finished = false;
    for (const { tracker, call } of handlers) {
      if (tracker.done) finished = true;
      else call(...args);
    }
    if (finished)
      this.#handlers.set(
        name,
        handlers.filter(({ tracker }) => !tracker.done),
      );
  }

  protected wants(name: SignalName): boolean {
    return (this.#handlers.get(name)?.length ?? 0) > 0;
  }

  /** Asks everything that waits once. */
  protected poll(): void {
    if (this.#polls.length > 0) this.#polls = this.#polls.filter((polled) => this.#isOpen(polled));
  }

  #isOpen({ tracker, poll, end }: Polled): boolean {
    if (tracker.done) return false;
    const decided = poll();
    if (decided === null && this.#now() < end) return true;
    tracker.polling--;
    if (decided === true) tracker.hit();
    return false;
  }
}
