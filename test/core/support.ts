/** What the tests of the core's rules share: settings, the effects of one core, messages with their tedious fields filled. */
import type { CoreEffect } from "../../src/core/effects.ts";
import type { CoreEvent } from "../../src/core/events.ts";
import type {
  ClaimBatch,
  DoubtPage,
  FactBatch,
  Offsets,
  PartitionReport,
  PeerMessage,
  ReportMessage,
} from "../../src/core/messages.ts";
import { NodeCore } from "../../src/core/node.ts";
import { packOffsets } from "../../src/core/offsets.ts";
import type { CoreSettings, TopicSettings } from "../../src/core/settings.ts";
import { Cell, hashOf, type CellOptions } from "../support/cell.ts";

export interface Overrides {
  readonly settings?: Partial<CoreSettings>;
  readonly topic?: Partial<TopicSettings>;
}

export function settingsOf(name: string, { settings = {}, topic = {} }: Overrides = {}): CoreSettings {
  return { ...new Cell({ nodes: [], settings, topic }).settings(name), bootId: "1" };
}

/** A cell whose leader votes. */
export function runningCell(options: CellOptions = {}): Cell {
  const cell = new Cell(options);
  cell.until("a leader votes", () => cell.activeLeader() !== null);
  return cell;
}

export type EffectOf<T extends CoreEffect["type"]> = Extract<CoreEffect, { type: T }>;
export type MessageOf<K extends PeerMessage["kind"]> = Extract<PeerMessage, { kind: K }>;

/** One core, driven by hand; every effect is kept. */
export class OneCore {
  now = 1_000;
  readonly core: NodeCore;
  readonly effects: CoreEffect[] = [];

  constructor(name: string, overrides?: Overrides) {
    this.core = new NodeCore(settingsOf(name, overrides), () => 0.5, this.now);
  }

  /** Returns the effects of this step. */
  step(event: CoreEvent): readonly CoreEffect[] {
    const effects = this.core.step(event, this.now);
    this.effects.push(...effects);
    return effects;
  }

  /** All effects of a type so far. */
  all<T extends CoreEffect["type"]>(type: T): EffectOf<T>[] {
    return this.effects.filter((effect): effect is EffectOf<T> => effect.type === type);
  }

  last<T extends CoreEffect["type"]>(type: T): EffectOf<T> {
    const found = this.all(type).at(-1);
    if (found === undefined) throw new Error(`no effect ${type}; there were ${this.effects.map((e) => e.type).join()}`);
    return found;
  }

  /** All messages of a kind sent so far, on one connection or on any. */
  sent<K extends PeerMessage["kind"]>(kind: K, connection?: number): MessageOf<K>[] {
    return this.all("send")
      .filter((effect) => connection === undefined || effect.connection === connection)
      .map((effect) => effect.message)
      .filter((message): message is MessageOf<K> => message.kind === kind);
  }
}

export function offsetsOf(...offsets: number[]): Offsets {
  return packOffsets(offsets, 0, offsets.length);
}

/** Offsets of a packed batch, as a list. */
export function listOf({ base, count, deltas }: Offsets): number[] {
  return Array.from({ length: count }, (_, i) => (deltas.length === 0 ? base + i : base + deltas[i]!));
}

/** Hash words of tasks: of the id, or of the delivery key where it is null. */
export function hashesOf(offsets: readonly number[], ids: readonly (string | null)[] = []): Uint32Array {
  return Uint32Array.from(offsets.flatMap((offset, i) => hashOf(ids[i] == null ? `k:${offset}` : `t:${ids[i]}`)));
}

export function claimOf(
  number: number,
  offsets: readonly number[],
  { ids = [], ...more }: { ids?: readonly (string | null)[] } & Partial<ClaimBatch> = {},
): ClaimBatch {
  return {
    number,
    pid: 0,
    ownership: 1,
    generation: 1,
    offsets: offsetsOf(...offsets),
    hashes: hashesOf(offsets, ids),
    idIsKey: Uint8Array.from(offsets, (_, i) => (ids[i] == null ? 1 : 0)),
    ...more,
  };
}

export function doubtsOf(
  number: number,
  offsets: readonly number[],
  { ids = [], ...more }: { ids?: readonly (string | null)[] } & Omit<Partial<DoubtPage>, "ids"> = {},
): DoubtPage {
  return {
    ...claimOf(number, offsets, { ids }),
    ids: offsets.map((_, i) => ids[i] ?? ""),
    payloads: new Uint32Array(0),
    ranUnknown: new Uint8Array(offsets.length),
    ...more,
  };
}

export function factsOf(
  phase: FactBatch["phase"],
  offsets: readonly number[],
  more: Partial<FactBatch> = {},
): FactBatch {
  return { pid: 0, phase, offsets: offsetsOf(...offsets), hashes: new Uint32Array(0), ...more };
}

export function partitionReportOf(more: Partial<PartitionReport> = {}): PartitionReport {
  return {
    pid: 0,
    ownership: 1,
    generation: 1,
    position: 0,
    ours: false,
    hadCommit: false,
    from: -1,
    ceiling: 0,
    finals: new Uint8Array(0),
    logStart: 0,
    logEnd: 1_000,
    leaderEpoch: 0,
    ...more,
  };
}

export function reportOf(epoch: number, number: number, more: Partial<ReportMessage> = {}): ReportMessage {
  return {
    kind: "report",
    epoch,
    number,
    appliedEpoch: 0,
    appliedSeq: 0,
    seen: [],
    claims: [],
    doubts: [],
    finished: [],
    commits: [],
    partitions: [],
    progress: [],
    factsComplete: true,
    draining: false,
    runsNothing: false,
    ...more,
  };
}
