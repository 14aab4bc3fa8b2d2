/**
 * The shape of every peer message on the wire, as tables: a field that is missing here, or one too many, is a type
 * error. The checks are what a receiver may rely on: lengths agree with counts, codes are known, offsets stay safe.
 *
 * One file, though long: it is one table, and it changes when the message types do.
 */
import {
  CONFLICT_WORDS,
  gives,
  OTHER_CELLS,
  PHASE_FLAGS,
  PHASE_MASK,
  Phase,
  Verdict,
  type AnswerItem,
  type Attestation,
  type ClaimBatch,
  type CommitNote,
  type Delta,
  type DoubtPage,
  type EntryBatch,
  type FactBatch,
  type FilterSegments,
  type Offsets,
  type PartitionInfo,
  type PartitionReport,
  type PeerMessage,
  type ProgressRow,
  type QuestionItem,
  type SeenException,
  type TableRows,
  type VerdictBatch,
  type WatermarkRow,
} from "../core/messages.ts";
import * as field from "./fields.ts";
import type { Fields } from "./fields.ts";
import {
  BATCH_TASKS_MAX,
  BULK_BYTES_MAX,
  CONTROL_BYTES_MAX,
  LEASE_MS_MAX,
  NODE_ID_LENGTH_MAX,
  OFFSET_MAX,
  SEGMENT_BYTES,
  TASK_ID_BYTES_MAX,
} from "./limits.ts";

const U32_MAX = 0xffff_ffff;
const PHASE_MAX = Math.max(...Object.values(Phase));
const VERDICT_MAX = Math.max(...Object.values(Verdict));

const pid = field.integer(0, U32_MAX);
/** Tables keep epochs in 32 bits. */
const epoch = field.integer(0, U32_MAX);
const counter = field.integer(0, OFFSET_MAX);
const offset = field.integer(0, OFFSET_MAX);
/** -1 where the message type has a "none". */
const offsetOrNone = field.integer(-1, OFFSET_MAX);
const generation = field.integer(-1, U32_MAX);
const u32 = field.integer(0, U32_MAX);
const byte = field.integer(0, 255);
const incarnation = field.text(NODE_ID_LENGTH_MAX + 1 + 64);
const taskId = field.text(TASK_ID_BYTES_MAX);
const words = field.text(1024);
const tasks = BATCH_TASKS_MAX;
const flags = field.bytes(tasks, (each) => each <= 1, "0 or 1");
const hashes = field.words32(2 * tasks);
const counts = field.bytes(tasks);
const phases = field.bytes(
  tasks,
  (each) => (each & PHASE_MASK) <= PHASE_MAX && (each & ~(PHASE_MASK | PHASE_FLAGS)) === 0,
  "a phase with its flags",
);

const offsets = field.record<Offsets>(
  { base: offset, count: field.integer(0, tasks), deltas: field.words32(tasks) },
  (value) =>
    emptyOr(value.deltas.length, value.count) ? null : `${value.deltas.length} deltas for ${value.count} offsets`,
);

function emptyOr(length: number, wanted: number): boolean {
  return length === 0 || length === wanted;
}

/** What both kinds of question have in common. */
function checkQuestion(value: Pick<ClaimBatch, "offsets" | "hashes" | "idIsKey">): string | null {
  const { count } = value.offsets;
  if (value.hashes.length !== 2 * count) return `${value.hashes.length} hash words for ${count} tasks`;
  return emptyOr(value.idIsKey.length, count) ? null : `${value.idIsKey.length} id flags for ${count} tasks`;
}

const claimFields: Fields<ClaimBatch> = {
  number: counter,
  pid,
  ownership: counter,
  generation,
  offsets,
  hashes,
  idIsKey: flags,
};
const claim = field.record<ClaimBatch>(claimFields, checkQuestion);

const doubts = field.record<DoubtPage>(
  { ...claimFields, ids: field.list(taskId), payloads: hashes, ranUnknown: flags },
  (value) => {
    const { count } = value.offsets;
    if (value.ids.length !== count) return `${value.ids.length} task ids for ${count} doubts`;
    if (!emptyOr(value.payloads.length, 2 * count)) return `${value.payloads.length} payload words for ${count} doubts`;
    if (!emptyOr(value.ranUnknown.length, count)) return `${value.ranUnknown.length} run flags for ${count} doubts`;
    return checkQuestion(value);
  },
);

const facts = field.record<FactBatch>({ pid, phase: field.code<Phase>(Phase), offsets, hashes }, (value) =>
  emptyOr(value.hashes.length, 2 * value.offsets.count)
    ? null
    : `${value.hashes.length} hash words for ${value.offsets.count} facts`,
);

const commit = field.record<CommitNote>({ pid, ownership: counter, generation, position: offset });

const partitionReport = field.record<PartitionReport>({
  pid,
  ownership: counter,
  generation,
  position: offset,
  ours: field.flag,
  hadCommit: field.flag,
  from: field.integer(OTHER_CELLS, OFFSET_MAX),
  ceiling: offset,
  finals: field.bytes(tasks),
  logStart: offsetOrNone,
  logEnd: offsetOrNone,
  leaderEpoch: generation,
});

const progress = field.record<ProgressRow>({
  pid,
  generation,
  delivered: offsetOrNone,
  claimed: offsetOrNone,
  executed: offsetOrNone,
  committed: offsetOrNone,
});

const seen = field.record<SeenException>({ seq: counter, batch: u32, index: u32 });

const verdictBatch = field.record<VerdictBatch>(
  {
    number: counter,
    pid,
    ownership: counter,
    results: field.bytes(tasks, (each) => each >= 1 && each <= VERDICT_MAX, "a verdict"),
    stamps: field.integers64(tasks),
    attempts: counts,
    conflicts: field.integers64(CONFLICT_WORDS * tasks),
  },
  (value) => {
    let given = 0;
    let conflicts = 0;
    for (const result of value.results) {
      if (gives(result)) given++;
      else if (result === Verdict.conflict) conflicts++;
    }
    if (value.stamps.length !== given) return `${value.stamps.length} stamps for ${given} given tasks`;
    if (value.conflicts.length !== CONFLICT_WORDS * conflicts)
      return `${value.conflicts.length} conflict words for ${conflicts} conflicts`;
    return emptyOr(value.attempts.length, given) ? null : `${value.attempts.length} attempts for ${given} given tasks`;
  },
);

const entries = field.record<EntryBatch>(
  {
    pid,
    offsets,
    holder: incarnation,
    firstStamp: counter,
    phases,
    unknownRuns: counts,
    attempts: counts,
    hashes,
  },
  (value) => {
    const { count } = value.offsets;
    if (value.phases.length !== count) return `${value.phases.length} phases for ${count} entries`;
    if (!emptyOr(value.unknownRuns.length, count)) return `${value.unknownRuns.length} run counts for ${count} entries`;
    if (!emptyOr(value.attempts.length, count)) return `${value.attempts.length} attempts for ${count} entries`;
    return emptyOr(value.hashes.length, 2 * count) ? null : `${value.hashes.length} hash words for ${count} entries`;
  },
);

const watermark = field.record<WatermarkRow>({ pid, from: offsetOrNone, watermark: offset });

const delta = field.record<Delta>({
  epoch,
  seq: counter,
  rotateTo: u32,
  entries: field.list(entries),
  watermarks: field.list(watermark),
});

const partitionInfo = field.record<PartitionInfo>({
  pid,
  ownership: counter,
  from: offsetOrNone,
  watermark: offset,
  top: offset,
  stop: words,
});

const question = field.record<QuestionItem>({ pid, offset, stamp: counter, revoke: field.flag });

const attestation = field.oneOf<Attestation>({
  pending: 0,
  running: 1,
  executed: 2,
  dropped: 3,
  dead: 4,
  parked: 5,
  unknown: 6,
  refused: 7,
  absent: 8,
});

const answer = field.record<AnswerItem>({
  pid,
  offset,
  stamp: counter,
  status: attestation,
  attempts: byte,
  taskId,
  idKnown: field.flag,
  payloadHi: u32,
  payloadLo: u32,
});

const rows = field.record<TableRows>(
  {
    pid,
    offsets: field.integers64(tasks),
    holders: field.list(incarnation),
    holderIndex: field.words16(tasks),
    epochs: field.integers64(tasks),
    stamps: field.integers64(tasks),
    phases,
    unknownRuns: counts,
    attempts: counts,
    hashes,
  },
  (value) => {
    const count = value.offsets.length;
    const columns = [value.holderIndex, value.epochs, value.stamps, value.phases, value.unknownRuns, value.attempts];
    for (const column of columns) if (column.length !== count) return `a column of ${column.length} for ${count} rows`;
    if (value.hashes.length !== 2 * count) return `${value.hashes.length} hash words for ${count} rows`;
    for (const index of value.holderIndex) if (index >= value.holders.length) return `holder ${index} is not listed`;
    for (const each of value.epochs) if (each > U32_MAX) return `epoch ${each} is too large`;
    return null;
  },
);

const segments = field.record<FilterSegments>(
  {
    generation: u32,
    insertions: counter,
    indexes: field.words32(BULK_BYTES_MAX / SEGMENT_BYTES),
    bytes: field.bytes(BULK_BYTES_MAX),
  },
  (value) => {
    // The last segment of a filter may be shorter than the others.
    const whole = value.indexes.length * SEGMENT_BYTES;
    const fits = value.bytes.length <= whole && (whole === 0 || value.bytes.length > whole - SEGMENT_BYTES);
    return fits ? null : `${value.bytes.length} bytes for ${value.indexes.length} segments`;
  },
);

export type Kind = PeerMessage["kind"];
export type MessageOf<K extends Kind> = Extract<PeerMessage, { readonly kind: K }>;

export interface MessageSchema<K extends Kind> {
  readonly number: number; // never reused for another meaning
  readonly bytesMax: number;
  readonly fields: Fields<Omit<MessageOf<K>, "kind">>;
}

/** Kind numbers begin at 16; those below belong to the handshake. All fit one msgpack byte. */
export const schemas: { readonly [K in Kind]: MessageSchema<K> } = {
  report: {
    number: 16,
    bytesMax: BULK_BYTES_MAX,
    fields: {
      epoch,
      number: counter,
      appliedEpoch: epoch,
      appliedSeq: counter,
      seen: field.list(seen),
      claims: field.list(claim),
      doubts: field.list(doubts),
      finished: field.list(facts),
      commits: field.list(commit),
      partitions: field.list(partitionReport),
      progress: field.list(progress),
      factsComplete: field.flag,
      draining: field.flag,
      runsNothing: field.flag,
    },
  },
  ack: {
    number: 17,
    bytesMax: CONTROL_BYTES_MAX,
    fields: { epoch, number: counter, leaseMs: field.duration(LEASE_MS_MAX) },
  },
  verdicts: { number: 18, bytesMax: BULK_BYTES_MAX, fields: { epoch, batches: field.list(verdictBatch) } },
  delta: { number: 19, bytesMax: BULK_BYTES_MAX, fields: { epoch, delta } },
  watermarks: { number: 20, bytesMax: BULK_BYTES_MAX, fields: { epoch, rows: field.list(watermark) } },
  partitions: { number: 21, bytesMax: BULK_BYTES_MAX, fields: { epoch, partitions: field.list(partitionInfo) } },
  question: { number: 22, bytesMax: BULK_BYTES_MAX, fields: { epoch, number: counter, items: field.list(question) } },
  answer: { number: 23, bytesMax: BULK_BYTES_MAX, fields: { epoch, number: counter, items: field.list(answer) } },
  nudge: { number: 24, bytesMax: CONTROL_BYTES_MAX, fields: { epoch, pids: field.list(pid) } },
  attach: {
    number: 25,
    bytesMax: CONTROL_BYTES_MAX,
    fields: { epoch, appliedEpoch: epoch, appliedSeq: counter, draining: field.flag },
  },
  welcome: {
    number: 26,
    bytesMax: CONTROL_BYTES_MAX,
    fields: { epoch, active: field.flag, resumeSeq: offsetOrNone, member: field.flag },
  },
  "state-request": { number: 27, bytesMax: CONTROL_BYTES_MAX, fields: { epoch } },
  "state-chunk": {
    number: 28,
    bytesMax: BULK_BYTES_MAX,
    fields: {
      epoch,
      purpose: field.oneOf({ merge: 0, sync: 1 }),
      replace: field.flag,
      first: field.flag,
      last: field.flag,
      seq: counter,
      watermarks: field.list(watermark),
      rows: field.list(rows),
      generations: field.list(u32, 1024),
      segments: field.list(segments),
    },
  },
  admitted: { number: 29, bytesMax: CONTROL_BYTES_MAX, fields: { epoch } },
  refused: {
    number: 30,
    bytesMax: CONTROL_BYTES_MAX,
    fields: {
      epoch,
      reason: field.oneOf({ "stale-epoch": 0, "wrong-incarnation": 1, "not-leader": 2, evicted: 3, drained: 4 }),
    },
  },
};
