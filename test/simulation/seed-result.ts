/** What a worker is asked for and what it answers: plain data, so that it crosses between processes. `runSeed` takes and gives these. */
import type { HistoryEvent } from "./history.ts";
import type { SimulationSettings } from "./observer.ts";

/** What may be fixed about a run beside its seed; every field left out is the seed's own decision. */
export interface SeedOptions {
  /** Settings that take the place of what the seed decided. */
  readonly overrides?: Partial<SimulationSettings>;
  /** Indexes of the seed's fault plan that are kept; the others do not happen. */
  readonly faultsOnly?: readonly number[];
  /** At most so many records are produced. */
  readonly tasksMax?: number;
  /** Invariants that are not checked ("I3"): for the proof that checkers are needed. */
  readonly without?: readonly string[];
  /** The result carries the whole event log. */
  readonly withHistory?: boolean;
}

export interface SeedViolation {
  readonly invariant: string;
  readonly message: string;
  readonly at: number; // virtual ms
}

export interface SeedResult {
  readonly seed: number;
  readonly violation: SeedViolation | null;
  /** Of the event log; equal for every run of this seed on the same sources. */
  readonly hash: string;
  readonly virtualMs: number;
  /** From the start until no more faults came. */
  readonly faultMs: number;
  /** Records delivered at least once. */
  readonly tasks: number;
  /** Attempts of handlers. */
  readonly runs: number;
  readonly faults: Readonly<Record<string, number>>; // by kind
  readonly elections: number;
  readonly doubts: Readonly<Record<string, number>>; // by outcome
  /** Rows of the failure matrix whose trigger met its state and whose outcome was checked. */
  readonly rows: readonly string[];
  readonly nodes: number;
  /** Callbacks that ran. */
  readonly events: number;
  readonly settings: SimulationSettings;
  /** The fault plan, one line each; the index is what `faultsOnly` names. */
  readonly plan: readonly string[];
  readonly history?: readonly HistoryEvent[];
}
