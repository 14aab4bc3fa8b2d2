/**
 * Membership of consumer groups, in a file of its own so that no heartbeat waits for a transaction of records.
 *
 * A group is *stable* (every member has its part of one generation) or *preparing* (a member came, left, died, or a topic
 * changed). While it prepares each live member runs its revoke barrier and joins; the group becomes stable in the next
 * generation when all have joined, or at the deadline without those that have not. There is no coordinator process: each
 * step is one transaction that any member may make, so the death of a process between two steps stops nothing.
 */

import type { Database } from "bun:sqlite";

import type { MachineClock } from "./machine-clock.ts";
import { SharedDatabase } from "./shared-database.ts";
import { assignSticky, type PartitionsByTopic } from "./sticky-assignment.ts";

const schemaVersion = 1;
const schema = `
  CREATE TABLE groups (
    group_id TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    preparing INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL,
    partition_counts TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE members (
    group_id TEXT NOT NULL,
    member_id TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    session_timeout_ms INTEGER NOT NULL,
    rebalance_timeout_ms INTEGER NOT NULL,
    topics TEXT NOT NULL,
    joined INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    owned TEXT NOT NULL,
    PRIMARY KEY (group_id, member_id)
  ) STRICT, WITHOUT ROWID;
`;

export interface Membership {
  readonly groupId: string;
  readonly memberId: string;
  readonly topics: readonly string[];
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
}

/** What the log has, read just before: the partition count of each topic, and the newest generation that may have committed. */
export interface GroupFacts {
  readonly partitionCounts: ReadonlyMap<string, number>;
  readonly fence: number;
}

/**
 * unknown: the group does not have this member any more. joining: it waits for the next generation.
 * rejoin: the group prepares and this member has not joined. member: it is part of `generation`.
 */
export type MemberView =
  | { readonly state: "unknown" }
  | { readonly state: "joining" }
  | { readonly state: "rejoin" }
  | { readonly state: "member"; readonly generation: number; readonly owned: PartitionsByTopic };

interface GroupRow {
  readonly generation: number;
  readonly preparing: number;
  readonly deadline_ms: number;
  readonly partition_counts: string;
}

interface MemberRow {
  readonly member_id: string;
  readonly boot_id: string;
  readonly expires_at_ms: number;
  readonly rebalance_timeout_ms: number;
  readonly topics: string;
  readonly joined: number;
  readonly generation: number;
  readonly owned: string;
}

export class GroupStore {
  readonly #database: SharedDatabase;
  readonly #clock: MachineClock;

  private constructor(database: SharedDatabase, clock: MachineClock) {
    this.#database = database;
    this.#clock = clock;
  }

  static async open(path: string, clock: MachineClock): Promise<GroupStore> {
    return new GroupStore(await SharedDatabase.open(path, schema, schemaVersion), clock);
  }

  version(): Promise<number> {
    return this.#database.version();
  }

  close(): void {
    this.#database.close();
  }

  /** Joins for the next generation, as a new member or again. The revoke barrier must have ended. */
  join(member: Membership, facts: GroupFacts): Promise<void> {
    return this.#database.write((database) => {
      database
        .query<never, [string]>(
          "INSERT INTO groups (group_id, generation, preparing, deadline_ms, partition_counts)" +
            " VALUES (?, 0, 0, 0, '[]') ON CONFLICT DO NOTHING",
        )
        .run(member.groupId);
      database
        .query<never, [string, string, string, number, number, number, string]>(
          "INSERT INTO members (group_id, member_id, boot_id, expires_at_ms, session_timeout_ms, rebalance_timeout_ms, topics," +
            " joined, generation, owned) VALUES (?, ?, ?, ?, ?, ?, ?, 1, 0, '[]')" +
            " ON CONFLICT DO UPDATE SET joined = 1, boot_id = excluded.boot_id, expires_at_ms = excluded.expires_at_ms",
        )
        .run(
          member.groupId,
          member.memberId,
          this.#clock.bootId,
          this.#clock.nowMs() + member.sessionTimeoutMs,
          member.sessionTimeoutMs,
          member.rebalanceTimeoutMs,
          JSON.stringify(member.topics),
        );
      this.#prepare(database, member.groupId);
      this.#advance(database, member.groupId, facts);
    });
  }

  /** Says that the member lives, removes those that do not, and takes the group a step further where it can go on. */
  heartbeat(member: Membership, facts: GroupFacts): Promise<MemberView> {
    return this.#database.write((database) => {
      // Its own life first: a member that was held up, but that nobody removed, has lost nothing.
      database
        .query<never, [string, number, string, string]>(
          "UPDATE members SET boot_id = ?, expires_at_ms = ? WHERE group_id = ? AND member_id = ?",
        )
        .run(this.#clock.bootId, this.#clock.nowMs() + member.sessionTimeoutMs, member.groupId, member.memberId);
      const counts = groupRow(database, member.groupId)?.partition_counts;
      if (counts !== undefined && countsDiffer(counts, member.topics, facts.partitionCounts)) {
        this.#prepare(database, member.groupId);
      }
      this.#advance(database, member.groupId, facts);
      return viewOf(database, member.groupId, member.memberId);
    });
  }

  view(groupId: string, memberId: string): Promise<MemberView> {
    return this.#database.read((database) => viewOf(database, groupId, memberId));
  }

  leave(groupId: string, memberId: string, facts: GroupFacts): Promise<void> {
    return this.#database.write((database) => {
      this.#remove(database, groupId, memberId);
      this.#advance(database, groupId, facts);
    });
  }

  #prepare(database: Database, groupId: string): void {
    const longestMs = Math.max(0, ...memberRows(database, groupId).map((row) => row.rebalance_timeout_ms));
    database
      .query<never, [number, string]>(
        "UPDATE groups SET preparing = 1, deadline_ms = ? WHERE group_id = ? AND preparing = 0",
      )
      .run(this.#clock.nowMs() + longestMs, groupId);
  }

  #remove(database: Database, groupId: string, memberId: string): void {
    const removed = database
      .query<never, [string, string]>("DELETE FROM members WHERE group_id = ? AND member_id = ?")
      .run(groupId, memberId);
    if (removed.changes > 0) this.#prepare(database, groupId);
  }

  /** Removes the dead, and begins the next generation when everybody has joined or the deadline has passed. */
  #advance(database: Database, groupId: string, facts: GroupFacts): void {
    const nowMs = this.#clock.nowMs();
    for (const row of memberRows(database, groupId)) {
      if (row.boot_id !== this.#clock.bootId || row.expires_at_ms < nowMs)
        this.#remove(database, groupId, row.member_id);
    }
    const group = groupRow(database, groupId);
    if (group === null || group.preparing === 0) return;
    const rows = memberRows(database, groupId);
    if (rows.some((row) => row.joined === 0)) {
      if (nowMs < group.deadline_ms) return;
      for (const row of rows) if (row.joined === 0) this.#remove(database, groupId, row.member_id);
    }
    beginGeneration(database, groupId, Math.max(group.generation, facts.fence) + 1, facts);
  }
}

function beginGeneration(database: Database, groupId: string, generation: number, facts: GroupFacts): void {
  const members = memberRows(database, groupId).map((row) => ({
    memberId: row.member_id,
    topics: JSON.parse(row.topics) as string[],
    owned: parseOwned(row.owned),
  }));
  const update = database.query<never, [number, string, string, string]>(
    "UPDATE members SET joined = 0, generation = ?, owned = ? WHERE group_id = ? AND member_id = ?",
  );
  for (const [memberId, owned] of assignSticky(members, facts.partitionCounts)) {
    update.run(generation, JSON.stringify([...owned]), groupId, memberId);
  }
  const topics = new Set(members.flatMap((member) => member.topics));
  const counts = [...facts.partitionCounts].filter(([topic]) => topics.has(topic));
  database
    .query<never, [number, string, string]>(
      "UPDATE groups SET generation = ?, preparing = 0, deadline_ms = 0, partition_counts = ? WHERE group_id = ?",
    )
    .run(generation, JSON.stringify(counts), groupId);
}

function viewOf(database: Database, groupId: string, memberId: string): MemberView {
  const group = groupRow(database, groupId);
  const row = memberRows(database, groupId).find((candidate) => candidate.member_id === memberId);
  if (group === null || row === undefined) return { state: "unknown" };
  if (row.joined === 1) return { state: "joining" };
  if (group.preparing === 1) return { state: "rejoin" };
  return { state: "member", generation: row.generation, owned: parseOwned(row.owned) };
}

function groupRow(database: Database, groupId: string): GroupRow | null {
  return database
    .query<GroupRow, [string]>(
      "SELECT generation, preparing, deadline_ms, partition_counts FROM groups WHERE group_id = ?",
    )
    .get(groupId);
}

function memberRows(database: Database, groupId: string): MemberRow[] {
  return database
    .query<MemberRow, [string]>(
      "SELECT member_id, boot_id, expires_at_ms, rebalance_timeout_ms, topics, joined, generation, owned" +
        " FROM members WHERE group_id = ? ORDER BY member_id",
    )
    .all(groupId);
}

/** Whether a topic of ours came into being since the generation was dealt. */
function countsDiffer(dealt: string, topics: readonly string[], now: ReadonlyMap<string, number>): boolean {
  const counts = new Map(JSON.parse(dealt) as [string, number][]);
  return topics.some((topic) => (counts.get(topic) ?? 0) !== (now.get(topic) ?? 0));
}

function parseOwned(text: string): PartitionsByTopic {
  return new Map(JSON.parse(text) as [string, number[]][]);
}
