/** One direction between two nodes of the simulated network, and what is wrong with it. All connections between them share it. */
import type { Arrival } from "./network-arrivals.ts";
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

/** Damage is done to a frame's length or array header, where no reader can take it for another message. */
const HEAD_BYTES = 5;
/** A link of limited speed brings about so much at once. */
const LIMITED_PIECE_MS = 10;
const LIMITED_PIECE_BYTES_MIN = 256;

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
  /** When a path of limited speed has sent what it was given. */
  #freeAt = 0;

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

  /** Changes one bit of a frame's head; `bytes` begins with a frame. */
  damage(bytes: Uint8Array): void {
    if (bytes.length < HEAD_BYTES) return;
    this.corrupts = false;
    const { random } = this.#medium;
    const at = random.below(HEAD_BYTES);
    bytes[at] = bytes[at]! ^ (1 << random.below(8));
  }

  /** What one write took, as it arrives. */
  pieces(bytes: Uint8Array): Arrival[] {
    const { time, random, settings } = this.#medium;
    const parts = random.chance(settings.splitChance) ? random.between(2, 4) : 1;
    const isLimited = this.bytesPerMs !== Infinity;
    const limitBytes = Math.max(LIMITED_PIECE_BYTES_MIN, Math.ceil(this.bytesPerMs * LIMITED_PIECE_MS));
    const pieces: Arrival[] = [];
    let latencyMs = this.latencyMs();
    for (let from = 0; from < bytes.length;) {
      const rest = bytes.length - from;
      const length = Math.min(pieces.length + 1 < parts ? random.between(1, rest) : rest, limitBytes);
      if (isLimited) this.#freeAt = Math.max(time.now, this.#freeAt) + length / this.bytesPerMs;
      const at = this.isCut ? Infinity : (isLimited ? this.#freeAt : time.now) + latencyMs;
      pieces.push({ at, kind: "bytes", bytes: bytes.subarray(from, from + length), apart: pieces.length > 0 });
      from += length;
      // Half of the pieces come at one moment, in reads of their own.
      if (pieces.length < parts && random.chance(0.5)) latencyMs += this.latencyMs();
    }
    return pieces;
  }

  /** Takes away what makes it slow. */
  clear(): void {
    this.slowMs = 0;
    this.bytesPerMs = Infinity;
    this.#freeAt = 0;
  }
}
