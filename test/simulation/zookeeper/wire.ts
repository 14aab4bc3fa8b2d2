/**
 * One simulated TCP connection between a process and a server: two directions, each in order. While the two cannot reach each other
 * nothing arrives; what was sent is sent again, at longer and longer intervals, and arrives late when they can, or the
 * connection ends after `GIVE_UP_MS`. A connection on which nothing is sent notices nothing.
 */
import type { Random } from "../random.ts";
import type { SimulatedProcess, VirtualTime } from "../virtual-time.ts";

const RESEND_FIRST_MS = 200;
const RESEND_MAX_MS = 5_000;
const GIVE_UP_MS = 15_000;
/** Two messages of one direction never arrive at the same moment, where chance would order them. */
const APART_MS = 0.001;

export interface WireOptions {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly process: SimulatedProcess;
  readonly reaches: (process: SimulatedProcess) => boolean;
  /** Least and most of one way. */
  readonly latencyMs: readonly [low: number, high: number];
}

class Direction {
  #lastAt = 0;
  readonly #held: (() => void)[] = [];
  readonly #options: WireOptions;
  readonly #deliver: (run: () => void) => void;
  readonly #giveUp: () => void;

  constructor(options: WireOptions, deliver: (run: () => void) => void, giveUp: () => void) {
    this.#options = options;
    this.#deliver = deliver;
    this.#giveUp = giveUp;
  }

  send(run: () => void, extraMs: number): void {
    const { time, random, latencyMs } = this.#options;
    const [low, high] = latencyMs;
    const at = Math.max(this.#lastAt + APART_MS, time.now + low + (high - low) * random.next() + extraMs);
    this.#lastAt = at;
    time.after(at - time.now, () => this.#arrive(run));
  }

  #arrive(run: () => void): void {
    if (this.#held.length === 0 && this.#options.reaches(this.#options.process)) {
      this.#deliver(run);
      return;
    }
    if (this.#held.push(run) === 1) this.#resendAfter(RESEND_FIRST_MS, this.#options.time.now);
  }

  #resendAfter(ms: number, heldSince: number): void {
    const { time, reaches, process } = this.#options;
    time.after(ms, () => {
      if (reaches(process)) {
        for (const run of this.#held.splice(0)) this.#deliver(run);
      } else if (time.now - heldSince >= GIVE_UP_MS) {
        this.#held.length = 0;
        this.#giveUp();
      } else {
        this.#resendAfter(Math.min(2 * ms, RESEND_MAX_MS), heldSince);
      }
    });
  }
}

export class Wire {
  /** Called at both ends when the connection breaks down: at the server in the world's name, at the client in its process. */
  onBroken: { readonly atServer: () => void; readonly atClient: () => void } | null = null;
  readonly process: SimulatedProcess;
  #isBroken = false;
  readonly #toServer: Direction;
  readonly #toClient: Direction;

  constructor(options: WireOptions) {
    this.process = options.process;
    const giveUp = (): void => this.#break();
    this.#toServer = new Direction(options, (run) => this.#unlessBroken(run), giveUp);
    this.#toClient = new Direction(options, (run) => this.#unlessBroken(() => this.process.enter(run)), giveUp);
  }

  toServer(run: () => void): void {
    this.#toServer.send(run, 0);
  }

  /** `extraMs`: held back at the server for so long, with everything behind it. */
  toClient(run: () => void, extraMs = 0): void {
    this.#toClient.send(run, extraMs);
  }

  #unlessBroken(run: () => void): void {
    if (!this.#isBroken) run();
  }

  #break(): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.onBroken?.atServer();
    this.process.enter(() => this.onBroken?.atClient());
  }
}
