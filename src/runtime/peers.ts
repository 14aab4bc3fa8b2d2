/** Between the core and the peer links: dials, sends and closes for it, and tells it what the links bring. */
import type { CoreEffect } from "../core/effects.ts";
import type { CoreEvent } from "../core/events.ts";
import { incarnationOf, nodeIdOf, type Incarnation } from "../core/identity.ts";
import type { PeerMessage } from "../core/messages.ts";
import { describeError, VouchError } from "../errors.ts";
import type { EndpointHandlers, PeerEndpoint } from "../links/endpoint.ts";
import type { Link } from "../links/link.ts";
import type { RuntimeLog } from "./options.ts";

export interface PeersOptions {
  readonly nodeId: string;
  readonly post: (event: CoreEvent) => void;
  /** `host:port` of a registered member; null when it is not registered (any more). */
  readonly addressOf: (incarnation: Incarnation) => string | null;
  readonly log: RuntimeLog;
}

type Send = Extract<CoreEffect, { type: "send" }>;

export class Peers implements EndpointHandlers {
  readonly #options: PeersOptions;
  readonly #links = new Map<number, Link>();
  /** The last reason why a peer could not be reached, so that the log says each only once. */
  readonly #lastFailure = new Map<Incarnation, string>();
  #endpoint: PeerEndpoint | null = null;

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  attach(endpoint: PeerEndpoint): void {
    this.#endpoint = endpoint;
  }

  /** Why this peer could not be reached the last time; "" when it could, or was not tried. */
  failureOf(peer: Incarnation): string {
    return this.#lastFailure.get(peer) ?? "";
  }

  // What the core asks for.

  dial(peer: Incarnation): void {
    void this.#dial(peer);
  }

  send(effect: Send): void {
    this.#links.get(effect.connection)?.send(bootIdOf(effect.to), effect.message);
  }

  disconnect(connection: number, reason: string): void {
    this.#links.get(connection)?.close(reason);
  }

  // What the links bring.

  onLink(link: Link): void {
    this.#links.set(link.number, link);
    this.#lastFailure.delete(link.peer);
    this.#options.post({ type: "connected", connection: link.number, peer: link.peer, outgoing: link.outgoing });
  }

  onMessage(link: Link, receiverBootId: string, message: PeerMessage): void {
    const to = incarnationOf(this.#options.nodeId, receiverBootId);
    this.#options.post({ type: "message", connection: link.number, to, message });
  }

  onClosed(link: Link, reason: string): void {
    this.#links.delete(link.number);
    this.#options.log("info", `the link to ${nodeIdOf(link.peer)} closed: ${reason}`, { peer: link.peer });
    this.#options.post({ type: "disconnected", connection: link.number });
  }

  onRefused(remoteAddress: string, reason: string): void {
    this.#options.log("warn", `a connection to the peer port was not accepted: ${reason}`, { remoteAddress });
  }

  async #dial(peer: Incarnation): Promise<void> {
    const address = this.#options.addressOf(peer);
    try {
      if (address === null || this.#endpoint === null) throw new Error("it is not registered with the coordinator");
      await this.#endpoint.dial(address, { nodeId: nodeIdOf(peer), bootId: bootIdOf(peer) });
    } catch (error) {
      const said = describeError(error);
      // A refusal names the peer already.
      const refused = error instanceof VouchError && error.code === "refused";
      const saysWhere = address !== null && said.startsWith(`${address} `);
      const told = saysWhere ? `at ${said}` : `cannot be reached: ${said}`;
      const reason = refused ? said : `${nodeIdOf(peer)} ${told}`;
      if (this.#lastFailure.get(peer) !== reason) {
        this.#lastFailure.set(peer, reason);
        this.#options.log("warn", reason, { peer });
      }
      this.#options.post({ type: "dial-failed", peer });
    }
  }
}

/** The boot id in an incarnation's text. */
export function bootIdOf(incarnation: Incarnation): string {
  return incarnation.slice(incarnation.lastIndexOf("/") + 1);
}
