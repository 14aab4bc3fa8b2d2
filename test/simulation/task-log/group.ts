/**
 * One consumer group at its coordinator, classic protocol, eager rebalances.
 *
 *   empty       no member
 *   preparing   entered when a member joins, leaves, is thrown out or asks again; members hear of it with their next heartbeat,
 *               run their barrier and join; left when all have joined, or at the deadline without those that have not
 *   completing  a new generation has begun; its leader deals the partitions; commits are refused
 *   stable      every member has its part
 *
 * A commit is checked against member and generation, never against who owns the partition, and is taken while preparing.
 */
import type { AssignmentMember, Ownership } from "../../../src/task-log/kafka/sticky-assigner.ts";
import type { PartitionCommit } from "../../../src/task-log/task-log.ts";
import type { Random } from "../random.ts";
import type { Scheduled, SimulatedProcess, VirtualTime } from "../virtual-time.ts";

/** The names that brokers give to their errors. */
export type GroupError = "UNKNOWN_MEMBER_ID" | "ILLEGAL_GENERATION" | "REBALANCE_IN_PROGRESS";

export interface JoinAnswer {
  readonly memberId: string;
  readonly generation: number;
  readonly members: readonly AssignmentMember[];
}

export interface JoinRequest {
  readonly client: { readonly process: SimulatedProcess };
  readonly memberId: string | null; // null: a new member
  readonly topics: readonly string[];
  readonly owned: Ownership;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  /** Called at the coordinator. */
  readonly onRefused: (error: GroupError, memberId: string | null) => void;
  /** Called at the coordinator for the generation's leader: it deals the partitions. */
  readonly onLeads: (answer: JoinAnswer) => void;
  /** Called at the coordinator when the leader has dealt. */
  readonly onSynced: (memberId: string, generation: number, partitions: TopicPartitions) => void;
}

export type TopicPartitions = Readonly<Record<string, readonly number[]>>; // topic -> partitions

export interface GroupMember {
  readonly memberId: string;
  request: JoinRequest;
  joined: boolean; // for the next generation
  generation: number;
  partitions: TopicPartitions;
  lastHeardAt: number;
}

export interface CommittedOffset {
  readonly position: number;
  readonly metadata: string;
}

export class Group {
  readonly groupId: string;
  readonly members = new Map<string, GroupMember>();
  /** By `topic#partition`. */
  readonly offsets = new Map<string, CommittedOffset>();
  state: "empty" | "preparing" | "completing" | "stable" = "empty";
  generation = 0;
  rebalances = 0;
  evictions = 0;
  /** Changes whenever somebody may own something else than before. */
  version = 0;
  /** The next dealing gives these partitions (`topic#partition`) to these nodes. */
  readonly moves = new Map<string, string>();
  /** Members are to be told of a rebalance. */
  onPreparing: (group: Group) => void = () => undefined;
  onStored: (
    process: SimulatedProcess | null,
    commit: PartitionCommit,
    before: number | null,
    generation: number,
  ) => void = () => undefined;
  readonly #time: VirtualTime;
  readonly #random: Random;
  #leader = "";
  #deadline: Scheduled | null = null;
  #memberIds = 0;

  constructor(groupId: string, time: VirtualTime, random: Random) {
    this.groupId = groupId;
    this.#time = time;
    this.#random = random;
  }

  join(request: JoinRequest): void {
    const known = request.memberId === null ? undefined : this.members.get(request.memberId);
    if (request.memberId !== null && known === undefined) return request.onRefused("UNKNOWN_MEMBER_ID", null);
    const member = known ?? this.#newMember(request);
    member.request = request;
    member.lastHeardAt = this.#time.now;
    this.prepare();
    member.joined = true;
    this.#completeIfAllJoined();
  }

  /** Begins a rebalance, unless one is being prepared. */
  prepare(): void {
    if (this.state === "preparing") return;
    const waiting = this.state === "completing" ? [...this.members.values()] : [];
    this.state = "preparing";
    this.rebalances++;
    for (const member of this.members.values()) member.joined = false;
    const longestMs = Math.max(0, ...[...this.members.values()].map(({ request }) => request.rebalanceTimeoutMs));
    if (this.#deadline !== null) this.#time.cancel(this.#deadline);
    this.#deadline = this.#time.after(longestMs, () => this.#complete());
    for (const { request, memberId } of waiting) request.onRefused("REBALANCE_IN_PROGRESS", memberId);
    this.onPreparing(this);
  }

  /** The leader's dealing; another's is ignored. */
  sync(memberId: string, generation: number, dealt: ReadonlyMap<string, TopicPartitions>): void {
    if (this.state !== "completing" || generation !== this.generation || memberId !== this.#leader) return;
    this.state = "stable";
    this.version++;
    const moved = this.#withMoves(dealt);
    for (const member of this.members.values()) {
      member.partitions = moved.get(member.memberId) ?? {};
      member.lastHeardAt = this.#time.now;
      member.request.onSynced(member.memberId, generation, member.partitions);
    }
  }

  leave(memberId: string): void {
    if (this.members.delete(memberId)) this.#afterLoss();
  }

  evict(memberId: string): void {
    const member = this.members.get(memberId);
    if (member === undefined) return;
    this.members.delete(memberId);
    this.evictions++;
    if (this.state === "completing" || member.joined) member.request.onRefused("UNKNOWN_MEMBER_ID", null);
    this.#afterLoss();
  }

  /** What a heartbeat of this member would be answered; null: all is well. */
  heartbeat(memberId: string, generation: number): GroupError | null {
    const member = this.members.get(memberId);
    if (member === undefined) return "UNKNOWN_MEMBER_ID";
    if (this.state === "preparing") return "REBALANCE_IN_PROGRESS";
    return member.generation === generation ? null : "ILLEGAL_GENERATION";
  }

  /** Why a commit is not taken; null: it is. */
  fence(memberId: string, generation: number): GroupError | null {
    const member = this.members.get(memberId);
    if (member === undefined) return "UNKNOWN_MEMBER_ID";
    if (generation !== this.generation) return "ILLEGAL_GENERATION";
    if (this.state === "completing") return "REBALANCE_IN_PROGRESS";
    member.lastHeardAt = this.#time.now;
    return null;
  }

  store(process: SimulatedProcess | null, generation: number, commit: PartitionCommit): void {
    const key = `${commit.topic}#${commit.partition}`;
    const before = this.offsets.get(key)?.position ?? null;
    this.offsets.set(key, { position: commit.position, metadata: commit.metadata });
    this.onStored(process, commit, before, generation);
  }

  /** The member that has a partition in the present generation. */
  ownerOf(topic: string, partition: number): GroupMember | null {
    if (this.state === "completing") return null;
    for (const member of this.members.values()) {
      if (member.generation === this.generation && member.partitions[topic]?.includes(partition) === true)
        return member;
    }
    return null;
  }

  #newMember(request: JoinRequest): GroupMember {
    const { name, pid } = request.client.process;
    // In no order that says anything: the dealing goes by ids.
    const memberId = `${this.#random.uint32().toString(36)}-${name}-${pid}-${this.#memberIds++}`;
    const fresh = { memberId, request, joined: false, generation: -1, partitions: {}, lastHeardAt: 0 };
    this.members.set(memberId, fresh);
    return fresh;
  }

  #afterLoss(): void {
    this.version++;
    if (this.state === "preparing") this.#completeIfAllJoined();
    else this.prepare();
    if (this.members.size === 0) this.#empty();
  }

  #empty(): void {
    if (this.#deadline !== null) this.#time.cancel(this.#deadline);
    this.#deadline = null;
    if (this.state !== "empty") this.generation++;
    this.state = "empty";
  }

  #completeIfAllJoined(): void {
    for (const member of this.members.values()) if (!member.joined) return;
    if (this.members.size > 0) this.#complete();
  }

  #complete(): void {
    if (this.#deadline !== null) this.#time.cancel(this.#deadline);
    this.#deadline = null;
    for (const member of this.members.values()) {
      if (member.joined) continue;
      this.members.delete(member.memberId);
      this.evictions++;
    }
    if (this.members.size === 0) return this.#empty();
    this.state = "completing";
    this.version++;
    this.generation++;
    if (!this.members.has(this.#leader)) this.#leader = this.members.keys().next().value ?? "";
    for (const member of this.members.values()) {
      member.joined = false;
      member.generation = this.generation;
      member.partitions = {};
      member.lastHeardAt = this.#time.now;
    }
    const leader = this.members.get(this.#leader)!;
    const members = [...this.members.values()].map(({ memberId, request: { topics, owned } }) => {
      return { memberId, topics, owned };
    });
    leader.request.onLeads({ memberId: this.#leader, generation: this.generation, members });
  }

  #withMoves(dealt: ReadonlyMap<string, TopicPartitions>): ReadonlyMap<string, TopicPartitions> {
    if (this.moves.size === 0) return dealt;
    const result = new Map([...dealt].map(([memberId, topics]) => [memberId, { ...topics }]));
    for (const [key, node] of this.moves) {
      const at = key.lastIndexOf("#");
      const [topic, partition] = [key.slice(0, at), Number(key.slice(at + 1))];
      const target = [...this.members.values()].find(({ request }) => request.client.process.name === node);
      if (target === undefined) continue;
      for (const topics of result.values()) topics[topic] = (topics[topic] ?? []).filter((each) => each !== partition);
      const owned = result.get(target.memberId) ?? {};
      owned[topic] = [...(owned[topic] ?? []), partition].toSorted((a, b) => a - b);
      result.set(target.memberId, owned);
    }
    this.moves.clear();
    return result;
  }
}
