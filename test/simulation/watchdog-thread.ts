/**
 * The watchdog's thread in a simulation: what `new Worker(...)` becomes. It runs the real `WatchdogEye` on its process's clock,
 * goes on while the main thread is blocked, and stands still while the process is stopped.
 */
import { WatchdogEye, type Moment } from "../../src/execution/watchdog-eye.ts";
import { Word, type WatchdogStart } from "../../src/execution/watchdog-words.ts";
import type { SimulatedProcess, VirtualTime } from "./virtual-time.ts";

/** With nothing to guard a look only answers that the thread lives: one in so many is enough, and four times cheaper. */
const IDLE_LOOKS = 4;

export type OnBite = (process: SimulatedProcess, verdict: string) => void;

/** The constructor to be used as `Worker`. */
export function watchdogThreads(time: VirtualTime, onBite: OnBite): unknown {
  return class WatchdogThread {
    readonly #process: SimulatedProcess;
    #ended = false;

    constructor() {
      if (time.current === null) throw new Error("a thread outside of a simulated process");
      this.#process = time.current;
    }

    addEventListener(): void {
      // This thread never fails.
    }

    unref(): void {
      // Nothing waits for it.
    }

    terminate(): void {
      this.#ended = true;
    }

    postMessage({ words, lookMs }: WatchdogStart): void {
      const eye = new WatchdogEye(words, lookMs, this.#moment());
      const look = (): void => {
        if (this.#ended || this.#process.state === "dead" || Atomics.load(words, Word.stop) === 1) return;
        const guards = Atomics.load(words, Word.running) > 0;
        time.after(guards ? lookMs : lookMs * IDLE_LOOKS, look);
        if (this.#process.state === "stopped") return;
        const verdict = eye.look(this.#moment());
        if (verdict !== "") onBite(this.#process, verdict);
      };
      time.after(lookMs, look);
    }

    #moment(): Moment {
      const now = this.#process.monotonicMs();
      return { monotonicMs: now, uptimeMs: now };
    }
  };
}
