/**
 * R12 (a): proves that another node's process is dead, so that its tasks need not wait for the quarantine.
 *
 * Guarantees: an incarnation is reported only when its process was seen alive by this node (pid and start time) in the same
 * kernel and pid name space, and later its pid was gone, had another start time, or was a zombie. Anything that cannot be
 * read proves nothing. Costs one small read a watched process and interval.
 */
import type { MemberInfo, ProcessIdentity } from "../coordinator/coordinator.ts";
import { incarnationOf, type Incarnation } from "../core/identity.ts";
import type { ProcessState } from "./process-identity.ts";

export const LOOK_INTERVAL_MS = 250;
/** Processes watched at once; more nodes than this on one machine wait for the quarantine. */
const WATCHED_MAX = 64;
/** A node that left the member list is watched on this long: its process usually ends a little later. */
const WATCHED_AFTER_MS = 600_000;

interface Watched {
  readonly pid: number;
  readonly startTime: string;
  seenAlive: boolean;
  unlistedSince: number; // Infinity while it is listed
}

export class DeathProof {
  readonly #self: ProcessIdentity;
  readonly #onProven: (incarnation: Incarnation) => void;
  readonly #read: (pid: number) => ProcessState;
  readonly #watched = new Map<Incarnation, Watched>();
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(
    self: ProcessIdentity,
    onProven: (incarnation: Incarnation) => void,
    read: (pid: number) => ProcessState,
  ) {
    this.#self = self;
    this.#onProven = onProven;
    this.#read = read;
  }

  /** The coordinator's list of members, whenever it changes. */
  members(members: readonly MemberInfo[], now: number): void {
    const listed = new Set<Incarnation>();
    for (const member of members) {
      const incarnation = incarnationOf(member.nodeId, member.bootId);
      listed.add(incarnation);
      const known = this.#watched.get(incarnation);
      if (known !== undefined) known.unlistedSince = Number.POSITIVE_INFINITY;
      else if (this.#canWatch(member.process) && this.#watched.size < WATCHED_MAX) {
        const { pid, startTime } = member.process;
        this.#watched.set(incarnation, { pid, startTime, seenAlive: false, unlistedSince: Number.POSITIVE_INFINITY });
      }
    }
    for (const [incarnation, watched] of this.#watched) {
      if (!listed.has(incarnation)) watched.unlistedSince = Math.min(watched.unlistedSince, now);
    }
    // A new member is looked at now: it counts only if it was seen alive.
    this.#look(now);
  }

  /** Called at every tick; looks at most every `LOOK_INTERVAL_MS`. */
  tick(now: number): void {
    if (now - this.#lookedAt >= LOOK_INTERVAL_MS) this.#look(now);
  }

  #canWatch(other: ProcessIdentity): boolean {
    const self = this.#self;
    return (
      self.kernelBootId !== "" &&
      self.pidNamespace !== "" &&
      other.kernelBootId === self.kernelBootId &&
      other.pidNamespace === self.pidNamespace &&
      other.startTime !== "" &&
      // Another incarnation in this very process lives as long as we do.
      other.pid !== self.pid
    );
  }

  #look(now: number): void {
    this.#lookedAt = now;
    for (const [incarnation, watched] of this.#watched) {
      const state = this.#read(watched.pid);
      if (state === "unreadable") continue;
      const alive = state !== null && state.startTime === watched.startTime && !state.zombie;
      if (alive) {
        watched.seenAlive = true;
        if (now - watched.unlistedSince > WATCHED_AFTER_MS) this.#watched.delete(incarnation);
        continue;
      }
      this.#watched.delete(incarnation);
      if (watched.seenAlive) this.#onProven(incarnation);
    }
  }
}
