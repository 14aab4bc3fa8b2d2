/**
 * What a session and the recipes use of one connection to one ZooKeeper server, and what of the machine they stand on. The real
 * connection is `connection.ts`; the simulator has its own. Types only.
 */
import type { NodeData, Operation, Reply } from "./requests.ts";
import type { SessionTicket } from "./session-supervisor.ts";

export interface ConnectionListener {
  handshake(ticket: SessionTicket): void;
  expired(): void;
  answered(sentAtMs: number): void;
  ended(reason: string): void;
}

export interface ConnectionOptions {
  readonly server: { readonly host: string; readonly port: number };
  readonly sessionMs: number;
  readonly resume: SessionTicket | null;
  /** The newest transaction that this session has seen: a server that is behind it refuses the connection. */
  readonly zxid: bigint;
  readonly auth: { readonly scheme: string; readonly credentials: string } | null;
  readonly nowMs: () => number;
}

/** Each request has exactly one outcome: "unsent" before the handshake and after the end, "unknown" when the end comes first. */
export interface Connection {
  /** The newest transaction seen on this connection, or what it began with. */
  readonly zxid: bigint;

  /** Drops the connection without ending the session; no listener is called afterwards. Idempotent. */
  dispose(): void;
  /** Asks the server to end the session, with its ephemeral nodes. Resolves when it has, or after `withinMs`. */
  endSession(withinMs: number): Promise<void>;

  create(path: string, text: string, mode: "persistent" | "ephemeral"): Promise<Reply<void>>;
  /** Whether the node exists. With `watcher`: called once, when it is created, changed or deleted. */
  exists(path: string, watcher?: () => void): Promise<Reply<boolean>>;
  getData(path: string): Promise<Reply<NodeData>>;
  /** The children's names. With `watcher`: called once, when one is added or removed. */
  getChildren(path: string, watcher?: () => void): Promise<Reply<readonly string[]>>;
  /** The new version. Outside a `multi` version 0 is sent as what it is. */
  setData(path: string, text: string, version: number | "any"): Promise<Reply<number>>;
  /**
   * All of the operations or none. The value holds the new version of each "set", 0 for the others.
   * @throws RangeError for a version below 1: the library would send 0 as "any version", and a guard would not guard.
   */
  multi(operations: readonly Operation[]): Promise<Reply<readonly number[]>>;
}

/** Opens a connection at once; the listener hears of it later, never inside this call. */
export type ConnectionFactory = (options: ConnectionOptions, listener: ConnectionListener) => Connection;

/** What is not decided by events: replaced as a whole by a simulation. */
export interface ZooKeeperMachine {
  readonly connect: ConnectionFactory;
  /** A clock that no step of the wall clock moves. */
  readonly nowMs: () => number;
  /** 32 hex digits that name a cluster which is set up now. */
  readonly drawUuid: () => string;
}
