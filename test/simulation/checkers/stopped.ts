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
    if (this.#partitions.size === 0) return false;
    return (
      this.#partitions.has(partition) ||
      namesSuspects(this.#world) ||
      waitsForOne(this.#world, this.#partitions, partition)
    );
  }
}

/** Its oldest open record is the same task as one that a stopped partition holds: given there, and neither run nor given back. */
export function waitsForOne({ log, committed }: World, stopped: ReadonlySet<number>, partition: number): boolean {
  const taskId = log[partition]?.[committed[partition] ?? 0]?.taskId ?? "";
  if (taskId === "") return false;
  for (const other of stopped) {
    const records = log[other]!;
    for (let offset = committed[other] ?? 0; offset < records.length; offset++)
      if (records[offset]!.taskId === taskId) return true;
  }
  return false;
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
