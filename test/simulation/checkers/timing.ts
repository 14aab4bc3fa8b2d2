/**
 * Which runs left the timing bounds of G2: their process was stopped past its isolation deadline (lease and grace), either in the
 * handler (C8) or between the start check and its first instruction (C7). Nobody can guard such a process, so what such a run
 * does is no violation; a sink that checks tokens is the answer to it (G3). Only a stop counts: a node that is merely cut off or
 * blocked is stopped by its own watchdog in time, or the product is wrong.
 */
import type { HistoryEvent } from "../history.ts";
import type { Run, World } from "../observer.ts";
import { Once, perWorld } from "./checker.ts";

export class Zombies {
  readonly #world: World;
  readonly #once = new Once<HistoryEvent>();
  readonly #stopped = new Map<number, number>(); // processes, and since when
  readonly #frozen = new Map<number, number>(); // processes that died in their sleep, and since when they did nothing
  readonly #runs = new Set<number>();

  constructor(world: World) {
    this.#world = world;
  }

  has(run: number): boolean {
    return this.#runs.has(run);
  }

  /** When a run that ended with its process could last do something: a process that is killed in its sleep did nothing since it stopped. */
  lastActedAt(run: Run): number {
    return Math.min(run.endedAt, this.#frozen.get(run.pid) ?? Infinity);
  }

  onHistory(event: HistoryEvent): void {
    if (!this.#once.first(event)) return;
    if (event.type === "fault" && event.kind === "stop-before-handler") {
      const pid = this.#world.nodes.get(event.node)?.process.pid;
      if (pid !== undefined) this.#stopped.set(pid, event.at);
    } else if (event.type === "process" && event.what === "stopped") this.#stopped.set(event.pid, event.at);
    else if (event.type === "process" && event.what === "continued") this.#continued(event.node, event.pid);
    else if (event.type === "process" && this.#stopped.has(event.pid) && event.what !== "started")
      this.#frozen.set(event.pid, this.#stopped.get(event.pid)!);
    // The others of its batch start at the moment at which it is stopped, before it feels that.
    else if (event.type === "handler-start" && event.at > (this.#stopped.get(event.pid) ?? Infinity))
      this.#continued(event.node, event.pid);
  }

  #continued(name: string, pid: number): void {
    if (!this.#stopped.delete(pid)) return;
    const node = this.#world.nodes.get(name);
    if (node === undefined || node.process.pid !== pid || node.core === null) return;
    if (node.process.monotonicMs() < node.core.member.isolationDeadline) return;
    for (const run of this.#world.runs) if (run.pid === pid && run.endedAt === Infinity) this.#runs.add(run.number);
  }
}

export const zombiesOf = perWorld((world) => new Zombies(world));
