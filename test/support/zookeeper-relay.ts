/**
 * A relay between one node and ZooKeeper that learns the node's session as it is opened. It can expire that session at the
 * server (as a server does whose client was not heard of), and hold everything back in both directions.
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { parseConnectString } from "../../src/coordinator/zookeeper/connect-string.ts";
import { ZooKeeperConnection } from "../../src/coordinator/zookeeper/connection.ts";
import type { SessionTicket } from "../../src/coordinator/zookeeper/session-supervisor.ts";

const TICKET_BYTES = 4 + 4 + 4 + 8 + 4 + 16; // frame length, protocol, time-out, session, the password's length, password
const END_SESSION_MS = 5_000;

export class ZooKeeperRelay implements AsyncDisposable {
  readonly #server: Server;
  readonly #target: string;
  readonly #sockets = new Set<Socket>();
  readonly #sessions: SessionTicket[] = [];
  #held = false;

  private constructor(target: string) {
    this.#target = target;
    this.#server = createServer((client) => this.#accept(client));
  }

  /** @param target "host:port" of a ZooKeeper server */
  static async start(target: string): Promise<ZooKeeperRelay> {
    const relay = new ZooKeeperRelay(target);
    relay.#server.listen(0, "127.0.0.1");
    await once(relay.#server, "listening");
    return relay;
  }

  get address(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the relay has no port");
    return `127.0.0.1:${address.port}`;
  }

  /** Sessions that were opened or resumed through it, by id, in their order. */
  get sessions(): readonly string[] {
    return [...new Set(this.#sessions.map(({ id }) => id))];
  }

  /** The server ends the session that the node has now: its ephemeral nodes go at once, and the node hears of it afterwards. */
  async expireSession(): Promise<void> {
    const resume = this.#sessions.at(-1);
    const [server] = parseConnectString(this.#target).servers;
    if (resume === undefined || server === undefined) throw new Error("no session was opened through this relay");
    const ready = Promise.withResolvers<void>();
    const other = new ZooKeeperConnection(
      { server, sessionMs: resume.timeoutMs, resume, zxid: 0n, auth: null, nowMs: () => performance.now() },
      {
        handshake: () => ready.resolve(),
        expired: () => ready.reject(new Error("the session is over already")),
        answered: () => undefined,
        ended: (reason) => ready.reject(new Error(reason)),
      },
    );
    await ready.promise;
    await other.endSession(END_SESSION_MS);
  }

  /** From now on nothing passes, on connections that stay open and on new ones. */
  hold(): void {
    this.#held = true;
    for (const socket of this.#sockets) socket.pause();
  }

  release(): void {
    this.#held = false;
    for (const socket of this.#sockets) socket.resume();
  }

  #accept(client: Socket): void {
    const [host = "", port = "0"] = this.#target.split(":");
    const upstream = upstreamOf(client, host, Number(port), this.#sockets);
    let first = Buffer.alloc(0);
    client.on("data", (chunk: Buffer) => upstream.write(chunk));
    upstream.on("data", (chunk: Buffer) => {
      if (first.length < TICKET_BYTES) {
        first = Buffer.concat([first, chunk]);
        this.#learn(first);
      }
      client.write(chunk);
    });
    if (this.#held) for (const socket of [client, upstream]) socket.pause();
  }

  /** The answer to the handshake: a session that is over has the time-out 0. */
  #learn(bytes: Buffer): void {
    if (bytes.length < TICKET_BYTES) return;
    const timeoutMs = bytes.readInt32BE(8);
    if (timeoutMs === 0) return;
    this.#sessions.push({
      id: bytes.toString("hex", 12, 20),
      password: bytes.toString("hex", 24, 40),
      timeoutMs,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }
}

/** A relay's other half of a connection: both ends are in `sockets` while they are open, and end together. */
export function upstreamOf(client: Socket, host: string, port: number, sockets: Set<Socket>): Socket {
  const upstream = connect({ host, port });
  const pair = [client, upstream];
  for (const socket of pair) {
    sockets.add(socket);
    socket.on("error", () => undefined); // its close follows
    socket.on("close", () => {
      sockets.delete(socket);
      for (const other of pair) other.destroy();
    });
  }
  return upstream;
}
