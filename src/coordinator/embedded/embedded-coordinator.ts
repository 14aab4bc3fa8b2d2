/**
 * The coordinator for one machine: several processes, one SQLite file, no server.
 *
 * Guarantees what the port says, with the machine's own uptime as the only clock: no step of a wall clock ends or prolongs a
 * session. All state outlives `kill -9` of every process; the epoch and the leader's records also outlive a power cut.
 * It does not guarantee progress while a process is stopped in the middle of a transaction (well under a millisecond): the
 * others then wait for the lock, and their deadlines pass as if a server were silent.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { VouchError, describeError } from "../../errors.ts";
import { BootClock, bootClockId } from "../boot-clock.ts";
import type {
  Coordinator,
  CoordinatorEvent,
  ElectionOutcome,
  InSyncRecord,
  LeaderInfo,
  MemberInfo,
  TopicRecord,
  Versioned,
  WatermarksRecord,
  WriteOutcome,
} from "../coordinator.ts";
import { TakenNodeId } from "../session-notes.ts";
import { CoordinatorDatabase } from "./database.ts";
import * as tables from "./tables.ts";

export interface EmbeddedCoordinatorOptions {
  /** The data directory that all nodes of the cell share; created when missing. */
  readonly directory: string;
  /** 1-64 of `A-Z a-z 0-9 . _ -`. */
  readonly cell: string;
  /** How long a silent node keeps its registration and its leadership. */
  readonly sessionMs?: number;
}

const SESSION_MS_DEFAULT = 6_000;
const POLL_MIN_MS = 10;
const POLL_GROWTH = 1.5;

interface Session {
  readonly id: string;
  renewedAtMs: number; // on the machine's clock, read before the renewal was sent
  registered: boolean;
  suspended: boolean;
}

class EmbeddedCoordinator implements Coordinator {
  readonly #directory: string;
  readonly #file: string;
  readonly #sessionMs: number;
  readonly #pollMaxMs: number;
  readonly #requestMs: number; // how long one transaction may wait for the lock
  readonly #clock = new BootClock();
  readonly #clockId = bootClockId();
  readonly #started = Promise.withResolvers<void>();
  #self: MemberInfo | null = null;
  #onEvent: (event: CoordinatorEvent) => void = () => undefined;
  #database: CoordinatorDatabase | null = null;
  #clusterUuid: string | null = null;
  #session: Session | null = null;
  #endedSession: string | null = null; // our last one, when its row may still stand
  #won: tables.Writer | null = null;
  #deadlineMs = 0; // of the last session that was announced; machine start when there was none
  #taken: TakenNodeId | null = null;
  #seenVersion = -1; // data_version of the last look; -1 forces one
  #nextExpiryMs = 0;
  #emitted = { members: "", leader: "" };
  #pollMs = POLL_MIN_MS;
  #wake: () => void = () => undefined;
  #loop: Promise<void> | null = null;
  #lastWarning = { text: "", atMs: 0 };
  #closed = false;

  constructor(options: Required<EmbeddedCoordinatorOptions>) {
    this.#directory = options.directory;
    this.#file = join(options.directory, `coordinator-${options.cell}.sqlite`);
    this.#sessionMs = options.sessionMs;
    this.#pollMaxMs = Math.max(POLL_MIN_MS, Math.min(100, options.sessionMs / 20));
    this.#requestMs = options.sessionMs / 6;
  }

  async start(self: MemberInfo, onEvent: (event: CoordinatorEvent) => void): Promise<void> {
    if (this.#self !== null || this.#closed) throw new VouchError("closed", "a coordinator starts once");
    this.#self = self;
    this.#onEvent = onEvent;
    this.#taken = new TakenNodeId(self.nodeId, this.#sessionMs);
    this.#loop = this.#run();
    await this.#started.promise;
  }

  clusterUuid(): string {
    if (this.#clusterUuid === null) throw new VouchError("unavailable", "the coordinator has not started yet");
    return this.#clusterUuid;
  }

  remainingMs(): number {
    return this.#deadlineMs - this.#clock.nowMs();
  }

  async compete(highestKnownEpoch: number): Promise<ElectionOutcome> {
    const { session, database, self } = this.#joined() ?? {};
    if (session === undefined || database === undefined || self === undefined) return { outcome: "unknown" };
    const candidate = { session: session.id, nodeId: self.nodeId, bootId: self.bootId, highestKnownEpoch };
    const epoch = await this.#orUnknown(() => this.#write(database, (now) => tables.elect(database, now, candidate)));
    this.#look();
    if (epoch === "unknown" || epoch === "lost" || this.#session !== session) return { outcome: "unknown" };
    if (epoch === null) return { outcome: "lost" };
    this.#won = { session: session.id, epoch };
    return { outcome: "won", epoch };
  }

  async resign(epoch: number): Promise<void> {
    const writer = this.#won;
    const database = this.#database;
    if (database === null || writer?.epoch !== epoch) return;
    this.#won = null;
    // Until it is done or no longer ours: a lost session takes the row with it.
    while (!this.#closed && this.#session?.id === writer.session) {
      const done = await this.#orUnknown(() =>
        this.#write(database, () => tables.resignLeader(database, writer.session)),
      );
      this.#look();
      if (done !== "unknown") return;
    }
  }

  readInSync(): Promise<Versioned<InSyncRecord>> {
    return this.#readLive(tables.readInSync);
  }

  readWatermarks(): Promise<Versioned<WatermarksRecord>> {
    return this.#readLive(tables.readWatermarks);
  }

  writeInSync(epoch: number, record: InSyncRecord, version: number): Promise<WriteOutcome> {
    return this.#writeFenced(epoch, (database, now, writer) =>
      tables.writeInSync(database, now, writer, { record, version }),
    );
  }

  writeWatermarks(epoch: number, record: WatermarksRecord): Promise<WriteOutcome> {
    return this.#writeFenced(epoch, (database, now, writer) => tables.writeWatermarks(database, now, writer, record));
  }

  ensureTopic(topic: string, initial: TopicRecord): Promise<TopicRecord> {
    const database = this.#live();
    return this.#asUnavailable(this.#write(database, () => tables.ensureTopic(database, topic, initial)));
  }

  replaceTopic(topic: string, record: TopicRecord): Promise<void> {
    const database = this.#live();
    return this.#asUnavailable(this.#write(database, () => tables.putTopic(database, topic, record)));
  }

  async observe(): Promise<{ members: readonly MemberInfo[]; leader: LeaderInfo | null }> {
    const own = this.#database;
    if (own === null && !existsSync(this.#file)) return { members: [], leader: null };
    const database = own ?? (await CoordinatorDatabase.open(this.#file, { mustExist: true, waitMs: this.#requestMs }));
    try {
      const view = await database.read(this.#requestMs, () => tables.viewCell(database, this.#now()));
      return { members: view.members, leader: view.leader };
    } finally {
      if (own === null) database.close();
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#started.reject(new VouchError("closed", "the coordinator was closed"));
    this.#started.promise.catch(() => undefined); // nobody may be waiting for it
    this.#wake();
    await this.#loop;
    const database = this.#database;
    const session = this.#session?.id ?? this.#endedSession;
    this.#session = null;
    this.#won = null;
    this.#deadlineMs = 0;
    if (database === null) return;
    try {
      // A file that stays locked keeps the rows until they expire, as after a crash.
      if (session !== null)
        await this.#orUnknown(() => this.#write(database, () => tables.endSession(database, session)));
    } finally {
      this.#database = null;
      database.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
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
        this.#warn(`the embedded coordinator cannot use ${this.#file}: ${describeError(error)}`);
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
    if (session.registered && !session.suspended) await this.#report(database);
  }

  #checkDeadline(): void {
    const session = this.#session;
    if (session === null) return;
    const silentMs = this.#clock.nowMs() - session.renewedAtMs;
    if (silentMs >= this.#trustedMs()) this.#lose(session);
    else if (silentMs >= this.#sessionMs / 3 && session.registered && !session.suspended) {
      session.suspended = true;
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
    this.#won = null;
    if (session.registered) this.#emit({ type: "session", state: "lost" });
  }

  async #open(): Promise<CoordinatorDatabase> {
    if (this.#database !== null) return this.#database;
    try {
      mkdirSync(this.#directory, { recursive: true });
    } catch (cause) {
      throw new VouchError("configuration", `the data directory ${this.#directory} cannot be created`, { cause });
    }
    const database = await CoordinatorDatabase.open(this.#file, { mustExist: false, waitMs: this.#requestMs });
    this.#database = database;
    return database;
  }

  async #startSession(database: CoordinatorDatabase): Promise<Session> {
    const id = randomBytes(8).toString("hex");
    const previous = this.#endedSession;
    const sentAtMs = await this.#write(database, (now) => {
      this.#clusterUuid = tables.prepareCell(database);
      tables.startSession(database, now, { id, sessionMs: this.#sessionMs, previous });
      return now.ms;
    });
    this.#endedSession = null;
    this.#session = { id, renewedAtMs: sentAtMs, registered: false, suspended: false };
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
    const self = this.#self;
    const taken = this.#taken;
    if (self === null || taken === null) return;
    const outcome = await this.#write(database, (now) => tables.registerMember(database, now, session.id, self));
    if (outcome === "lost") this.#lose(session);
    if (outcome === "taken") {
      const warning = taken.refused(this.#clock.nowMs());
      if (warning !== null) this.#emit({ type: "warning", message: warning });
    }
    if (outcome !== "registered") return;
    taken.registered();
    session.registered = true;
    session.suspended = true; // until announced
    this.#announce(session);
    this.#started.resolve();
  }

  /** Moves the deadline; after a gap it also says "connected" and has everything reported anew. */
  #announce(session: Session): void {
    this.#deadlineMs = session.renewedAtMs + this.#trustedMs();
    if (!session.suspended) return;
    session.suspended = false;
    this.#emitted = { members: "", leader: "" };
    this.#look();
    this.#emit({ type: "session", state: "connected" });
  }

  async #report(database: CoordinatorDatabase): Promise<void> {
    const now = this.#now();
    if (now.ms > this.#nextExpiryMs) {
      await database.write({ durable: false, waitMs: this.#requestMs }, () =>
        tables.reapSessions(database, this.#now()),
      );
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

  #joined(): { session: Session; database: CoordinatorDatabase; self: MemberInfo } | null {
    const [session, database, self] = [this.#session, this.#database, this.#self];
    if (session === null || !session.registered || database === null || self === null || this.#closed) return null;
    return { session, database, self };
  }

  #live(): CoordinatorDatabase {
    const joined = this.#joined();
    if (joined === null || this.remainingMs() <= 0) {
      throw new VouchError(this.#closed ? "closed" : "unavailable", "the coordinator has no live session");
    }
    return joined.database;
  }

  #readLive<T>(read: (database: CoordinatorDatabase) => T): Promise<T> {
    const database = this.#live();
    return this.#asUnavailable(database.read(this.#requestMs, () => read(database)));
  }

  async #writeFenced(
    epoch: number,
    write: (database: CoordinatorDatabase, now: tables.Now, writer: tables.Writer) => WriteOutcome,
  ): Promise<WriteOutcome> {
    const writer = this.#won;
    const database = this.#database;
    if (database === null || writer?.epoch !== epoch) return { outcome: "refused", reason: "fenced" };
    const outcome = await this.#orUnknown(() => this.#write(database, (now) => write(database, now, writer)));
    return outcome === "unknown" ? { outcome: "unknown" } : outcome;
  }

  #write<T>(database: CoordinatorDatabase, body: (now: tables.Now) => T): Promise<T> {
    return database.write({ durable: true, waitMs: this.#requestMs }, () => body(this.#now()));
  }

  /** For calls that promise not to throw when the file cannot be written. */
  async #orUnknown<T>(call: () => Promise<T>): Promise<T | "unknown"> {
    try {
      return await call();
    } catch (error) {
      this.#warn(`the embedded coordinator cannot write ${this.#file}: ${describeError(error)}`);
      return "unknown";
    }
  }

  async #asUnavailable<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (cause) {
      if (cause instanceof VouchError) throw cause;
      throw new VouchError("unavailable", `the coordinator's file ${this.#file} cannot be used`, { cause });
    }
  }

  #now(): tables.Now {
    return { clockId: this.#clockId, ms: this.#clock.nowMs() };
  }

  /** Has the loop look at once: our own commits do not show in `data_version`. */
  #look(): void {
    this.#seenVersion = -1;
    this.#pollMs = POLL_MIN_MS;
    this.#wake();
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

  /** The same words at most once a session time: the loop turns many times a second. */
  #warn(text: string): void {
    const nowMs = this.#clock.nowMs();
    if (text === this.#lastWarning.text && nowMs - this.#lastWarning.atMs < this.#sessionMs) return;
    this.#lastWarning = { text, atMs: nowMs };
    this.#emit({ type: "warning", message: text });
  }
}

/**
 * A coordinator that keeps the cell in `<directory>/coordinator-<cell>.sqlite`. Opens nothing before `start` or `observe`.
 * @throws VouchError "configuration" for a cell name or a session time that cannot be used.
 */
export function openEmbeddedCoordinator(options: EmbeddedCoordinatorOptions): Coordinator & AsyncDisposable {
  const sessionMs = options.sessionMs ?? SESSION_MS_DEFAULT;
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(options.cell)) {
    throw new VouchError(
      "configuration",
      `cell: expected 1-64 of A-Z a-z 0-9 . _ -, got ${JSON.stringify(options.cell)}`,
    );
  }
  if (!(sessionMs >= 100)) {
    throw new VouchError("configuration", `session: expected at least 100 ms, got ${sessionMs}`);
  }
  return new EmbeddedCoordinator({ directory: options.directory, cell: options.cell, sessionMs });
}
