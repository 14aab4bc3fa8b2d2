/** One node as a member of a leader that is played by the test, message by message. */
import { Outcome } from "../../src/core/events.ts";
import type { PartitionInfo, PeerMessage, ReportMessage, Verdict } from "../../src/core/messages.ts";
import { gives, Verdict as V } from "../../src/core/messages.ts";
import { type CommitMetadata, formatMetadata } from "../../src/core/member/metadata.ts";
import { hashOf } from "../support/cell.ts";
import { OneCore, type Overrides } from "./support.ts";

export const LEADER = "leader/1";

export class OneMember extends OneCore {
  connection = 1;
  epoch = 1;
  group = 0;
  #acknowledged = 0;
  #stamp = 0;

  constructor(overrides?: Overrides) {
    super("node", overrides);
    this.step({ type: "session", state: "connected" });
    this.step({ type: "members", members: [LEADER, this.core.incarnation] });
    this.step({ type: "watchdog", healthyUntil: Infinity });
    this.connect();
  }

  get incarnation(): string {
    return this.core.incarnation;
  }

  /** The coordinator names a leader, the node dials it and is let in. */
  connect({ member = true, active = true } = {}): void {
    this.step({ type: "leader", leader: { incarnation: LEADER, epoch: this.epoch } });
    this.step({ type: "connected", connection: this.connection, peer: LEADER, outgoing: true });
    this.say({ kind: "welcome", epoch: this.epoch, active, resumeSeq: 0, member });
    this.acknowledge();
  }

  /** A message of the leader. */
  say(message: PeerMessage, to = this.incarnation): void {
    this.step({ type: "message", connection: this.connection, to, message });
  }

  tick(ms = 0): void {
    this.now += ms;
    this.step({ type: "tick" });
  }

  get reports(): ReportMessage[] {
    return this.sent("report");
  }

  get report(): ReportMessage {
    const found = this.reports.at(-1);
    if (found === undefined) throw new Error("no report yet");
    return found;
  }

  /** Acknowledges every report that was sent meanwhile, and those that this brings about. */
  acknowledge(leaseMs = 3_000): void {
    for (const report of this.reports.filter(({ number }) => number > this.#acknowledged)) {
      this.#acknowledged = Math.max(this.#acknowledged, report.number);
      this.say({ kind: "ack", epoch: this.epoch, number: report.number, leaseMs });
    }
  }

  /** The node gets partition 0 by a join; the test log has `logEnd` records. Up to the anchor's acknowledgement. */
  own({
    committed = null as number | null,
    metadata = "",
    logEnd = 1_000,
    info = {} as Partial<PartitionInfo>,
    anchor = true,
  } = {}): void {
    this.group++;
    this.step({
      type: "assigned",
      generation: this.group,
      partitions: [{ pid: 0, committed, metadata, logStart: 0, logEnd }],
    });
    this.tick(); // the partition report goes out
    this.acknowledge();
    this.inform(info);
    if (anchor) this.commitDone();
  }

  /** The leader's answer to the partition report. */
  inform(info: Partial<PartitionInfo> = {}): void {
    const { ownership } = this.core.member.state;
    this.say({
      kind: "partitions",
      epoch: this.epoch,
      partitions: [{ pid: 0, ownership, from: 0, watermark: 0, top: 0, stop: "", ...info }],
    });
  }

  /** Answers the commit in flight. */
  commitDone(outcome: "committed" | "refused" | "unknown" | "fatal" = "committed"): void {
    const { number } = this.last("commit");
    this.step({ type: "commit-result", number, outcome, reason: outcome });
  }

  /** Records [begin, begin + count) arrive; then commits and reports go through until they are claimed. */
  deliver(
    begin: number,
    count: number,
    ids: readonly (string | null)[] = [],
    { claim = true, leaderEpoch = 0 } = {},
  ): void {
    const offsets = Float64Array.from({ length: count }, (_, i) => begin + i);
    const words = [...offsets].flatMap((offset, i) => hashOf(ids[i] == null ? `k:${offset}` : `t:${ids[i]}`));
    this.step({
      type: "delivered",
      batch: {
        pid: 0,
        ownership: this.core.member.state.ownership,
        fetchedFrom: begin,
        nextPosition: begin + count,
        offsets,
        hashes: Uint32Array.from(words),
        ids: ids.length === 0 ? null : [...offsets].map((_, i) => ids[i] ?? null),
        payloads: null,
        leaderEpoch,
        logEnd: 1_000,
      },
    });
    if (claim) this.claim();
  }

  /** Lets commit and report go until everything that may be claimed is. */
  claim(): void {
    for (let i = 0; i < 3; i++) {
      this.tick(2);
      if (this.core.member.commits.busy) this.commitDone();
      this.acknowledge();
    }
  }

  /** Answers the last claim: every task the same way. Returns the stamp of the first. */
  answerClaim(verdict: Verdict = V.granted, attempts = 0): number {
    const claim = this.reports.flatMap((report) => report.claims).at(-1)!;
    return this.#answer(claim.number, claim.ownership, claim.offsets.count, verdict, attempts);
  }

  answerDoubts(verdict: Verdict, attempts = 0): number {
    const page = this.reports.flatMap((report) => report.doubts).at(-1)!;
    return this.#answer(page.number, page.ownership, page.offsets.count, verdict, attempts);
  }

  #answer(number: number, ownership: number, count: number, verdict: Verdict, attempts: number): number {
    const given = gives(verdict);
    const first = this.#stamp + 1;
    if (given) this.#stamp += count;
    this.say({
      kind: "verdicts",
      epoch: this.epoch,
      batches: [
        {
          number,
          pid: 0,
          ownership,
          results: new Uint8Array(count).fill(verdict),
          stamps: Float64Array.from({ length: given ? count : 0 }, (_, i) => first + i),
          attempts: attempts === 0 ? new Uint8Array(0) : new Uint8Array(count).fill(attempts),
          conflicts: new Float64Array(0),
        },
      ],
    });
    return first;
  }

  /** A handler ended. */
  end(offset: number, outcome: keyof typeof Outcome): void {
    this.step({
      type: "results",
      pid: 0,
      offsets: Float64Array.of(offset),
      outcomes: Uint8Array.of(Outcome[outcome]),
    });
  }

  /** Offsets whose handlers were started, in order, attempts included. */
  get started(): number[] {
    return this.all("execute").flatMap((effect) => [...effect.offsets]);
  }

  ask(offset: number, stamp: number, revoke: boolean): string {
    this.say({ kind: "question", epoch: this.epoch, number: 1, items: [{ pid: 0, offset, stamp, revoke }] });
    return this.sent("answer").at(-1)!.items[0]!.status;
  }

  stateOf(offset: number): number {
    return this.core.member.state.windows.get(0)!.stateOf(offset);
  }
}

/** Commit metadata of this cell. */
export function metadataOf(more: { ceiling: number } & Partial<CommitMetadata>): string {
  return formatMetadata({
    dedupEpoch: 1,
    topicGeneration: 1,
    clusterUuid: "cell",
    epoch: 1,
    from: 0,
    leaderEpoch: 0,
    finals: new Uint8Array(0),
    ...more,
  });
}
