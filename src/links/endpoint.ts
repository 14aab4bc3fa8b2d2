/**
 * A node's end of all peer links: one listening port, the dialled links, their handshakes and their deadlines.
 *
 * Guarantees: `onLink` only for peers of the same cell, cluster, version and parameter set, whose incarnation is the one
 * that was dialled; limits on sockets before the handshake (SEC5); after disposal no socket, port or timer is left.
 */
import type { Socket, TCPSocketListener } from "bun";
import assert from "node:assert/strict";
import { describeError, listenError, VouchError } from "../errors.ts";
import { incarnationOf } from "../core/identity.ts";
import type { PeerMessage } from "../core/messages.ts";
import { decodeMessage } from "../wire/codec.ts";
import { decodeHello, encodeHello, encodeRefusal } from "../wire/hello.ts";
import { formatAddress, parseAddress, requireSafeBind } from "./address.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import { helloTo, judgeHello, type ExpectedPeer, type PeerIdentity } from "./handshake.ts";
import { Link } from "./link.ts";
import { newLinkCounters, type LinkCounters, type LinkSettings } from "./link-settings.ts";

const SWEEP_INTERVAL_MS = 200;

export interface EndpointHandlers {
  onLink(link: Link): void;
  /** `receiverBootId` is whom the sender meant (R2); typed arrays in the message are the receiver's to keep. */
  onMessage(link: Link, receiverBootId: string, message: PeerMessage): void;
  onClosed(link: Link, reason: string): void;
  /** A socket that never became a link, for the log. */
  onRefused(remoteAddress: string, reason: string): void;
}

interface Dial {
  readonly expected: ExpectedPeer;
  readonly resolve: (link: Link) => void;
  readonly reject: (error: Error) => void;
}

export interface EndpointOptions {
  readonly listen: string; // host:port, port 0 for any free one
  readonly insecure: boolean; // allow an address that is not loopback
  readonly settings: LinkSettings;
  readonly handlers: EndpointHandlers;
}

export class PeerEndpoint {
  readonly counters: LinkCounters = newLinkCounters();
  readonly #settings: LinkSettings;
  readonly #handlers: EndpointHandlers;
  readonly #listener: TCPSocketListener<Connection>;
  readonly #host: string;
  readonly #connections = new Set<Connection>();
  readonly #links = new Map<Connection, Link>();
  /** Dials whose caller still waits. */
  readonly #dialling = new Set<Dial>();
  /** Those of them whose socket is open. */
  readonly #dials = new Map<Connection, Dial>();
  readonly #owner: ConnectionOwner;
  readonly #sweeper: ReturnType<typeof setInterval>;
  #identity: PeerIdentity | null = null;
  #lastNumber = 0;
  #disposed: PromiseWithResolvers<void> | null = null;

  /**
   * Binds at once; peers are refused until `identify` was called.
   * @throws ConfigurationError for an address that is not loopback, unless `insecure`; VouchError "configuration" when
   * the address cannot be bound.
   */
  constructor(options: EndpointOptions) {
    const { host, port } = parseAddress(options.listen);
    requireSafeBind(host, options.insecure);
    this.#host = host;
    this.#settings = options.settings;
    this.#handlers = options.handlers;
    this.#owner = {
      onHello: (connection, body) => this.#onHello(connection, body),
      onMessage: (connection, body) => this.#onMessage(connection, body),
      onClosed: (connection, reason) => this.#onClosed(connection, reason),
      onEnded: (connection) => this.#onEnded(connection),
    };
    try {
      this.#listener = Bun.listen<Connection>({
        hostname: host,
        port,
        socket: { ...socketHandlers, open: (socket) => this.#accept(socket) },
      });
    } catch (error) {
      throw listenError("peer-listen", options.listen, error);
    }
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS);
  }

  /** Where this endpoint listens, with the port that was given. */
  get address(): string {
    return formatAddress({ host: this.#host, port: this.#listener.port });
  }

  get linkCount(): number {
    return this.#links.size;
  }

  /** From now on handshakes can succeed. */
  identify(identity: PeerIdentity): void {
    this.#identity = identity;
  }

  /**
   * Resolves after `onLink` was called for it.
   * @throws VouchError "unavailable" when nobody answers in time, "refused" when the other end is not whom we want or
   * does not want us, "closed" after disposal.
   */
  async dial(address: string, expected: ExpectedPeer): Promise<Link> {
    if (this.#disposed !== null) throw new VouchError("closed", "the peer endpoint is closed");
    const { host, port } = parseAddress(address);
    const { promise, resolve, reject } = Promise.withResolvers<Link>();
    // TCP and handshake share one deadline; a socket that opens after it is dropped.
    const deadline = setTimeout(
      () =>
        reject(new VouchError("unavailable", `${address} did not answer in ${this.#settings.handshakeTimeoutMs} ms`)),
      this.#settings.handshakeTimeoutMs,
    );
    const dial: Dial = { expected, resolve, reject };
    this.#dialling.add(dial);
    try {
      Bun.connect<Connection>({
        hostname: host,
        port,
        socket: {
          ...socketHandlers,
          open: (socket) => {
            if (this.#dialling.has(dial)) this.#dialled(socket, dial);
            else socket.terminate();
          },
          connectError: (_socket, error) => reject(error),
        },
      }).catch(reject);
      return await promise;
    } catch (error) {
      // The caller was told that it failed, so no link may come of it any more.
      for (const [connection, other] of this.#dials) if (other === dial) connection.destroy("the dial failed");
      if (error instanceof VouchError) throw error;
      throw new VouchError("unavailable", `${address} cannot be reached`, { cause: error });
    } finally {
      this.#dialling.delete(dial);
      clearTimeout(deadline);
    }
  }

  /** Closes the port, flushes and ends every link, and waits until all are gone. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed === null) {
      this.#disposed = Promise.withResolvers();
      this.#listener.stop();
      for (const dial of this.#dialling) dial.reject(new VouchError("closed", "the peer endpoint is closed"));
      for (const connection of this.#connections) connection.close("this node closes its links");
      this.#settleDisposal();
    }
    await this.#disposed.promise;
  }

  #accept(socket: Socket<Connection>): void {
    const { unauthenticatedMax, unauthenticatedPerAddressMax } = this.#settings;
    let waiting = 0;
    let waitingThere = 0;
    for (const connection of this.#connections) {
      if (connection.outgoing || connection.state !== "hello") continue;
      waiting++;
      if (connection.remoteAddress === socket.remoteAddress) waitingThere++;
    }
    if (this.#disposed !== null || waiting >= unauthenticatedMax || waitingThere >= unauthenticatedPerAddressMax) {
      this.counters.unauthenticatedRejected++;
      socket.terminate();
      return;
    }
    this.counters.accepted++;
    this.#add(socket, false);
  }

  #dialled(socket: Socket<Connection>, dial: Dial): void {
    this.counters.dialled++;
    const connection = this.#add(socket, true);
    this.#dials.set(connection, dial);
    if (this.#identity === null) connection.close("this node is still starting");
    else connection.send(encodeHello("hello", helloTo(this.#identity, dial.expected)));
  }

  #add(socket: Socket<Connection>, outgoing: boolean): Connection {
    const number = ++this.#lastNumber;
    const connection = new Connection(number, socket, outgoing, this.#owner, this.#settings, this.counters);
    socket.data = connection;
    socket.setNoDelay(true);
    this.#connections.add(connection);
    return connection;
  }

  #onHello(connection: Connection, body: Uint8Array): void {
    const self = this.#identity;
    const dial = this.#dials.get(connection);
    const frame = decodeHello(body);
    if (frame.type === "refused") throw new VouchError("refused", `the other end refused: ${frame.reason}`);
    if (frame.type !== (dial === undefined ? "hello" : "accepted")) {
      throw new VouchError("protocol", `"${frame.type}" is not this end's turn`);
    }
    const judgement: ReturnType<typeof judgeHello> =
      self === null
        ? { accepted: false, reason: "this node is still starting" }
        : judgeHello(self, frame, dial?.expected ?? null);
    if (!judgement.accepted) {
      connection.send(encodeRefusal(judgement.reason));
      throw new VouchError("refused", judgement.reason);
    }
    const { nodeId, bootId } = judgement.hello;
    assert(self !== null);
    if (dial === undefined) connection.send(encodeHello("accepted", helloTo(self, { nodeId, bootId })));
    connection.open();
    const link = new Link(connection, incarnationOf(nodeId, bootId));
    this.#links.set(connection, link);
    this.#dials.delete(connection);
    this.#handlers.onLink(link);
    dial?.resolve(link);
  }

  #onMessage(connection: Connection, body: Uint8Array): void {
    const link = this.#links.get(connection);
    assert(link !== undefined);
    const { receiverBootId, message } = decodeMessage(body);
    this.#handlers.onMessage(link, receiverBootId, message);
  }

  #onClosed(connection: Connection, reason: string): void {
    const link = this.#links.get(connection);
    this.#links.delete(connection);
    if (link !== undefined) {
      this.#handlers.onClosed(link, reason);
      return;
    }
    const dial = this.#dials.get(connection);
    this.#dials.delete(connection);
    this.counters.handshakesRefused++;
    // Who dialled hears it from its call; who was called, here.
    if (dial === undefined) this.#handlers.onRefused(connection.remoteAddress, reason);
    else dial.reject(new VouchError("refused", `no link to ${dial.expected.nodeId}: ${reason}`));
  }

  #onEnded(connection: Connection): void {
    this.#connections.delete(connection);
    this.#settleDisposal();
  }

  #sweep(): void {
    const now = performance.now();
    for (const connection of this.#connections) connection.sweep(now);
  }

  #settleDisposal(): void {
    if (this.#disposed === null || this.#connections.size > 0) return;
    clearInterval(this.#sweeper);
    this.#disposed.resolve();
  }
}

/** The same for both ends; a socket that was never adopted has no data. */
const socketHandlers = {
  data(socket: Socket<Connection>, chunk: Buffer): void {
    (socket.data as Connection | undefined)?.received(chunk);
  },
  drain(socket: Socket<Connection>): void {
    (socket.data as Connection | undefined)?.drained();
  },
  close(socket: Socket<Connection>, error?: Error): void {
    (socket.data as Connection | undefined)?.ended(error);
  },
  error(socket: Socket<Connection>, error: Error): void {
    // Bun also reports here what a handler of ours threw: a programmer's error, which must not be swallowed.
    if (/^E[A-Z]+$/.test(errorCode(error))) (socket.data as Connection | undefined)?.destroy(describeError(error));
    else queueMicrotask(() => endProcess(error));
  },
};

/** System errors have codes like ECONNRESET. */
function errorCode(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}

function endProcess(cause: Error): never {
  throw new Error(`a handler of a peer link failed: ${cause.message}`, { cause });
}
