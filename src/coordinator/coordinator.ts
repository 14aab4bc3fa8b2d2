/**
 * The coordination port: registration, election, and the few records of a cell that must survive every node.
 * Two implementations (ZooKeeper, embedded) pass one conformance suite.
 *
 * Guarantees: at most one holder of the leader node per epoch; epochs rise; a write with an epoch that is no longer the
 * newest is refused ("fenced"). It does not guarantee that a holder still is the leader when it acts: that is what
 * `deadline()` and the epochs on every message are for.
 */

/** Where a process runs, so that another node in the same kernel can prove its death (R12). */
export interface ProcessIdentity {
  readonly kernelBootId: string; // /proc/sys/kernel/random/boot_id, or "" when unknown
  readonly pidNamespace: string; // readlink /proc/self/ns/pid, or ""
  readonly pid: number;
  readonly startTime: string; // field 22 of /proc/<pid>/stat, or ""
}

/** What a node writes into its ephemeral member node. */
export interface MemberInfo {
  readonly nodeId: string;
  readonly bootId: string; // 32 hex digits, drawn when the node starts
  readonly peerAddress: string; // host:port
  readonly httpAddress: string; // host:port, or "" without HTTP
  readonly protocolVersion: number;
  readonly process: ProcessIdentity;
}

/** Who holds the ephemeral leader node, and the epoch that its election produced. */
export interface LeaderInfo {
  readonly nodeId: string;
  readonly bootId: string;
  readonly epoch: number;
}

/** The in-sync set as recorded: incarnations as `nodeId/bootId`. */
export interface InSyncRecord {
  readonly epoch: number; // of the leader that wrote it; 0 when never written
  readonly incarnations: readonly string[];
  readonly evicted?: readonly string[]; // left the set and may still run a handler; absent when there is none
}

/** `from` and the watermark of each partition (key `topic#partition`), and whether the last stop was clean (R15). */
export interface WatermarksRecord {
  readonly clean: boolean;
  /** A row of another dedup epoch says nothing about this one's offsets; absent means 0. */
  readonly partitions: Readonly<Record<string, readonly [from: number, watermark: number, dedupEpoch?: number]>>;
}

/** What the cell recorded about a topic when it first read it. */
export interface TopicRecord {
  readonly generation: number; // topic generation: part of the delivery key
  readonly dedupEpoch: number;
  readonly startAt: "earliest" | "latest" | "committed";
  /** Which topic of this name it is, as the task log tells; absent until it was first read, or when the log cannot tell. */
  readonly topicId?: string;
  /** How many partitions it had when its id was recorded. */
  readonly partitions?: number;
}

export interface Versioned<T> {
  readonly value: T;
  readonly version: number; // of the record; >= 1
}

/** "unknown": the request may or may not have been applied; read again before the next change. */
export type WriteOutcome =
  | { readonly outcome: "written"; readonly version: number }
  | { readonly outcome: "refused"; readonly reason: "fenced" | "conflict" }
  | { readonly outcome: "unknown" };

export type ElectionOutcome =
  | { readonly outcome: "won"; readonly epoch: number }
  | { readonly outcome: "lost" } // somebody holds the leader node
  | { readonly outcome: "unknown" }; // ask again: if it was ours, the next call says "won" with the same epoch

/**
 * "connected" comes once the node is registered, and is followed by the members and the leader of that moment, each time anew;
 * "suspended" means that nobody answers at present; "lost" that the session is over for this node, and with it an epoch that it
 * won. A new session begins with its own "connected".
 */
export type CoordinatorEvent =
  | { readonly type: "session"; readonly state: "connected" | "suspended" | "lost" }
  | { readonly type: "members"; readonly members: readonly MemberInfo[] }
  | { readonly type: "leader"; readonly leader: LeaderInfo | null }
  | { readonly type: "warning"; readonly message: string } // e.g. "ZooKeeper 127.0.0.1:2181 does not answer (try 3)"
  | { readonly type: "failed"; readonly message: string }; // the cell's records are gone: only a person can go on. Said once

export interface Coordinator {
  /**
   * Connects, creates what is missing, registers the member node and reports events from then on. Keeps trying with
   * back-off while no server answers (each try is a "warning"); resolves once registered. After a lost session it
   * starts a new one and registers again by itself; leadership is not regained by that.
   * @throws VouchError "configuration" when the root cannot be used, "closed" when closed meanwhile.
   */
  start(self: MemberInfo, onEvent: (event: CoordinatorEvent) => void): Promise<void>;

  /** The cluster UUID (32 hex digits); valid after `start`. */
  clusterUuid(): string;

  /**
   * Milliseconds from now until nothing this coordinator said may be relied upon any more: (send time of the last answered request
   * + 2/3 of the session) - now, on this process's monotonic clock. Negative when passed,
   * and from a "lost" until the next "connected".
   */
  remainingMs(): number;

  /**
   * Tries once to take the leader node: one transaction that creates it and raises the epoch record to
   * max(recorded, highestKnownEpoch) + 1. Never deletes a node of another session.
   */
  compete(highestKnownEpoch: number): Promise<ElectionOutcome>;

  /** Gives the leader node up, if this session holds it in this epoch. Resolves when it is gone or not ours. */
  resign(epoch: number): Promise<void>;

  /** Reads are from a live session and not older than the last write that this object saw succeed. @throws VouchError "unavailable" */
  readInSync(): Promise<Versioned<InSyncRecord>>;
  readWatermarks(): Promise<Versioned<WatermarksRecord>>;

  /**
   * Both writes are "fenced" also when `epoch` was not won by this object, or in a session that it has lost since.
   *
   * Conditional on `epoch` being the newest epoch and on the version ("conflict" otherwise). Never throws for a lost connection: "unknown".
   */
  writeInSync(epoch: number, record: InSyncRecord, version: number): Promise<WriteOutcome>;
  /** Conditional on `epoch` being the newest epoch only. */
  writeWatermarks(epoch: number, record: WatermarksRecord): Promise<WriteOutcome>;

  /** Returns the topic's record, creating it with `initial` when there is none (first writer wins). @throws VouchError "unavailable" */
  ensureTopic(topic: string, initial: TopicRecord): Promise<TopicRecord>;
  /** Replaces a topic's record (a new dedup epoch). @throws VouchError "unavailable" */
  replaceTopic(topic: string, record: TopicRecord): Promise<void>;

  /** One look at the cell without joining it, for `status`: members and leader now. Usable without `start`. */
  observe(): Promise<{ members: readonly MemberInfo[]; leader: LeaderInfo | null }>;

  /** Removes our ephemeral nodes and ends the session. No event follows. */
  close(): Promise<void>;
}
