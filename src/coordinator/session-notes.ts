/**
 * What both coordinators say while they wait for a node id that another session holds: at first a note, after two session
 * times an alarm, because a ghost would be gone by then. Pure.
 */

export class TakenNodeId {
  readonly #nodeId: string;
  readonly #sessionMs: number;
  #sinceMs: number | null = null;
  #alarmed = false;

  constructor(nodeId: string, sessionMs: number) {
    this.#nodeId = nodeId;
    this.#sessionMs = sessionMs;
  }

  /** Call at each refused registration. @returns the warning to give now, or null. */
  refused(nowMs: number): string | null {
    if (this.#sinceMs === null) {
      this.#sinceMs = nowMs;
      return `node id ${this.#nodeId} is still registered by another session, perhaps of its last run: waiting until that expires`;
    }
    if (this.#alarmed || nowMs - this.#sinceMs < 2 * this.#sessionMs) return null;
    this.#alarmed = true;
    return `node id ${this.#nodeId} is registered by another session that does not expire: does a second process use this node id?`;
  }

  registered(): void {
    this.#sinceMs = null;
    this.#alarmed = false;
  }
}
