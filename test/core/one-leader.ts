/** One node as the leader of members that are played by the test, message by message. */
import type { InSyncState, WatermarksState } from "../../src/core/events.ts";
import type { Leader } from "../../src/core/leader/leader.ts";
import type {
  AnswerItem,
  Attestation,
  PartitionReport,
  PeerMessage,
  QuestionItem,
  ReportMessage,
  VerdictBatch,
  WatermarkRow,
} from "../../src/core/messages.ts";
import { Verdict } from "../../src/core/messages.ts";
import { hashesOf, OneCore, type Overrides, partitionReportOf, reportOf, type MessageOf } from "./support.ts";

export const SELF = "L/1";

/** A state of the last set, as one of its members tells it. */
export interface ToldState {
  readonly watermarks?: readonly WatermarkRow[];
  readonly entries?: readonly (readonly [
    offset: number,
    phase: number,
    holder?: string,
    stamp?: number,
    id?: string,
  ])[];
  readonly epoch?: number;
}

/** A member that the test plays. */
interface Played {
  readonly incarnation: string;
  connection: number;
  reports: number;
}

export interface LeaderOptions extends Overrides {
  /** The set of the last epoch; default none: the cell's first start. */
  readonly inSync?: readonly string[];
  /** Who stood beside that set in the record. */
  readonly evicted?: readonly string[];
  readonly watermarks?: Partial<WatermarksState>;
  readonly epoch?: number;
}

export class OneLeader extends OneCore {
  epoch: number;
  readonly #played = new Map<string, Played>();
  #connections = 0;
  #answered = 0;
  #version = 1;

  /** The node has won; nothing else happened yet. */
  constructor(options: LeaderOptions = {}) {
    super("L", options);
    this.epoch = options.epoch ?? 5;
    this.step({ type: "session", state: "connected" });
    this.step({ type: "coordinator-deadline", at: Infinity });
    this.step({ type: "watchdog", healthyUntil: Infinity });
    this.members();
    this.step({ type: "leader", leader: null });
    const { inSync: incarnations = [], evicted } = options;
    this.win(
      { incarnations, ...(evicted === undefined ? {} : { evicted }), version: this.#version },
      options.watermarks,
    );
  }

  win(inSync: InSyncState, watermarks: Partial<WatermarksState> = {}): void {
    this.#version = inSync.version;
    this.step({
      type: "election",
      outcome: "won",
      epoch: this.epoch,
      inSync,
      watermarks: { clean: false, written: true, partitions: [], ...watermarks },
    });
  }

  get leader(): Leader {
    const { leader } = this.core;
    if (leader === null) throw new Error("it does not lead");
    return leader;
  }

  /** Which incarnations the coordinator lists; the node itself is always one. */
  members(...incarnations: string[]): void {
    this.step({ type: "members", members: [SELF, ...incarnations] });
  }

  tick(ms = 0): void {
    this.now += ms;
    this.step({ type: "tick" });
  }

  // --- members

  #player(name: string): Played {
    const played = this.#played.get(name);
    if (played === undefined) throw new Error(`${name} never attached`);
    return played;
  }

  attach(name: string, { appliedEpoch = 0, appliedSeq = 0, epoch = 0, draining = false } = {}): void {
    const connection = ++this.#connections;
    this.#played.set(name, { incarnation: name, connection, reports: 0 });
    this.step({ type: "connected", connection, peer: name, outgoing: false });
    this.say(name, { kind: "attach", epoch, appliedEpoch, appliedSeq, draining });
  }

  detach(name: string): void {
    this.step({ type: "disconnected", connection: this.#player(name).connection });
  }

  say(name: string, message: PeerMessage, to = SELF): void {
    this.step({ type: "message", connection: this.#player(name).connection, to, message });
  }

  /** The state that an activating leader asked for. */
  tellState(
    name: string,
    { watermarks = [{ pid: 0, from: 0, watermark: 0 }], entries = [], epoch = 4 }: ToldState = {},
  ): void {
    const holders = [...new Set(entries.map(([, , holder = ""]) => holder))];
    this.say(name, {
      kind: "state-chunk",
      epoch: this.epoch,
      purpose: "merge",
      first: true,
      last: true,
      replace: false,
      seq: 0,
      watermarks,
      rows: [
        {
          pid: 0,
          offsets: Float64Array.from(entries, ([offset]) => offset),
          holders,
          holderIndex: Uint16Array.from(entries, ([, , holder = ""]) => holders.indexOf(holder)),
          epochs: new Float64Array(entries.length).fill(epoch),
          stamps: Float64Array.from(entries, ([, , , stamp = 1]) => stamp),
          phases: Uint8Array.from(entries, ([, phase]) => phase),
          unknownRuns: new Uint8Array(entries.length),
          attempts: new Uint8Array(entries.length),
          hashes: hashesOf(
            entries.map(([offset]) => offset),
            entries.map(([, , , , id]) => id ?? null),
          ),
        },
      ],
      generations: [],
      segments: [],
    });
  }

  /** A report; without more it acknowledges nothing. */
  report(name: string, more: Partial<ReportMessage> = {}): void {
    this.say(name, reportOf(this.epoch, ++this.#player(name).reports, more));
  }

  /** A report that acknowledges everything sent so far. */
  acknowledge(name: string, more: Partial<ReportMessage> = {}): void {
    this.report(name, { appliedEpoch: this.epoch, appliedSeq: this.leader.state.seq, ...more });
  }

  messagesTo<K extends PeerMessage["kind"]>(name: string, kind: K): MessageOf<K>[] {
    return this.sent(kind, this.#player(name).connection);
  }

  /** Verdict batches to a member, by claim number. */
  verdicts(name: string, number: number): VerdictBatch | undefined {
    return this.messagesTo(name, "verdicts")
      .flatMap((message) => message.batches)
      .findLast((batch) => batch.number === number);
  }

  /** The verdicts of a claim as words. */
  words(name: string, number: number): string[] {
    const names = Object.entries(Verdict);
    const results = this.verdicts(name, number)?.results ?? [];
    return [...results].map((result) => names.find(([, value]) => value === result)![0]);
  }

  // --- the coordinator

  /** Answers the last write of the in-sync set, if it is not answered yet. */
  setWritten(outcome: "written" | "unknown" | "conflict" | "fenced" = "written"): void {
    this.#answered = this.all("write-in-sync").length;
    if (outcome === "written") this.#version++;
    this.step({ type: "in-sync-written", epoch: this.epoch, outcome, version: this.#version });
  }

  get writeOutstanding(): boolean {
    return this.all("write-in-sync").length > this.#answered;
  }

  marked(): void {
    this.step({ type: "watermarks-written", epoch: this.epoch, outcome: "written" });
  }

  /** From a won election to the first vote, with these members; nothing was there before. */
  activate(...names: string[]): this {
    this.members(...names);
    for (const name of names) this.attach(name);
    this.tick(2_000); // syncMaxMs: whoever is registered and not here is not waited for any longer
    for (const name of names) this.acknowledge(name);
    this.tick();
    this.marked();
    this.setWritten();
    for (const name of names) this.acknowledge(name);
    if (!this.leader.state.active) throw new Error(`not active: ${this.leader.activation.phase}`);
    return this;
  }

  /** A member owns partition 0 from now on, has committed its anchor, and everybody knows. */
  own(name: string, more: Partial<PartitionReport> = {}): void {
    const report = partitionReportOf(more);
    const marks = this.all("write-watermarks").length;
    this.report(name, { partitions: [report] });
    this.acknowledgeAll();
    if (!report.hadCommit) this.anchor(name, report);
    if (this.all("write-watermarks").length > marks) this.marked();
  }

  anchor(name: string, { pid, ownership, generation, position }: PartitionReport): void {
    this.report(name, { commits: [{ pid, ownership, generation, position }] });
    this.acknowledgeAll();
  }

  acknowledgeAll(): void {
    for (const [name, played] of this.#played) {
      if (this.leader.state.peers.get(name)?.connection === played.connection) this.acknowledge(name);
    }
  }

  /** A claim or page of doubts, replicated and answered: the verdicts as words. */
  claim(name: string, ...claims: ReportMessage["claims"]): string[] {
    this.report(name, { claims });
    this.acknowledgeAll();
    return claims.flatMap((claim) => this.words(name, claim.number));
  }

  doubt(name: string, ...doubts: ReportMessage["doubts"]): string[] {
    this.report(name, { doubts });
    this.acknowledgeAll();
    return doubts.flatMap((page) => this.words(name, page.number));
  }

  /** What a member was asked last. */
  question(name: string): readonly QuestionItem[] {
    return this.messagesTo(name, "question").at(-1)?.items ?? [];
  }

  /** A member answers its last question, every item alike. */
  answer(name: string, status: Attestation, more: Partial<AnswerItem> = {}): void {
    const last = this.messagesTo(name, "question").at(-1)!;
    const items = last.items.map(({ pid, offset, stamp }) => ({
      pid,
      offset,
      stamp,
      status,
      attempts: 0,
      taskId: "",
      idKnown: true,
      payloadHi: 0,
      payloadLo: 0,
      ...more,
    }));
    this.say(name, { kind: "answer", epoch: this.epoch, number: last.number, items });
  }

  /** Partition 0 moves: the group has a new generation. */
  moveTo(name: string, generation: number): void {
    this.own(name, { generation, ownership: generation, ours: true, hadCommit: true, from: 0 });
  }

  entry(offset: number, pid = 0) {
    return this.leader.state.replica.table.partition(pid).read(offset);
  }
}
