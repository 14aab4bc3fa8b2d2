/**
 * A ZooKeeper session kept by the supervisor: this carries out what `session-supervisor.ts` decides, with real connections,
 * one timer, and the machine's clock. No decision is made here.
 *
 * Requests are never queued while there is no connection: they are answered "unsent" (Z4).
 */
import type { ServerAddress } from "./connect-string.ts";
import type { Connection, ZooKeeperMachine } from "./connection-port.ts";
import { realMachine } from "./machine.ts";
import type { Reply } from "./requests.ts";
import {
  type SessionTicket,
  SessionSupervisor,
  type SupervisorAction,
  type SupervisorEvent,
} from "./session-supervisor.ts";

export interface SessionOptions {
  readonly servers: readonly ServerAddress[];
  readonly sessionMs: number;
  readonly auth: { readonly scheme: string; readonly credentials: string } | null;
  /** The node that probes ask for; it need not exist. */
  readonly probePath: string;
  /** Default: the real one. */
  readonly machine?: ZooKeeperMachine | undefined;
}

export interface SessionListener {
  /** Before any request on this connection can be made. `resumed`: the same session as before. */
  connected(ticket: SessionTicket, resumed: boolean): void;
  suspended(): void;
  lost(): void;
  failed(server: ServerAddress, attempt: number, reason: string): void;
}

export class ZooKeeperSession {
  readonly #options: SessionOptions;
  readonly #listener: SessionListener;
  readonly #machine: ZooKeeperMachine;
  readonly #supervisor: SessionSupervisor;
  #connection: { readonly number: number; readonly link: Connection } | null = null;
  #zxid = 0n;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #wakeAtMs = 0; // for which the timer is set
  #ending: Promise<void> = Promise.resolve();
  readonly #actions: SupervisorAction[] = [];
  #performing = false;

  constructor(options: SessionOptions, listener: SessionListener) {
    this.#options = options;
    this.#listener = listener;
    this.#machine = options.machine ?? realMachine;
    this.#supervisor = new SessionSupervisor({
      serverCount: options.servers.length,
      sessionMs: options.sessionMs,
      random: Math.random,
    });
  }

  open(): void {
    this.#step({ type: "open" });
  }

  /** 16 hex digits; null while there is no session. */
  get sessionId(): string | null {
    return this.#supervisor.ticket?.id ?? null;
  }

  /** As negotiated, or as asked for while there is no session. */
  get timeoutMs(): number {
    return this.#supervisor.ticket?.timeoutMs ?? this.#options.sessionMs;
  }

  /** Until when this session may be relied upon, on the clock of `nowMs`; -Infinity without one. */
  get deadlineMs(): number {
    return this.#supervisor.deadlineMs;
  }

  /** See `ZooKeeperMachine`. */
  get drawUuid(): () => string {
    return this.#machine.drawUuid;
  }

  nowMs(): number {
    return this.#machine.nowMs();
  }

  /** Takes note of the time: after a long stop a deadline may have passed of which no timer has told yet. */
  catchUp(): void {
    this.#step({ type: "time" });
  }

  /**
   * Sends one request in this session now, or not at all: "unsent" without a connection or when `session` is over. It has its
   * outcome within half a session (Z1, Z4).
   */
  request<T>(session: string, send: (connection: Connection) => Promise<Reply<T>>): Promise<Reply<T>> {
    this.catchUp();
    if (this.#connection === null || this.sessionId !== session) return Promise.resolve({ kind: "unsent" });
    return send(this.#connection.link);
  }

  /** Ends the session at the server when it can be reached, else leaves it to expire. */
  async close(): Promise<void> {
    this.#step({ type: "close" });
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#ending;
  }

  #step(event: SupervisorEvent): void {
    this.#actions.push(...this.#supervisor.step(event, this.nowMs()));
    if (this.#performing) return; // a listener asked for something: its actions come after those under way
    this.#performing = true;
    try {
      for (let action = this.#actions.shift(); action !== undefined; action = this.#actions.shift()) {
        this.#perform(action);
      }
    } finally {
      this.#performing = false;
    }
    this.#arm();
  }

  #arm(): void {
    const { wakeAtMs } = this.#supervisor;
    if (this.#timer !== null && wakeAtMs === this.#wakeAtMs) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (wakeAtMs === Number.POSITIVE_INFINITY) return;
    this.#wakeAtMs = wakeAtMs;
    const wake = (): void => {
      this.#timer = null;
      this.#step({ type: "time" });
    };
    this.#timer = setTimeout(wake, Math.max(0, wakeAtMs - this.nowMs()));
  }

  #perform(action: SupervisorAction): void {
    switch (action.type) {
      case "connect":
        this.#connect(action.connection, action.server, action.resume);
        return;
      case "dispose":
        this.#drop(action.connection)?.dispose();
        return;
      case "end-session":
        this.#ending = this.#drop(action.connection)?.endSession(this.timeoutMs / 6) ?? this.#ending;
        return;
      case "probe":
        this.#probe(action.connection);
        return;
      case "connected":
        this.#listener.connected(action.ticket, action.resumed);
        return;
      case "suspended":
        this.#listener.suspended();
        return;
      case "lost":
        this.#listener.lost();
        return;
      case "failed": {
        const server = this.#options.servers[action.server];
        if (server !== undefined) this.#listener.failed(server, action.attempt, action.reason);
        return;
      }
      default:
        return action satisfies never;
    }
  }

  #connect(number: number, serverIndex: number, resume: SessionTicket | null): void {
    const server = this.#options.servers[serverIndex];
    if (server === undefined) throw new RangeError(`server ${serverIndex} of ${this.#options.servers.length}`);
    // A new session begins with what any server knows: its first write brings it past everything that we have seen.
    if (resume === null) this.#zxid = 0n;
    const link = this.#machine.connect(
      {
        server,
        sessionMs: this.#options.sessionMs,
        resume,
        zxid: this.#zxid,
        auth: this.#options.auth,
        nowMs: this.#machine.nowMs,
      },
      {
        handshake: (ticket) => this.#step({ type: "handshake", connection: number, ticket }),
        expired: () => this.#step({ type: "expired", connection: number }),
        answered: (sentAtMs) => this.#step({ type: "answered", connection: number, sentAtMs }),
        ended: (reason) => this.#step({ type: "ended", connection: number, reason }),
      },
    );
    this.#connection = { number, link };
  }

  /** Takes the connection out of use. */
  #drop(number: number): Connection | null {
    if (this.#connection?.number !== number) return null;
    const { link } = this.#connection;
    this.#zxid = link.zxid;
    this.#connection = null;
    return link;
  }

  #probe(number: number): void {
    if (this.#connection?.number !== number) return;
    // Its answer counts through `answered`; whether the node exists does not matter, nor does a failure: the supervisor waits.
    void this.#connection.link.exists(this.#options.probePath);
  }
}
