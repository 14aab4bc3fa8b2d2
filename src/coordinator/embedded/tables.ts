/**
 * What the embedded coordinator's transactions do, one synchronous function a rule. Each is called inside one write
 * transaction (the reads also outside), with the machine's time as an argument; none of them waits.
 *
 * A session is a row with an expiry; a member and a leader are rows that go with their session, as ephemeral nodes do.
 */
import { randomBytes } from "node:crypto";
import { VouchError } from "../../errors.ts";
import type {
  InSyncRecord,
  LeaderInfo,
  MemberInfo,
  TopicRecord,
  Versioned,
  WatermarksRecord,
  WriteOutcome,
} from "../coordinator.ts";
import {
  INITIAL_IN_SYNC,
  INITIAL_WATERMARKS,
  decodeEpoch,
  decodeInSync,
  decodeLeader,
  decodeMember,
  decodeTopic,
  decodeWatermarks,
  encodeEpoch,
  encodeInSync,
  encodeLeader,
  encodeMember,
  encodeTopic,
  encodeWatermarks,
} from "../records.ts";
import type { CoordinatorDatabase } from "./database.ts";

/** The machine's time line and the moment on it. */
export interface Now {
  readonly clockId: string;
  readonly ms: number;
}

export interface CellView {
  readonly members: readonly MemberInfo[];
  readonly leader: LeaderInfo | null;
  /** When the next session ends unless it is renewed; Infinity when there is none. */
  readonly nextExpiryMs: number;
}

const RECORD = { uuid: "uuid", epoch: "epoch", inSync: "in-sync", watermarks: "watermarks" } as const;

function topicRecordName(topic: string): string {
  return `topic/${topic}`;
}

function readRecord(database: CoordinatorDatabase, name: string): Versioned<string> | null {
  return database.get<Versioned<string>>("SELECT value, version FROM records WHERE name = ?", name);
}

function createRecord(database: CoordinatorDatabase, name: string, value: string): void {
  database.run("INSERT INTO records (name, value, version) VALUES (?, ?, 1) ON CONFLICT DO NOTHING", name, value);
}

/** @returns the new version. */
function putRecord(database: CoordinatorDatabase, name: string, value: string): number {
  const row = database.get<{ version: number }>(
    `INSERT INTO records (name, value, version) VALUES (?, ?, 1)
     ON CONFLICT (name) DO UPDATE SET value = excluded.value, version = version + 1 RETURNING version`,
    name,
    value,
  );
  if (row === null) throw new VouchError("protocol", `record ${name} was not written`);
  return row.version;
}

function decoded<T>(name: string, text: string, decode: (text: string) => T | null): T {
  const value = decode(text);
  if (value === null) throw new VouchError("protocol", `the coordinator's record ${name} is unreadable: ${text}`);
  return value;
}

function present(record: Versioned<string> | null, name: string): Versioned<string> {
  if (record === null) throw new VouchError("protocol", `the coordinator's record ${name} is missing`);
  return record;
}

/** Creates what a new cell needs. @returns the cluster UUID. */
export function prepareCell(database: CoordinatorDatabase): string {
  createRecord(database, RECORD.uuid, randomBytes(16).toString("hex"));
  createRecord(database, RECORD.epoch, encodeEpoch(0));
  createRecord(database, RECORD.inSync, encodeInSync(INITIAL_IN_SYNC));
  createRecord(database, RECORD.watermarks, encodeWatermarks(INITIAL_WATERMARKS));
  return present(readRecord(database, RECORD.uuid), RECORD.uuid).value;
}

/** Ends every session whose time is over, or that belongs to an earlier start of the machine; its rows go with it. */
export function reapSessions(database: CoordinatorDatabase, now: Now): void {
  database.run("DELETE FROM sessions WHERE clock <> ? OR expires_ms < ?", now.clockId, now.ms);
}

/** Starts a session. `previous`, our own earlier one, ends with it: nobody else may end it before its time. */
export function startSession(
  database: CoordinatorDatabase,
  now: Now,
  session: { id: string; sessionMs: number; previous: string | null },
): void {
  reapSessions(database, now);
  if (session.previous !== null) database.run("DELETE FROM sessions WHERE id = ?", session.previous);
  const { id, sessionMs } = session;
  database.run("INSERT INTO sessions (id, clock, expires_ms) VALUES (?, ?, ?)", id, now.clockId, now.ms + sessionMs);
}

/** @returns false when the session had already ended. */
export function renewSession(database: CoordinatorDatabase, now: Now, id: string, sessionMs: number): boolean {
  const sql = "UPDATE sessions SET expires_ms = ? WHERE id = ? AND clock = ? AND expires_ms >= ?";
  return database.run(sql, now.ms + sessionMs, id, now.clockId, now.ms) === 1;
}

export function endSession(database: CoordinatorDatabase, id: string): void {
  database.run("DELETE FROM sessions WHERE id = ?", id);
}

function isLive(database: CoordinatorDatabase, now: Now, id: string): boolean {
  const sql = "SELECT id FROM sessions WHERE id = ? AND clock = ? AND expires_ms >= ?";
  return database.get(sql, id, now.clockId, now.ms) !== null;
}

/** @returns "taken" while another session holds a member row of this node id: perhaps the ghost of an earlier run. */
export function registerMember(
  database: CoordinatorDatabase,
  now: Now,
  session: string,
  self: MemberInfo,
): "registered" | "taken" | "lost" {
  reapSessions(database, now);
  if (!isLive(database, now, session)) return "lost";
  const sql = `INSERT INTO members (node_id, session, info) VALUES (?, ?, ?)
    ON CONFLICT (node_id) DO UPDATE SET info = excluded.info WHERE session = excluded.session`;
  return database.run(sql, self.nodeId, session, encodeMember(self)) === 1 ? "registered" : "taken";
}

/** @returns the epoch won, or null when somebody else leads; "lost" when the session has ended. */
export function elect(
  database: CoordinatorDatabase,
  now: Now,
  candidate: { session: string; nodeId: string; bootId: string; highestKnownEpoch: number },
): number | null | "lost" {
  reapSessions(database, now);
  if (!isLive(database, now, candidate.session)) return "lost";
  const held = database.get<{ session: string; info: string }>("SELECT session, info FROM leader");
  if (held !== null) {
    return held.session === candidate.session ? decoded("leader", held.info, decodeLeader).epoch : null;
  }
  const epoch = Math.max(readEpoch(database), candidate.highestKnownEpoch) + 1;
  putRecord(database, RECORD.epoch, encodeEpoch(epoch));
  const info = encodeLeader({ nodeId: candidate.nodeId, bootId: candidate.bootId, epoch });
  database.run("INSERT INTO leader (only_row, session, info) VALUES (1, ?, ?)", candidate.session, info);
  return epoch;
}

/** Removes the leader row if this session holds it. One session wins at most one epoch at a time. */
export function resignLeader(database: CoordinatorDatabase, session: string): void {
  database.run("DELETE FROM leader WHERE session = ?", session);
}

export function readEpoch(database: CoordinatorDatabase): number {
  return decoded(RECORD.epoch, present(readRecord(database, RECORD.epoch), RECORD.epoch).value, decodeEpoch);
}

export function readInSync(database: CoordinatorDatabase): Versioned<InSyncRecord> {
  const record = present(readRecord(database, RECORD.inSync), RECORD.inSync);
  return { value: decoded(RECORD.inSync, record.value, decodeInSync), version: record.version };
}

export function readWatermarks(database: CoordinatorDatabase): Versioned<WatermarksRecord> {
  const record = present(readRecord(database, RECORD.watermarks), RECORD.watermarks);
  return { value: decoded(RECORD.watermarks, record.value, decodeWatermarks), version: record.version };
}

/** Who writes: the session and the epoch that it won. Its writes count while both are current (R3). */
export interface Writer {
  readonly session: string;
  readonly epoch: number;
}

function isFenced(database: CoordinatorDatabase, now: Now, writer: Writer): boolean {
  return !isLive(database, now, writer.session) || readEpoch(database) !== writer.epoch;
}

export function writeInSync(
  database: CoordinatorDatabase,
  now: Now,
  writer: Writer,
  change: { record: InSyncRecord; version: number },
): WriteOutcome {
  if (isFenced(database, now, writer)) return { outcome: "refused", reason: "fenced" };
  if (readInSync(database).version !== change.version) return { outcome: "refused", reason: "conflict" };
  return { outcome: "written", version: putRecord(database, RECORD.inSync, encodeInSync(change.record)) };
}

export function writeWatermarks(
  database: CoordinatorDatabase,
  now: Now,
  writer: Writer,
  record: WatermarksRecord,
): WriteOutcome {
  if (isFenced(database, now, writer)) return { outcome: "refused", reason: "fenced" };
  return { outcome: "written", version: putRecord(database, RECORD.watermarks, encodeWatermarks(record)) };
}

export function ensureTopic(database: CoordinatorDatabase, topic: string, initial: TopicRecord): TopicRecord {
  const name = topicRecordName(topic);
  createRecord(database, name, encodeTopic(initial));
  return decoded(name, present(readRecord(database, name), name).value, decodeTopic);
}

export function putTopic(database: CoordinatorDatabase, topic: string, record: TopicRecord): void {
  putRecord(database, topicRecordName(topic), encodeTopic(record));
}

/** The cell as it is now: rows of ended sessions do not count, reaped or not. */
export function viewCell(database: CoordinatorDatabase, now: Now): CellView {
  const live = "JOIN sessions ON sessions.id = session WHERE clock = ? AND expires_ms >= ?";
  const members = database.all<{ info: string }>(
    `SELECT info FROM members ${live} ORDER BY node_id`,
    now.clockId,
    now.ms,
  );
  const leader = database.get<{ info: string }>(`SELECT info FROM leader ${live}`, now.clockId, now.ms);
  const next = database.get<{ at: number | null }>("SELECT MIN(expires_ms) AS at FROM sessions");
  return {
    members: members.map((row) => decoded("member", row.info, decodeMember)),
    leader: leader === null ? null : decoded("leader", leader.info, decodeLeader),
    nextExpiryMs: next?.at ?? Number.POSITIVE_INFINITY,
  };
}
