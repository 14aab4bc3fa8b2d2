/**
 * One node's presence in ZooKeeper: session, member node, watches, and the events that come of them.
 *
 * On each connection, of a new session or of the same one, it *arrives*: creates what is missing, registers, reads members and
 * leader with watches, and only then says "connected" (Z10: every watch is set anew, then what it watches is read). Work of an
 * older arrival stops at its next step, and its watches' calls are ignored.
 */
import { VouchError, describeError } from "../../errors.ts";
import type { CoordinatorEvent, LeaderInfo, MemberInfo } from "../coordinator.ts";
import { TakenNodeId } from "../session-notes.ts";
import type { CellPaths, ServerAddress } from "./connect-string.ts";
import * as recipes from "./recipes.ts";
import { type SessionOptions, ZooKeeperSession } from "./session.ts";
import type { SessionTicket } from "./session-supervisor.ts";

export interface PresenceOptions {
  readonly session: SessionOptions;
  readonly paths: CellPaths;
  readonly self: MemberInfo;
  readonly onEvent: (event: CoordinatorEvent) => void;
}

/** A session that is registered and announced, and the way to ask in it. */
export interface Joined {
  readonly session: string;
  readonly ask: recipes.Ask;
}

export class ZooKeeperPresence {
  readonly #options: PresenceOptions;
  readonly #session: ZooKeeperSession;
  readonly #started = Promise.withResolvers<void>();
  readonly #taken: TakenNodeId;
  #clusterUuid: string | null = null;
  #highestEpoch = 0; // of the leaders seen: what a person needs who sets the cell's records up again
  #arrival = 0; // rises whenever the connection or the session changes
  #arrived = 0; // the arrival that was announced; until then a watch's call only notes that something is stale
  #phase: "away" | "connected" | "suspended" = "away"; // what was said last; "away" before, and after "lost"
  #lostAtMs = 0; // on the machine's clock; its start before the first session
  #stale = { members: false, leader: false };
  #refreshing = 0; // the arrival whose refresh is under way
  #emitted = { members: "", leader: "" };
  #retry: ReturnType<typeof setTimeout> | null = null;
  #warnedTimeoutMs = 0;
  #closed = false;

  constructor(options: PresenceOptions) {
    this.#options = options;
    this.#taken = new TakenNodeId(options.self.nodeId, options.session.sessionMs);
    this.#session = new ZooKeeperSession(options.session, {
      connected: (ticket) => this.#onConnected(ticket),
      suspended: () => this.#onSuspended(),
      lost: () => this.#onLost(),
      failed: (server, attempt, reason) => this.#warn(failureText(server, attempt, reason)),
    });
    this.#session.open();
  }

  /** Resolves once registered. @throws VouchError "configuration", "closed". */
  started(): Promise<void> {
    return this.#started.promise;
  }

  /** null before the first arrival. */
  clusterUuid(): string | null {
    return this.#clusterUuid;
  }

  /** Of the session that was announced; what a new one promises counts only after its own "connected". */
  remainingMs(): number {
    const untilMs = this.#phase === "away" ? this.#lostAtMs : this.#session.deadlineMs;
    return Math.max(untilMs, 0) - this.#session.nowMs();
  }

  /** null while nothing can be asked. */
  joined(): Joined | null {
    this.#session.catchUp();
    const session = this.#session.sessionId;
    if (this.#phase !== "connected" || session === null || this.#closed) return null;
    return { session, ask: this.#askIn(session) };
  }

  /** The session that was announced and not lost, connected or not. */
  sessionId(): string | null {
    this.#session.catchUp();
    return this.#phase === "away" ? null : this.#session.sessionId;
  }

  /** Ends the session, so that our nodes go at once; no event follows. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#arrival += 1;
    this.#phase = "away";
    this.#lostAtMs = 0;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#started.reject(new VouchError("closed", "the coordinator was closed"));
    this.#started.promise.catch(() => undefined); // nobody may be waiting for it
    await this.#session.close();
  }

  #askIn(session: string): recipes.Ask {
    return (send) => this.#session.request(session, send);
  }

  #onConnected(ticket: SessionTicket): void {
    const wantedMs = this.#options.session.sessionMs;
    if (ticket.timeoutMs !== wantedMs && ticket.timeoutMs !== this.#warnedTimeoutMs) {
      this.#warnedTimeoutMs = ticket.timeoutMs;
      this.#warn(`ZooKeeper grants sessions of ${ticket.timeoutMs} ms; ${wantedMs} ms were asked for`);
    }
    this.#startArrival(ticket.id);
  }

  #onSuspended(): void {
    this.#arrival += 1;
    if (this.#phase !== "connected") return;
    this.#phase = "suspended";
    this.#emit({ type: "session", state: "suspended" });
  }

  #onLost(): void {
    this.#arrival += 1;
    if (this.#phase === "away") return;
    this.#phase = "away";
    this.#lostAtMs = this.#session.nowMs();
    this.#emit({ type: "session", state: "lost" });
  }

  #startArrival(session: string): void {
    this.#arrival += 1;
    void this.#arrive(this.#arrival, session); // a rejection is a bug, and ends the process
  }

  async #arrive(arrival: number, session: string): Promise<void> {
    try {
      await this.#tryToArrive(arrival, session);
    } catch (error) {
      this.#onFailure(arrival, session, error);
    }
  }

  async #tryToArrive(arrival: number, session: string): Promise<void> {
    const { paths, self } = this.#options;
    const ask = this.#askIn(session);
    // Looked at before anything is created: a cell that lost its records is not to look like a new one.
    if (this.#clusterUuid !== null) {
      const found = await recipes.readUuid(ask, paths);
      if (arrival !== this.#arrival) return;
      if (found !== this.#clusterUuid) return this.#fail(this.#clusterUuid, found);
    }
    const uuid = await recipes.prepareCell(ask, paths, this.#session.drawUuid);
    if (arrival !== this.#arrival) return;
    this.#takeUuid(uuid);
    const outcome = await recipes.register(ask, paths, self, session);
    if (arrival !== this.#arrival) return;
    if (outcome === "taken") {
      const warning = this.#taken.refused(this.#session.nowMs());
      if (warning !== null) this.#warn(warning);
      this.#retryLater(arrival, session);
      return;
    }
    this.#taken.registered();
    const members = await recipes.readMembers(ask, paths, () => this.#onWatch(arrival, session, "members"));
    const leader = await recipes.readLeader(ask, paths, () => this.#onWatch(arrival, session, "leader"));
    if (arrival !== this.#arrival) return;
    this.#phase = "connected";
    this.#emitted = { members: "", leader: "" };
    this.#emit({ type: "session", state: "connected" });
    this.#reportMembers(members);
    this.#reportLeader(leader);
    this.#started.resolve();
    this.#arrived = arrival;
    // What changed since it was read: told after it, or the older look would be the last word.
    if (this.#stale.members || this.#stale.leader) void this.#refresh(arrival, session);
  }

  #takeUuid(uuid: string): void {
    if (!/^[0-9a-f]{32}$/.test(uuid))
      throw new VouchError("refused", `${this.#options.paths.uuid} is no UUID: ${uuid}`);
    this.#clusterUuid = uuid;
  }

  /**
   * An epoch is a pair with the cluster's UUID: in another ensemble our epochs, tokens and records mean nothing, and a new
   * cell would know nothing of what this one did. Nothing is tried again: the records do not come back by themselves.
   */
  #fail(known: string, found: string | null): void {
    const { paths, session } = this.#options;
    const servers = session.servers.map(({ host, port }) => `${host}:${port}`).join(",");
    const what =
      found === null
        ? `${paths.uuid} is gone: its data was wiped, or set up anew`
        : `${paths.uuid} is ${found}, and this node knows ${known}: its data was set up anew, or it is another ensemble`;
    this.#emit({
      type: "failed",
      message:
        `ZooKeeper ${servers} has no records of this cell any more (${what}). Stop all nodes of the cell and restore ` +
        `ZooKeeper's data from a backup; or, if there is none, remove ${paths.base} with all below it, create ` +
        `${paths.uuid} with the text ${known} and ${paths.epoch} with the text ${this.#highestEpoch}, and start the nodes: ` +
        `what may have run and is not committed is then checked before it runs again`,
    });
  }

  #onFailure(arrival: number, session: string, error: unknown): void {
    if (!(error instanceof VouchError)) throw error;
    if (arrival !== this.#arrival) return; // the connection ended: the next one arrives anew
    if (error.code === "refused" && this.#clusterUuid === null) {
      this.#started.reject(new VouchError("configuration", describeError(error), { cause: error }));
    }
    this.#warn(describeError(error));
    this.#retryLater(arrival, session);
  }

  #retryLater(arrival: number, session: string): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      if (arrival === this.#arrival) this.#startArrival(session);
    }, this.#session.timeoutMs / 6);
  }

  #onWatch(arrival: number, session: string, what: "members" | "leader"): void {
    if (arrival !== this.#arrival) return;
    this.#stale[what] = true;
    if (this.#arrived === arrival && this.#refreshing !== arrival) void this.#refresh(arrival, session); // a rejection is a bug, and ends the process
  }

  async #refresh(arrival: number, session: string): Promise<void> {
    this.#refreshing = arrival;
    const ask = this.#askIn(session);
    try {
      while (arrival === this.#arrival && (this.#stale.members || this.#stale.leader)) {
        await this.#refreshOnce(arrival, session, ask);
      }
    } catch (error) {
      this.#onFailure(arrival, session, error);
    } finally {
      if (this.#refreshing === arrival) this.#refreshing = 0;
    }
  }

  async #refreshOnce(arrival: number, session: string, ask: recipes.Ask): Promise<void> {
    const { paths } = this.#options;
    const { members, leader } = this.#stale;
    this.#stale = { members: false, leader: false };
    if (members) {
      const look = await recipes.readMembers(ask, paths, () => this.#onWatch(arrival, session, "members"));
      if (arrival !== this.#arrival) return;
      this.#reportMembers(look);
      // Somebody deleted our node by hand: our session still lives, so we come back.
      if (!look.value.some((member) => member.nodeId === this.#options.self.nodeId)) this.#startArrival(session);
    }
    if (leader && arrival === this.#arrival) {
      const look = await recipes.readLeader(ask, paths, () => this.#onWatch(arrival, session, "leader"));
      if (arrival === this.#arrival) this.#reportLeader(look);
    }
  }

  #reportMembers(look: recipes.Look<readonly MemberInfo[]>): void {
    for (const path of look.unreadable) this.#warn(`${path} is not a member's record: ignored`);
    const text = JSON.stringify(look.value);
    if (text === this.#emitted.members) return;
    this.#emitted.members = text;
    this.#emit({ type: "members", members: look.value });
  }

  #reportLeader(look: recipes.Look<LeaderInfo | null>): void {
    for (const path of look.unreadable) this.#warn(`${path} is not a leader's record`);
    const text = JSON.stringify(look.value);
    if (text === this.#emitted.leader) return;
    this.#emitted.leader = text;
    this.#highestEpoch = Math.max(this.#highestEpoch, look.value?.epoch ?? 0);
    this.#emit({ type: "leader", leader: look.value });
  }

  #warn(message: string): void {
    this.#emit({ type: "warning", message });
  }

  #emit(event: CoordinatorEvent): void {
    if (!this.#closed) this.#options.onEvent(event);
  }
}

export function failureText(server: ServerAddress, attempt: number, reason: string): string {
  return `ZooKeeper ${server.host}:${server.port}: ${reason} (try ${attempt})`;
}
