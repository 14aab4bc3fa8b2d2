/** Partitions that stand still for a person, by the product's own alarm: nothing about their progress is a violation. */
import type { HistoryEvent } from "../history.ts";
import type { World } from "../observer.ts";
import { Once, perWorld } from "./checker.ts";

const STOPS = new Set(["position-below-from", "out-of-range", "truncated", "commit-fatal", "takeover-refused"]);

export class StoppedPartitions {
  readonly #world: World;
  readonly #once = new Once<HistoryEvent>();
  readonly #partitions = new Set<number>();

  constructor(world: World) {
    this.#world = world;
  }

  onHistory(event: HistoryEvent): void {
    if (this.#once.first(event) && event.type === "alarm" && STOPS.has(event.code))
      this.#partitions.add(event.partition);
  }

  has(partition: number): boolean {
    return this.#partitions.has(partition) || (this.#partitions.size > 0 && namesSuspects(this.#world));
  }
}

/**
 * After an unclean start task ids wait until every suspect is named (R15e), and what a stopped partition had in flight is named only when
 * a person lets it go on: until then all partitions may stand.
 */
export function namesSuspects(world: World): boolean {
  for (const { core } of world.nodes.values()) {
    const state = core?.leader?.state;
    if (state?.active === true && state.uncleanStart && !state.suspectsNamed) return true;
  }
  return false;
}

export const stoppedPartitions = perWorld((world) => new StoppedPartitions(world));
