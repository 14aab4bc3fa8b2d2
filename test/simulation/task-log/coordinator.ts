/**
 * The groups of a simulated Kafka and what keeps them going. Heartbeats are no messages: a member that reads, runs and is not
 * cut is heard of, which is looked at a few times a second; silence longer than its session throws it out. A client that lost
 * a request or an answer finds out in the same look, once it reaches a broker again.
 */
import type { Random } from "../random.ts";
import type { SimulatedProcess, VirtualTime } from "../virtual-time.ts";
import { Group, type GroupError } from "./group.ts";
import type { BrokerLink } from "./link.ts";
import { within } from "./settings.ts";

/** A consumer, as its group sees it. */
export interface GroupClient {
  readonly process: SimulatedProcess;
  readonly groupId: string;
  readonly heartbeatIntervalMs: number;
  /** As whom it sends heartbeats; null while it sends none (in a barrier, in a join). */
  readonly beatsAs: { readonly memberId: string; readonly generation: number } | null;
  /** Something that it sent or waited for has vanished, and it has not noticed. */
  readonly hasLost: boolean;
  onHeartbeat(memberId: string, error: GroupError): void;
  /** It may try again what was lost. */
  onReachable(): void;
  /** Its connections are dead for good. */
  onUnreachable(): void;
}

interface Attached {
  readonly client: GroupClient;
  telling: boolean; // the answer to its next heartbeat is under way
  retrying: boolean;
  cutOffAt: number; // Infinity while it reaches the brokers, or has noticed that it does not
}

const LOOK_EVERY_MS = 200;
const RETRY_MS = [50, 1_000] as const;

export class GroupCoordinator {
  readonly groups = new Map<string, Group>();
  readonly #time: VirtualTime;
  readonly #link: BrokerLink;
  readonly #random: Random;
  readonly #newGroup: (groupId: string) => Group;
  readonly #attached = new Set<Attached>();
  #isLooking = false;

  constructor(link: BrokerLink, random: Random, newGroup: (groupId: string) => Group) {
    this.#time = link.time;
    this.#link = link;
    this.#random = random;
    this.#newGroup = newGroup;
  }

  group(groupId: string): Group {
    const known = this.groups.get(groupId);
    if (known !== undefined) return known;
    const group = this.#newGroup(groupId);
    group.onPreparing = () => this.#tellAll(group);
    this.groups.set(groupId, group);
    return group;
  }

  /** From now on the client is looked at, until the result is called or its process is dead. */
  attach(client: GroupClient): () => void {
    const attached: Attached = { client, telling: false, retrying: false, cutOffAt: Infinity };
    this.#attached.add(attached);
    if (!this.#isLooking) this.#lookLater();
    return () => this.#attached.delete(attached);
  }

  #lookLater(): void {
    this.#isLooking = true;
    this.#time.after(LOOK_EVERY_MS, () => this.#look());
  }

  #look(): void {
    this.#isLooking = false;
    for (const attached of this.#attached) {
      if (attached.client.process.state === "dead") this.#attached.delete(attached);
      else this.#lookAt(attached);
    }
    let members = 0;
    for (const group of this.groups.values()) members += this.#expire(group);
    if (members > 0 || this.#attached.size > 0) this.#lookLater();
  }

  #lookAt(attached: Attached): void {
    const { client } = attached;
    if (!this.#link.hears(client.process)) return this.#lookAtSilent(attached);
    attached.cutOffAt = Infinity;
    const beat = client.beatsAs;
    if (beat !== null) {
      const group = this.group(client.groupId);
      const member = group.members.get(beat.memberId);
      if (member !== undefined) member.lastHeardAt = this.#time.now;
      if (group.heartbeat(beat.memberId, beat.generation) !== null) this.#tell(attached);
    }
    if (client.hasLost && !attached.retrying) {
      attached.retrying = true;
      this.#time.after(within(this.#random, RETRY_MS), () => {
        attached.retrying = false;
        if (this.#link.hears(client.process)) client.process.enter(() => client.onReachable());
      });
    }
  }

  #lookAtSilent(attached: Attached): void {
    const { process } = attached.client;
    if (process.state !== "running") return;
    if (attached.cutOffAt === Infinity) {
      attached.cutOffAt = this.#time.now + within(this.#random, this.#link.settings.disconnectMs);
    }
    if (this.#time.now < attached.cutOffAt) return;
    attached.cutOffAt = this.#time.now + within(this.#random, this.#link.settings.disconnectMs);
    process.enter(() => attached.client.onUnreachable());
  }

  /** Throws out who was silent for too long; returns how many members the group has. */
  #expire(group: Group): number {
    for (const { memberId, lastHeardAt, request, joined } of group.members.values()) {
      const waits = joined && group.state === "preparing"; // its open request keeps it alive
      if (!waits && this.#time.now - lastHeardAt > request.sessionTimeoutMs) group.evict(memberId);
    }
    return group.members.size;
  }

  #tellAll(group: Group): void {
    for (const attached of this.#attached) if (attached.client.groupId === group.groupId) this.#tell(attached);
  }

  /** With its next heartbeat, some time within its interval. */
  #tell(attached: Attached): void {
    const { client } = attached;
    if (attached.telling || client.beatsAs === null) return;
    attached.telling = true;
    this.#time.after(this.#random.next() * client.heartbeatIntervalMs, () => {
      attached.telling = false;
      const beat = client.beatsAs;
      if (beat === null || !this.#link.hears(client.process)) return;
      const error = this.group(client.groupId).heartbeat(beat.memberId, beat.generation);
      if (error !== null) this.#link.answer(client.process, () => client.onHeartbeat(beat.memberId, error));
    });
  }
}
