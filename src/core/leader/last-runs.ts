/**
 * Tasks whose next run may be the last before they count as poison (R23): a node is given one at a time. A handler that takes
 * its process down takes down whatever that node runs or was given; all of it is then given again together, and would be
 * counted to death together. One at a time the neighbours end, and only the poison does not.
 *
 * For a while, not to the end: who kills its process mostly does so soon, and one slow handler must not hold up the others
 * for its whole time.
 */
import type { Incarnation, PartitionId } from "../identity.ts";
import { isFinalPhase } from "../table.ts";
import type { LeaderState } from "./state.ts";

export const ALONE_MS = 5_000;

interface Given {
  readonly pid: PartitionId;
  readonly offset: number;
  readonly at: number;
}

export class LastRuns {
  readonly #given = new Map<Incarnation, Given>();

  /** Whether the node has another one in hand; it is told when that ends. */
  waits(leader: LeaderState, node: Incarnation, pid: PartitionId, offset: number, now: number): boolean {
    const given = this.#given.get(node);
    if (given === undefined || (given.pid === pid && given.offset === offset)) return false;
    const table = leader.replica.table.partition(given.pid);
    const inHand = table.holderOf(given.offset) === node && !isFinalPhase(table.phaseOf(given.offset));
    if (!inHand || now >= given.at + ALONE_MS) return false;
    leader.waitFor(given.pid, given.offset, node, pid);
    return true;
  }

  given(node: Incarnation, pid: PartitionId, offset: number, now: number): void {
    this.#given.set(node, { pid, offset, at: now });
  }
}
