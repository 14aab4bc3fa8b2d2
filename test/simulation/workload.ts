/**
 * What the world asks of the cell: records over time (bursts, duplicates of a task id some ms apart on any partition, gaps), and what
 * handlers and checks do with them. Decided by the seed alone, whatever the cell does.
 */
import { quarantineMs } from "../../src/core/settings.ts";
import type { Behaviour, CheckPlan, RunPlan } from "./handlers.ts";
import type { Run, SimulationSettings } from "./observer.ts";
import type { Random } from "./random.ts";
import type { Simulation } from "./simulation.ts";

/** A duplicate names one of so many last task ids. */
const RECENT_IDS = 40;

export class Workload implements Behaviour {
  /** Handlers end quickly and well, checks tell the truth: set when no more faults come. */
  calm = false;
  /** Chance that a check answers badly, and that handlers are slow, while such a fault lasts. */
  checkTrouble = 0;
  slowness = 0;
  readonly #settings: SimulationSettings;
  readonly #records: Random;
  readonly #handlers: Random;
  readonly #checks: Random;
  readonly #words: Random;
  readonly #total: number;
  readonly #failureRate: number;
  readonly #hangRate: number;
  readonly #conflictRate: number;
  readonly #gapRate: number;
  readonly #slowRate: number;
  readonly #unsureRate: number;
  readonly #ids: string[] = [];
  readonly #payloads: number[] = [];
  #produced = 0;

  constructor(random: Random, settings: SimulationSettings, tasksMax: number) {
    this.#settings = settings;
    this.#records = random.split("records");
    this.#handlers = random.split("handlers");
    this.#checks = random.split("checks");
    this.#words = random.split("words");
    const shape = random.split("shape");
    this.#total = Math.min(tasksMax, shape.pick([60, 80, 120, 120, 160, 320]));
    this.#failureRate = shape.pick([0, 0.02, 0.1, 0.3]);
    this.#hangRate = shape.pick([0, 0, 0.004, 0.02]);
    this.#conflictRate = shape.pick([0, 0, 0.1]);
    this.#gapRate = shape.pick([0, 0, 0.1]);
    this.#slowRate = shape.pick([0.02, 0.1, 0.3]);
    this.#unsureRate = this.#words.pick([0, 0, 0.02, 0.1]);
  }

  get produced(): number {
    return this.#produced;
  }

  /** Spreads the records over the time of the faults, with a first burst and most of the rest in bursts too. */
  schedule(simulation: Simulation): void {
    const random = this.#records;
    let left = this.#total;
    const burst = (at: number, count: number): void => {
      left -= count;
      for (let i = 0; i < count; i++) simulation.time.after(at + random.below(20), () => this.#produce(simulation));
    };
    burst(0, Math.min(left, random.between(1, 40)));
    while (left > 0) burst(random.below(this.#settings.faultMs * 0.97), Math.min(left, random.pick([1, 1, 3, 10, 40])));
  }

  #produce(simulation: Simulation): void {
    const random = this.#records;
    this.#produced++;
    const partition = random.below(this.#settings.partitions);
    if (random.chance(this.#gapRate)) simulation.kafka.gap(partition, random.between(1, 3));
    if (!random.chance(this.#settings.headerIds)) {
      simulation.produce(partition, null, 1);
      return;
    }
    const known = this.#ids.length;
    if (known > 0 && random.chance(this.#settings.duplicateIds)) {
      const index = Math.max(0, known - 1 - random.below(RECENT_IDS));
      const payload = random.chance(this.#conflictRate) ? this.#payloads[index]! + 1 : this.#payloads[index]!;
      simulation.produce(partition, this.#ids[index]!, payload);
      return;
    }
    const id = `id${known}`;
    this.#ids.push(id);
    this.#payloads.push(1);
    simulation.produce(partition, id, 1);
    // The same task again within a tenth of a second, wherever.
    if (random.chance(this.#settings.duplicateIds / 2))
      simulation.time.after(random.below(100), () =>
        simulation.produce(random.below(this.#settings.partitions), id, 1),
      );
  }

  runPlan(_run: Run): RunPlan {
    const random = this.#handlers;
    const { effectSettleMs, timing } = this.#settings;
    const plan: RunPlan = {
      beforeMs: random.below(20),
      afterMs: random.below(5),
      landMs: random.chance(0.1) ? random.next() * (effectSettleMs - 2) : 0,
      outcome: "success",
      stoppedMs: 0,
      blockMs: 0,
    };
    if (this.calm) return plan;
    const slow = this.slowness > 0 ? 0.5 : this.#slowRate;
    const beforeMs = random.chance(slow)
      ? random.below(random.chance(0.8) ? timing.leaseMs : timing.handlerTimeoutMs * 0.9)
      : plan.beforeMs;
    if (random.chance(this.#hangRate)) return { ...plan, beforeMs, outcome: random.chance(0.7) ? "hang" : "deaf" };
    if (random.chance(this.#failureRate)) {
      return { ...plan, beforeMs, outcome: this.#words.chance(0.1) ? "failed-for-good" : "failure" };
    }
    if (this.#words.chance(this.#unsureRate)) {
      const landMs = this.#words.chance(0.5) ? this.#words.next() * (this.#settings.effectSettleMs - 2) : plan.landMs;
      return { ...plan, beforeMs, landMs, outcome: "unsure" };
    }
    const afterMs = random.chance(slow / 3) ? random.below(timing.leaseMs) : plan.afterMs;
    return { ...plan, beforeMs, afterMs, ...this.#surprise() };
  }

  /** What only some runs enable: the process stops before the handler's first instruction, or the handler blocks the loop. */
  #surprise(): Pick<RunPlan, "stoppedMs" | "blockMs"> {
    const random = this.#handlers;
    const { faults, timing } = this.#settings;
    const takeover = quarantineMs(timing) + timing.kafkaSessionMs;
    const stops = faults.includes("stop-before-handler") && random.chance(0.005);
    const blocks = faults.includes("block") && random.chance(0.003);
    return {
      stoppedMs: stops ? random.below(random.chance(0.5) ? timing.leaseMs : 2 * takeover) + 1 : 0,
      blockMs: blocks ? random.below(random.chance(0.6) ? timing.leaseMs : timing.sessionMs * 1.5) + 1 : 0,
    };
  }

  checkPlan(_taskId: string): CheckPlan {
    const random = this.#checks;
    const ms = random.below(20);
    if (this.calm || !random.chance(this.checkTrouble))
      return { ms, answer: this.#settings.checkIsTruthful || random.chance(0.8) ? "truth" : "lie" };
    return { ms, answer: random.pick(["unknown", "throw", "hang"] as const) };
  }
}
