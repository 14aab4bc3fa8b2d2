/**
 * Virtual time: one heap of what is to happen, and the simulated processes in which it happens. Everything runs synchronously:
 * after each callback the microtasks are drained, so a whole run is one call and one order.
 *
 * What happens at the same moment happens in an order that the seed decides.
 */
import { drainMicrotasks } from "bun:jsc";
import { Heap } from "../support/heap.ts";
import type { Random } from "./random.ts";

export interface Scheduled {
  readonly at: number; // ms of true time
  readonly tie: number;
  readonly id: number;
  readonly process: SimulatedProcess | null; // in whose name it runs; null: the world's
  readonly run: () => void;
  cancelled: boolean;
}

function isBefore(a: Scheduled, b: Scheduled): boolean {
  return a.at !== b.at ? a.at < b.at : a.tie !== b.tie ? a.tie < b.tie : a.id < b.id;
}

export type ProcessState = "running" | "blocked" | "stopped" | "dead"; // blocked: its main thread is busy; stopped: SIGSTOP

/** One operating-system process: its clock, its stop and its death. A node started anew is another process. */
export class SimulatedProcess {
  readonly name: string; // node id
  readonly pid: number; // also tells one start of a node from the next
  readonly host: string; // equal hosts share a kernel and a pid name space
  readonly startedAt: number;
  readonly random: Random; // its Math.random
  state: ProcessState = "running";
  /** Its monotonic clock runs this much faster than true time: 1.01 is one per cent. */
  drift = 1;
  /** Wall clock minus true time. */
  wallOffsetMs = 0;
  /** What arrived while it was stopped, in order. */
  readonly backlog: (() => void)[] = [];
  /** Called when the process is gone: what the kernel does for it (sockets). */
  readonly onDeath: (() => void)[] = [];
  readonly #time: VirtualTime;

  constructor(
    time: VirtualTime,
    options: { readonly name: string; readonly pid: number; readonly host: string; readonly random: Random },
  ) {
    this.#time = time;
    this.name = options.name;
    this.pid = options.pid;
    this.host = options.host;
    this.random = options.random;
    this.startedAt = time.now;
  }

  /** Its `performance.now()`. */
  monotonicMs(): number {
    return (this.#time.now - this.startedAt) * this.drift;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#time.now + this.wallOffsetMs;
  }

  /** Runs a callback in this process: now, when it goes on after a stop, or never. */
  enter(run: () => void): void {
    if (this.state === "dead") return;
    // Also while it catches up: what comes later must not overtake what waits.
    if (this.state !== "running" || this.backlog.length > 0) this.backlog.push(run);
    else this.#time.runIn(this, run);
  }

  /** Its main thread does nothing else for so long; its other threads go on. */
  block(ms: number): void {
    if (this.state !== "running") return;
    this.state = "blocked";
    this.#time.after(ms, () => {
      if (this.state !== "blocked") return;
      this.state = "running";
      this.#catchUp();
    });
  }

  /** SIGSTOP. */
  stop(): void {
    if (this.state === "running" || this.state === "blocked") this.state = "stopped";
  }

  /** SIGCONT: what arrived meanwhile comes now, in order, each with its own microtasks. */
  continue(): void {
    if (this.state !== "stopped") return;
    this.state = "running";
    this.#time.after(0, () => this.#catchUp());
  }

  #catchUp(): void {
    while (this.state === "running" && this.backlog.length > 0) this.#time.runIn(this, this.backlog.shift()!);
  }

  /** SIGKILL, or its own end: nothing of it runs any more. */
  kill(): void {
    if (this.state === "dead") return;
    this.state = "dead";
    this.backlog.length = 0;
    for (const done of this.onDeath.splice(0)) done();
  }
}

export class VirtualTime {
  now = 0;
  /** In whose name the running callback runs. */
  current: SimulatedProcess | null = null;
  /** Callbacks that ran. */
  events = 0;
  /** Called after every callback and its microtasks, in the process in which it ran (null: the world). */
  onEvent: ((process: SimulatedProcess | null) => void) | null = null;
  readonly #heap = new Heap<Scheduled>(isBefore);
  readonly #random: Random;
  #immediates: (() => void)[] = [];
  readonly #salt: number;
  #ids = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#salt = random.uint32();
  }

  /** `ms` of true time from now, in the given process (default: the world). */
  after(ms: number, run: () => void, process: SimulatedProcess | null = null): Scheduled {
    const at = this.now + Math.max(0, ms);
    const item: Scheduled = { at, tie: this.#tie(at, process), id: this.#ids++, process, run, cancelled: false };
    this.#heap.push(item);
    return item;
  }

  /** Timers of one process for one moment keep their order, as in a real event loop; everything else has none. */
  #tie(at: number, process: SimulatedProcess | null): number {
    if (process === null) return this.#random.uint32();
    return Math.imul(process.pid ^ this.#salt, 0x9e3779b1) ^ Math.imul(Math.floor(at * 16), 0x85ebca6b);
  }

  cancel(item: Scheduled): void {
    item.cancelled = true;
  }

  /** Runs in the same process after the present callback and its microtasks (`setImmediate`). */
  immediate(run: () => void): void {
    this.#immediates.push(run);
  }

  /** A callback of a process with its microtasks; nested calls (a kernel's answer inside a call) run at once. */
  runIn(process: SimulatedProcess | null, run: () => void): void {
    const outer = this.current;
    this.current = process;
    try {
      run();
      if (outer === null) this.#settle(process);
    } finally {
      this.current = outer;
    }
    if (outer !== null) return;
    this.events++;
    this.onEvent?.(process);
  }

  #settle(process: SimulatedProcess | null): void {
    drainMicrotasks();
    while (this.#immediates.length > 0) {
      const due = this.#immediates;
      this.#immediates = [];
      for (const immediate of due) {
        // What was stopped or killed in between does not go on; a stopped one does when it is continued.
        if (process === null || process.state === "running") immediate();
        else process.enter(immediate);
        drainMicrotasks();
      }
    }
  }

  /** The next thing; false when there is none before `until`. */
  step(until = Infinity): boolean {
    const next = this.#heap.first;
    if (next === undefined || next.at > until) return false;
    this.#heap.take();
    if (next.cancelled) return true;
    this.now = Math.max(this.now, next.at);
    if (next.process === null) this.runIn(null, next.run);
    else next.process.enter(next.run);
    return true;
  }

  /** Runs until that much time has passed. */
  advance(ms: number): void {
    const end = this.now + ms;
    while (this.step(end));
    this.now = end;
  }
}
