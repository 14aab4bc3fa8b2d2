/**
 * One end of a simulated connection: the part of Bun's Socket that the peer links use, and the kernel behind it.
 *
 * What travels to this end waits in one queue, in order; a single scheduled callback, in this end's process, hands over
 * what has arrived. A process that is stopped therefore finds all of it when it goes on, and meanwhile the sender's
 * buffer fills. As in Bun, `end` and `terminate` call `close` before they return.
 */
import type { Medium, Path } from "./network-path.ts";
import type { Scheduled, SimulatedProcess } from "./virtual-time.ts";

/** As given to Bun.listen and Bun.connect. */
export interface SocketHandlers {
  open?(socket: SimulatedSocket): void;
  data?(socket: SimulatedSocket, chunk: Buffer): void;
  drain?(socket: SimulatedSocket): void;
  end?(socket: SimulatedSocket): void;
  close?(socket: SimulatedSocket, error?: Error): void;
  error?(socket: SimulatedSocket, error: Error): void;
  connectError?(socket: SimulatedSocket, error: Error): void;
}

/** What arrives: the connection itself, bytes, the other end's orderly end, or a failure. */
type Arrival =
  | { at: number; readonly kind: "open" | "end" }
  | { at: number; readonly kind: "failure"; readonly error: Error }
  | { at: number; readonly kind: "bytes"; bytes: Uint8Array; readonly apart: boolean }; // apart: not merged with what is before it

/** Sums of fractions of a ms are not exact. */
const SAME_MOMENT_MS = 1e-6;
/** Damage is done to a frame's length or array header, where no reader can take it for another message. */
const HEAD_BYTES = 5;

export function systemError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

export function connectionReset(): Error {
  return systemError("ECONNRESET", "ECONNRESET: connection reset by peer, read");
}

export class SimulatedSocket {
  /** Whatever the program keeps with its socket. */
  data: unknown = undefined;
  readonly remoteAddress = "127.0.0.1";
  readonly process: SimulatedProcess;
  /** Where this end's bytes go, and where what it gets comes from. */
  readonly outPath: Path;
  readonly inPath: Path;
  /** The other end; null while a connect is under way. */
  peer: SimulatedSocket | null = null;
  /** Nothing that happens to this end is ever told to the other one. */
  silent = false;
  /** Both ends are closed. */
  onOver: () => void = () => undefined;
  /** The outcome of a connect, for its promise. */
  onOpen: (() => void) | null = null;
  readonly #medium: Medium;
  readonly #handlers: SocketHandlers;
  #state: "opening" | "open" | "closed" = "opening";
  readonly #arrivals: Arrival[] = [];
  #lastArrivalAt = 0;
  #wake: Scheduled | null = null;
  #wakeAt = Infinity;
  /** Sent and not known to be read. */
  #underWayBytes = 0;
  /** Read here while no acknowledgement could go back. */
  #unacknowledgedBytes = 0;
  #wantsDrain = false;
  #drainScheduled = false;
  /** The last write ended within a frame. */
  #midFrame = false;
  /** When a link of limited speed has sent what it was given. */
  #sentAt = 0;
  #endSent = false;
  #giveUp: Scheduled | null = null;

  constructor(medium: Medium, process: SimulatedProcess, handlers: SocketHandlers, paths: { out: Path; in: Path }) {
    this.#medium = medium;
    this.process = process;
    this.#handlers = handlers;
    this.outPath = paths.out;
    this.inPath = paths.in;
  }

  // What the program calls.

  /** How many bytes were taken; -1 when the socket is closed. A part: `drain` follows. */
  write(bytes: Uint8Array): number {
    if (this.#state !== "open") return -1;
    const { random, settings } = this.#medium;
    const room = Math.max(0, settings.sendBufferBytes + settings.receiveBufferBytes - this.#underWayBytes);
    let taken = Math.min(bytes.length, room);
    if (taken > 1 && random.chance(settings.partialWriteChance)) taken = random.between(1, taken - 1);
    if (taken > 0) this.#send(Buffer.from(bytes.subarray(0, taken)));
    this.#midFrame = taken < bytes.length;
    if (this.#midFrame) {
      this.#wantsDrain = true;
      if (taken < room) this.#drainSoon();
    }
    return taken;
  }

  /** What was taken still arrives, then the other end hears that this was all. */
  end(bytes?: Uint8Array): void {
    if (this.#state === "closed") return;
    if (bytes !== undefined) this.write(bytes);
    this.#sayEnd();
    this.#close();
  }

  /** Drops the connection; the other end finds it reset. */
  terminate(): void {
    if (this.#state === "closed") return;
    this.#sayReset();
    this.#close();
  }

  setNoDelay(): boolean {
    return true;
  }

  // What the network does.

  get isClosed(): boolean {
    return this.#state === "closed";
  }

  /** The connection is there: told to the program at that moment. */
  willOpen(at: number): void {
    this.#enqueue({ at, kind: "open" });
  }

  /** The connection fails here; what had not arrived by then is lost. */
  fail(error: Error, at: number): void {
    if (this.#state === "closed") return;
    if (this.#arrivals.some((arrival) => arrival.kind === "failure" && arrival.at <= at)) return;
    const kept = this.#arrivals.filter((arrival) => arrival.at <= at && arrival.kind !== "failure");
    this.#arrivals.splice(0, Infinity, ...kept);
    this.#lastArrivalAt = kept.at(-1)?.at ?? 0;
    this.#enqueue({ at, kind: "failure", error });
  }

  /** The process is gone: its kernel closes the socket. With bytes that nobody read, that is a reset. */
  died(): void {
    if (this.#state === "closed") return;
    const unread = this.#arrivals.some((arrival) => arrival.kind === "bytes" && this.#isHere(arrival));
    if (unread || this.#medium.random.chance(0.5)) this.#sayReset();
    else this.#sayEnd();
    this.#shut();
  }

  /** The path to this end was cut: what is on it is lost, and comes again only after a heal. A reset comes never. */
  inPathCut(): void {
    for (let i = this.#arrivals.length - 1; i >= 0; i--) {
      const arrival = this.#arrivals[i];
      if (arrival === undefined || this.#isHere(arrival)) break;
      if (arrival.kind === "failure") this.#arrivals.splice(i, 1);
      else arrival.at = Infinity;
    }
    this.#watchProgress();
  }

  inPathHealed(delayMs: number): void {
    const at = this.inPath.arrival() + delayMs;
    for (const arrival of this.#arrivals) if (arrival.at === Infinity) arrival.at = at;
    this.#lastArrivalAt = this.#arrivals.at(-1)?.at ?? 0;
    this.#arm();
    this.#watchProgress();
  }

  outPathCut(): void {
    this.#watchProgress();
  }

  outPathHealed(): void {
    const bytes = this.#unacknowledgedBytes;
    this.#unacknowledgedBytes = 0;
    if (bytes > 0) this.peer?.acknowledged(bytes);
    this.#watchProgress();
  }

  /** From now on the other end hears nothing of what happens to this one, not even what is on its way. */
  silence(): void {
    this.silent = true;
    const peer = this.peer;
    if (peer !== null && this.#state === "closed") peer.#forgetNews();
  }

  acknowledged(bytes: number): void {
    this.#underWayBytes -= bytes;
    if (this.#wantsDrain) this.#drainSoon();
    if (this.#giveUp !== null && this.#underWayBytes === 0) this.#watchProgress();
  }

  // Sending.

  #send(bytes: Uint8Array): void {
    const { outPath, peer } = this;
    if (peer === null) return;
    if (outPath.corrupts && !this.#midFrame && bytes.length >= HEAD_BYTES) {
      outPath.corrupts = false;
      const at = this.#medium.random.below(HEAD_BYTES);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << this.#medium.random.below(8));
    }
    this.#underWayBytes += bytes.length;
    const { time, random, settings } = this.#medium;
    const parts = random.chance(settings.splitChance) ? random.between(2, 4) : 1;
    const limited = outPath.bytesPerMs !== Infinity;
    // A link of limited speed brings the beginning of a large write long before its end.
    const partBytesMax = limited ? Math.max(256, Math.ceil(outPath.bytesPerMs * 10)) : Infinity;
    let latencyMs = outPath.latencyMs();
    for (let from = 0, part = 1; from < bytes.length; part++) {
      const rest = bytes.length - from;
      const cut = part < parts ? random.between(1, rest) : rest;
      const length = Math.min(cut, partBytesMax);
      if (limited) this.#sentAt = Math.max(time.now, this.#sentAt) + length / outPath.bytesPerMs;
      const leavesAt = limited ? this.#sentAt : time.now;
      const at = outPath.isCut ? Infinity : leavesAt + latencyMs;
      peer.#enqueue({ at, kind: "bytes", bytes: bytes.subarray(from, from + length), apart: part > 1 });
      from += length;
      // Half of the pieces come at one moment, in reads of their own.
      if (from < bytes.length && random.chance(0.5)) latencyMs += outPath.latencyMs();
    }
    if (outPath.isCut || this.inPath.isCut || peer.silent) this.#watchProgress();
  }

  #sayEnd(): void {
    this.#endSent = true;
    const peer = this.peer;
    if (peer === null || peer.isClosed || this.silent) return;
    const at = this.outPath.isCut ? Infinity : Math.max(this.#sentAt, this.#medium.time.now) + this.outPath.latencyMs();
    peer.#enqueue({ at, kind: "end" });
  }

  /** A reset is sent once and never again, so a cut path swallows it. */
  #sayReset(): void {
    const peer = this.peer;
    if (peer === null || peer.isClosed || this.silent || this.outPath.isCut) return;
    peer.fail(connectionReset(), this.outPath.arrival());
  }

  #drainSoon(): void {
    if (this.#drainScheduled) return;
    this.#drainScheduled = true;
    const drain = (): void => {
      this.#drainScheduled = false;
      if (this.#state !== "open" || !this.#wantsDrain) return;
      this.#wantsDrain = false;
      this.#handlers.drain?.(this);
    };
    this.#medium.time.after(this.inPath.latencyMs(), drain, this.process);
  }

  /** Watches, while nothing can be acknowledged, that the kernel gives up in time. */
  #watchProgress(): void {
    const { time, settings } = this.#medium;
    if (this.#giveUp !== null && this.#isStuck()) return;
    if (this.#giveUp !== null) time.cancel(this.#giveUp);
    this.#giveUp = null;
    if (!this.#isStuck()) return;
    this.#giveUp = time.after(settings.unacknowledgedMs, () => {
      this.#giveUp = null;
      // What is lost stays lost; the other end hears of it when it sends something.
      if (this.peer !== null) this.peer.#dropLost();
      this.process.enter(() => {
        if (!this.isClosed) this.#failed(systemError("ETIMEDOUT", "ETIMEDOUT: connection timed out, read"));
      });
    });
  }

  #isStuck(): boolean {
    if (this.#underWayBytes === 0 && !this.#endSent) return false;
    const peer = this.peer;
    if (peer === null || (this.#state === "closed" && peer.isClosed)) return false;
    return this.outPath.isCut || this.inPath.isCut || (peer.silent && peer.isClosed);
  }

  // Receiving.

  #isHere(arrival: Arrival): boolean {
    return arrival.at <= this.#medium.time.now + SAME_MOMENT_MS;
  }

  /** Nothing overtakes what was sent before it. */
  #enqueue(arrival: Arrival): void {
    arrival.at = Math.max(arrival.at, this.#lastArrivalAt);
    this.#lastArrivalAt = arrival.at;
    this.#arrivals.push(arrival);
    this.#arm();
  }

  #arm(): void {
    const at = this.#arrivals[0]?.at ?? Infinity;
    if (at === Infinity || at >= this.#wakeAt) return;
    const { time } = this.#medium;
    if (this.#wake !== null) time.cancel(this.#wake);
    this.#wakeAt = at;
    // A closed end is the kernel's: it answers even when the process is stopped or gone.
    this.#wake = time.after(at - time.now, () => this.#receive(), this.#state === "closed" ? null : this.process);
  }

  #receive(): void {
    this.#wake = null;
    this.#wakeAt = Infinity;
    for (let next = this.#arrivals[0]; next !== undefined && this.#isHere(next); next = this.#arrivals[0]) {
      if (this.#state === "closed") {
        this.#answerAsClosed();
        break;
      }
      this.#arrivals.shift();
      this.#take(next);
    }
    this.#arm();
  }

  #take(arrival: Arrival): void {
    switch (arrival.kind) {
      case "open":
        this.#state = "open";
        this.#handlers.open?.(this);
        this.onOpen?.();
        return;
      case "bytes": {
        const chunk = this.#merged(arrival.bytes);
        this.#acknowledge(chunk.length);
        this.#handlers.data?.(this, chunk);
        return;
      }
      case "end":
        if (this.peer !== null) this.peer.#endSent = false;
        this.#handlers.end?.(this);
        if (!this.isClosed) this.#close();
        return;
      case "failure":
        this.#failed(arrival.error);
        return;
      default:
        arrival satisfies never;
    }
  }

  /** One read takes what is there, up to a limit. */
  #merged(first: Uint8Array): Buffer {
    const parts = [first];
    let length = first.length;
    for (let next = this.#arrivals[0]; next !== undefined; next = this.#arrivals[0]) {
      if (next.kind !== "bytes" || next.apart || !this.#isHere(next)) break;
      if (length + next.bytes.length > this.#medium.settings.readBytesMax) break;
      this.#arrivals.shift();
      parts.push(next.bytes);
      length += next.bytes.length;
    }
    return parts.length === 1 ? Buffer.from(first.buffer, first.byteOffset, first.length) : Buffer.concat(parts);
  }

  #acknowledge(bytes: number): void {
    if (this.outPath.isCut) this.#unacknowledgedBytes += bytes;
    else this.peer?.acknowledged(bytes);
  }

  /** Bytes for a socket that is no more are answered by a reset. */
  #answerAsClosed(): void {
    const hadBytes = this.#arrivals.some((arrival) => arrival.kind === "bytes" && this.#isHere(arrival));
    const later = this.#arrivals.filter((arrival) => !this.#isHere(arrival));
    this.#arrivals.splice(0, Infinity, ...later);
    if (hadBytes) this.#sayReset();
  }

  #failed(error: Error): void {
    const wasOpening = this.#state === "opening";
    this.#shut();
    if (wasOpening) this.#handlers.connectError?.(this, error);
    else this.#handlers.close?.(this, error);
    this.onFailure?.(error);
  }

  /** A connect that failed, for its promise. */
  onFailure: ((error: Error) => void) | null = null;

  #close(): void {
    this.#shut();
    this.#handlers.close?.(this);
  }

  #shut(): void {
    this.#state = "closed";
    const { time } = this.#medium;
    if (this.#wake !== null) time.cancel(this.#wake);
    this.#wake = null;
    this.#wakeAt = Infinity;
    const peer = this.peer;
    if (peer === null || peer.isClosed) {
      this.#abandon();
      if (peer !== null) peer.#abandon();
      this.onOver();
      return;
    }
    this.#arm();
    this.#watchProgress();
    peer.#watchProgress();
  }

  /** Nobody is left at either end. */
  #abandon(): void {
    const { time } = this.#medium;
    this.#arrivals.length = 0;
    for (const item of [this.#wake, this.#giveUp]) if (item !== null) time.cancel(item);
    this.#wake = null;
    this.#giveUp = null;
  }

  #dropLost(): void {
    const kept = this.#arrivals.filter((arrival) => arrival.at !== Infinity);
    this.#arrivals.splice(0, Infinity, ...kept);
    this.#lastArrivalAt = kept.at(-1)?.at ?? 0;
  }

  #forgetNews(): void {
    const kept = this.#arrivals.filter((arrival) => arrival.kind === "bytes" || arrival.kind === "open");
    this.#arrivals.splice(0, Infinity, ...kept);
    this.#lastArrivalAt = kept.at(-1)?.at ?? 0;
    this.#watchProgress();
  }
}
