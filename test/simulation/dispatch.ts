/** Which observer is told what. Most callbacks of a run change nothing that most observers look at, so they are not asked about them. */
import type { CoreEffect } from "../../src/core/effects.ts";
import type { CoreEvent } from "../../src/core/events.ts";
import type { HistoryEvent } from "./history.ts";
import type { Observer, SimulatedNode } from "./observer.ts";
import type { SimulatedProcess } from "./virtual-time.ts";

interface Rare {
  readonly observer: Observer;
  readonly everyMs: number;
  nextAt: number;
}

export class Dispatch {
  readonly #listeners: readonly Observer[];
  readonly #steps: readonly Observer[];
  /** Of steps without effects, by the event's type. */
  readonly #quietSteps = new Map<CoreEvent["type"], readonly Observer[]>();
  readonly #always: readonly Observer[];
  readonly #world: readonly Observer[];
  readonly #rare: readonly Rare[];
  #rareAt = 0;

  constructor(observers: readonly Observer[]) {
    this.#listeners = observers.filter((observer) => observer.onHistory !== undefined);
    this.#steps = observers.filter((observer) => observer.onStep !== undefined);
    const after = observers.filter((observer) => observer.afterEvent !== undefined);
    this.#rare = after.flatMap((observer) => {
      const { everyMs } = observer;
      return everyMs === undefined ? [] : [{ observer, everyMs, nextAt: everyMs }];
    });
    const often = after.filter((observer) => observer.everyMs === undefined);
    this.#world = often.filter((observer) => observer.worldOnly === true);
    this.#always = often.filter((observer) => observer.worldOnly !== true);
  }

  history(event: HistoryEvent): void {
    for (const observer of this.#listeners) observer.onHistory!(event);
  }

  step(node: SimulatedNode, event: CoreEvent, effects: readonly CoreEffect[], now: number): void {
    const observers = effects.length > 0 ? this.#steps : this.#quiet(event.type);
    for (const observer of observers) observer.onStep!(node, event, effects, now);
  }

  #quiet(type: CoreEvent["type"]): readonly Observer[] {
    const known = this.#quietSteps.get(type);
    if (known !== undefined) return known;
    const observers = this.#steps.filter(({ quietSteps }) => quietSteps === undefined || quietSteps.includes(type));
    this.#quietSteps.set(type, observers);
    return observers;
  }

  /** After a callback: of a process, or the world's (null). */
  after(process: SimulatedProcess | null, now: number): void {
    for (const observer of this.#always) observer.afterEvent!(process);
    if (process === null) for (const observer of this.#world) observer.afterEvent!(null);
    if (now < this.#rareAt) return;
    this.#rareAt = Infinity;
    for (const rare of this.#rare) {
      if (now >= rare.nextAt) {
        rare.nextAt = now + rare.everyMs;
        rare.observer.afterEvent!(process);
      }
      this.#rareAt = Math.min(this.#rareAt, rare.nextAt);
    }
  }
}
