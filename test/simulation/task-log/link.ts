/**
 * The way between a process and the brokers: requests and answers take their time, and vanish when one does not reach the
 * other at the moment. Everything that a process hears comes through here, in its name.
 */
import type { Random } from "../random.ts";
import type { SimulatedProcess, VirtualTime } from "../virtual-time.ts";
import { type KafkaSettings, within } from "./settings.ts";

/** Requests of one connection: they arrive in the order in which they were sent. */
export class Channel {
  lastArrivalAt = 0;
}

/** Of a millisecond: what is sent later arrives later. */
const APART_MS = 1 / 1_024;

export class BrokerLink {
  readonly time: VirtualTime;
  readonly settings: KafkaSettings;
  readonly random: Random;
  reaches: (process: SimulatedProcess) => boolean = () => true;
  /** By node: so much longer each way. */
  readonly slowMs = new Map<string, number>();

  constructor(time: VirtualTime, random: Random, settings: KafkaSettings) {
    this.time = time;
    this.random = random;
    this.settings = settings;
  }

  /** Whether a packet that this process sent now would come through: it runs and is not cut. */
  hears(process: SimulatedProcess): boolean {
    return process.state === "running" && this.reaches(process);
  }

  /** From the process to a broker; `arrive` runs in the world. `lost` is for bookkeeping: nobody hears of it. */
  send(process: SimulatedProcess, arrive: () => void, lost: () => void = nothing, channel?: Channel): void {
    if (!this.reaches(process)) return lost();
    let at = this.time.now + this.#latencyMs(process);
    if (channel !== undefined) {
      at = Math.max(at, channel.lastArrivalAt + APART_MS);
      channel.lastArrivalAt = at;
    }
    this.time.after(at - this.time.now, () => {
      if (this.reaches(process)) arrive();
      else lost();
    });
  }

  /** From a broker to the process; `run` runs in the process. */
  answer(process: SimulatedProcess, run: () => void, lost: () => void = nothing, extraMs = 0): void {
    if (process.state === "dead" || !this.reaches(process)) return lost();
    this.time.after(this.#latencyMs(process) + extraMs, () => {
      if (this.reaches(process)) process.enter(run);
      else lost();
    });
  }

  #latencyMs(process: SimulatedProcess): number {
    return within(this.random, this.settings.latencyMs) + (this.slowMs.get(process.name) ?? 0);
  }
}

function nothing(): void {
  // Nobody hears of it.
}
