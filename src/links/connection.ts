/**
 * One socket between two nodes: frames in, frames out, deadlines. Written once for both ends.
 *
 *   hello    until the handshake is through; only its frames are accepted; leaves by `open` or a close
 *   open     peer messages flow both ways
 *   closing  nothing is accepted; what was queued is flushed, then the socket ends
 *   closed   final
 *
 * Guarantees: everything sent in one turn leaves in one write; a slow reader costs at most `unsentBytesMax`; whatever
 * the other end sends, the result is a frame handed over or a close with a reason. `onClosed` comes exactly once.
 */
import type { Socket } from "bun";
import assert from "node:assert/strict";
import { describeError, VouchError } from "../errors.ts";
import { messageBytesMax } from "../wire/codec.ts";
import { FrameParser } from "../wire/frame.ts";
import { helloBytesMax } from "../wire/hello.ts";
import { BULK_BYTES_MAX } from "../wire/limits.ts";
import type { LinkCounters, LinkSettings } from "./link-settings.ts";
import { WriteQueue } from "./write-queue.ts";

export interface ConnectionOwner {
  /** A frame of the handshake; throws VouchError when it is not acceptable. */
  onHello(connection: Connection, body: Uint8Array): void;
  /** A frame with a peer message; throws VouchError "protocol" when it cannot be decoded. */
  onMessage(connection: Connection, body: Uint8Array): void;
  onClosed(connection: Connection, reason: string): void;
  /** The socket is gone; nothing more follows. */
  onEnded(connection: Connection): void;
}

type State = "hello" | "open" | "closing" | "closed";

export class Connection {
  readonly number: number;
  readonly outgoing: boolean;
  readonly remoteAddress: string;
  readonly #socket: Socket<Connection>;
  readonly #owner: ConnectionOwner;
  readonly #settings: LinkSettings;
  readonly #counters: LinkCounters;
  readonly #queue: WriteQueue;
  readonly #parser: FrameParser;
  #state: State = "hello";
  #flushScheduled = false;
  /** True from a write that was taken in part until the socket drains. */
  #blocked = false;
  #startedAt = performance.now();
  #receivedAt = this.#startedAt;
  /** When the frame that is incomplete now began; 0 between frames. */
  #frameSince = 0;
  #closingSince = 0;

  constructor(
    number: number,
    socket: Socket<Connection>,
    outgoing: boolean,
    owner: ConnectionOwner,
    settings: LinkSettings,
    counters: LinkCounters,
  ) {
    this.number = number;
    this.outgoing = outgoing;
    this.remoteAddress = socket.remoteAddress;
    this.#socket = socket;
    this.#owner = owner;
    this.#settings = settings;
    this.#counters = counters;
    this.#queue = new WriteQueue((bytes) => this.#write(bytes), settings.unsentBytesMax);
    this.#parser = new FrameParser((kind) => this.#limitOf(kind), BULK_BYTES_MAX);
  }

  get state(): State {
    return this.#state;
  }

  get unsentBytes(): number {
    return this.#queue.unsentBytes;
  }

  /** The handshake is through: from the next frame on, peer messages are expected. */
  open(): void {
    assert(this.#state === "hello");
    this.#state = "open";
  }

  /** Queues a frame; it leaves at the end of this turn. The body may be reused at once. */
  send(body: Uint8Array): void {
    if (this.#state !== "hello" && this.#state !== "open") return;
    if (!this.#queue.push(body)) {
      this.#counters.unsentOverflows++;
      this.destroy(`more than ${this.#settings.unsentBytesMax} bytes wait to be sent: the other end reads too slowly`);
      return;
    }
    this.#counters.framesOut++;
    if (this.#flushScheduled || this.#blocked) return;
    this.#flushScheduled = true;
    queueMicrotask(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  /** Flushes what was queued, then ends. The reason is for this side's log. */
  close(reason: string): void {
    if (this.#state === "closing" || this.#state === "closed") return;
    this.#state = "closing";
    this.#closingSince = performance.now();
    this.#owner.onClosed(this, reason);
    this.#flush();
  }

  /** Ends at once, with whatever was not sent. */
  destroy(reason: string): void {
    if (this.#state === "closed") return;
    const told = this.#state === "closing";
    this.#state = "closed";
    if (!told) this.#owner.onClosed(this, reason);
    this.#socket.terminate();
  }

  /** Called a few times a second: every deadline of this connection. */
  sweep(now: number): void {
    const settings = this.#settings;
    if (this.#state === "hello" && now - this.#startedAt > settings.handshakeTimeoutMs) {
      this.#counters.handshakeTimeouts++;
      this.destroy(`no handshake within ${settings.handshakeTimeoutMs} ms`);
    } else if (this.#state === "open" && this.#frameSince > 0 && now - this.#frameSince > settings.frameTimeoutMs) {
      this.#counters.frameTimeouts++;
      this.destroy(`a frame was not complete within ${settings.frameTimeoutMs} ms`);
    } else if (this.#state === "open" && now - this.#receivedAt > settings.idleCloseMs) {
      this.#counters.idleCloses++;
      this.destroy(`nothing was received for ${settings.idleCloseMs} ms`);
    } else if (this.#state === "closing" && now - this.#closingSince > settings.closeFlushMs) {
      this.destroy("closing took too long");
    }
  }

  // What the socket reports.

  received(chunk: Uint8Array): void {
    if (this.#state !== "hello" && this.#state !== "open") return;
    this.#counters.bytesIn += chunk.length;
    this.#receivedAt = performance.now();
    const wasMidFrame = this.#parser.midFrame;
    let completed = false;
    try {
      this.#parser.push(chunk, (_kind, body) => {
        completed = true;
        return this.#take(body);
      });
    } catch (error) {
      // Only what the other end did is forgiven; an assert of our own must end the process.
      if (!(error instanceof VouchError)) throw error;
      if (error.code === "protocol") this.#counters.protocolErrors++;
      // Orderly, so that a refusal that was queued still reaches the other end.
      this.close(describeError(error));
      return;
    }
    if (!this.#parser.midFrame) this.#frameSince = 0;
    else if (!wasMidFrame || completed) this.#frameSince = this.#receivedAt;
  }

  drained(): void {
    this.#blocked = false;
    this.#flush();
  }

  /** The socket is closed, whoever did it. */
  ended(error: Error | undefined): void {
    const told = this.#state === "closing" || this.#state === "closed";
    this.#state = "closed";
    if (!told) this.#owner.onClosed(this, error === undefined ? "the other end closed" : describeError(error));
    this.#owner.onEnded(this);
  }

  #take(body: Uint8Array): boolean {
    this.#counters.framesIn++;
    if (this.#state === "hello") this.#owner.onHello(this, body);
    else this.#owner.onMessage(this, body);
    return this.#state === "hello" || this.#state === "open";
  }

  #limitOf(kind: number): number {
    return this.#state === "hello" ? helloBytesMax(kind) : messageBytesMax(kind);
  }

  #write(bytes: Uint8Array): number {
    const taken = this.#socket.write(bytes);
    if (taken > 0) this.#counters.bytesOut += taken;
    return taken;
  }

  #flush(): void {
    if (this.#blocked || this.#state === "closed") return;
    const result = this.#queue.flush();
    if (result === "blocked") {
      this.#blocked = true;
    } else if (result === "empty") {
      // `end` with bytes still queued would truncate them, so it comes only now.
      if (this.#state === "closing") this.#socket.end();
    } else {
      this.destroy("the socket is closed");
    }
  }
}
