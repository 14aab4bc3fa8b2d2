/**
 * Attestation and revoke from the leader's side (S4, R11), and who counts as gone (R12). Questions are batched a turn
 * and a holder; one is outstanding for an entry at a time. Answers change the table or tell a full task id; the askers
 * that wait for the entry are then nudged.
 */
import type { Incarnation, PartitionId } from "../identity.ts";
import { Phase, type AnswerItem, type Attestation, type QuestionItem } from "../messages.ts";
import { isFinalPhase, type PartitionTable } from "../table.ts";
import { isProvenDead, quarantineEnd } from "./gone.ts";
import type { LeaderState, Peer } from "./state.ts";

/** An unanswered question is asked again after this; the link is ordered, so a loss means a new connection. */
const ASK_AGAIN_MS = 1_000;
/** An answer that changes nothing ("running", "pending", settling) is not worth asking for again at once. */
const PAUSE_MS = 100;
const TIDY_MIN = 16_384;
const IDS_MAX = 65_536;
/** Answers carry full task ids: so many fit a frame. */
const ITEMS_PER_QUESTION_MAX = 1_024;

export interface KnownId {
  readonly pid: PartitionId;
  readonly offset: number;
  readonly taskId: string;
  readonly payloadHi: number;
  readonly payloadLo: number;
}

interface Asked {
  until: number;
  readonly holder: Incarnation;
  readonly revoke: boolean;
  said: Attestation | ""; // for people who ask about the task
}

export class Questions {
  readonly #outgoing = new Map<Incarnation, QuestionItem[]>();
  /** What was asked, by entry: until then its holder is not asked the same again, unless an answer changes something. */
  readonly #asked = new Map<string, Asked>();
  /** So many make it worth looking for those whose time is over. */
  #tidyAt = TIDY_MIN;
  readonly #ids = new Map<string, KnownId>();
  readonly #keyOfId = new Map<string, string>();
  #next = 1;

  /** The full task id of an entry's record, when its holder told it. */
  idOf(pid: PartitionId, offset: number): KnownId | undefined {
    return this.#ids.get(`${pid}:${offset}`);
  }

  /** A record of this task that executed while a duplicate waited for it, whether or not W has passed it since. */
  waitedOutcome(leader: LeaderState, taskId: string, pid: PartitionId, offset: number): KnownId | undefined {
    const key = this.#keyOfId.get(taskId);
    if (key === undefined || key === `${pid}:${offset}` || !leader.waitedOutcomes.has(key)) return undefined;
    return this.#ids.get(key);
  }

  ask(leader: LeaderState, holder: Incarnation, item: QuestionItem, now: number): void {
    const key = `${item.pid}:${item.offset}`;
    const known = this.#asked.get(key);
    if (known !== undefined && known.holder === holder && (known.revoke || !item.revoke) && now < known.until) return;
    if (this.#asked.size >= this.#tidyAt) this.#tidy(now);
    const said = known !== undefined && known.holder === holder ? known.said : "";
    this.#asked.set(key, { until: now + ASK_AGAIN_MS, holder, revoke: item.revoke, said });
    const items = this.#outgoing.get(holder);
    if (items === undefined) this.#outgoing.set(holder, [item]);
    else items.push(item);
    if (!leader.connected(holder)) this.#outgoing.delete(holder);
  }

  flush(leader: LeaderState): void {
    for (const [holder, items] of this.#outgoing) {
      for (let at = 0; at < items.length; at += ITEMS_PER_QUESTION_MAX) {
        leader.sendTo(holder, {
          kind: "question",
          epoch: leader.epoch,
          number: this.#next++,
          items: items.slice(at, at + ITEMS_PER_QUESTION_MAX),
        });
      }
    }
    this.#outgoing.clear();
  }

  /** What the holder says about its own tasks is the truth about them. */
  answered(leader: LeaderState, peer: Peer, items: readonly AnswerItem[], now: number): void {
    for (const item of items) {
      const key = `${item.pid}:${item.offset}`;
      const known = this.#asked.get(key);
      if (known?.holder === peer.incarnation && changesNothing(item)) {
        known.until = now + PAUSE_MS;
        known.said = item.status;
      } else this.#asked.delete(key);
      if (item.idKnown && this.#remember(leader, item)) leader.wake(key);
      this.#apply(leader, peer, item, now);
    }
  }

  /** What the holder said of an entry when it was asked last, as long as that changed nothing. */
  lastWord(pid: PartitionId, offset: number): Attestation | "" {
    return this.#asked.get(`${pid}:${offset}`)?.said ?? "";
  }

  #tidy(now: number): void {
    for (const [key, { until }] of this.#asked) if (until <= now) this.#asked.delete(key);
    this.#tidyAt = Math.max(TIDY_MIN, 2 * this.#asked.size);
  }

  /** Whether the id was new. */
  #remember(leader: LeaderState, item: AnswerItem): boolean {
    const key = `${item.pid}:${item.offset}`;
    if (this.#ids.has(key)) return false;
    if (this.#ids.size >= IDS_MAX) {
      this.#ids.clear();
      this.#keyOfId.clear();
    }
    if (item.taskId !== "" && !leader.waitedOutcomes.has(this.#keyOfId.get(item.taskId) ?? ""))
      this.#keyOfId.set(item.taskId, key);
    this.#ids.set(key, {
      pid: item.pid,
      offset: item.offset,
      taskId: item.taskId,
      payloadHi: item.payloadHi,
      payloadLo: item.payloadLo,
    });
    return true;
  }

  #apply(leader: LeaderState, peer: Peer, item: AnswerItem, now: number): void {
    const { pid, offset } = item;
    const table = leader.replica.table.partition(pid);
    const entry = table.read(offset);
    if (entry === null) return;
    const key = `${pid}:${offset}`;
    if (entry.holder !== peer.incarnation || isFinalPhase(entry.phase)) return;
    switch (item.status) {
      case "executed":
      case "dropped":
      case "dead":
      case "parked":
        leader.change(
          pid,
          table,
          offset,
          peer.incarnation,
          Phase[item.status],
          0,
          entry.unknownRuns,
          entry.attempts,
          entry.hashHi,
          entry.hashLo,
        );
        return;
      case "refused":
        // Only the grant that was asked about is given back; a newer one is another matter.
        if (entry.epoch === leader.epoch && entry.stamp > item.stamp) return;
        leader.free(pid, table, offset, { dirty: false, unknownRun: false, attempts: item.attempts });
        return;
      case "unknown": {
        const since = leader.unknownSince.get(key) ?? now;
        leader.unknownSince.set(key, since);
        if (now < since + leader.ctx.topic(pid).effectSettleMs) return;
        leader.free(pid, table, offset, { dirty: true, unknownRun: true });
        return;
      }
      case "running":
      case "pending":
      case "absent":
        return; // nothing to change: the asker waits and asks again
      default:
        item.status satisfies never;
    }
  }

  /** A peer left: what it was asked will not be answered on that connection. */
  disconnected(holder: Incarnation): void {
    this.#outgoing.delete(holder);
    for (const [key, question] of this.#asked) if (question.holder === holder) this.#asked.delete(key);
  }
}

/** "refused" and the final ones change the entry; after the others the asker waits. */
function changesNothing({ status }: AnswerItem): boolean {
  return status === "unknown" || status === "running" || status === "pending" || status === "absent";
}

/**
 * One step towards the end of an entry that somebody holds: its holder is asked (and, if `revoke`, told to give it back
 * when it does not run), or waited for until it counts as gone (R12). True: the entry is free now.
 */
export function endHeld(
  leader: LeaderState,
  questions: Questions,
  pid: PartitionId,
  table: PartitionTable,
  offset: number,
  revoke: boolean,
  now: number,
): boolean {
  const holder = table.holderOf(offset);
  if (leader.connected(holder)) {
    questions.ask(leader, holder, { pid, offset, stamp: stampHere(leader, table, offset), revoke }, now);
    return false;
  }
  if (!isGone(leader, holder, pid, now)) return false;
  leader.free(pid, table, offset, { dirty: true, unknownRun: true });
  return true;
}

/**
 * A holder refuses verdicts up to the stamp of a revoke (R11). Those of a former epoch it refuses anyway, and their stamps
 * must not be compared with those of this epoch, which began anew.
 */
export function stampHere(leader: LeaderState, table: PartitionTable, offset: number): number {
  return table.epochOf(offset) === leader.epoch ? table.stampOf(offset) : 0;
}

/**
 * R12: whether an unreachable incarnation has certainly stopped: (a) its death is proven and its effects have settled,
 * or (b) lease, grace and margin passed since the later of its last frame processed here and this leader's activation.
 */
export function isGone(leader: LeaderState, incarnation: Incarnation, pid: PartitionId, now: number): boolean {
  if (leader.connected(incarnation)) return false;
  // Every check starts at least effectSettleMs after the old run became impossible.
  const settleMs = leader.ctx.topic(pid).effectSettleMs;
  const proven = isProvenDead(leader, incarnation, settleMs, now);
  if (!proven && now < quarantineEnd(leader, incarnation, settleMs)) return false;
  leader.gone.add(incarnation);
  return true;
}
