/**
 * The life of one node's session in the embedded coordinator's file: started, renewed, registered, reported, and given up at
 * its deadline; then a new one. One loop does it all, so that these steps never overlap.
 *
 * Guarantees: "lost" is said at the latest at the first turn after the deadline, and `remainingMs` is negative from the deadline
 * on whether or not the loop turns; a session that was announced ("connected") is registered.
 */
import { SQLiteError } from "bun:sqlite";
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { VouchError, describeError } from "../../errors.ts";
import { BootClock, bootClockId } from "../boot-clock.ts";
import type { CoordinatorEvent, MemberInfo } from "../coordinator.ts";
import { TakenNodeId } from "../session-notes.ts";
import { CoordinatorDatabase } from "./database.ts";
import * as tables from "./tables.ts";

const POLL_MIN_MS = 10;
const POLL_MAX_MS = 100;
const POLL_GROWTH = 1.5;

interface Session {
  readonly id: string;
  renewedAtMs: number; // on the machine's clock, read before the renewal was sent
  registered: boolean;
  announced: boolean; // false while suspended
}

/** A registered session and the connection to use it with. */
export interface Joined {
  readonly session: string;
  readonly database: CoordinatorDatabase;
}

export class EmbeddedSession {
  readonly #file: string;
  readonly #sessionMs: number;
  readonly #self: MemberInfo;
  readonly #onEvent: (event: CoordinatorEvent) => void;
  readonly #pollMaxMs: number;
  readonly #requestMs: number; // how long one transaction may wait for the lock; also the time between renewals
  readonly #clock = new BootClock();
  readonly #clockId = bootClockId();
  readonly #started = Promise.withResolvers<void>();
  readonly #taken: TakenNodeId;
  readonly #loop: Promise<void>;
  #database: CoordinatorDatabase | null = null;
  #clusterUuid: string | null = null;
  #session: Session | null = null;
  #endedSession: string | null = null; // our last one, while its row may still stand
  #deadlineMs = 0; // of the last session that was announced; machine start when there was none
  #seenVersion = -1; // data_version of the last look; -1 asks for one
  #nextExpiryMs = 0;
  #emitted = { members: "", leader: "" };
  #pollMs = POLL_MIN_MS;
  #wake: () => void = () => undefined;
  #lastWarning = { text: "", atMs: 0 };
  #closed = false;

  constructor(
    options: { readonly file: string; readonly sessionMs: number },
    self: MemberInfo,
    onEvent: (event: CoordinatorEvent) => void,
  ) {
    this.#file = options.file;
    this.#sessionMs = options.sessionMs;
    this.#self = self;
    this.#onEvent = onEvent;
    this.#pollMaxMs = Math.max(POLL_MIN_MS, Math.min(POLL_MAX_MS, options.sessionMs / 20));
    this.#requestMs = options.sessionMs / 6;
    this.#taken = new TakenNodeId(self.nodeId, options.sessionMs);
    this.#loop = this.#run();
  }

  /** Resolves once registered. @throws VouchError "configuration", "closed". */
  started(): Promise<void> {
    return this.#started.promise;
  }

  /** null before the first session. */
  clusterUuid(): string | null {
    return this.#clusterUuid;
  }

  remainingMs(): number {
    return this.#deadlineMs - this.#clock.nowMs();
  }

  joined(): Joined | null {
    const [session, database] = [this.#session, this.#database];
    if (session === null || !session.registered || database === null || this.#closed) return null;
    return { session: session.id, database };
  }

  /** One durable write transaction. @throws VouchError "unavailable" when the file stays locked. */
  write<T>(database: CoordinatorDatabase, body: (now: tables.Now) => T): Promise<T> {
    return database.write({ durable: true, waitMs: this.#requestMs }, () => body(this.#now()));
  }

  read<T>(database: CoordinatorDatabase, body: (now: tables.Now) => T): Promise<T> {
    return database.read(this.#requestMs, () => body(this.#now()));
  }

  /** Has the loop look at once: our own commits do not show in `data_version`. */
  look(): void {
    this.#seenVersion = -1;
    this.#pollMs = POLL_MIN_MS;
    this.#wake();
  }

  /** The same words at most once a session time: the loop turns many times a second. */
  warn(text: string): void {
    const nowMs = this.#clock.nowMs();
    if (text === this.#lastWarning.text && nowMs - this.#lastWarning.atMs < this.#sessionMs) return;
    this.#lastWarning = { text, atMs: nowMs };
    this.#emit({ type: "warning", message: text });
  }

  /** Ends the session and its rows; no event follows. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#started.reject(new VouchError("closed", "the coordinator was closed"));
    this.#started.promise.catch(() => undefined); // nobody may be waiting for it
    this.#wake();
    await this.#loop;
    const database = this.#database;
    const session = this.#session?.id ?? this.#endedSession;
    this.#session = null;
    this.#deadlineMs = 0;
    if (database === null) return;
    this.#database = null;
    try {
      if (session !== null) await this.write(database, () => tables.endSession(database, session));
    } catch (error) {
      // A file that stays locked keeps the rows until they expire, as after a crash.
      if (!(error instanceof VouchError && error.code === "unavailable")) throw error;
    } finally {
      database.close();
    }
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      try {
        await this.#turn();
      } catch (error) {
        if (error instanceof VouchError && error.code === "configuration" && this.#database === null) {
          this.#started.reject(error);
          return;
        }
        if (!(error instanceof VouchError || error instanceof SQLiteError)) throw error; // a bug, ours or the listener's
        this.warn(`the embedded coordinator cannot use ${this.#file}: ${describeError(error)}`);
      }
      if (!this.#closed) await this.#sleep(this.#pollMs);
    }
  }

  /** One look: ends, renews or starts the session, registers, reports what changed. */
  async #turn(): Promise<void> {
    this.#checkDeadline();
    const database = await this.#open();
    const session = this.#session ?? (await this.#startSession(database));
    if (this.#clock.nowMs() - session.renewedAtMs >= this.#requestMs) await this.#renew(database, session);
    if (this.#session !== session) return; // lost meanwhile: the next turn starts a new one
    if (!session.registered) await this.#register(database, session);
    if (session.announced) await this.#report(database);
  }

  #checkDeadline(): void {
    const session = this.#session;
    if (session === null) return;
    const silentMs = this.#clock.nowMs() - session.renewedAtMs;
    if (silentMs >= this.#trustedMs()) this.#lose(session);
    else if (silentMs >= this.#sessionMs / 3 && session.announced) {
      session.announced = false;
      this.#emit({ type: "session", state: "suspended" });
    }
  }

  /** Two thirds: the last third is the margin between our giving up and anybody's believing that we did. */
  #trustedMs(): number {
    return (this.#sessionMs * 2) / 3;
  }

  #lose(session: Session): void {
    this.#endedSession = session.id;
    this.#session = null;
    if (session.registered) this.#emit({ type: "session", state: "lost" });
  }

  async #open(): Promise<CoordinatorDatabase> {
    if (this.#database !== null) return this.#database;
    const directory = dirname(this.#file);
    try {
      mkdirSync(directory, { recursive: true });
    } catch (cause) {
      throw new VouchError("configuration", `the data directory ${directory} cannot be created`, { cause });
    }
    const database = await CoordinatorDatabase.open(this.#file, { mustExist: false, waitMs: this.#requestMs });
    this.#database = database;
    return database;
  }

  async #startSession(database: CoordinatorDatabase): Promise<Session> {
    const id = randomBytes(8).toString("hex");
    const previous = this.#endedSession;
    const sentAtMs = await this.write(database, (now) => {
      this.#clusterUuid = tables.prepareCell(database);
      tables.startSession(database, now, { id, sessionMs: this.#sessionMs, previous });
      return now.ms;
    });
    this.#endedSession = null;
    this.#session = { id, renewedAtMs: sentAtMs, registered: false, announced: false };
    return this.#session;
  }

  async #renew(database: CoordinatorDatabase, session: Session): Promise<void> {
    const renewedAtMs = await database.write({ durable: false, waitMs: this.#requestMs }, () => {
      const now = this.#now();
      return tables.renewSession(database, now, session.id, this.#sessionMs) ? now.ms : null;
    });
    if (renewedAtMs === null) {
      this.#lose(session);
      return;
    }
    session.renewedAtMs = renewedAtMs;
    this.#checkDeadline(); // the answer may have come after a long stop of this process
    if (this.#session === session && session.registered) this.#announce(session);
  }

  async #register(database: CoordinatorDatabase, session: Session): Promise<void> {
    const outcome = await this.write(database, (now) => tables.registerMember(database, now, session.id, this.#self));
    if (outcome === "lost") this.#lose(session);
    if (outcome === "taken") {
      const warning = this.#taken.refused(this.#clock.nowMs());
      if (warning !== null) this.#emit({ type: "warning", message: warning });
    }
    if (outcome !== "registered") return;
    this.#taken.registered();
    session.registered = true;
    this.#announce(session);
    this.#started.resolve();
  }

  /** Moves the deadline; after a gap it also says "connected" and has everything reported anew. */
  #announce(session: Session): void {
    this.#deadlineMs = session.renewedAtMs + this.#trustedMs();
    if (session.announced) return;
    session.announced = true;
    this.#emitted = { members: "", leader: "" };
    this.look();
    this.#emit({ type: "session", state: "connected" });
  }

  async #report(database: CoordinatorDatabase): Promise<void> {
    const now = this.#now();
    if (now.ms > this.#nextExpiryMs) {
      const reap = (): void => tables.reapSessions(database, this.#now());
      await database.write({ durable: false, waitMs: this.#requestMs }, reap);
      this.#seenVersion = -1;
    }
    const dataVersion = await database.read(this.#requestMs, () => database.dataVersion());
    this.#pollMs = Math.min(this.#pollMaxMs, this.#pollMs * POLL_GROWTH);
    if (dataVersion === this.#seenVersion) return;
    this.#seenVersion = dataVersion; // before the look, so that a commit of ours during it asks for another
    const view = await database.read(this.#requestMs, () => tables.viewCell(database, this.#now()));
    this.#nextExpiryMs = view.nextExpiryMs;
    const members = JSON.stringify(view.members);
    const leader = JSON.stringify(view.leader);
    const before = this.#emitted;
    this.#emitted = { members, leader };
    if (members !== before.members) this.#emit({ type: "members", members: view.members });
    if (leader !== before.leader) this.#emit({ type: "leader", leader: view.leader });
    if (members !== before.members || leader !== before.leader) this.#pollMs = POLL_MIN_MS;
  }

  #now(): tables.Now {
    return { clockId: this.#clockId, ms: this.#clock.nowMs() };
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #emit(event: CoordinatorEvent): void {
    if (!this.#closed) this.#onEvent(event);
  }
}
