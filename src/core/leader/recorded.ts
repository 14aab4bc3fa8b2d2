/**
 * Which partitions `/watermarks` names (R15c). A leader that finds a partition neither there nor among the group's commits
 * takes it for one that nobody ever worked on. So nothing is given in a partition before its name is known to be written,
 * and it is written only when a commit of this cell exists there: named without a commit means that the commit was lost.
 */
import type { PartitionId } from "../identity.ts";
import type { Pending, PendingVerdicts } from "./state.ts";

/** What a member may ask at once is bounded; more than this is of connections that are gone. */
const HELD_MAX = 1_024;

export class Recorded {
  readonly #known = new Set<PartitionId>();
  readonly #due = new Set<PartitionId>();
  #writing: readonly PartitionId[] = [];
  #held: PendingVerdicts[] = [];

  /** What the coordinator's record named when the leader was elected. */
  read(pids: Iterable<PartitionId>): void {
    for (const pid of pids) this.#known.add(pid);
  }

  has(pid: PartitionId): boolean {
    return this.#known.has(pid);
  }

  /** Whether the next write names the partition. */
  names(pid: PartitionId): boolean {
    return this.#known.has(pid) || this.#due.has(pid);
  }

  /** A commit of this cell exists in the partition. */
  committed(pid: PartitionId): void {
    if (!this.#known.has(pid)) this.#due.add(pid);
  }

  /** A write must not wait for its interval. */
  get isDue(): boolean {
    return this.#due.size > 0;
  }

  writes(): void {
    this.#writing = [...this.#due];
  }

  /** The write is known to have succeeded: what waited for it may go. */
  written(): readonly PendingVerdicts[] {
    for (const pid of this.#writing) {
      this.#known.add(pid);
      this.#due.delete(pid);
    }
    this.#writing = [];
    const held = this.#held;
    this.#held = held.filter(({ pid }) => !this.#known.has(pid));
    return held.filter(({ pid }) => this.#known.has(pid));
  }

  /** Whether it must wait; then it is kept here. `isHere` says whether its asker still is on that connection. */
  holds(what: Pending, isHere: (what: PendingVerdicts) => boolean): boolean {
    if (what.kind !== "verdicts" || what.stamps.length === 0 || this.#known.has(what.pid)) return false;
    if (this.#held.length >= HELD_MAX) this.#held = this.#held.filter(isHere);
    this.#held.push(what);
    return true;
  }
}
