/**
 * One SQLite file that several processes write to. Guarantees: a write is one immediate transaction, and once its promise
 * resolved it survives `kill -9` of every process (not a power cut: the log is not flushed to the disk at each
 * transaction). A busy file never blocks the event loop: the transaction is tried again after a pause with jitter.
 *
 * There is no notification between processes; `version` changes whenever anybody, this process included, has committed.
 */

import { Database } from "bun:sqlite";

import { toError, VouchError } from "../../errors.ts";
import { limits } from "./limits.ts";

export class SharedDatabase {
  readonly #path: string;
  readonly #reader: Database;
  readonly #writer: Database;
  #closed = false;

  private constructor(path: string, reader: Database, writer: Database) {
    this.#path = path;
    this.#reader = reader;
    this.#writer = writer;
  }

  /**
   * Opens the file, creating it with `schema` when it is new. @throws VouchError "data-dir" when it cannot be used.
   * `schemaVersion` is raised with every change of a schema: a file of another version is refused, not guessed at.
   */
  static async open(path: string, schema: string, schemaVersion: number): Promise<SharedDatabase> {
    let writer: Database | null = null;
    try {
      const opened = new Database(path, { create: true, readwrite: true });
      writer = opened;
      await retryWhileBusy(limits.busyGiveUpMs, () => prepareFile(opened, schema, schemaVersion));
      const reader = new Database(path, { create: false, readwrite: true });
      await retryWhileBusy(limits.busyGiveUpMs, () => reader.run("PRAGMA query_only = ON"));
      return new SharedDatabase(path, reader, writer);
    } catch (thrown) {
      writer?.close();
      if (thrown instanceof VouchError && thrown.code === "data-dir") throw thrown;
      throw new VouchError("data-dir", `${path} cannot be used: ${toError(thrown).message}`, { cause: thrown });
    }
  }

  /** Changes after each commit of any connection but the reading one, so after every write. @throws as `read` */
  version(): Promise<number> {
    return this.read(
      (database) => database.query<{ data_version: number }, []>("PRAGMA data_version").get()?.data_version ?? 0,
    );
  }

  /** Runs `action`, which must only read and must not await. @throws VouchError "unavailable" | "data-dir" | "closed" */
  read<T>(action: (database: Database) => T): Promise<T> {
    return this.#attempt(limits.busyGiveUpMs, () => action(this.#reader));
  }

  /** Runs `action` in one transaction; it must not await. When it throws nothing is written. @throws as `read` */
  write<T>(action: (database: Database) => T, giveUpAfterMs: number = limits.busyGiveUpMs): Promise<T> {
    return this.#attempt(giveUpAfterMs, () => {
      this.#writer.run("BEGIN IMMEDIATE");
      try {
        const result = action(this.#writer);
        this.#writer.run("COMMIT");
        return result;
      } finally {
        // Still open only when something threw; some errors make SQLite roll back by itself.
        if (this.#writer.inTransaction) this.#writer.run("ROLLBACK");
      }
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reader.close();
    this.#writer.close();
  }

  async #attempt<T>(giveUpAfterMs: number, action: () => T): Promise<T> {
    try {
      return await retryWhileBusy(giveUpAfterMs, () => {
        this.#assertOpen();
        return action();
      });
    } catch (thrown) {
      if (thrown instanceof VouchError) throw thrown;
      throw this.#classify(thrown);
    }
  }

  /** The state of the machine may mend itself, a damaged file does not; anything else is an error in our own statements. */
  #classify(thrown: unknown): unknown {
    const code = sqliteCode(thrown);
    const message = `${this.#path}: ${toError(thrown).message}`;
    if (/^SQLITE_(BUSY|LOCKED|PROTOCOL|IOERR|FULL|CANTOPEN|NOMEM|READONLY)/.test(code)) {
      return new VouchError("unavailable", message, { cause: thrown });
    }
    if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) return new VouchError("data-dir", message, { cause: thrown });
    return thrown;
  }

  #assertOpen(): void {
    if (this.#closed) throw new VouchError("closed", `${this.#path} was closed`);
  }
}

function prepareFile(database: Database, schema: string, schemaVersion: number): void {
  database.run("PRAGMA busy_timeout = 0");
  database.run("PRAGMA journal_mode = WAL");
  database.run("PRAGMA synchronous = NORMAL");
  database.run("BEGIN IMMEDIATE");
  try {
    const found = database.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
    if (found === 0) {
      database.run(schema);
      database.run(`PRAGMA user_version = ${schemaVersion}`);
    } else if (found !== schemaVersion) {
      throw new VouchError(
        "data-dir",
        `${database.filename} has schema version ${found}, expected ${schemaVersion}: it belongs to another version of Vouch`,
      );
    }
    database.run("COMMIT");
  } finally {
    if (database.inTransaction) database.run("ROLLBACK");
  }
}

async function retryWhileBusy<T>(giveUpAfterMs: number, action: () => T): Promise<T> {
  const giveUpAtMs = performance.now() + giveUpAfterMs;
  for (;;) {
    try {
      return action();
    } catch (thrown) {
      if (!isBusy(thrown) || performance.now() >= giveUpAtMs) throw thrown;
    }
    await Bun.sleep(Math.random() * limits.busyRetryJitterMs);
  }
}

function isBusy(thrown: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED|PROTOCOL)/.test(sqliteCode(thrown));
}

function sqliteCode(thrown: unknown): string {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : "";
}
