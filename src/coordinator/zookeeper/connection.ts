/**
 * One TCP connection to one ZooKeeper server, through one `node-zookeeper-client` object that lives no longer than it.
 *
 * The library reconnects by itself, and that is where it fails: it takes the rest of a torn frame from the next connection,
 * never notices a silent server, and forgets the callbacks of what it queued meanwhile. So here it never reconnects: the
 * supervisor opens a new connection (another library object) that names the same session id and password.
 *
 * Guarantees
 * - Z4: each request has exactly one outcome; when the connection ends, the unanswered ones are "unknown".
 * - Z5: nothing is queued before the handshake is answered, so authentication goes out first.
 * - Z8: a frame that declares more than `FRAME_BYTES_MAX`, or that the library cannot read, ends the connection.
 * - After `dispose` nothing is sent and no listener is called: the server ends the session by itself.
 */
import zookeeper, { type Client, type ErrorOnly, type Stat } from "node-zookeeper-client";
import { describeError } from "../../errors.ts";
import type { Connection, ConnectionListener, ConnectionOptions } from "./connection-port.ts";
import {
  type NodeData,
  type Operation,
  type Reply,
  SESSION_EXPIRED,
  assertGuards,
  ownerOf,
  replyOf,
  versionNumber,
} from "./requests.ts";
import type { SessionTicket } from "./session-supervisor.ts";

/** ZooKeeper's own default limit is 1 MiB a node; a list of members stays far below. */
const FRAME_BYTES_MAX = 4 * 1024 * 1024;

export class ZooKeeperConnection implements Connection {
  readonly #client: Client;
  readonly #options: ConnectionOptions;
  readonly #acl: readonly unknown[];
  readonly #unanswered = new Set<() => void>();
  #listener: ConnectionListener | null;
  #ready = false;

  constructor(options: ConnectionOptions, listener: ConnectionListener) {
    this.#options = options;
    this.#listener = listener;
    this.#acl = options.auth === null ? zookeeper.ACL.OPEN_ACL_UNSAFE : zookeeper.ACL.CREATOR_ALL_ACL;
    this.#client = zookeeper.createClient(`${options.server.host}:${options.server.port}`, {
      sessionTimeout: options.sessionMs,
      spinDelay: 0,
      retries: 0,
      ...(options.resume === null
        ? {}
        : {
            sessionId: Buffer.from(options.resume.id, "hex"),
            sessionPassword: Buffer.from(options.resume.password, "hex"),
          }),
    });
    this.#open();
  }

  /** The newest transaction seen on this connection, or what it began with. */
  get zxid(): bigint {
    const seen = this.#client.connectionManager.zxid;
    const value = seen.length === 8 ? seen.readBigInt64BE() : 0n;
    return value > this.#options.zxid ? value : this.#options.zxid;
  }

  #open(): void {
    const { auth, server, zxid } = this.#options;
    const manager = this.#client.connectionManager;
    if (auth !== null) this.#client.addAuthInfo(auth.scheme, Buffer.from(auth.credentials));
    manager.zxid = Buffer.alloc(8);
    manager.zxid.writeBigInt64BE(zxid);
    // At once, not in a later turn: a connection that was disposed of meanwhile would be opened all the same.
    manager.findNextServer = (callback) => callback({ host: server.host, port: server.port });
    this.#guardFrames();
    this.#client.on("connected", () => this.#onHandshake());
    this.#client.on("expired", () => this.#finish((listener) => listener.expired()));
    this.#client.on("authenticationFailed", () =>
      this.#finish((listener) => listener.ended("it refuses the credentials")),
    );
    this.#client.connect();
    manager.connect = () => undefined; // the library's own reconnect
    let reason = "the connection was closed";
    manager.socket?.on("error", (error: Error) => {
      reason = describeError(error);
    });
    manager.socket?.on("close", () => this.#finish((listener) => listener.ended(reason)));
  }

  /** The library trusts the declared length, and throws into the socket's event for what it cannot read. */
  #guardFrames(): void {
    const manager = this.#client.connectionManager;
    const read = manager.onSocketData.bind(manager);
    manager.onSocketData = (chunk) => {
      if (this.#listener === null) return;
      const pending = manager.pendingBuffer ?? Buffer.alloc(0);
      const head = pending.length >= 4 ? pending : Buffer.concat([pending, chunk.subarray(0, 4)]);
      const declared = head.length >= 4 ? head.readInt32BE(0) : 0;
      if (declared < 0 || declared > FRAME_BYTES_MAX) {
        this.#finish((listener) => listener.ended(`it sent a frame of ${declared} bytes (limit ${FRAME_BYTES_MAX})`));
        return;
      }
      try {
        read(chunk);
      } catch (error) {
        this.#finish((listener) => listener.ended(`it sent something unreadable: ${describeError(error)}`));
      }
    };
  }

  #onHandshake(): void {
    const client = this.#client;
    const ticket: SessionTicket = {
      id: client.getSessionId().toString("hex"),
      password: client.getSessionPassword().toString("hex"),
      timeoutMs: client.getSessionTimeout(),
    };
    // The library is in the middle of its own handling of the answer: let it finish before anything is sent or disposed of.
    queueMicrotask(() => {
      if (this.#listener === null) return;
      this.#ready = true;
      this.#listener.handshake(ticket);
    });
  }

  /** Ends this connection, and tells the listener why as the last thing that it hears. */
  #finish(tell: (listener: ConnectionListener) => void): void {
    const listener = this.#listener;
    if (listener === null) return;
    this.dispose();
    tell(listener);
  }

  /** Drops the connection without ending the session. Unanswered requests become "unknown". Idempotent. */
  dispose(): void {
    this.#listener = null;
    this.#ready = false;
    const manager = this.#client.connectionManager;
    if (manager.connectTimeoutHandler !== null) clearTimeout(manager.connectTimeoutHandler);
    this.#client.removeAllListeners();
    manager.removeAllListeners();
    manager.pendingBuffer = null;
    manager.socket?.setTimeout(0); // the library's ping timer
    manager.socket?.destroy();
    for (const settle of this.#unanswered) settle();
  }

  /** Asks the server to end the session, with its ephemeral nodes. Resolves when it has, or after `withinMs`. */
  async endSession(withinMs: number): Promise<void> {
    const socket = this.#client.connectionManager.socket;
    this.#listener = null;
    if (this.#ready && socket !== undefined) {
      this.#ready = false;
      const closed = Promise.withResolvers<void>();
      socket.once("close", () => closed.resolve());
      this.#client.close();
      const timer = setTimeout(() => closed.resolve(), withinMs);
      await closed.promise;
      clearTimeout(timer);
    }
    this.dispose();
  }

  create(path: string, text: string, mode: "persistent" | "ephemeral"): Promise<Reply<void>> {
    const flags = mode === "ephemeral" ? zookeeper.CreateMode.EPHEMERAL : zookeeper.CreateMode.PERSISTENT;
    return this.#request((settle) => {
      this.#client.create(path, Buffer.from(text), this.#acl, flags, (error) => settle(error, () => undefined));
    });
  }

  /** Whether the node exists. With `watcher`: called once, when it is created, changed or deleted. */
  exists(path: string, watcher?: () => void): Promise<Reply<boolean>> {
    return this.#request((settle) => {
      const answer = (error: ErrorOnly, stat?: Stat | null): void => settle(error, () => (stat ?? null) !== null);
      if (watcher === undefined) this.#client.exists(path, answer);
      else this.#client.exists(path, watcher, answer);
    });
  }

  getData(path: string): Promise<Reply<NodeData>> {
    return this.#request((settle) => {
      this.#client.getData(path, (error, data, stat) =>
        settle(error, () => ({
          text: data?.toString("utf8") ?? "",
          version: stat?.version ?? 0,
          owner: ownerOf(stat),
        })),
      );
    });
  }

  /** The children's names. With `watcher`: called once, when one is added or removed. */
  getChildren(path: string, watcher?: () => void): Promise<Reply<readonly string[]>> {
    return this.#request((settle) => {
      const answer = (error: ErrorOnly, names?: readonly string[]): void => settle(error, () => names ?? []);
      if (watcher === undefined) this.#client.getChildren(path, answer);
      else this.#client.getChildren(path, watcher, answer);
    });
  }

  /** The new version. Outside a `multi` version 0 is sent as what it is. */
  setData(path: string, text: string, version: number | "any"): Promise<Reply<number>> {
    return this.#request((settle) => {
      this.#client.setData(path, Buffer.from(text), versionNumber(version), (error, stat) =>
        settle(error, () => stat?.version ?? 0),
      );
    });
  }

  /**
   * All of the operations or none. The value holds the new version of each "set", 0 for the others.
   * @throws RangeError for a version below 1: the library would send 0 as "any version", and a guard would not guard.
   */
  multi(operations: readonly Operation[]): Promise<Reply<readonly number[]>> {
    for (const operation of operations) assertGuards(operation);
    return this.#request((settle) => {
      const transaction = this.#client.transaction();
      for (const operation of operations) {
        switch (operation.type) {
          case "create-ephemeral": {
            const { path, text } = operation;
            transaction.create(path, Buffer.from(text), this.#acl, zookeeper.CreateMode.EPHEMERAL);
            break;
          }
          case "check":
            transaction.check(operation.path, operation.version);
            break;
          case "set":
            transaction.setData(operation.path, Buffer.from(operation.text), versionNumber(operation.version));
            break;
          case "remove":
            transaction.remove(operation.path, versionNumber(operation.version));
            break;
          default:
            operation satisfies never;
        }
      }
      transaction.commit((error, results) => {
        const failed = results?.findIndex((result) => result.err !== undefined && result.err !== 0) ?? -1;
        settle(error, () => (results ?? []).map((result) => result.stat?.version ?? 0), failed);
      });
    });
  }

  #request<T>(
    send: (settle: (error: ErrorOnly, value: () => T, operation?: number) => void) => void,
  ): Promise<Reply<T>> {
    if (!this.#ready) return Promise.resolve({ kind: "unsent" });
    return new Promise((resolve) => {
      const sentAtMs = this.#options.nowMs();
      const abandon = (): void => {
        this.#unanswered.delete(abandon);
        resolve({ kind: "unknown" });
      };
      this.#unanswered.add(abandon);
      send((error, value, operation = -1) => {
        if (!this.#unanswered.delete(abandon)) return; // the connection had already ended
        const reply = replyOf(error, value, operation);
        resolve(reply);
        if (error?.getCode() === SESSION_EXPIRED) this.#finish((listener) => listener.expired());
        else if (reply.kind !== "unknown") this.#listener?.answered(sentAtMs);
      });
    });
  }
}
