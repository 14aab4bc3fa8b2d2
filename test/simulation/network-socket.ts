/**
 * One end of a simulated connection: the part of Bun's Socket that the peer links use, and the kernel behind it.
 *
 * What travels to this end waits in one queue, in order; a single scheduled callback, in this end's process, hands over
 * what has arrived. A process that is stopped therefore finds all of it when it goes on, and meanwhile the sender's
 * buffer fills. As in Bun, `end` and `terminate` call `close` before they return.
 *
 * Above 300 lines because both directions of a socket share one state: what ends the one ends the other.
 */
import { Arrivals, type Arrival } from "./network-arrivals.ts";
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
  onFailure: ((error: Error) => void) | null = null;
  readonly #medium: Medium;
  readonly #handlers: SocketHandlers;
  #state: "opening" | "open" | "closed" = "opening";
  readonly #arrivals = new Arrivals();
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
    this.#arrivals.fail(error, at);
    this.#arm();
  }

  /** The process is gone: its kernel closes the socket. With bytes that nobody read, that is a reset. */
  died(): void {
    if (this.#state === "closed") return;
    if (this.#arrivals.hasBytes(this.#medium.time.now) || this.#medium.random.chance(0.5)) this.#sayReset();
    else this.#sayEnd();
    this.#shut();
  }

  /** The path to this end was cut: what is on it is lost, and comes again only after a heal. */
  inPathCut(): void {
    this.#arrivals.lose(this.#medium.time.now);
    this.#watchProgress();
  }

  inPathHealed(delayMs: number): void {
    this.#arrivals.bringAgain(this.inPath.arrival() + delayMs);
    this.#arm();
    this.#watchProgress();
  }

  /** The path to this end became faster: what a slow one still has comes no later than what is sent now. */
  inPathHurries(): void {
    this.#arrivals.hurry(this.inPath.arrival());
    this.#arm();
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
    if (this.peer === null || this.#state !== "closed") return;
    this.peer.#arrivals.dropEnds();
    this.peer.#watchProgress();
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
    if (outPath.corrupts && !this.#midFrame) outPath.damage(bytes);
    this.#underWayBytes += bytes.length;
    for (const piece of outPath.pieces(bytes)) peer.#enqueue(piece);
    if (outPath.isCut || this.inPath.isCut || peer.silent) this.#watchProgress();
  }

  #sayEnd(): void {
    this.#endSent = true;
    const peer = this.peer;
    if (peer === null || peer.isClosed || this.silent) return;
    peer.#enqueue({ at: this.outPath.arrival(), kind: "end" });
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
      if (this.peer !== null) this.peer.#arrivals.dropLost();
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

  #enqueue(arrival: Arrival): void {
    this.#arrivals.add(arrival);
    this.#arm();
  }

  #arm(): void {
    const at = this.#arrivals.nextAt;
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
    const { now } = this.#medium.time;
    while (this.#state !== "closed") {
      const arrival = this.#arrivals.takeDue(now);
      if (arrival === null) break;
      this.#take(arrival);
    }
    if (this.#state === "closed") this.#answerAsClosed();
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
        const { time, settings } = this.#medium;
        const chunk = this.#arrivals.read(arrival.bytes, time.now, settings.readBytesMax);
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

  #acknowledge(bytes: number): void {
    if (this.outPath.isCut) this.#unacknowledgedBytes += bytes;
    else this.peer?.acknowledged(bytes);
  }

  /** Bytes for a socket that is no more are answered by a reset. */
  #answerAsClosed(): void {
    const { now } = this.#medium.time;
    if (this.#arrivals.hasBytes(now)) this.#sayReset();
    this.#arrivals.dropHere(now);
  }

  #failed(error: Error): void {
    const wasOpening = this.#state === "opening";
    this.#shut();
    if (wasOpening) this.#handlers.connectError?.(this, error);
    else this.#handlers.close?.(this, error);
    this.onFailure?.(error);
  }

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
    this.#arrivals.clear();
    for (const item of [this.#wake, this.#giveUp]) if (item !== null) time.cancel(item);
    this.#wake = null;
    this.#giveUp = null;
  }
}
