/**
 * What one client and its group's coordinator say to each other until the client has an assignment: join, the leader's dealing,
 * offsets and log bounds. Each request and each answer may vanish; then `hasLost`, and nothing more comes until `send`.
 *
 * As in kafkajs, a client whose first answer was lost does not know that it is a member: it joins as another one, and the group
 * waits for the ghost's session.
 */
import { assignSticky, NO_OWNERSHIP, type Ownership } from "../../../src/task-log/kafka/sticky-assigner.ts";
import type { AssignedPartition, Assignment, ConsumerOptions } from "../../../src/task-log/task-log.ts";
import type { Brokers } from "./brokers.ts";
import type { GroupClient } from "./coordinator.ts";
import type { GroupError, JoinAnswer, JoinRequest, TopicPartitions } from "./group.ts";

export interface Membership {
  readonly memberId: string;
  readonly generation: number;
}

/** Called in the client's process. */
export interface JoinHandlers {
  /** A broker answered; these topics do not exist. */
  onArrived(missing: readonly string[]): void;
  onAssigned(assignment: Assignment): void;
  /** Instead of it, after `sendHidden`. */
  onHidden(membership: Membership): void;
}

/** One try: what belongs to an older one is void. */
interface Exchange {
  /** Told of what vanished on the way. */
  readonly lose: () => void;
  /** Runs in the client's process. */
  readonly answer: (run: () => void) => void;
}

const LEAVE_MS = 2_000;

export class GroupJoin {
  /** null: the group does not know this client, as far as it has heard. */
  memberId: string | null = null;
  hasLost = false;
  readonly #client: GroupClient;
  readonly #brokers: Brokers;
  readonly #options: ConsumerOptions;
  readonly #handlers: JoinHandlers;
  #ownership: Ownership = NO_OWNERSHIP;
  #attempt = 0; // answers to older ones are void
  #hasArrived = false;

  constructor(client: GroupClient, brokers: Brokers, options: ConsumerOptions, handlers: JoinHandlers) {
    this.#client = client;
    this.#brokers = brokers;
    this.#options = options;
    this.#handlers = handlers;
  }

  /** What is under way is void. */
  cancel(): void {
    this.#attempt++;
    this.hasLost = false;
  }

  send(): void {
    const exchange = this.#newExchange(true);
    this.#sendRequest(exchange, {
      ...this.#request(this.memberId),
      onRefused: (error, memberId) => exchange.answer(() => this.#refused(error, memberId)),
      onLeads: (answer) => exchange.answer(() => this.#deal(exchange, answer)),
      onSynced: (memberId, generation, dealt) =>
        exchange.answer(() => this.#joined(exchange, { memberId, generation }, dealt)),
    });
  }

  /** Joins for the next generation without anybody being told of it; when it fails, nothing happens. */
  sendHidden(memberId: string): void {
    const exchange = this.#newExchange(false);
    this.#sendRequest(exchange, {
      ...this.#request(memberId),
      onRefused: () => undefined,
      onLeads: (answer) => exchange.answer(() => this.#deal(exchange, answer)),
      onSynced: (_, generation) => exchange.answer(() => this.#handlers.onHidden({ memberId, generation })),
    });
  }

  /** Leaves the group, also as a member that does not know its id yet; gives up after a while. */
  async leave(): Promise<void> {
    this.cancel();
    const { link, coordinator } = this.#brokers;
    const { process, groupId } = this.#client;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = link.time.after(LEAVE_MS, resolve, process);
    link.send(process, () => {
      const group = coordinator.group(groupId);
      const mine = [...group.members.values()].filter(({ request }) => request.client === this.#client);
      for (const { memberId } of mine) {
        if (this.memberId === null || memberId === this.memberId) group.leave(memberId);
      }
      link.answer(process, resolve);
    });
    await promise;
    link.time.cancel(timer);
  }

  #request(memberId: string | null): Omit<JoinRequest, "onRefused" | "onLeads" | "onSynced"> {
    const { topics, sessionTimeoutMs, rebalanceTimeoutMs } = this.#options;
    return { client: this.#client, memberId, topics, owned: this.#ownership, sessionTimeoutMs, rebalanceTimeoutMs };
  }

  /** Everything before is void. `noticesLoss`: whether a loss is to be mended by another try. */
  #newExchange(noticesLoss: boolean): Exchange {
    this.cancel();
    const attempt = this.#attempt;
    const { process } = this.#client;
    const lose = (): void => {
      if (attempt === this.#attempt && noticesLoss) this.hasLost = true;
    };
    const inTime = (run: () => void) => (): void => {
      if (attempt === this.#attempt) run();
    };
    return { lose, answer: (run) => this.#brokers.link.answer(process, inTime(run), lose) };
  }

  #sendRequest({ lose, answer }: Exchange, request: JoinRequest): void {
    const { link, topics, coordinator } = this.#brokers;
    const { process, groupId } = this.#client;
    const arrive = (): void => {
      const missing = request.topics.filter((topic) => !topics.has(topic));
      if (missing.length > 0 || !this.#hasArrived) {
        answer(() => {
          this.#hasArrived = true;
          this.#handlers.onArrived(missing);
        });
      }
      if (missing.length < request.topics.length) coordinator.group(groupId).join(request);
    };
    link.send(process, arrive, lose);
  }

  #refused(error: GroupError, memberId: string | null): void {
    this.memberId = error === "UNKNOWN_MEMBER_ID" ? null : (memberId ?? this.memberId);
    this.send();
  }

  /** This member leads the generation: it says who gets what. */
  #deal({ lose }: Exchange, { memberId, generation, members }: JoinAnswer): void {
    const { link, topics, coordinator } = this.#brokers;
    this.memberId = memberId;
    const names = new Set(members.flatMap((member) => member.topics));
    const partitions = [...names].flatMap((topic) =>
      topics.partitions(topic).map((_, partition) => {
        return { topic, partition };
      }),
    );
    const dealt = assignSticky(members, partitions);
    const { process, groupId } = this.#client;
    link.send(process, () => coordinator.group(groupId).sync(memberId, generation, dealt), lose);
  }

  #joined({ lose, answer }: Exchange, membership: Membership, dealt: TopicPartitions): void {
    this.memberId = membership.memberId;
    this.#ownership = { generation: membership.generation, partitions: dealt };
    const describe = (): void => {
      const partitions = this.#describe(dealt);
      answer(() => this.#handlers.onAssigned({ ...membership, partitions }));
    };
    this.#brokers.link.send(this.#client.process, describe, lose);
  }

  /** At the brokers. */
  #describe(dealt: TopicPartitions): AssignedPartition[] {
    const { coordinator, topics } = this.#brokers;
    const { offsets } = coordinator.group(this.#client.groupId);
    return Object.entries(dealt).flatMap(([topic, partitions]) =>
      partitions.map((partition) => {
        const log = topics.partition(topic, partition);
        const commit = offsets.get(`${topic}#${partition}`);
        const { position: committed = null, metadata = "" } = commit ?? {};
        return { topic, partition, committed, metadata, logStart: log?.start ?? 0, logEnd: log?.end ?? 0 };
      }),
    );
  }
}
