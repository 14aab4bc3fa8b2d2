/** Arbitrary peer messages of every kind, consistent as the core makes them. */
import fc from "fast-check";
import { PHASE_FLAGS, type Offsets, type PeerMessage } from "../../src/core/messages.ts";
import { OFFSET_MAX } from "../../src/wire/limits.ts";
import type { Kind, MessageOf } from "../../src/wire/schema.ts";

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const epoch = u32;
const counter = fc.integer({ min: 0, max: OFFSET_MAX });
const orNone = fc.integer({ min: -1, max: OFFSET_MAX });
const generation = fc.integer({ min: -1, max: 0x7fff_ffff });
const pid = fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 500 })).map(([t, p]) => t * 65_536 + p);
const incarnation = fc
  .tuple(fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/), fc.stringMatching(/^[0-9a-f]{32}$/))
  .map(([node, boot]) => `${node}/${boot}`);
const byte = fc.integer({ min: 0, max: 255 });
const taskId = fc.string({ maxLength: 60, unit: "grapheme" });
const size = fc.integer({ min: 0, max: 40 });

export function bootId(): fc.Arbitrary<string> {
  return fc.stringMatching(/^[0-9a-f]{32}$/);
}

function bytesOf(length: number, each: fc.Arbitrary<number> = byte): fc.Arbitrary<Uint8Array> {
  return fc.array(each, { minLength: length, maxLength: length }).map((values) => Uint8Array.from(values));
}

function words(length: number): fc.Arbitrary<Uint32Array> {
  return fc.array(u32, { minLength: length, maxLength: length }).map((values) => Uint32Array.from(values));
}

function doubles(length: number, each: fc.Arbitrary<number> = counter): fc.Arbitrary<Float64Array> {
  return fc.array(each, { minLength: length, maxLength: length }).map((values) => Float64Array.from(values));
}

function optional<T>(filled: fc.Arbitrary<T>, empty: T): fc.Arbitrary<T> {
  return fc.oneof(filled, fc.constant(empty));
}

function offsets(count: number): fc.Arbitrary<Offsets> {
  const deltas = optional(words(count), new Uint32Array(0));
  return fc.record({ base: counter, count: fc.constant(count), deltas });
}

const none8 = new Uint8Array(0);
const none32 = new Uint32Array(0);
const flag01 = fc.integer({ min: 0, max: 1 });
/** Every phase with every combination of the flags that the core knows. */
const phaseByte = fc
  .tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: PHASE_FLAGS }))
  .map(([phase, flags]) => phase | (flags & PHASE_FLAGS));

function questionFields(count: number) {
  return {
    number: counter,
    pid,
    ownership: counter,
    generation,
    offsets: offsets(count),
    hashes: words(2 * count),
    idIsKey: optional(bytesOf(count, flag01), none8),
  };
}

const claim = size.chain((count) => fc.record(questionFields(count)));
const doubt = size.chain((count) =>
  fc.record({
    ...questionFields(count),
    ids: fc.array(taskId, { minLength: count, maxLength: count }),
    payloads: optional(words(2 * count), none32),
    ranUnknown: optional(bytesOf(count, flag01), none8),
  }),
);
const fact = size.chain((count) =>
  fc.record({
    pid,
    phase: fc.constantFrom(0, 1, 2, 3, 4, 5),
    offsets: offsets(count),
    hashes: optional(words(2 * count), none32),
  }),
);
const watermark = fc.record({ pid, from: orNone, watermark: counter });
const verdicts = fc.array(fc.integer({ min: 1, max: 10 }), { maxLength: 40 }).chain((results) => {
  const given = results.filter((each) => [1, 3, 4].includes(each)).length;
  const conflicts = results.filter((each) => each === 10).length;
  return fc.record({
    number: counter,
    pid,
    ownership: counter,
    results: fc.constant(Uint8Array.from(results)),
    stamps: doubles(given),
    attempts: optional(bytesOf(given), none8),
    conflicts: doubles(4 * conflicts),
  });
});
const entry = size.chain((count) =>
  fc.record({
    pid,
    offsets: offsets(count),
    holder: fc.oneof(incarnation, fc.constant("")),
    firstStamp: counter,
    phases: bytesOf(count, phaseByte),
    unknownRuns: optional(bytesOf(count), none8),
    attempts: optional(bytesOf(count), none8),
    hashes: optional(words(2 * count), none32),
  }),
);
const row = fc.tuple(size, fc.array(incarnation, { minLength: 1, maxLength: 4 })).chain(([count, holders]) =>
  fc.record({
    pid,
    offsets: doubles(count),
    holders: fc.constant(holders),
    holderIndex: fc
      .array(fc.integer({ min: 0, max: holders.length - 1 }), { minLength: count, maxLength: count })
      .map((values) => Uint16Array.from(values)),
    epochs: doubles(count, u32),
    stamps: doubles(count),
    phases: bytesOf(count, phaseByte),
    unknownRuns: bytesOf(count),
    attempts: bytesOf(count),
    hashes: words(2 * count),
  }),
);
const segment = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 4095 })).chain(([count, missing]) =>
  fc.record({
    generation: u32,
    insertions: counter,
    indexes: words(count),
    bytes: fc.constant(new Uint8Array(count === 0 ? 0 : count * 4096 - missing).fill(7)),
  }),
);
const number = counter;
const some = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 3 });

type Samples = { readonly [K in Kind]: fc.Arbitrary<MessageOf<K>> };

export const samples: Samples = {
  report: fc.record({
    kind: fc.constant("report"),
    epoch,
    number,
    appliedEpoch: epoch,
    appliedSeq: counter,
    seen: some(fc.record({ seq: counter, batch: u32, index: u32 })),
    claims: some(claim),
    doubts: some(doubt),
    finished: some(fact),
    commits: some(fc.record({ pid, ownership: counter, generation, position: counter })),
    partitions: some(
      fc.record({
        pid,
        ownership: counter,
        generation,
        position: counter,
        ours: fc.boolean(),
        hadCommit: fc.boolean(),
        from: orNone,
        ceiling: counter,
        finals: size.chain((count) => bytesOf(count)),
        logStart: orNone,
        logEnd: orNone,
        leaderEpoch: generation,
      }),
    ),
    progress: some(
      fc.record({ pid, generation, delivered: orNone, claimed: orNone, executed: orNone, committed: orNone }),
    ),
    factsComplete: fc.boolean(),
    draining: fc.boolean(),
    runsNothing: fc.boolean(),
  }),
  ack: fc.record({
    kind: fc.constant("ack"),
    epoch,
    number,
    leaseMs: fc.double({ min: 0, max: 3_600_000, noNaN: true }).map((value) => value + 0), // + 0: no negative zero
  }),
  verdicts: fc.record({ kind: fc.constant("verdicts"), epoch, batches: some(verdicts) }),
  delta: fc.record({
    kind: fc.constant("delta"),
    epoch,
    delta: fc.record({ epoch, seq: counter, rotateTo: u32, entries: some(entry), watermarks: some(watermark) }),
  }),
  watermarks: fc.record({ kind: fc.constant("watermarks"), epoch, rows: some(watermark) }),
  partitions: fc.record({
    kind: fc.constant("partitions"),
    epoch,
    partitions: some(
      fc.record({ pid, ownership: counter, from: orNone, watermark: counter, top: counter, stop: taskId }),
    ),
  }),
  question: fc.record({
    kind: fc.constant("question"),
    epoch,
    number,
    items: some(fc.record({ pid, offset: counter, stamp: counter, revoke: fc.boolean() })),
  }),
  answer: fc.record({
    kind: fc.constant("answer"),
    epoch,
    number,
    items: some(
      fc.record({
        pid,
        offset: counter,
        stamp: counter,
        status: fc.constantFrom(
          ...(["pending", "running", "executed", "dropped", "dead", "parked", "unknown", "refused", "absent"] as const),
        ),
        attempts: byte,
        taskId,
        idKnown: fc.boolean(),
        payloadHi: u32,
        payloadLo: u32,
      }),
    ),
  }),
  nudge: fc.record({ kind: fc.constant("nudge"), epoch, pids: some(pid) }),
  attach: fc.record({
    kind: fc.constant("attach"),
    epoch,
    appliedEpoch: epoch,
    appliedSeq: counter,
    draining: fc.boolean(),
  }),
  welcome: fc.record({
    kind: fc.constant("welcome"),
    epoch,
    active: fc.boolean(),
    resumeSeq: orNone,
    member: fc.boolean(),
  }),
  "state-request": fc.record({ kind: fc.constant("state-request"), epoch }),
  "state-chunk": fc.record({
    kind: fc.constant("state-chunk"),
    epoch,
    purpose: fc.constantFrom(...(["merge", "sync"] as const)),
    replace: fc.boolean(),
    first: fc.boolean(),
    last: fc.boolean(),
    seq: counter,
    watermarks: some(watermark),
    rows: some(row),
    generations: some(u32),
    segments: some(segment),
  }),
  admitted: fc.record({ kind: fc.constant("admitted"), epoch }),
  refused: fc.record({
    kind: fc.constant("refused"),
    epoch,
    reason: fc.constantFrom(...(["stale-epoch", "wrong-incarnation", "not-leader", "evicted", "drained"] as const)),
  }),
};

export function anyMessage(): fc.Arbitrary<PeerMessage> {
  return fc.oneof(...(Object.values(samples) as fc.Arbitrary<PeerMessage>[]));
}
