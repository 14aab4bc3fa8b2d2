/** Endpoints and raw sockets for link tests; everything made here is closed by `await using`. */
import type { Socket } from "bun";
import type { PeerMessage } from "../../src/core/messages.ts";
import { PeerEndpoint } from "../../src/links/endpoint.ts";
import type { PeerIdentity } from "../../src/links/handshake.ts";
import type { Link } from "../../src/links/link.ts";
import { defaultLinkSettings, type LinkSettings } from "../../src/links/link-settings.ts";

export function identity(nodeId: string, changes: Partial<PeerIdentity> = {}): PeerIdentity {
  const parameters = [
    { name: "topics", value: "orders" },
    { name: "span", value: "20000" },
  ];
  const bootId = Bun.hash.crc32(nodeId).toString(16).padStart(8, "0").repeat(4);
  return { cell: "main", clusterUuid: "c".repeat(32), nodeId, bootId, parameters, ...changes };
}

/** An endpoint that writes down what happens to it. */
export class Recorder implements AsyncDisposable {
  readonly endpoint: PeerEndpoint;
  readonly self: PeerIdentity;
  readonly links: Link[] = [];
  readonly messages: { link: Link; receiver: string; message: PeerMessage }[] = [];
  readonly closed: { link: Link; reason: string }[] = [];
  readonly refused: string[] = [];
  onMessage: (link: Link, message: PeerMessage) => void = () => undefined;

  constructor(self: PeerIdentity, settings: Partial<LinkSettings> = {}, listen = "127.0.0.1:0") {
    this.self = self;
    this.endpoint = new PeerEndpoint({
      listen,
      insecure: false,
      settings: { ...defaultLinkSettings, ...settings },
      handlers: {
        onLink: (link) => this.links.push(link),
        onMessage: (link, receiver, message) => {
          this.messages.push({ link, receiver, message });
          this.onMessage(link, message);
        },
        onClosed: (link, reason) => this.closed.push({ link, reason }),
        onRefused: (_address, reason) => this.refused.push(reason),
      },
    });
    this.endpoint.identify(self);
  }

  dial(other: Recorder): Promise<Link> {
    return this.endpoint.dial(other.endpoint.address, other.self);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endpoint[Symbol.asyncDispose]();
  }
}

/** A socket without our protocol. */
export class RawSocket implements Disposable {
  readonly received: Buffer[] = [];
  readonly #closed = Promise.withResolvers<void>();
  #socket: Socket | null = null;

  static async open(address: string): Promise<RawSocket> {
    const raw = new RawSocket();
    const [host, port] = address.split(":");
    raw.#socket = await Bun.connect({
      hostname: host!,
      port: Number(port),
      socket: {
        data: (_socket, chunk) => {
          raw.received.push(chunk);
        },
        close: () => raw.#closed.resolve(),
        error: () => raw.#closed.resolve(),
      },
    });
    return raw;
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.received);
  }

  write(bytes: Uint8Array): number {
    return this.#socket?.write(bytes) ?? -1;
  }

  pause(): void {
    this.#socket?.pause();
  }

  [Symbol.dispose](): void {
    this.#socket?.terminate();
  }
}

/** Waits for something that a socket will bring about; the test's own time limit ends it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(2);
}
