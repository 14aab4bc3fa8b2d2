/** Results on their way to the core: per partition in typed arrays, handed over once a turn. */
import type { CheckAnswer, Outcome } from "../core/events.ts";
import type { PartitionId } from "../core/identity.ts";

const CAPACITY_FIRST = 64;

class PartitionResults {
  readonly pid: PartitionId;
  offsets = new Float64Array(CAPACITY_FIRST);
  outcomes = new Uint8Array(CAPACITY_FIRST);
  count = 0;
  readonly #filled: PartitionResults[];

  constructor(pid: PartitionId, filled: PartitionResults[]) {
    this.pid = pid;
    this.#filled = filled;
  }

  add(offset: number, outcome: Outcome): void {
    if (this.count === 0) this.#filled.push(this);
    if (this.count === this.offsets.length) this.#grow();
    this.offsets[this.count] = offset;
    this.outcomes[this.count] = outcome;
    this.count++;
  }

  #grow(): void {
    const offsets = new Float64Array(this.offsets.length * 2);
    offsets.set(this.offsets);
    const outcomes = new Uint8Array(this.outcomes.length * 2);
    outcomes.set(this.outcomes);
    this.offsets = offsets;
    this.outcomes = outcomes;
  }
}

export interface OutboxHandlers {
  readonly onResults: (pid: PartitionId, offsets: Float64Array, outcomes: Uint8Array) => void;
  readonly onCheckResult: (pid: PartitionId, offset: number, stamp: number, answer: CheckAnswer, epoch: number) => void;
  readonly onSetAside: (pid: PartitionId, offset: number, acknowledged: boolean) => void;
}

interface CheckResult {
  readonly pid: PartitionId;
  readonly offset: number;
  readonly epoch: number;
  readonly stamp: number;
  readonly answer: CheckAnswer;
}

interface SetAsideResult {
  readonly pid: PartitionId;
  readonly offset: number;
  readonly acknowledged: boolean;
}

/**
 * A turn of the event loop, not a microtask, closes a batch: everything that one turn's sockets and timers ended goes to the
 * core as one event, and no handler of results ever runs inside a call of the runner. Its size is bounded by the tasks that
 * the core has in flight.
 */
export class Outbox {
  readonly #handlers: OutboxHandlers;
  readonly #onFlushed: () => void;
  readonly #partitions = new Map<PartitionId, PartitionResults>();
  /** Those with results, in the order of their first. */
  readonly #filled: PartitionResults[] = [];
  #checks: CheckResult[] = [];
  #setAsides: SetAsideResult[] = [];
  #scheduled: ReturnType<typeof setImmediate> | null = null;

  /** `onFlushed` is called at the end of each hand-over. */
  constructor(handlers: OutboxHandlers, onFlushed: () => void) {
    this.#handlers = handlers;
    this.#onFlushed = onFlushed;
  }

  /** Where results of this partition are added; call `schedule` after the last one. */
  partition(pid: PartitionId): PartitionResults {
    let results = this.#partitions.get(pid);
    if (results === undefined) {
      results = new PartitionResults(pid, this.#filled);
      this.#partitions.set(pid, results);
    }
    return results;
  }

  check(result: CheckResult): void {
    this.#checks.push(result);
    this.schedule();
  }

  setAside(result: SetAsideResult): void {
    this.#setAsides.push(result);
    this.schedule();
  }

  schedule(): void {
    this.#scheduled ??= setImmediate(() => this.#flush());
  }

  /** Nothing waits to be handed over. */
  empty(): boolean {
    return this.#scheduled === null;
  }

  #flush(): void {
    this.#scheduled = null;
    for (const results of this.#filled.splice(0)) {
      const { pid, count } = results;
      results.count = 0;
      this.#handlers.onResults(pid, results.offsets.slice(0, count), results.outcomes.slice(0, count));
    }
    const checks = this.#checks;
    const setAsides = this.#setAsides;
    this.#checks = [];
    this.#setAsides = [];
    for (const result of checks) {
      this.#handlers.onCheckResult(result.pid, result.offset, result.stamp, result.answer, result.epoch);
    }
    for (const result of setAsides) this.#handlers.onSetAside(result.pid, result.offset, result.acknowledged);
    this.#onFlushed();
  }
}
