/** What every checker is made of: its name in the list, and the looks at the world that several of them take. */
import { nodeIdOf, type Incarnation } from "../../../src/core/identity.ts";
import { Violation, type HistoryEvent } from "../history.ts";
import type { ObserverFactory, Run, SimulatedNode, World } from "../observer.ts";

/** One invariant: `id` as in the design ("I1"), so that one can be left out by name. */
export interface Checker {
  readonly id: string;
  readonly title: string;
  readonly create: ObserverFactory;
}

export function violated(id: string, message: string): never {
  throw new Violation(id, message);
}

export function keyOf(partition: number, offset: number): string {
  return `${partition}:${offset}`;
}

export function tellRun(run: Run): string {
  const { number, node, pid, partition, offset, attempt, epoch, stamp, startedAt, endedAt, effectAt, outcome } = run;
  return (
    `run ${number} of ${partition}:${offset} on ${node} (process ${pid}, attempt ${attempt}, token ${epoch}-${stamp}), ` +
    `started ${startedAt}, ended ${endedAt}, effect ${effectAt}, ${outcome}`
  );
}

export function isLive(node: SimulatedNode): boolean {
  return node.process.state !== "dead" && node.core !== null && node.core.role !== "stopped";
}

/** The latest start of that node, if it is this incarnation. */
export function nodeOf(world: World, incarnation: Incarnation): SimulatedNode | null {
  const node = world.nodes.get(nodeIdOf(incarnation));
  return node !== undefined && node.incarnation === incarnation && node.core !== null ? node : null;
}

/** Something about a world that several checkers share: made once, by whoever asks first. */
export function perWorld<T>(make: (world: World) => T): (world: World) => T {
  const made = new WeakMap<World, T>();
  return (world) => {
    let known = made.get(world);
    if (known === undefined) {
      known = make(world);
      made.set(world, known);
    }
    return known;
  };
}

/** The in-sync set as the coordinator has it; read anew only when its version changed. */
export const inSyncOf = (() => {
  const cache = perWorld(() => ({ version: Number.NaN, list: [] as readonly Incarnation[] }));
  return (world: World): readonly Incarnation[] => {
    const known = cache(world);
    const version = world.inSyncVersion;
    if (known.version !== version) {
      known.version = version;
      known.list = world.inSync;
    }
    return known.list;
  };
})();

/** Members of the in-sync set (as written) whose process lives and whose replicated state is complete. */
export function copiesOf(world: World): SimulatedNode[] {
  const copies: SimulatedNode[] = [];
  for (const incarnation of inSyncOf(world)) {
    const node = nodeOf(world, incarnation);
    if (node !== null && node.process.state !== "dead" && node.core!.replica.appliedEpoch > 0) copies.push(node);
  }
  return copies;
}

/** Whoever leads and may decide something at this moment of its own clock. */
export function actingLeader(world: World): SimulatedNode | null {
  let found: SimulatedNode | null = null;
  for (const node of world.nodes.values()) {
    const leader = node.core?.leader;
    if (leader == null || !isLive(node) || !leader.state.mayAct(node.process.monotonicMs())) continue;
    if (found === null || leader.state.epoch > found.core!.leader!.state.epoch) found = node;
  }
  return found;
}

/** True once in so much virtual time. */
export class NowAndThen {
  readonly #everyMs: number;
  #next: number;

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
    this.#next = everyMs;
  }

  due(now: number): boolean {
    if (now < this.#next) return false;
    this.#next = now + this.#everyMs;
    return true;
  }
}

/** Lets several checkers feed what they share: each event counts once. */
export class Once<T> {
  #last: T | null = null;

  first(of: T): boolean {
    if (this.#last === of) return false;
    this.#last = of;
    return true;
  }
}

export type HistoryListener = (event: HistoryEvent) => void;
