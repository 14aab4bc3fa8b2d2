/**
 * The client's side of a simulated connection, in the place of `src/coordinator/zookeeper/connection.ts` and with its promises: each
 * request has one outcome, nothing is sent before the handshake, no listener is called after the end, and a probe is a request like
 * any other. What is not simulated: authentication and access lists, the library's own pings (probes are more frequent), frames.
 */
import type {
  Connection,
  ConnectionListener,
  ConnectionOptions,
} from "../../../src/coordinator/zookeeper/connection-port.ts";
import {
  type NodeData,
  type Operation,
  type Reply,
  assertGuards,
} from "../../../src/coordinator/zookeeper/requests.ts";
import type { SessionTicket } from "../../../src/coordinator/zookeeper/session-supervisor.ts";
import type { VirtualTime } from "../virtual-time.ts";
import type { Request, Result, WatchEvent } from "./protocol.ts";
import { type ClientEnd, ServerConnection, type SimulatedServer } from "./server.ts";
import type { TreeOperation, TreeRefusal } from "./tree.ts";
import type { Wire } from "./wire.ts";

/** Which operation was refused is said of a `multi` only. */
function refusal<T>(refused: TreeRefusal, kind: "single" | "multi"): Reply<T> {
  return { kind: "refused", ...refused, operation: kind === "multi" ? refused.operation : -1 };
}

type Watchers = Map<string, Set<() => void>>;

export class SimulatedConnection implements Connection, ClientEnd {
  readonly #time: VirtualTime;
  readonly #wire: Wire;
  readonly #server: ServerConnection;
  readonly #options: ConnectionOptions;
  #listener: ConnectionListener | null;
  #isReady = false;
  isDisposed = false;
  #zxid = 0;
  readonly #unanswered = new Set<() => void>();
  /** As the library keeps them: who asked for a missing node is not told of its deletion. */
  readonly #watchers: Record<"data" | "existence" | "children", Watchers> = {
    data: new Map(),
    existence: new Map(),
    children: new Map(),
  };
  #onClosed: (() => void) | null = null;

  constructor(
    at: { readonly time: VirtualTime; readonly wire: Wire; readonly server: SimulatedServer },
    options: ConnectionOptions,
    listener: ConnectionListener,
  ) {
    this.#time = at.time;
    this.#wire = at.wire;
    this.#options = options;
    this.#listener = listener;
    this.#server = new ServerConnection(at.server, at.wire, this);
    this.#wire.onBroken = {
      atServer: () => this.#server.onClosed(),
      atClient: () => this.closed("the connection timed out"),
    };
    const hello = { sessionMs: options.sessionMs, resume: options.resume, zxid: Number(options.zxid) };
    this.#wire.toServer(() => this.#server.hello(hello, this.#wire.process));
  }

  get zxid(): bigint {
    const seen = BigInt(this.#zxid);
    return seen > this.#options.zxid ? seen : this.#options.zxid;
  }

  welcomed(ticket: SessionTicket): void {
    if (this.#listener === null) return;
    this.#isReady = true;
    this.#listener.handshake(ticket);
  }

  expired(): void {
    this.#finish((listener) => listener.expired());
  }

  closed(reason: string): void {
    this.#onClosed?.();
    this.#finish((listener) => listener.ended(reason));
  }

  #finish(tell: (listener: ConnectionListener) => void): void {
    const listener = this.#listener;
    if (listener === null) return;
    this.dispose();
    tell(listener);
  }

  dispose(): void {
    if (this.isDisposed) return;
    this.isDisposed = true;
    this.#listener = null;
    this.#isReady = false;
    this.#wire.toServer(() => this.#server.onClosed());
    for (const settle of this.#unanswered) settle();
    for (const watchers of Object.values(this.#watchers)) watchers.clear();
  }

  async endSession(withinMs: number): Promise<void> {
    this.#listener = null;
    if (this.#isReady) {
      this.#isReady = false;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onClosed = resolve;
      this.#wire.toServer(() => this.#server.receive({ type: "close" }, () => undefined));
      const { process } = this.#wire;
      const timer = this.#time.after(withinMs / process.drift, resolve, process);
      await promise;
      this.#time.cancel(timer);
    }
    this.dispose();
  }

  create(path: string, text: string, mode: "persistent" | "ephemeral"): Promise<Reply<void>> {
    const operations = (session: string): TreeOperation[] => [
      { type: "create", path, text, owner: mode === "ephemeral" ? session : null },
    ];
    return this.#write(operations, () => undefined);
  }

  exists(path: string, watcher?: () => void): Promise<Reply<boolean>> {
    return this.#request({ type: "exists", path, watch: watcher !== undefined }, (result) => {
      const isThere = result.type === "node" && result.node !== null;
      this.#watch(isThere ? "data" : "existence", path, watcher);
      return { kind: "ok", value: isThere };
    });
  }

  getData(path: string): Promise<Reply<NodeData>> {
    return this.#request({ type: "get", path, watch: false }, (result) => {
      const node = result.type === "node" ? result.node : null;
      if (node === null) return { kind: "refused", refusal: "no-node", text: "NO_NODE", operation: -1 };
      return { kind: "ok", value: { text: node.text, version: node.version, owner: node.owner } };
    });
  }

  getChildren(path: string, watcher?: () => void): Promise<Reply<readonly string[]>> {
    return this.#request({ type: "children", path, watch: watcher !== undefined }, (result) => {
      this.#watch("children", path, watcher);
      return { kind: "ok", value: result.type === "children" ? result.names : [] };
    });
  }

  setData(path: string, text: string, version: number | "any"): Promise<Reply<number>> {
    return this.#write(
      () => [{ type: "set", path, text, version }],
      (versions) => versions[0] ?? 0,
    );
  }

  multi(operations: readonly Operation[]): Promise<Reply<readonly number[]>> {
    for (const operation of operations) assertGuards(operation);
    const ofSession = (session: string): TreeOperation[] =>
      operations.map((operation) =>
        operation.type === "create-ephemeral"
          ? { type: "create", path: operation.path, text: operation.text, owner: session }
          : operation,
      );
    return this.#write(ofSession, (versions) => versions, "multi");
  }

  #write<T>(
    operations: (session: string) => readonly TreeOperation[],
    value: (versions: readonly number[]) => T,
    kind: "single" | "multi" = "single",
  ): Promise<Reply<T>> {
    return this.#request(
      { type: "write", operations },
      (result): Reply<T> =>
        result.type === "written" ? { kind: "ok", value: value(result.versions) } : { kind: "unknown" },
      kind,
    );
  }

  #request<T>(
    request: Request,
    read: (result: Result) => Reply<T>,
    kind: "single" | "multi" = "single",
  ): Promise<Reply<T>> {
    if (!this.#isReady) return Promise.resolve({ kind: "unsent" });
    return new Promise((resolve) => {
      const sentAtMs = this.#options.nowMs();
      const abandon = (): void => {
        this.#unanswered.delete(abandon);
        resolve({ kind: "unknown" });
      };
      this.#unanswered.add(abandon);
      this.#wire.toServer(() =>
        this.#server.receive(request, (result, zxid) => {
          if (!this.#unanswered.delete(abandon)) return; // the connection had already ended
          this.#zxid = Math.max(this.#zxid, zxid);
          if (result.type === "expired") {
            resolve({ kind: "unknown" });
            this.#finish((listener) => listener.expired());
            return;
          }
          resolve(result.type === "refused" ? refusal(result.refused, kind) : read(result));
          this.#listener?.answered(sentAtMs);
        }),
      );
    });
  }

  #watch(kind: "data" | "existence" | "children", path: string, watcher: (() => void) | undefined): void {
    if (watcher === undefined) return;
    const there = this.#watchers[kind].get(path);
    if (there === undefined) this.#watchers[kind].set(path, new Set([watcher]));
    else there.add(watcher);
  }

  fired(event: WatchEvent, path: string): void {
    if (this.isDisposed) return;
    const { data, existence, children } = this.#watchers;
    const told = event === "children" ? [children] : event === "deleted" ? [data, children] : [data, existence];
    for (const watchers of told) {
      const called = watchers.get(path);
      watchers.delete(path);
      for (const watcher of called ?? []) watcher();
    }
  }
}
