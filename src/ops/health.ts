/**
 * What is wrong with a node that goes on working, told once when it begins and once when it is over, and shown as long as
 * it lasts: an event loop that stands still (matrix row C19), and verdicts that take long (M10). It decides nothing: a
 * member that lags too far is removed from the in-sync set by the leader, whatever is alarmed here.
 */
import { quantileMs } from "../core/verdict-times.ts";
import { ageText } from "./layout.ts";

export interface HealthLimits {
  /** The event loop may stand still for so long without an alarm. */
  readonly loopLagMs: number;
  /** So long may the slowest hundredth of a minute's verdicts take. */
  readonly verdictMs: number;
  readonly leaseMs: number; // to say what a stall costs
}

export type AlarmName = "event-loop" | "verdicts";

/** What the alarms are made of, taken now and then. */
export interface HealthLook {
  /** Answered questions by bucket, since the start (`core/verdict-times.ts`). */
  readonly verdicts: ArrayLike<number>;
  /** Age of the oldest question without an answer; 0 for none. */
  readonly oldestAskMs: number;
}

/** What is to be logged. */
export interface HealthNews {
  readonly alarm: AlarmName;
  readonly raised: boolean; // false: it is over
  readonly message: string;
}

/** How long an alarm of the event loop is shown after its last stall. */
const STALL_SHOWN_MS = 60_000;
const SNAPSHOT_EVERY_MS = 5_000;
const SNAPSHOTS_MAX = 12; // a minute
/** Fewer verdicts a minute make no hundredth. */
const VERDICTS_MIN = 20;
/** A question that waits for so many times the limit is an alarm by itself, however few there are. */
const OLDEST_FACTOR = 3;

interface Snapshot {
  readonly at: number;
  readonly verdicts: Float64Array;
}

export class Health {
  readonly #limits: HealthLimits;
  readonly #snapshots: Snapshot[] = [];
  readonly #alarms = new Map<AlarmName, string>();
  #stalledAt = Number.NEGATIVE_INFINITY;
  #worstStallMs = 0;
  #p99Ms = 0;
  /** Stalls beyond the limit, since the start. */
  stalls = 0;

  constructor(limits: HealthLimits) {
    this.#limits = limits;
  }

  /** The slowest hundredth of the last minute's verdicts took at least so long: an upper estimate; 0 without any. */
  get verdictP99Ms(): number {
    return this.#p99Ms;
  }

  has(alarm: AlarmName): boolean {
    return this.#alarms.has(alarm);
  }

  /** What is wrong now, in sentences that say what to do. */
  alarms(): readonly string[] {
    return [...this.#alarms.values()];
  }

  /** The event loop stood still for so long. */
  lagged(lagMs: number, now: number): HealthNews | null {
    const { loopLagMs, leaseMs } = this.#limits;
    if (lagMs < loopLagMs) return null;
    this.stalls++;
    this.#stalledAt = now;
    const known = this.has("event-loop");
    if (known && lagMs <= this.#worstStallMs) return null;
    this.#worstStallMs = lagMs;
    const message =
      `the event loop stood still for ${ageText(lagMs)} (alarm at ${ageText(loopLagMs)}): a handler, a check or a taskId ` +
      `function computed without awaiting anything, or the machine gave this process no CPU. Meanwhile this node answered ` +
      `nobody: longer than its lease (${ageText(leaseMs)}) and its unstarted tasks are given back, and if it leads, all ` +
      `nodes wait for it. Move such work into a Worker or a child process, or give the container more CPU`;
    this.#alarms.set("event-loop", message);
    return { alarm: "event-loop", raised: true, message };
  }

  /** To be called every second or so. `slowest` names who holds verdicts up, "" when nobody here knows. */
  look({ verdicts, oldestAskMs }: HealthLook, now: number, slowest: () => string): readonly HealthNews[] {
    const news: HealthNews[] = [];
    if (this.has("event-loop") && now - this.#stalledAt >= STALL_SHOWN_MS) {
      this.#alarms.delete("event-loop");
      this.#worstStallMs = 0;
      const message = `the event loop has not stood still for ${ageText(STALL_SHOWN_MS)}`;
      news.push({ alarm: "event-loop", raised: false, message });
    }
    const minute = this.#lastMinute(verdicts, now);
    this.#p99Ms = quantileMs(minute, 0.99);
    const verdictNews = this.#verdictNews(sum(minute), oldestAskMs, slowest);
    if (verdictNews !== null) news.push(verdictNews);
    return news;
  }

  #verdictNews(count: number, oldestAskMs: number, slowest: () => string): HealthNews | null {
    const { verdictMs } = this.#limits;
    const slow = count >= VERDICTS_MIN && this.#p99Ms > verdictMs;
    const stuck = oldestAskMs >= OLDEST_FACTOR * verdictMs;
    if (!slow && !stuck) {
      if (!this.#alarms.delete("verdicts")) return null;
      return { alarm: "verdicts", raised: false, message: `verdicts come within ${ageText(verdictMs)} again` };
    }
    if (this.has("verdicts")) return null;
    const what = stuck
      ? `no verdict for ${ageText(oldestAskMs)}`
      : `one verdict in a hundred took ${this.#p99Ms === Infinity ? "over 30 s" : `up to ${ageText(this.#p99Ms)}`} in the last minute`;
    const who = slowest();
    const message =
      `${what} (alarm at ${ageText(verdictMs)}): each waits for the leader and for the slowest member of the in-sync set` +
      `${who === "" ? "" : `, now ${who}`}. Look there for a blocked event loop, too little CPU or a slow network; ` +
      `a member that lags for inSyncEvictionMs is removed from the set by itself`;
    this.#alarms.set("verdicts", message);
    return { alarm: "verdicts", raised: true, message };
  }

  /** Batches by bucket that were answered since the oldest snapshot. */
  #lastMinute(verdicts: ArrayLike<number>, now: number): Float64Array {
    const newest = this.#snapshots.at(-1);
    if (newest === undefined || now - newest.at >= SNAPSHOT_EVERY_MS) {
      this.#snapshots.push({ at: now, verdicts: Float64Array.from(verdicts) });
      if (this.#snapshots.length > SNAPSHOTS_MAX + 1) this.#snapshots.shift();
    }
    const oldest = this.#snapshots[0]?.verdicts;
    return Float64Array.from(verdicts, (count, bucket) => count - (oldest?.[bucket] ?? 0));
  }
}

function sum(counts: Float64Array): number {
  return counts.reduce((total, count) => total + count, 0);
}
