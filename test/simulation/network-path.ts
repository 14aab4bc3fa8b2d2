/** One direction between two nodes of the simulated network, and what is wrong with it. All connections between them share it. */
import type { Random } from "./random.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** May be changed at any time; what is under way keeps what it was given. */
export interface NetworkSettings {
  /** One way, of each write; the low end is the more likely one. */
  latencyMs: readonly [low: number, high: number];
  /** That what one write took arrives in several pieces. */
  splitChance: number;
  /** That a write is taken only in part although there is room. */
  partialWriteChance: number;
  /** What a sender may have under way before its writes are refused; a reader that sleeps adds its own buffer. */
  sendBufferBytes: number;
  receiveBufferBytes: number;
  /** The most that one `data` callback gets. */
  readBytesMax: number;
  /** After a heal, lost bytes come again after at most this, and at most as late as the cut was long (back-off). */
  retransmitMsMax: number;
  /** A sender whose bytes were not acknowledged this long gives its connection up. */
  unacknowledgedMs: number;
  /** A connect that nobody answers gives up after this. */
  connectTimeoutMs: number;
}

export const defaultNetworkSettings: NetworkSettings = {
  latencyMs: [0.2, 4],
  splitChance: 0.05,
  partialWriteChance: 0.01,
  sendBufferBytes: 256 * 1024,
  receiveBufferBytes: 256 * 1024,
  readBytesMax: 256 * 1024,
  retransmitMsMax: 2_000,
  unacknowledgedMs: 30_000,
  connectTimeoutMs: 60_000,
};

/** What paths and sockets share. */
export interface Medium {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly settings: NetworkSettings;
}

export class Path {
  readonly from: string;
  readonly to: string;
  readonly #medium: Medium;
  /** null while bytes pass. */
  cutSince: number | null = null;
  slowMs = 0;
  bytesPerMs = Infinity;
  /** The next frame that leaves is damaged. */
  corrupts = false;

  constructor(medium: Medium, from: string, to: string) {
    this.#medium = medium;
    this.from = from;
    this.to = to;
  }

  get isCut(): boolean {
    return this.cutSince !== null;
  }

  /** A draw of how long a packet needs, in ms. */
  latencyMs(): number {
    const { random, settings } = this.#medium;
    const [low, high] = settings.latencyMs;
    const x = random.next();
    return low + (high - low) * x * x + this.slowMs;
  }

  /** A draw of when a packet that leaves now is there; Infinity: only after a heal. */
  arrival(): number {
    return this.isCut ? Infinity : this.#medium.time.now + this.latencyMs();
  }
}
