/** Partitions that stand still for a person, by the product's own alarm: nothing about their progress is a violation. */
import type { HistoryEvent } from "../history.ts";
import { Once, perWorld } from "./checker.ts";

const STOPS = new Set(["position-below-from", "out-of-range", "truncated", "commit-fatal", "takeover-refused"]);

export class StoppedPartitions {
  readonly #once = new Once<HistoryEvent>();
  readonly #partitions = new Set<number>();

  onHistory(event: HistoryEvent): void {
    if (this.#once.first(event) && event.type === "alarm" && STOPS.has(event.code))
      this.#partitions.add(event.partition);
  }

  has(partition: number): boolean {
    return this.#partitions.has(partition);
  }
}

export const stoppedPartitions = perWorld(() => new StoppedPartitions());
