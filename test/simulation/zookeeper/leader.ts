/**
 * What the servers of a simulated ensemble agree on: the transactions in their order, the tree after all of them, and the sessions,
 * whose time is kept here alone.
 *
 * A session is looked at in ticks: it ends at the first tick that lies a session time or more after it was last heard of, so up to a tick
 * late, never early. While there is no quorum no session ends, and afterwards each begins its time anew.
 */
import type { SessionTicket } from "../../../src/coordinator/zookeeper/session-supervisor.ts";
import type { Random } from "../random.ts";
import type { Scheduled, SimulatedProcess, VirtualTime } from "../virtual-time.ts";
import type { Result } from "./protocol.ts";
import { type Change, Tree, type TreeOperation } from "./tree.ts";

/** Sessions last 2 to 20 ticks; without a given tick a session of the time first asked for has three, as by ZooKeeper's defaults. */
const TICKS_MIN = 2;
const TICKS_MAX = 20;
const TICKS_DEFAULT = 3;
/** A moment computed in two ways may differ by so much: without it a timer could come too early for ever. */
const ROUNDING_MS = 1e-6;

export interface SimulatedSession {
  readonly ticket: SessionTicket;
  readonly process: SimulatedProcess;
  /** Which server its requests are taken from: the one at which its client connected last. */
  server: number;
  expiresAt: number; // a multiple of the tick, in true time
  ended: boolean;
}

/** One transaction; its number is its index in `Leader.entries` plus one. */
export interface Entry {
  readonly changes: readonly Change[];
  readonly ends: SimulatedSession | null;
}

export class Leader {
  tree = new Tree();
  readonly entries: Entry[] = [];
  readonly sessions = new Map<string, SimulatedSession>(); // those that have not ended
  tickMs: number | null;
  hasQuorum = true;
  /** Rises when the ensemble is set up anew: what is under way then belongs to the old one. */
  generation = 0;
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #onEntry: () => void;
  readonly #deferred: (() => void)[] = [];
  #ids = 0;
  #expiry: Scheduled | null = null;

  constructor(options: {
    readonly time: VirtualTime;
    readonly random: Random;
    readonly tickMs: number | null;
    readonly onEntry: () => void;
  }) {
    this.#time = options.time;
    this.#random = options.random;
    this.tickMs = options.tickMs;
    this.#onEntry = options.onEntry;
  }

  /** The newest transaction. */
  get zxid(): number {
    return this.entries.length;
  }

  /** A request that reached the leader: done now, or, without a quorum, perhaps when there is one again. */
  order(generation: number, run: () => void): void {
    if (generation !== this.generation) return;
    if (this.hasQuorum) run();
    else this.#deferred.push(run);
  }

  createSession(process: SimulatedProcess, askedMs: number, server: number): SimulatedSession {
    this.tickMs ??= askedMs / TICKS_DEFAULT;
    const timeoutMs = Math.min(Math.max(askedMs, TICKS_MIN * this.tickMs), TICKS_MAX * this.tickMs);
    const id = (0x0100_0000_0000_0000n + BigInt(++this.#ids)).toString(16).padStart(16, "0");
    const password = Array.from({ length: 4 }, () => this.#random.uint32().toString(16).padStart(8, "0")).join("");
    const session: SimulatedSession = {
      ticket: { id, password, timeoutMs },
      process,
      server,
      expiresAt: 0,
      ended: false,
    };
    this.sessions.set(id, session);
    this.touch(session);
    this.#append({ changes: [], ends: null });
    return session;
  }

  /** The session goes on at another connection; null when it is over, or the password is not its own. */
  resume(ticket: SessionTicket, server: number): SimulatedSession | null {
    const session = this.sessions.get(ticket.id);
    if (session === undefined || session.ticket.password !== ticket.password) return null;
    session.server = server;
    this.touch(session);
    return session;
  }

  /** It was heard of now. */
  touch(session: SimulatedSession): void {
    if (session.ended) return;
    const tickMs = this.tickMs!;
    const dueAt = this.#time.now + session.ticket.timeoutMs;
    session.expiresAt = Math.max(session.expiresAt, (Math.floor(dueAt / tickMs) + 1) * tickMs);
    this.#armExpiry();
  }

  /** A transaction in a session, from the server that it is at; a refused one is a transaction too. */
  write(session: SimulatedSession, server: number, operations: readonly TreeOperation[]): Result {
    if (session.ended) return { type: "expired" };
    if (session.server !== server) {
      return { type: "refused", refused: { refusal: "other", text: "SESSION_MOVED", operation: -1 } };
    }
    return this.execute(operations);
  }

  execute(operations: readonly TreeOperation[]): Result {
    const { changes, versions, refused } = this.tree.execute(operations);
    this.#append({ changes, ends: null });
    return refused === null ? { type: "written", versions } : { type: "refused", refused };
  }

  end(session: SimulatedSession): void {
    if (session.ended) return;
    session.ended = true;
    this.sessions.delete(session.ticket.id);
    const changes = this.tree.ownedBy(session.ticket.id).map((path): Change => ({ path, node: null }));
    for (const change of changes) this.tree.apply(change);
    this.#append({ changes, ends: session });
  }

  loseQuorum(): void {
    this.hasQuorum = false;
  }

  regainQuorum(): void {
    if (this.hasQuorum) return;
    this.hasQuorum = true;
    for (const session of this.sessions.values()) this.touch(session);
    // What was under way was written down by some servers: the new leader has the first so many of them.
    const deferred = this.#deferred.splice(0);
    for (const run of deferred.slice(0, this.#random.below(deferred.length + 1))) run();
  }

  /** An empty ensemble, which knows no session and begins to count anew. */
  wipe(): void {
    this.generation++;
    for (const session of this.sessions.values()) session.ended = true;
    this.sessions.clear();
    this.entries.length = 0;
    this.#deferred.length = 0;
    this.tree = new Tree();
  }

  #append(entry: Entry): void {
    this.entries.push(entry);
    this.#onEntry();
  }

  /** One timer for the earliest tick at which a session could end; whoever was heard of since is looked at later. */
  #armExpiry(): void {
    if (this.sessions.size === 0 || !this.hasQuorum) return;
    let earliest = Infinity;
    for (const session of this.sessions.values()) earliest = Math.min(earliest, session.expiresAt);
    if (this.#expiry !== null && this.#expiry.at <= earliest) return;
    if (this.#expiry !== null) this.#time.cancel(this.#expiry);
    this.#expiry = this.#time.after(earliest - this.#time.now, () => {
      this.#expiry = null;
      if (!this.hasQuorum) return;
      for (const session of this.sessions.values()) {
        if (session.expiresAt <= this.#time.now + ROUNDING_MS) this.end(session);
      }
      this.#armExpiry();
    });
  }
}
