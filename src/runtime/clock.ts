/**
 * Notices that the wall clock moved against the monotonic one: a step of the wall clock, or a machine that was suspended
 * while the monotonic clock stood still. Either way a lease that looks valid may not be (protocol, section 5).
 */

/** Slewing by a time service stays far below this between two looks. */
const DISAGREEMENT_MAX_MS = 250;

export interface Clocks {
  readonly monotonicMs: () => number;
  readonly wallMs: () => number;
}

export const systemClocks: Clocks = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };

export class ClockWatch {
  readonly #clocks: Clocks;
  #difference: number;

  constructor(clocks: Clocks = systemClocks) {
    this.#clocks = clocks;
    this.#difference = clocks.wallMs() - clocks.monotonicMs();
  }

  /** True when the clocks moved apart since the last look. */
  jumped(): boolean {
    const difference = this.#clocks.wallMs() - this.#clocks.monotonicMs();
    const moved = Math.abs(difference - this.#difference);
    this.#difference = difference;
    return moved > DISAGREEMENT_MAX_MS;
  }
}
