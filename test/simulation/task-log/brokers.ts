/** What all clients of one simulated Kafka share, and what its brokers do with a commit. */
import type { PartitionCommit } from "../../../src/task-log/task-log.ts";
import type { Random } from "../random.ts";
import type { VirtualTime } from "../virtual-time.ts";
import { GroupCoordinator, type GroupClient } from "./coordinator.ts";
import { Group } from "./group.ts";
import { BrokerLink } from "./link.ts";
import { type CommitTrouble, type KafkaSettings, type SendTrouble, within } from "./settings.ts";
import { TopicStore } from "./topic-store.ts";

/** How often each semantic that bites came up. */
export interface KafkaCounters {
  commitsAccepted: number;
  commitsRefused: number; // by the coordinator; a client refuses more by itself
  commitsOfOthers: number; // accepted for a partition that the committer does not own in this generation
  staleCommitsAccepted: number;
  commitsUnknown: number; // by trouble, not by a cut
  commitsBackwards: number;
  lostRevocations: number; // heartbeats whose answer a client kept to itself
  heldBatches: number;
}

export interface CommitAnswer {
  readonly isAnswered: boolean;
  readonly error: string | null;
  readonly lateMs: number;
}

const METADATA_BYTES_MAX = 4_096;
const BROKEN_WITHIN_MS = [0, 3_000] as const;

export class Brokers {
  readonly link: BrokerLink;
  readonly topics = new TopicStore();
  readonly coordinator: GroupCoordinator;
  readonly random: Random;
  readonly commitTrouble: CommitTrouble = { refused: 0, unknownApplied: 0, unknownLost: 0, fatal: 0 };
  readonly sendTrouble: SendTrouble = { failed: 0, lostAnswer: 0, refused: 0, slow: 0, slowMs: [100, 5_000] };
  /** By node. lostRevocation: barriers are not called. lateBatches: batches outlive their assignment. */
  readonly spurious = { lostRevocation: new Set<string>(), lateBatches: new Set<string>() };
  readonly counters: KafkaCounters = {
    commitsAccepted: 0,
    commitsRefused: 0,
    commitsOfOthers: 0,
    staleCommitsAccepted: 0,
    commitsUnknown: 0,
    commitsBackwards: 0,
    lostRevocations: 0,
    heldBatches: 0,
  };
  readonly acceptsStaleCommits: () => boolean;
  consumers = 0; // made so far
  readonly #commits: Random;

  constructor(
    time: VirtualTime,
    random: Random,
    settings: KafkaSettings,
    options: {
      readonly acceptsStaleCommits: () => boolean;
      readonly onGroup: (group: Group) => void;
    },
  ) {
    this.random = random;
    this.link = new BrokerLink(time, random.split("latency"), settings);
    this.acceptsStaleCommits = options.acceptsStaleCommits;
    this.#commits = random.split("commits");
    this.coordinator = new GroupCoordinator(this.link, random.split("coordinator"), (groupId) => {
      const group = new Group(groupId, time, random.split(`group ${groupId}`));
      options.onGroup(group);
      return group;
    });
  }

  /** An attempt that has arrived. */
  commit(client: GroupClient, memberId: string, generation: number, commits: readonly PartitionCommit[]): CommitAnswer {
    const group = this.coordinator.group(client.groupId);
    const trouble = this.#drawTrouble();
    if (trouble === "fatal") return answered("GROUP_AUTHORIZATION_FAILED");
    if (trouble === "refused") return answered(this.#disown(group, memberId));
    if (trouble === "unknownLost") return this.#unanswered();
    const fenced = group.fence(memberId, generation);
    if (fenced !== null && !this.acceptsStaleCommits()) {
      this.counters.commitsRefused++;
      return answered(fenced);
    }
    if (fenced !== null) this.counters.staleCommitsAccepted++;
    else this.counters.commitsAccepted++;
    const error = this.#store(client, group, generation, commits);
    return trouble === "unknownApplied" ? this.#unanswered() : answered(error);
  }

  #store(client: GroupClient, group: Group, generation: number, commits: readonly PartitionCommit[]): string | null {
    let error: string | null = null;
    for (const commit of commits) {
      const { topic, partition, position, metadata } = commit;
      if (this.topics.partition(topic, partition) === undefined) error ??= "UNKNOWN_TOPIC_OR_PARTITION";
      else if (Buffer.byteLength(metadata) > METADATA_BYTES_MAX) error ??= "OFFSET_METADATA_TOO_LARGE";
      else {
        if (group.ownerOf(topic, partition)?.request.client !== client) this.counters.commitsOfOthers++;
        if (position < (group.offsets.get(`${topic}#${partition}`)?.position ?? 0)) this.counters.commitsBackwards++;
        group.store(client.process, generation, commit);
      }
    }
    return error;
  }

  #drawTrouble(): keyof CommitTrouble | null {
    const { refused, unknownApplied, unknownLost, fatal } = this.commitTrouble;
    if (refused + unknownApplied + unknownLost + fatal === 0) return null;
    if (this.#commits.chance(refused)) return "refused";
    if (this.#commits.chance(unknownApplied)) return "unknownApplied";
    if (this.#commits.chance(unknownLost)) return "unknownLost";
    return this.#commits.chance(fatal) ? "fatal" : null;
  }

  /** The coordinator moved and forgot the member, or begins a rebalance: either way the generation is over. */
  #disown(group: Group, memberId: string): string {
    this.counters.commitsRefused++;
    if (this.#commits.chance(0.5)) {
      group.evict(memberId);
      return "UNKNOWN_MEMBER_ID";
    }
    if (group.members.size > 0) group.prepare();
    return "REBALANCE_IN_PROGRESS";
  }

  /** The connection breaks, or nothing comes until the client gives up. */
  #unanswered(): CommitAnswer {
    this.counters.commitsUnknown++;
    const lateMs = within(this.#commits, BROKEN_WITHIN_MS);
    return { isAnswered: this.#commits.chance(0.5), error: "KafkaJSConnectionClosedError", lateMs };
  }
}

function answered(error: string | null): CommitAnswer {
  return { isAnswered: true, error, lateMs: 0 };
}
