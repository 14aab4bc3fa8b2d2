/**
 * The one loop of a node: events queue up, each is given to the core, and the effects are carried out in order before the
 * next event. Everything that one turn of the event loop brought is handled in that turn.
 *
 * Guarantees: the core is never entered twice at once; before every step the senses are asked (coordinator's deadline,
 * clocks), so no decision is made on a view that is known to be old. No timer but one tick; no promise a task.
 */
import assert from "node:assert/strict";
import type { CoreEffect } from "../core/effects.ts";
import type { CoreEvent } from "../core/events.ts";

export interface DrivenCore {
  /** `more`: the next event is there already; what the core does once a turn may wait for it. */
  step(event: CoreEvent, now: number, more: boolean): readonly CoreEffect[];
}

export interface DriverOptions {
  readonly core: DrivenCore;
  /** Milliseconds of the monotonic clock. */
  readonly now: () => number;
  readonly carryOut: (effect: CoreEffect) => void;
  /** Asked before every step; an event that one answers is handled first. */
  readonly senses: readonly ((now: number) => CoreEvent | null)[];
  /** Called at each tick, before the core hears of it. */
  readonly onTick: (now: number) => void;
}

export const BUSY_TICK_MS = 20;
export const IDLE_TICK_MS = 100;
/**
 * After so many events in one turn of the event loop the sockets and timers get theirs, also when each event comes of the
 * one before through a promise (a commit that the embedded log answers at once, and that makes the next one due).
 */
const EVENTS_PER_TURN_MAX = 1_000;
/** So many events at most share one turn of the core: no answer waits for a long queue. */
const EVENTS_TOGETHER_MAX = 16;

export class Driver {
  readonly #options: DriverOptions;
  #queue: CoreEvent[] = [];
  #head = 0;
  #scheduled = false;
  /** Events handled since this loop last let the event loop come round; it does so after so many of them, however they came. */
  #handled = 0;
  #stepping = false;
  /** Events since the last one with which the core had its turn. */
  #together = 0;
  #running = false;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #timerMs = 0;
  /** Something else than a tick happened since the last tick. */
  #busy = false;

  constructor(options: DriverOptions) {
    this.#options = options;
  }

  /** Events posted before are handled now. */
  start(): void {
    assert(!this.#running);
    this.#running = true;
    this.#arm(BUSY_TICK_MS);
    this.#schedule();
  }

  /** Nothing is handled any more, also not what is queued. */
  stop(): void {
    this.#running = false;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#queue = [];
    this.#head = 0;
  }

  /** Handled in this turn of the event loop, after what was posted before. */
  post(event: CoreEvent): void {
    this.#queue.push(event);
    if (!this.#running) return;
    this.#schedule();
    // It comes all the time, and what it allows is done in its own turn.
    if (event.type === "watchdog") return;
    this.#busy = true;
    // A node that was idle must not wait out its long tick for what this event sets going.
    if (this.#timerMs > BUSY_TICK_MS) this.#arm(BUSY_TICK_MS);
  }

  #schedule(): void {
    if (this.#scheduled || this.#stepping) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#turn());
  }

  #turn(): void {
    this.#scheduled = false;
    while (this.#running && this.#head < this.#queue.length) {
      if (this.#handled >= EVENTS_PER_TURN_MAX) {
        this.#goOnLater();
        return;
      }
      this.#handled++;
      const event = this.#queue[this.#head++];
      assert(event !== undefined);
      if (this.#head === this.#queue.length) {
        this.#queue = [];
        this.#head = 0;
      }
      this.#together++;
      const last = this.#head >= this.#queue.length || this.#handled >= EVENTS_PER_TURN_MAX;
      const more = !last && this.#together < EVENTS_TOGETHER_MAX;
      if (!more) this.#together = 0;
      this.#handle(event, more);
    }
  }

  /** The sockets and timers have their turn, and then what is left. */
  #goOnLater(): void {
    this.#scheduled = true;
    setImmediate(() => {
      this.#handled = 0;
      this.#turn();
    });
  }

  #handle(event: CoreEvent, more: boolean): void {
    for (const sense of this.#options.senses) {
      const sensed = sense(this.#options.now());
      if (sensed !== null) this.#step(sensed, true);
    }
    this.#step(event, more);
  }

  #step(event: CoreEvent, more: boolean): void {
    if (!this.#running) return;
    assert(!this.#stepping, "the core was entered twice");
    this.#stepping = true;
    try {
      for (const effect of this.#options.core.step(event, this.#options.now(), more)) this.#options.carryOut(effect);
    } finally {
      this.#stepping = false;
    }
  }

  #arm(delayMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerMs = delayMs;
    this.#timer = setTimeout(() => this.#tick(), delayMs);
  }

  #tick(): void {
    const wasBusy = this.#busy;
    this.#options.onTick(this.#options.now());
    this.#queue.push({ type: "tick" });
    this.#schedule();
    this.#busy = false;
    this.#arm(wasBusy ? BUSY_TICK_MS : IDLE_TICK_MS);
  }
}
