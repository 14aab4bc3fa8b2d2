/**
 * Why a record may be committed without an effect (G0): it was set aside, a check said "executed", or a policy dropped it.
 * A policy's drop leaves no trace outside of its node, so it is seen in the step in which it is decided.
 */
import type { CoreEffect } from "../../../src/core/effects.ts";
import { partitionOf } from "../../../src/core/identity.ts";
import { State, type PartitionWindow } from "../../../src/core/member/window.ts";
import type { HistoryEvent } from "../history.ts";
import type { SimulatedNode, World } from "../observer.ts";
import { copiesOf, keyOf, Once, perWorld, violated } from "./checker.ts";

export class Decisions {
  readonly #world: World;
  readonly #events = new Once<HistoryEvent>();
  readonly #steps = new Once<readonly CoreEffect[]>();
  readonly #setAside = new Set<string>(); // by record
  readonly #checked = new Set<string>(); // task ids of which a check said that they were executed
  readonly #checks = new Map<number, string>();
  readonly #byPolicy = new Set<string>(); // by record
  readonly #counted = new Map<string, number>(); // by incarnation

  constructor(world: World) {
    this.#world = world;
  }

  onHistory(event: HistoryEvent): void {
    if (!this.#events.first(event)) return;
    if (event.type === "set-aside") this.#setAside.add(keyOf(event.partition, event.offset));
    else if (event.type === "check-start") this.#checks.set(event.check, event.taskId);
    else if (event.type === "check-end" && event.answer === "executed") {
      const taskId = this.#checks.get(event.check);
      if (taskId !== undefined) this.#checked.add(taskId);
    }
  }

  onStep(node: SimulatedNode, effects: readonly CoreEffect[]): void {
    if (this.#world.settings.onUnknown !== "drop" || !this.#steps.first(effects)) return;
    const { byPolicy } = node.core!.ctx.settled;
    const before = this.#counted.get(node.incarnation) ?? 0;
    if (byPolicy === before) return;
    this.#counted.set(node.incarnation, byPolicy);
    const dropped: string[] = [];
    for (const window of node.core!.member.state.windows.values()) this.#collect(window, dropped);
    if (dropped.length > byPolicy - before)
      violated(
        "I1",
        `${node.name} dropped ${dropped.join(", ")} and its policy decided ${byPolicy - before} times only`,
      );
    for (const key of dropped) this.#byPolicy.add(key);
  }

  #collect(window: PartitionWindow, dropped: string[]): void {
    const partition = partitionOf(window.pid);
    for (let offset = window.base; offset < window.fetchPosition; offset++) {
      if (window.states[window.slot(offset)] !== State.dropped || this.why(partition, offset) !== "") continue;
      for (const copy of copiesOf(this.#world))
        if (copy.core!.replica.table.partition(window.pid).isMaybe(offset))
          violated("I24", `${keyOf(partition, offset)} was dropped on a Bloom bit alone`);
      dropped.push(keyOf(partition, offset));
    }
  }

  /** "" when nothing was decided: then the record may not be committed. */
  why(partition: number, offset: number): string {
    const key = keyOf(partition, offset);
    const taskId = this.#world.taskIdOf(partition, offset);
    if (this.#world.effects(taskId) > 0) return "executed";
    if (this.#setAside.has(key)) return "set aside";
    if (this.#checked.has(taskId)) return "checked";
    return this.#byPolicy.has(key) ? "policy" : "";
  }
}

export const decisionsOf = perWorld((world) => new Decisions(world));
