/** A connection whose handshake is through, as the runtime sees it. */
import type { Incarnation } from "../core/identity.ts";
import type { PeerMessage } from "../core/messages.ts";
import { MessageEncoder } from "../wire/codec.ts";
import type { Connection } from "./connection.ts";

/** One for all links: its buffer is copied into a link's queue before the next message is encoded. */
const encoder = new MessageEncoder();

export class Link {
  readonly number: number; // unique within its endpoint
  readonly peer: Incarnation;
  readonly outgoing: boolean; // this node dialled
  readonly remoteAddress: string;
  readonly #connection: Connection;

  constructor(connection: Connection, peer: Incarnation) {
    this.number = connection.number;
    this.peer = peer;
    this.outgoing = connection.outgoing;
    this.remoteAddress = connection.remoteAddress;
    this.#connection = connection;
  }

  /** Leaves with everything else that is sent in this turn. On a closed link it does nothing: `onClosed` told. */
  send(receiverBootId: string, message: PeerMessage): void {
    if (this.#connection.state !== "open") return;
    this.#connection.send(encoder.encode(receiverBootId, message));
  }

  get unsentBytes(): number {
    return this.#connection.unsentBytes;
  }

  /** Flushes, then ends; `onClosed` is called before this returns. */
  close(reason: string): void {
    this.#connection.close(reason);
  }
}
