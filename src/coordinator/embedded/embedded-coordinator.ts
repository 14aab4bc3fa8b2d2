/**
 * The coordinator for one machine: several processes, one SQLite file, no server.
 *
 * Guarantees what the port says, with the machine's own uptime as the only clock: no step of a wall clock ends or prolongs a
 * session. All state outlives `kill -9` of every process; the epoch and the leader's records also outlive a power cut.
 * It does not guarantee progress while a process is stopped in the middle of a transaction (well under a millisecond): the
 * others then wait for the lock, and their deadlines pass as if a server were silent.
 */
import { existsSync } from "node:fs";
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
import { checkedSessionMs } from "../open-options.ts";
import { CoordinatorDatabase } from "./database.ts";
import { EmbeddedSession, type Joined } from "./embedded-session.ts";
import * as tables from "./tables.ts";

export interface EmbeddedCoordinatorOptions {
  /** The data directory that all nodes of the cell share; created when missing. */
  readonly directory: string;
  /** 1-64 of `A-Z a-z 0-9 . _ -`. */
  readonly cell: string;
  /** How long a silent node keeps its registration and its leadership; default 6,000, at least 100. */
  readonly sessionMs?: number;
}

class EmbeddedCoordinator implements Coordinator {
  readonly #file: string;
  readonly #sessionMs: number;
  #self: MemberInfo | null = null;
  #session: EmbeddedSession | null = null;
  #won: tables.Writer | null = null;
  #closed = false;

  constructor(options: Required<EmbeddedCoordinatorOptions>) {
    this.#file = join(options.directory, `coordinator-${options.cell}.sqlite`);
    this.#sessionMs = options.sessionMs;
  }

  async start(self: MemberInfo, onEvent: (event: CoordinatorEvent) => void): Promise<void> {
    if (this.#session !== null || this.#closed) throw new VouchError("closed", "a coordinator starts once");
    this.#self = self;
    this.#session = new EmbeddedSession({ file: this.#file, sessionMs: this.#sessionMs }, self, onEvent);
    await this.#session.started();
  }

  clusterUuid(): string {
    const uuid = this.#session?.clusterUuid() ?? null;
    if (uuid === null) throw new VouchError("unavailable", "the coordinator has not started yet");
    return uuid;
  }

  remainingMs(): number {
    return this.#session?.remainingMs() ?? -this.#sessionMs;
  }

  async compete(highestKnownEpoch: number): Promise<ElectionOutcome> {
    const [session, joined, self] = [this.#session, this.#session?.joined() ?? null, this.#self];
    if (session === null || joined === null || self === null) return { outcome: "unknown" };
    const candidate = { session: joined.session, nodeId: self.nodeId, bootId: self.bootId, highestKnownEpoch };
    const epoch = await this.#change(session, joined, (now) => tables.elect(joined.database, now, candidate));
    if (epoch === "unknown" || epoch === "lost") return { outcome: "unknown" };
    if (session.joined()?.session !== joined.session) return { outcome: "unknown" }; // lost while it waited for the lock
    if (epoch === null) return { outcome: "lost" };
    this.#won = { session: joined.session, epoch };
    return { outcome: "won", epoch };
  }

  async resign(epoch: number): Promise<void> {
    const writer = this.#won;
    const session = this.#session;
    if (session === null || writer?.epoch !== epoch) return;
    this.#won = null;
    // Until it is done or no longer ours: a lost session takes the row with it.
    for (let joined = session.joined(); joined?.session === writer.session; joined = session.joined()) {
      const database = joined.database;
      const done = await this.#change(session, joined, () => tables.resignLeader(database, writer.session));
      if (done !== "unknown") return;
    }
  }

  readInSync(): Promise<Versioned<InSyncRecord>> {
    return this.#onLive((session, database) => session.read(database, () => tables.readInSync(database)));
  }

  readWatermarks(): Promise<Versioned<WatermarksRecord>> {
    return this.#onLive((session, database) => session.read(database, () => tables.readWatermarks(database)));
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
    return this.#onLive((session, database) =>
      session.write(database, () => tables.ensureTopic(database, topic, initial)),
    );
  }

  replaceTopic(topic: string, record: TopicRecord): Promise<void> {
    return this.#onLive((session, database) => session.write(database, () => tables.putTopic(database, topic, record)));
  }

  async observe(): Promise<{ members: readonly MemberInfo[]; leader: LeaderInfo | null }> {
    if (!existsSync(this.#file)) return { members: [], leader: null };
    const waitMs = this.#sessionMs;
    const database = await CoordinatorDatabase.open(this.#file, { mustExist: true, waitMs });
    try {
      const now = { clockId: bootClockId(), ms: new BootClock().nowMs() };
      const view = await database.read(waitMs, () => tables.viewCell(database, now));
      return { members: view.members, leader: view.leader };
    } finally {
      database.close();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#won = null;
    await this.#session?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** For calls that promise not to throw when the file cannot be written. */
  async #change<T>(session: EmbeddedSession, joined: Joined, body: (now: tables.Now) => T): Promise<T | "unknown"> {
    try {
      return await session.write(joined.database, body);
    } catch (error) {
      session.warn(`the embedded coordinator cannot write ${this.#file}: ${describeError(error)}`);
      return "unknown";
    } finally {
      session.look();
    }
  }

  async #writeFenced(
    epoch: number,
    write: (database: CoordinatorDatabase, now: tables.Now, writer: tables.Writer) => WriteOutcome,
  ): Promise<WriteOutcome> {
    const writer = this.#won;
    const [session, joined] = [this.#session, this.#session?.joined() ?? null];
    if (session === null || writer?.epoch !== epoch || joined?.session !== writer.session) {
      return { outcome: "refused", reason: "fenced" };
    }
    const outcome = await this.#change(session, joined, (now) => write(joined.database, now, writer));
    return outcome === "unknown" ? { outcome: "unknown" } : outcome;
  }

  /** @throws VouchError "unavailable" without a session before its deadline, or when the file fails. */
  async #onLive<T>(call: (session: EmbeddedSession, database: CoordinatorDatabase) => Promise<T>): Promise<T> {
    const [session, joined] = [this.#session, this.#session?.joined() ?? null];
    if (session === null || joined === null || session.remainingMs() <= 0) {
      throw new VouchError(this.#closed ? "closed" : "unavailable", "the coordinator has no live session");
    }
    try {
      return await call(session, joined.database);
    } catch (cause) {
      if (cause instanceof VouchError) throw cause;
      throw new VouchError("unavailable", `the coordinator's file ${this.#file} cannot be used`, { cause });
    }
  }
}

/**
 * A coordinator that keeps the cell in `<directory>/coordinator-<cell>.sqlite`. Opens nothing before `start` or `observe`.
 * @throws VouchError "configuration" for a cell name or a session time that cannot be used.
 */
export function openEmbeddedCoordinator(options: EmbeddedCoordinatorOptions): Coordinator & AsyncDisposable {
  return new EmbeddedCoordinator({ ...options, sessionMs: checkedSessionMs(options) });
}
