/**
 * The embedded coordinator's file: opening it, and transactions that never block the event loop.
 *
 * SQLite's own busy handler waits inside the call, and a starved writer then stops its whole process (up to a second was
 * measured). So the time-out is 0, and who finds the file locked asks again a few milliseconds later.
 */
import { Database, SQLiteError } from "bun:sqlite";
import { VouchError } from "../../errors.ts";

const SCHEMA_VERSION = 1;
const RETRY_JITTER_MAX_MS = 4;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY,
    clock TEXT NOT NULL,           -- which start of the machine expires_ms counts from
    expires_ms REAL NOT NULL       -- since that start
  );
  CREATE TABLE IF NOT EXISTS members (
    node_id TEXT PRIMARY KEY,
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    info TEXT NOT NULL
  );
  CREATE TABLE IF NOT EXISTS leader (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    info TEXT NOT NULL
  );
  CREATE TABLE IF NOT EXISTS records (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    version INTEGER NOT NULL
  );
`;

function isBusy(thrown: unknown): boolean {
  // Extended codes (SQLITE_BUSY_SNAPSHOT, SQLITE_BUSY_RECOVERY, SQLITE_LOCKED_…) mean the same: later.
  return thrown instanceof SQLiteError && /^SQLITE_(BUSY|LOCKED)/.test(thrown.code ?? "");
}

/** One connection to the file. Keep a reference: a collected `Database` closes itself. */
export class CoordinatorDatabase {
  readonly #database: Database;

  private constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Opens the file, creating it and its tables unless `mustExist`.
   * @throws VouchError "configuration" when it cannot be opened or was written by another version; "unavailable" when it
   * stays locked for `waitMs`.
   */
  static async open(file: string, options: { mustExist: boolean; waitMs: number }): Promise<CoordinatorDatabase> {
    let database: Database;
    try {
      database = new Database(file, { readwrite: true, create: !options.mustExist, strict: true });
    } catch (cause) {
      throw new VouchError("configuration", `the coordinator's file ${file} cannot be opened`, { cause });
    }
    const opened = new CoordinatorDatabase(database);
    try {
      await opened.#retry(options.waitMs, () => opened.#prepare(file));
    } catch (error) {
      database.close();
      if (error instanceof SQLiteError) {
        const text = `the coordinator's file ${file} cannot be used`;
        throw new VouchError("configuration", text, { cause: error });
      }
      throw error;
    }
    return opened;
  }

  #prepare(file: string): void {
    this.#database.run("PRAGMA busy_timeout = 0");
    this.#database.run("PRAGMA journal_mode = WAL");
    this.#database.run("PRAGMA foreign_keys = ON");
    const row = this.#database.query<{ user_version: number }, []>("PRAGMA user_version").get();
    const version = row?.user_version ?? 0;
    if (version === SCHEMA_VERSION) return;
    if (version !== 0) {
      const text = `the coordinator's file ${file} has layout ${version}; this version of Vouch knows ${SCHEMA_VERSION}`;
      throw new VouchError("configuration", text);
    }
    this.#run(true, () => {
      this.#database.run(SCHEMA);
      this.#database.run(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    });
  }

  /** Rows of one statement, outside or inside a transaction. */
  all<Row>(sql: string, ...values: readonly (string | number)[]): Row[] {
    return this.#database.query<Row, (string | number)[]>(sql).all(...values);
  }

  get<Row>(sql: string, ...values: readonly (string | number)[]): Row | null {
    return this.#database.query<Row, (string | number)[]>(sql).get(...values);
  }

  /** Runs one statement. @returns the number of rows that it changed. */
  run(sql: string, ...values: readonly (string | number)[]): number {
    return this.#database.query<unknown, (string | number)[]>(sql).run(...values).changes;
  }

  /** Changes whenever another connection committed. One's own commits do not show. */
  dataVersion(): number {
    return this.get<{ data_version: number }>("PRAGMA data_version")?.data_version ?? 0;
  }

  /**
   * Runs `body` in one write transaction: all of it or nothing. `body` is synchronous, and runs again from its beginning
   * when the file was locked.
   * `durable`: the commit reaches the disk before this resolves. A lease needs no more than to survive the process.
   * @throws VouchError "unavailable" when the file stayed locked for `waitMs`; whatever `body` throws.
   */
  write<T>(options: { durable: boolean; waitMs: number }, body: () => T): Promise<T> {
    return this.#retry(options.waitMs, () => this.#run(options.durable, body));
  }

  /** Like `write` for a body that only reads. */
  read<T>(waitMs: number, body: () => T): Promise<T> {
    return this.#retry(waitMs, body);
  }

  close(): void {
    this.#database.close();
  }

  #run<T>(durable: boolean, body: () => T): T {
    this.#database.run(`PRAGMA synchronous = ${durable ? "FULL" : "NORMAL"}`);
    this.#database.run("BEGIN IMMEDIATE");
    try {
      const result = body();
      this.#database.run("COMMIT");
      return result;
    } catch (error) {
      if (this.#database.inTransaction) this.#database.run("ROLLBACK");
      throw error;
    }
  }

  async #retry<T>(waitMs: number, attempt: () => T): Promise<T> {
    const giveUpAtMs = performance.now() + waitMs;
    for (;;) {
      try {
        return attempt();
      } catch (error) {
        if (!isBusy(error)) throw error;
        if (performance.now() >= giveUpAtMs) {
          throw new VouchError("unavailable", "the coordinator's file stayed locked", { cause: error });
        }
      }
      await Bun.sleep(Math.random() * RETRY_JITTER_MAX_MS);
    }
  }
}
