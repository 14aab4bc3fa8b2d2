/**
 * What a client has fetched and not handed over yet. Mostly nothing; now and then it holds everything back for a while, and
 * what was fetched before a pause or a seek then comes after it, as the port's contract allows. In order, always.
 *
 * A join drops what is held, except for nodes named in `spurious.lateBatches`: there it comes in the next generation, stamped
 * with the old one (a client whose buffers outlive their assignment).
 */
import type { RecordBatch } from "../../../src/task-log/task-log.ts";
import type { Random } from "../random.ts";
import type { SimulatedProcess } from "../virtual-time.ts";
import type { Brokers } from "./brokers.ts";
import { within } from "./settings.ts";

const BATCHES_MAX = 16;
const LATE_CHANCE = 0.5;

export class HandOver {
  readonly #process: SimulatedProcess;
  readonly #brokers: Brokers;
  readonly #random: Random;
  readonly #sink: { onBatch(batch: RecordBatch): void; onDrained(): void };
  #held: RecordBatch[] = [];
  #overdue: RecordBatch[] = [];
  #opened = 0; // counts the times that it was opened or closed

  constructor(
    process: SimulatedProcess,
    brokers: Brokers,
    random: Random,
    sink: { onBatch(batch: RecordBatch): void; onDrained(): void },
  ) {
    this.#process = process;
    this.#brokers = brokers;
    this.#random = random;
    this.#sink = sink;
  }

  get isFull(): boolean {
    return this.#held.length >= BATCHES_MAX;
  }

  add(batch: RecordBatch): void {
    if (this.#held.length > 0) {
      this.#held.push(batch);
      return;
    }
    const late = this.#brokers.spurious.lateBatches.has(this.#process.name);
    const { prefetchChance, prefetchMs } = this.#brokers.link.settings;
    if (!this.#random.chance(late ? LATE_CHANCE : prefetchChance)) return this.#sink.onBatch(batch);
    this.#brokers.counters.heldBatches++;
    this.#held.push(batch);
    const opened = this.#opened;
    this.#brokers.link.time.after(
      within(this.#random, prefetchMs),
      () => {
        if (opened !== this.#opened) return;
        this.flush();
        this.#sink.onDrained();
      },
      this.#process,
    );
  }

  /** Hands over what is held. */
  flush(): void {
    const opened = this.#opened;
    for (let next = this.#held.shift(); next !== undefined; next = this.#held.shift()) {
      this.#sink.onBatch(next);
      if (opened !== this.#opened) return; // what was called began a join, or a stop
    }
  }

  close(): void {
    this.#opened++;
    if (this.#brokers.spurious.lateBatches.has(this.#process.name)) this.#overdue.push(...this.#held);
    this.#held = [];
  }

  open(): void {
    this.#opened++;
    if (this.#overdue.length === 0) return;
    const opened = this.#opened;
    this.#brokers.link.time.after(
      within(this.#random, this.#brokers.link.settings.prefetchMs),
      () => {
        const overdue = this.#overdue.splice(0);
        if (opened === this.#opened) for (const batch of overdue) this.#sink.onBatch(batch);
      },
      this.#process,
    );
  }
}
