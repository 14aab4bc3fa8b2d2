/**
 * Topics, records, committed positions and the fences of commits: everything that must outlive its processes, in one file.
 *
 * The fence of a group is the newest group generation whose assignment anybody has begun to read. A commit is accepted
 * while its generation is the fence, whoever owns the partition. A member raises the fence in the same transaction that
 * reads the committed positions, so a commit of an older generation either was seen by that member or is refused.
 */

import type { Database } from "bun:sqlite";

import { VouchError } from "../../errors.ts";
import type { AssignedPartition, GroupOffset, PartitionCommit, TaskRecord, TopicDescription } from "../task-log.ts";
import { decodeHeaders } from "./header-codec.ts";
import { limits } from "./limits.ts";
import { SharedDatabase } from "./shared-database.ts";
import type { PartitionsByTopic } from "./sticky-assignment.ts";

const schemaVersion = 1;
const schema = `
  CREATE TABLE topics (topic_id INTEGER PRIMARY KEY, topic TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL) STRICT;
  CREATE TABLE partitions (
    partition_id INTEGER PRIMARY KEY,
    topic_id INTEGER NOT NULL REFERENCES topics,
    partition INTEGER NOT NULL,
    log_start INTEGER NOT NULL,
    log_end INTEGER NOT NULL,
    UNIQUE (topic_id, partition)
  ) STRICT;
  CREATE TABLE records (
    partition_id INTEGER NOT NULL,
    record_offset INTEGER NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    record_key BLOB,
    value BLOB,
    headers BLOB,
    PRIMARY KEY (partition_id, record_offset)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE commits (
    group_id TEXT NOT NULL,
    partition_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    PRIMARY KEY (group_id, partition_id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE fences (group_id TEXT PRIMARY KEY, generation INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`;

/** A record ready to be stored, its partition already chosen. */
export interface StoredRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: Uint8Array | null;
}

export interface FetchedRecords {
  readonly logStart: number;
  readonly logEnd: number;
  readonly records: readonly TaskRecord[];
}

interface PartitionRow {
  readonly partition_id: number;
  readonly partition: number;
  readonly log_start: number;
  readonly log_end: number;
}

interface CommittedRow extends PartitionRow {
  readonly position: number | null;
  readonly metadata: string | null;
}

interface RecordRow {
  readonly record_offset: number;
  readonly timestamp_ms: number;
  readonly record_key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: Uint8Array | null;
}

export class RecordStore {
  readonly #database: SharedDatabase;

  private constructor(database: SharedDatabase) {
    this.#database = database;
  }

  static async open(path: string): Promise<RecordStore> {
    return new RecordStore(await SharedDatabase.open(path, schema, schemaVersion));
  }

  version(): Promise<number> {
    return this.#database.version();
  }

  close(): void {
    this.#database.close();
  }

  describeTopic(topic: string): Promise<TopicDescription | null> {
    return this.#database.read((database) =>
      database.query<TopicDescription, [string]>("SELECT topic, partitions FROM topics WHERE topic = ?").get(topic),
    );
  }

  createTopic(topic: string, partitions: number): Promise<void> {
    return this.#database.write((database) => {
      const created = database
        .query<{ topic_id: number }, [string, number]>(
          "INSERT INTO topics (topic, partitions) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING topic_id",
        )
        .get(topic, partitions);
      if (created === null) return;
      const insert = database.query<never, [number, number]>(
        "INSERT INTO partitions (topic_id, partition, log_start, log_end) VALUES (?, ?, 0, 0)",
      );
      for (let partition = 0; partition < partitions; partition++) insert.run(created.topic_id, partition);
    });
  }

  /** What a group needs to begin a generation: the partition count of every topic, and the fence below which no generation may be. */
  groupFacts(groupId: string): Promise<{ partitionCounts: Map<string, number>; fence: number }> {
    return this.#database.read((database) => ({
      partitionCounts: new Map(
        database
          .query<TopicDescription, []>("SELECT topic, partitions FROM topics")
          .all()
          .map((row) => [row.topic, row.partitions]),
      ),
      fence: fenceOf(database, groupId),
    }));
  }

  /** Stores all or none of the records. @throws VouchError "task-log" for a topic or partition that does not exist */
  append(records: readonly StoredRecord[], timestampMs: number): Promise<void> {
    return this.#database.write((database) => {
      const insert = database.query<
        never,
        [number, number, number, Uint8Array | null, Uint8Array | null, Uint8Array | null]
      >(
        "INSERT INTO records (partition_id, record_offset, timestamp_ms, record_key, value, headers) VALUES (?, ?, ?, ?, ?, ?)",
      );
      const ends = new Map<string, { partitionId: number; end: number }>();
      for (const record of records) {
        const name = `${record.topic}#${record.partition}`;
        let end = ends.get(name);
        if (end === undefined) {
          const row = partitionOf(database, record.topic, record.partition);
          if (row === null) throw missingPartition(record.topic, record.partition);
          end = { partitionId: row.partition_id, end: row.log_end };
          ends.set(name, end);
        }
        insert.run(end.partitionId, end.end, timestampMs, record.key, record.value, record.headers);
        end.end++;
      }
      const update = database.query<never, [number, number]>(
        "UPDATE partitions SET log_end = ? WHERE partition_id = ?",
      );
      for (const { partitionId, end } of ends.values()) update.run(end, partitionId);
    });
  }

  /** Records from `position` on, at least one when there is one, at most `bytesMax` in all otherwise; null without such a partition. */
  fetch(topic: string, partition: number, position: number, bytesMax: number): Promise<FetchedRecords | null> {
    return this.#database.read((database) => {
      const row = partitionOf(database, topic, partition);
      if (row === null) return null;
      const found = { logStart: row.log_start, logEnd: row.log_end, records: [] as TaskRecord[] };
      // Records below the log end that was just read never change, so the two statements need no common transaction.
      if (position < row.log_start || position >= row.log_end) return found;
      const rows = database
        .query<RecordRow, [number, number, number]>(
          "SELECT record_offset, timestamp_ms, record_key, value, headers FROM records" +
            " WHERE partition_id = ? AND record_offset >= ? AND record_offset < ? ORDER BY record_offset",
        )
        .iterate(row.partition_id, position, Math.min(row.log_end, position + limits.recordsPerBatchMax));
      let bytes = 0;
      for (const stored of rows) {
        bytes += (stored.record_key?.length ?? 0) + (stored.value?.length ?? 0) + (stored.headers?.length ?? 0);
        if (bytes > bytesMax && found.records.length > 0) break;
        found.records.push(toTaskRecord(stored));
      }
      return found;
    });
  }

  /** Raises the group's fence to `generation` and reads what is committed; from now on older generations commit nothing. */
  beginGeneration(groupId: string, generation: number, assigned: PartitionsByTopic): Promise<AssignedPartition[]> {
    return this.#database.write((database) => {
      database
        .query<never, [string, number]>(
          "INSERT INTO fences (group_id, generation) VALUES (?, ?)" +
            " ON CONFLICT DO UPDATE SET generation = excluded.generation WHERE generation < excluded.generation",
        )
        .run(groupId, generation);
      const partitions: AssignedPartition[] = [];
      for (const [topic, numbers] of assigned) {
        for (const row of committedOf(database, groupId, topic)) {
          if (numbers.includes(row.partition)) partitions.push({ topic, ...toGroupOffset(row) });
        }
      }
      return partitions;
    });
  }

  /** False when the generation is over. All or none are stored. @throws VouchError "task-log" for a missing partition */
  commit(groupId: string, generation: number, commits: readonly PartitionCommit[]): Promise<boolean> {
    return this.#database.write((database) => {
      if (fenceOf(database, groupId) !== generation) return false;
      const upsert = database.query<never, [string, number, number, string]>(
        "INSERT INTO commits (group_id, partition_id, position, metadata) VALUES (?, ?, ?, ?)" +
          " ON CONFLICT DO UPDATE SET position = excluded.position, metadata = excluded.metadata",
      );
      for (const commit of commits) {
        const row = partitionOf(database, commit.topic, commit.partition);
        if (row === null) throw missingPartition(commit.topic, commit.partition);
        upsert.run(groupId, row.partition_id, commit.position, commit.metadata);
      }
      return true;
    }, limits.commitGiveUpMs);
  }

  /** Empty for a topic that does not exist. */
  groupOffsets(groupId: string, topic: string): Promise<GroupOffset[]> {
    return this.#database.read((database) => committedOf(database, groupId, topic).map(toGroupOffset));
  }
}

function fenceOf(database: Database, groupId: string): number {
  const row = database
    .query<{ generation: number }, [string]>("SELECT generation FROM fences WHERE group_id = ?")
    .get(groupId);
  return row?.generation ?? 0;
}

function partitionOf(database: Database, topic: string, partition: number): PartitionRow | null {
  return database
    .query<PartitionRow, [string, number]>(
      "SELECT partition_id, partition, log_start, log_end FROM topics JOIN partitions USING (topic_id)" +
        " WHERE topic = ? AND partition = ?",
    )
    .get(topic, partition);
}

function committedOf(database: Database, groupId: string, topic: string): CommittedRow[] {
  return database
    .query<CommittedRow, [string, string]>(
      "SELECT partitions.partition_id, partition, log_start, log_end, position, metadata FROM topics JOIN partitions USING (topic_id)" +
        " LEFT JOIN commits ON commits.partition_id = partitions.partition_id AND commits.group_id = ?" +
        " WHERE topic = ? ORDER BY partition",
    )
    .all(groupId, topic);
}

function missingPartition(topic: string, partition: number): VouchError {
  return new VouchError("task-log", `topic ${topic} has no partition ${partition}`);
}

function toGroupOffset(row: CommittedRow): GroupOffset {
  return {
    partition: row.partition,
    committed: row.position,
    metadata: row.metadata ?? "",
    logStart: row.log_start,
    logEnd: row.log_end,
  };
}

function toTaskRecord(row: RecordRow): TaskRecord {
  return {
    offset: row.record_offset,
    key: row.record_key,
    value: row.value,
    headers: decodeHeaders(row.headers),
    timestampMs: row.timestamp_ms,
  };
}
