/**
 * The task-log port: topics of partitions, consumer groups, positions and commits. Two implementations (Kafka through
 * kafkajs, embedded on SQLite) pass one conformance suite.
 *
 * The contract is the weaker one of the two (Kafka's): a commit carries a group generation and is refused when that
 * generation is over, but a commit for a partition that this member does not own is ACCEPTED within the current
 * generation. Guarding ownership is the caller's duty.
 */

/** One record as delivered. Bytes are the log's own; treat them as read-only. */
export interface TaskRecord {
  readonly offset: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: Readonly<Record<string, Uint8Array>>; // a repeated header: the last one counts
  readonly timestampMs: number;
}

/** Records of one partition, contiguous by fetch position: [fetchedFrom, nextPosition) is covered, gaps included. */
export interface RecordBatch {
  readonly topic: string;
  readonly partition: number;
  readonly generation: number; // the group generation under which it was fetched
  readonly fetchedFrom: number;
  readonly nextPosition: number;
  readonly leaderEpoch: number; // partition leader epoch, -1 when unknown
  readonly logEnd: number; // high watermark seen with this fetch
  readonly records: readonly TaskRecord[];
}

export interface AssignedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly committed: number | null; // the group's committed offset, null when there is none
  readonly metadata: string; // of that commit, "" when there is none
  readonly logStart: number;
  readonly logEnd: number;
  /** Which topic of this name it is: another one after it was deleted and created again. Absent when the log cannot tell. */
  readonly topicId?: string;
}

export interface Assignment {
  readonly generation: number; // group generation
  readonly memberId: string;
  readonly partitions: readonly AssignedPartition[];
}

export interface PartitionPosition {
  readonly topic: string;
  readonly partition: number;
  readonly position: number; // the first fetch begins here
  readonly paused: boolean;
  /** Leader epoch of the last record below the position, when it is known: the log must still have it there. */
  readonly leaderEpoch?: number;
  /** Records of that epoch are known up to here, above the position: the log must still have these too. */
  readonly keptTo?: number;
}

export interface PartitionCommit {
  readonly topic: string;
  readonly partition: number;
  readonly position: number; // the next offset to be read, as Kafka has it
  readonly metadata: string; // <= 4,096 bytes
}

/**
 * committed: acknowledged. refused: this generation is over (a rebalance happened). unknown: timed out or the connection
 * broke, it may or may not have been applied. fatal: will never succeed (authorisation, metadata too large).
 */
export type CommitOutcome =
  | { readonly outcome: "committed" }
  | { readonly outcome: "refused"; readonly reason: string }
  | { readonly outcome: "unknown"; readonly reason: string }
  | { readonly outcome: "fatal"; readonly reason: string };

/**
 * out-of-range: the position was deleted by age. truncated: the log was cut, what was read at some offsets is no longer what
 * stands there. replaced: another topic has this name now. missing-topic: it does not exist (partition -1: all of it).
 * unreadable: what stands there is damaged, or of a format or compression that is not supported; all before it was handed
 * over.
 */
export type PartitionProblem = "out-of-range" | "truncated" | "replaced" | "missing-topic" | "unreadable";

/** What the consumer calls. Both barriers are awaited; keep each shorter than a third of the group session. */
export interface ConsumerHandlers {
  /** Before each (re)join. Commits made inside it still count for the old generation. After it nothing is delivered until `onAssign` ended. */
  onRevoke(): Promise<void>;
  /** After each (re)join, before any fetch. Returns where each assigned partition is to be read from. */
  onAssign(assignment: Assignment): Promise<readonly PartitionPosition[]>;
  /** Hands a batch over; must return at once. Never called between `onRevoke` and the end of `onAssign`. */
  onBatch(batch: RecordBatch): void;
  /** The partition is paused and nothing was committed; the caller decides. `detail`: what happened and what a person can do. */
  onProblem(topic: string, partition: number, problem: PartitionProblem, detail?: string): void;
  /** Says in words what does not work at the moment (broker and address); the consumer keeps trying. */
  onWarning(message: string): void;
  /** The consumer is dead for good and left the group. */
  onFatal(error: Error): void;
}

export interface TaskConsumer {
  /** Joins the group and runs until `stop`. Resolves when the first join is under way; keeps trying while no broker answers. */
  start(handlers: ConsumerHandlers): Promise<void>;
  /** One attempt, no retry inside; `generation` must be the one in which the records were delivered. */
  commit(generation: number, commits: readonly PartitionCommit[]): Promise<CommitOutcome>;
  pause(topic: string, partition: number): void;
  resume(topic: string, partition: number): void;
  /** The next batch of this partition begins here; batches fetched before the call may still arrive. */
  seek(topic: string, partition: number, position: number): void;
  /** Leaves the group; `onRevoke` runs first. Idempotent. */
  stop(): Promise<void>;
}

export interface OutgoingRecord {
  readonly partition?: number; // default: chosen by key, else round robin
  readonly key?: Uint8Array | string | null;
  readonly value: Uint8Array | string | null;
  readonly headers?: Readonly<Record<string, Uint8Array | string>>;
}

export interface TaskProducer {
  /** Resolves when every record is acknowledged by all replicas (acks = all). @throws VouchError when one is not. */
  send(topic: string, records: readonly OutgoingRecord[]): Promise<void>;
  close(): Promise<void>;
}

export interface TopicDescription {
  readonly topic: string;
  readonly partitions: number;
}

export interface GroupOffset {
  readonly partition: number;
  readonly committed: number | null;
  readonly metadata: string;
  readonly logStart: number;
  readonly logEnd: number;
}

export interface TaskAdmin {
  /** null for a topic that does not exist. */
  describeTopic(topic: string): Promise<TopicDescription | null>;
  /**
   * Creates it; an existing one is fine. `holding`: a topic whose records must fit into it with some headers more, where the
   * log has a limit and can say it. @throws VouchError when it cannot be created.
   */
  createTopic(topic: string, partitions: number, holding?: string): Promise<void>;
  /** Committed offset, log start and log end of every partition, as the group has them. */
  groupOffsets(groupId: string, topic: string): Promise<readonly GroupOffset[]>;
  close(): Promise<void>;
}

export interface ConsumerOptions {
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  readonly maxWaitMs: number; // of a fetch; bounds resume latency
  readonly maxBytesPerPartition: number;
  /** Members of one group must name the same one: the log refuses another's. Default: none is named. */
  readonly clusterUuid?: string;
}

export interface TaskLog {
  consumer(options: ConsumerOptions): TaskConsumer;
  producer(): TaskProducer;
  admin(): TaskAdmin;
  close(): Promise<void>;
}
