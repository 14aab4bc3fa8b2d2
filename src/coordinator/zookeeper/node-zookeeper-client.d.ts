/**
 * What the adapter uses of `node-zookeeper-client` 1.1.3, which ships no types, and no more. `connectionManager` is not its
 * public face: `connection.ts` says why it is touched, and its tests fail when a later version moves it.
 */
declare module "node-zookeeper-client" {
  import type { Socket } from "node:net";

  interface ZooKeeperError extends Error {
    readonly name: string;
    getCode(): number;
  }

  interface Stat {
    readonly version: number;
    readonly ephemeralOwner: Buffer; // 8 bytes; zeros for a persistent node
  }

  type ErrorOnly = ZooKeeperError | null | undefined;

  interface TransactionResult {
    readonly type: number;
    readonly err?: number;
    readonly stat?: Stat;
  }

  interface Transaction {
    create(path: string, data: Buffer, acls: readonly unknown[], mode: number): Transaction;
    check(path: string, version: number): Transaction;
    setData(path: string, data: Buffer, version: number): Transaction;
    remove(path: string, version: number): Transaction;
    commit(callback: (error: ErrorOnly, results?: readonly TransactionResult[]) => void): void;
  }

  interface ConnectionManager {
    socket: Socket | undefined;
    zxid: Buffer;
    pendingBuffer: Buffer | null;
    connectTimeoutHandler: ReturnType<typeof setTimeout> | null;
    connect(): void;
    findNextServer(callback: (server: { host: string; port: number }) => void): void;
    onSocketData(chunk: Buffer): void;
    removeAllListeners(): void;
  }

  interface Client {
    readonly connectionManager: ConnectionManager;
    connect(): void;
    close(): void;
    on(event: "connected" | "expired" | "authenticationFailed", listener: () => void): void;
    removeAllListeners(): void;
    addAuthInfo(scheme: string, auth: Buffer): void;
    getSessionId(): Buffer;
    getSessionPassword(): Buffer;
    getSessionTimeout(): number;
    create(
      path: string,
      data: Buffer,
      acls: readonly unknown[],
      mode: number,
      callback: (error: ErrorOnly, path?: string) => void,
    ): void;
    exists(path: string, callback: (error: ErrorOnly, stat?: Stat | null) => void): void;
    exists(path: string, watcher: () => void, callback: (error: ErrorOnly, stat?: Stat | null) => void): void;
    getData(path: string, callback: (error: ErrorOnly, data?: Buffer, stat?: Stat) => void): void;
    getChildren(
      path: string,
      watcher: () => void,
      callback: (error: ErrorOnly, children?: readonly string[]) => void,
    ): void;
    getChildren(path: string, callback: (error: ErrorOnly, children?: readonly string[]) => void): void;
    setData(path: string, data: Buffer, version: number, callback: (error: ErrorOnly, stat?: Stat) => void): void;
    transaction(): Transaction;
  }

  interface ClientOptions {
    readonly sessionTimeout: number;
    readonly spinDelay: number;
    readonly retries: number;
    readonly sessionId?: Buffer;
    readonly sessionPassword?: Buffer;
  }

  const zookeeper: {
    createClient(connectString: string, options: ClientOptions): Client;
    readonly ACL: { readonly OPEN_ACL_UNSAFE: readonly unknown[]; readonly CREATOR_ALL_ACL: readonly unknown[] };
    readonly CreateMode: { readonly PERSISTENT: number; readonly EPHEMERAL: number };
  };
  export default zookeeper;
  export type { Client, ErrorOnly, Stat, Transaction, TransactionResult, ZooKeeperError };
}
