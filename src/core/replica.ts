/**
 * What is replicated: the grant table T, `from` and W of each partition, and the Bloom filter B, at one (epoch, sequence).
 * The leader changes it directly; everybody else applies its deltas in order, each once. A sync replaces all of it, a
 * merge (activation) adds to it.
 */
import { BloomError, type BloomParameters, estimateParameters, RotatingBloomFilter } from "../../native-ish/bloom.ts";
import {
  FRESH_FLAG,
  type Delta,
  type EntryBatch,
  type FilterSegments,
  type SeenException,
  type StateChunkMessage,
  type TableRows,
  type WatermarkRow,
} from "./messages.ts";
import type { FilterSettings } from "./settings.ts";
import { GrantTable } from "./table.ts";

const SEGMENT_BYTES = 4_096;
const SEGMENTS_PER_CHUNK = 96; // 384 KiB
const ROWS_PER_CHUNK = 8_192; // about 300 KiB

export class Replica {
  readonly table = new GrantTable();
  filter: RotatingBloomFilter;
  /** 0 while nothing complete is held (a fresh node, or a sync under way). */
  appliedEpoch = 0;
  appliedSeq = 0;
  readonly #settings: FilterSettings;
  readonly #size: BloomParameters; // found by a search: once
  #seen = new Uint8Array(64);

  constructor(settings: FilterSettings) {
    this.#settings = settings;
    this.#size = sizeOf(settings);
    this.filter = newFilter(settings, this.#size);
  }

  /** Drops everything: before a sync by a node that was not in the last set (R5). */
  clear(): void {
    this.table.clear();
    this.filter = newFilter(this.#settings, this.#size);
    this.appliedEpoch = 0;
    this.appliedSeq = 0;
  }

  watermarkRows(): WatermarkRow[] {
    const rows: WatermarkRow[] = [];
    for (const [pid, partition] of this.table.partitions) {
      if (partition.from >= 0) rows.push({ pid, from: partition.from, watermark: partition.watermark });
    }
    return rows;
  }

  /** Applies the next delta; returns the fresh entries that this node's own filter knew (the union, S2). */
  apply(delta: Delta): SeenException[] {
    const exceptions: SeenException[] = [];
    if (delta.rotateTo !== 0) this.rotate(delta.rotateTo);
    for (const row of delta.watermarks) this.setWatermark(row);
    for (let i = 0; i < delta.entries.length; i++) {
      const batch = delta.entries[i]!;
      this.table.apply(batch, delta.epoch);
      this.#test(batch, delta.seq, i, exceptions);
    }
    this.remember(); // after the test of what was fresh: the leader's came first as well
    this.appliedEpoch = delta.epoch;
    this.appliedSeq = delta.seq;
    return exceptions;
  }

  /** Opens the next filter generation; the oldest is forgotten when there are too many. */
  rotate(generation: number): void {
    this.filter.rotate(generation);
    this.table.age();
  }

  /**
   * R18: a task counts for the filter's window from when W passes it, not from its grant, which may be long ago. Inserted
   * once more only when a generation was opened between the two. Called after everything that moves W.
   */
  remember(): void {
    const pairs = this.table.takeLeft();
    if (pairs.length > 0) this.filter.addMany(pairs);
  }

  setWatermark(row: WatermarkRow): void {
    const partition = this.table.partition(row.pid);
    if (partition.from !== row.from) partition.restartAt(row.from);
    partition.advance(row.watermark);
  }

  #test(batch: EntryBatch, seq: number, index: number, exceptions: SeenException[]): void {
    if (batch.hashes.length === 0) return;
    const count = batch.offsets.count;
    if (this.#seen.length < count) this.#seen = new Uint8Array(2 * count);
    const unseen = this.filter.testAndAddOpenMany(batch.hashes, this.#seen);
    if (unseen === count) return;
    for (let i = 0; i < count; i++) {
      if (this.#seen[i] !== 0 && (batch.phases[i]! & FRESH_FLAG) !== 0)
        exceptions.push({ seq, batch: index, index: i });
    }
  }

  /** The whole state as chunks, each below a frame's limit. `seq` is the delta sequence that it contains. */
  *chunks(
    epoch: number,
    purpose: "merge" | "sync",
    seq: number,
    replace: boolean,
  ): Generator<StateChunkMessage, void, undefined> {
    this.remember(); // what W passed in a sync that never came to its end
    const generations = this.filter.generations.map((generation) => generation.id);
    const base = { kind: "state-chunk" as const, epoch, purpose, seq, replace: false };
    yield {
      ...base,
      replace,
      first: true,
      last: false,
      watermarks: this.watermarkRows(),
      rows: [],
      generations,
      segments: [],
    };
    for (const pid of this.table.partitions.keys()) {
      for (const rows of splitRows(this.table.rows(pid))) {
        yield { ...base, first: false, last: false, watermarks: [], rows: [rows], generations: [], segments: [] };
      }
    }
    for (const { id, insertions } of this.filter.generations) {
      for (const segments of nonEmptySegments(id, insertions, this.filter.wordsOf(id))) {
        yield { ...base, first: false, last: false, watermarks: [], rows: [], generations: [], segments: [segments] };
      }
    }
    yield { ...base, first: false, last: true, watermarks: [], rows: [], generations: [], segments: [] };
  }

  /**
   * Adds a chunk: rows by the merge rule, bits by OR, watermarks by maximum. After `clear` that is a plain copy.
   * "" when it was taken, else why a chunk from outside was not (nothing of its filter part was applied then).
   */
  addChunk(chunk: StateChunkMessage): string {
    try {
      this.#add(chunk);
      return "";
    } catch (error) {
      if (error instanceof BloomError) return error.message;
      throw error;
    }
  }

  #add(chunk: StateChunkMessage): void {
    for (const row of chunk.watermarks) this.#mergeWatermark(row);
    for (const rows of chunk.rows) this.table.merge(rows);
    for (const generation of chunk.generations) {
      if (generation > this.filter.openGenerationId) this.rotate(generation);
    }
    for (const segments of chunk.segments) {
      this.filter.applySegments([
        {
          generationId: segments.generation,
          openedAtMs: 0,
          insertions: segments.insertions,
          indexes: segments.indexes,
          partial: new Uint8Array(segments.indexes.length),
          bytes: segments.bytes,
        },
      ]);
    }
    // W of a sync passes entries that the leader remembered when it passed them, perhaps in a generation that was closed
    // since: their bits come with it. Put into the open one, they would be bits that the leader does not have.
    if (chunk.purpose === "merge") this.remember();
    else if (chunk.last) this.table.takeLeft();
  }

  /** A higher `from` is a later beginning of the partition; within one `from` the higher W wins. */
  #mergeWatermark(row: WatermarkRow): void {
    const partition = this.table.partition(row.pid);
    if (row.from > partition.from) partition.restartAt(row.from);
    if (row.from === partition.from) partition.advance(row.watermark);
  }
}

function sizeOf(settings: FilterSettings): BloomParameters {
  return estimateParameters({
    capacity: settings.capacityPerGeneration,
    falsePositiveRate: settings.falsePositiveRate / settings.generations,
    seed: settings.seed,
  });
}

function newFilter(settings: FilterSettings, { blocks, k, seed }: BloomParameters): RotatingBloomFilter {
  return new RotatingBloomFilter({
    blocks,
    k,
    seed,
    generationsMax: settings.generations,
    capacity: settings.capacityPerGeneration,
    openGenerationId: 1,
  });
}

function* splitRows(rows: TableRows | null): Generator<TableRows, void, undefined> {
  if (rows === null) return;
  for (let begin = 0; begin < rows.offsets.length; begin += ROWS_PER_CHUNK) {
    const end = Math.min(begin + ROWS_PER_CHUNK, rows.offsets.length);
    yield {
      pid: rows.pid,
      offsets: rows.offsets.slice(begin, end),
      holders: rows.holders,
      holderIndex: rows.holderIndex.slice(begin, end),
      epochs: rows.epochs.slice(begin, end),
      stamps: rows.stamps.slice(begin, end),
      phases: rows.phases.slice(begin, end),
      unknownRuns: rows.unknownRuns.slice(begin, end),
      attempts: rows.attempts.slice(begin, end),
      hashes: rows.hashes.slice(2 * begin, 2 * end),
    };
  }
}

function* nonEmptySegments(
  generation: number,
  insertions: number,
  words: Uint32Array,
): Generator<FilterSegments, void, undefined> {
  const segmentWords = SEGMENT_BYTES / 4;
  const indexes: number[] = [];
  for (let segment = 0; segment * segmentWords < words.length; segment++) {
    const end = Math.min(words.length, (segment + 1) * segmentWords);
    for (let at = segment * segmentWords; at < end; at++) {
      if (words[at] === 0) continue;
      indexes.push(segment);
      break;
    }
  }
  for (let begin = 0; begin < indexes.length; begin += SEGMENTS_PER_CHUNK) {
    const part = indexes.slice(begin, begin + SEGMENTS_PER_CHUNK);
    const pieces = part.map((segment) =>
      words.subarray(segment * segmentWords, Math.min(words.length, (segment + 1) * segmentWords)),
    );
    const joined = new Uint32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      joined.set(piece, at);
      at += piece.length;
    }
    yield { generation, insertions, indexes: Uint32Array.from(part), bytes: new Uint8Array(joined.buffer) };
  }
}
