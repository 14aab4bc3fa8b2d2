/** What the parts of one core share: settings, the effects of this turn, counters, randomness as an argument. */
import type { AlarmCode, CoreEffect } from "./effects.ts";
import type { PartitionId } from "./identity.ts";
import { partitionOf, topicIndexOf } from "./identity.ts";
import type { CoreSettings, TopicSettings } from "./settings.ts";
import type { CoreCounters, DoubtsSettled } from "./status.ts";
import { VerdictTimes } from "./verdict-times.ts";

export class Context {
  readonly settings: CoreSettings;
  readonly incarnation: string;
  readonly random: () => number; // 0 <= x < 1, from the shell's generator
  readonly counters: CoreCounters = newCounters();
  readonly settled: DoubtsSettled = newSettled();
  readonly verdictTimes = new VerdictTimes();
  effects: CoreEffect[] = [];

  constructor(settings: CoreSettings, random: () => number) {
    this.settings = settings;
    this.incarnation = `${settings.nodeId}/${settings.bootId}`;
    this.random = random;
  }

  emit(effect: CoreEffect): void {
    this.effects.push(effect);
  }

  alarm(code: AlarmCode, pid: PartitionId, message: string): void {
    this.effects.push({ type: "alarm", code, pid, message });
  }

  log(level: "info" | "warn", message: string): void {
    this.effects.push({ type: "log", level, message });
  }

  /** A limit was reached: an event with a metric, never silent (R21). */
  limit(name: string): void {
    this.counters.limitHits[name] = (this.counters.limitHits[name] ?? 0) + 1;
  }

  topic(pid: PartitionId): TopicSettings {
    const topic = this.settings.topics[topicIndexOf(pid)];
    if (topic === undefined)
      throw new RangeError(`partition id ${pid} names topic ${topicIndexOf(pid)}, of ${this.settings.topics.length}`);
    return topic;
  }

  /** "payments/3", for messages that a person reads. */
  partitionName(pid: PartitionId): string {
    return `${this.settings.topics[topicIndexOf(pid)]?.name ?? `topic ${topicIndexOf(pid)}`}/${partitionOf(pid)}`;
  }
}

function newCounters(): CoreCounters {
  return {
    delivered: 0,
    discardedBatches: 0,
    claimed: 0,
    granted: 0,
    started: 0,
    executed: 0,
    failedAttempts: 0,
    unknownEnds: 0,
    dropped: 0,
    dead: 0,
    parked: 0,
    doubts: 0,
    verdictsLost: 0,
    staleVerdicts: 0,
    heldAgain: 0,
    checks: 0,
    commits: 0,
    commitsRefused: 0,
    commitsUnknown: 0,
    ledgerEntries: 0,
    elections: 0,
    syncs: 0,
    skipped: 0,
    unexpectedSeen: 0,
    refusedMessages: 0,
    limitHits: {},
  };
}

function newSettled(): DoubtsSettled {
  return {
    attestedExecuted: 0,
    waitedForHolder: 0,
    checkedExecuted: 0,
    checkedNotExecuted: 0,
    falsePositive: 0,
    committed: 0,
    regranted: 0,
    byPolicy: 0,
  };
}
