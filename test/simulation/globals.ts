/**
 * What a simulation puts in the place of the machine: clocks, timers, chance, sockets and threads. They belong to the process
 * that runs at the moment (`VirtualTime.current`). Installed for one synchronous run and taken away again.
 */
import type { Scheduled, SimulatedProcess, VirtualTime } from "./virtual-time.ts";

export interface Machine {
  readonly time: VirtualTime;
  readonly listen: (options: never) => unknown; // Bun.listen
  readonly connect: (options: never) => unknown; // Bun.connect
  readonly Worker: unknown; // its constructor
}

/** Less than this can vanish when it is added to the time: a deadline would be waited for and never come. */
const TIMER_MS_MIN = 0.01;

class Timer {
  #item: Scheduled | null = null;
  readonly #time: VirtualTime;
  readonly #process: SimulatedProcess | null;
  readonly #everyMs: number | null;
  /** One for all of its times: an interval makes no closure each time. */
  readonly #fire: () => void;

  constructor(time: VirtualTime, run: () => void, ms: number, repeats: boolean) {
    this.#time = time;
    this.#process = time.current;
    this.#everyMs = repeats ? Math.max(1, ms) : null;
    this.#fire = () => {
      this.#item = null;
      if (this.#everyMs !== null) this.#arm(this.#everyMs);
      run();
    };
    this.#arm(ms);
  }

  /** A timer of a process counts on that process's clock. */
  #arm(ms: number): void {
    const ownMs = ms > 0 ? Math.max(ms, TIMER_MS_MIN) : ms;
    const trueMs = this.#process === null ? ownMs : ownMs / this.#process.drift;
    this.#item = this.#time.after(trueMs, this.#fire, this.#process);
  }

  clear(): void {
    if (this.#item !== null) this.#time.cancel(this.#item);
    this.#item = null;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

type Replaced = readonly [object: object, name: string, value: unknown];

/** Runs `run` with the machine replaced; `run` must not wait for anything real. */
export function withMachine<T>(machine: Machine, run: () => T): T {
  const { time } = machine;
  const start =
    (repeats: boolean) =>
    (callback: (...args: unknown[]) => void, ms = 0, ...args: unknown[]): Timer =>
      new Timer(time, args.length === 0 ? callback : () => callback(...args), repeats ? ms : Math.max(0, ms), repeats);
  const clear = (timer: unknown): void => {
    if (timer instanceof Timer) timer.clear();
  };
  const now = (): number => time.current?.monotonicMs() ?? time.now;
  const replaced: readonly Replaced[] = [
    [globalThis, "setTimeout", start(false)],
    [globalThis, "setInterval", start(true)],
    [globalThis, "setImmediate", (callback: () => void) => time.immediate(callback)],
    [globalThis, "clearTimeout", clear],
    [globalThis, "clearInterval", clear],
    [globalThis, "clearImmediate", () => unsupported("clearImmediate")],
    [globalThis, "Worker", machine.Worker],
    [performance, "now", now],
    [Date, "now", () => time.current?.wallMs() ?? time.now],
    [Math, "random", () => (time.current?.random ?? unowned()).next()],
    [Bun, "sleep", (ms: number) => new Promise<void>((resolve) => void new Timer(time, resolve, ms, false))],
    [Bun, "listen", machine.listen],
    [Bun, "connect", machine.connect],
  ];
  const before = replaced.map(([object, name]): Replaced => [object, name, Reflect.get(object, name)]);
  try {
    for (const [object, name, value] of replaced) Reflect.set(object, name, value);
    return run();
  } finally {
    for (const [object, name, value] of before) Reflect.set(object, name, value);
  }
}

function unsupported(name: string): never {
  throw new Error(`${name} is not simulated`);
}

function unowned(): never {
  throw new Error("Math.random outside of a simulated process: the seed would not decide it");
}
