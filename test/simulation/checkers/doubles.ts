/**
 * When a second run of a task is allowed (G2, R6, R15, R18, R20). Everything that is needed to say so is written down as it
 * happens; the judgement itself is made only when there is a second run to judge.
 */
import type { CoreEffect } from "../../../src/core/effects.ts";
import type { CoreEvent } from "../../../src/core/events.ts";
import { partitionOf } from "../../../src/core/identity.ts";
import type { HistoryEvent } from "../history.ts";
import type { Run, SimulatedNode, World } from "../observer.ts";
import { keyOf, Once, perWorld } from "./checker.ts";
import { zombiesOf } from "./timing.ts";

interface AskedCheck {
  readonly at: number;
  answer: "executed" | "not-executed" | "unknown" | "threw" | "none"; // none: it never answered
  truth: boolean;
}

interface Delivery {
  generation: number; // of the filter, at its first delivery
  lastAt: number;
}

export class Doubles {
  readonly #world: World;
  readonly #events = new Once<HistoryEvent>();
  readonly #steps = new Once<readonly CoreEffect[]>();
  readonly #checks = new Map<number, AskedCheck>();
  readonly #lastCheck = new Map<string, AskedCheck>(); // of a record
  readonly #deliveries = new Map<string, Delivery>(); // of records that name their task
  #open = 0; // the filter's generation when it was looked at last
  /** Starts at which the filter began anew, and below which offset of each partition the cell had finished by then. */
  readonly #forgot: { readonly at: number; readonly below: number[] }[] = [];
  readonly #replayedAt: number[] = [];
  readonly #gone = new Set<string>(); // incarnations that a leader ever counted as gone
  readonly #incarnations = new Map<number, string>(); // by process
  readonly #ended = new Set<number>(); // processes

  constructor(world: World) {
    this.#world = world;
  }

  onHistory(event: HistoryEvent): void {
    if (!this.#events.first(event)) return;
    zombiesOf(this.#world).onHistory(event);
    if (event.type === "check-start") {
      const check: AskedCheck = { at: event.at, answer: "none", truth: false };
      this.#checks.set(event.check, check);
      this.#lastCheck.set(keyOf(event.partition, event.offset), check);
    } else if (event.type === "check-end") {
      const check = this.#checks.get(event.check);
      if (check === undefined) return;
      check.answer = event.answer;
      check.truth = event.truth;
      this.#checks.delete(event.check);
    } else if (event.type === "alarm") {
      if (event.code === "filter-window")
        this.#forgot.push({ at: event.at, below: this.#world.committed.map((committed) => committed ?? 0) });
    } else if (event.type === "fault") {
      if (event.kind === "replay") this.#replayedAt.push(event.at);
    } else if (event.type === "process") {
      if (event.what === "started") this.#incarnations.set(event.pid, event.detail);
      else if (event.what === "killed" || event.what === "exited") this.#ended.add(event.pid);
    }
  }

  onStep(node: SimulatedNode, event: CoreEvent, effects: readonly CoreEffect[]): void {
    if (!this.#steps.first(effects)) return;
    const leader = node.core!.leader;
    if (leader !== null && leader.state.gone.size > 0) for (const gone of leader.state.gone) this.#gone.add(gone);
    for (const effect of effects) if (effect.type === "alarm" && effect.code === "filter-window") this.#restored(node);
    if (event.type !== "delivered" || event.batch.ids === null) return;
    const { pid, offsets, ids } = event.batch;
    const generation = this.#openGeneration();
    for (let i = 0; i < offsets.length; i++) {
      if (ids[i] == null) continue;
      const key = keyOf(partitionOf(pid), offsets[i]!);
      const known = this.#deliveries.get(key);
      if (known !== undefined) known.lastAt = this.#world.now;
      else this.#deliveries.set(key, { generation, lastAt: this.#world.now });
    }
  }

  /** What the coordinator kept of the watermarks counts, too: where the group's offsets were lost besides, it is all there is. */
  #restored(node: SimulatedNode): void {
    const below = this.#forgot.at(-1)?.below;
    for (const { pid, watermark } of node.core!.leader?.state.persisted.values() ?? [])
      if (below !== undefined) below[partitionOf(pid)] = Math.max(below[partitionOf(pid)] ?? 0, watermark);
  }

  /**
   * A filter that was lost counts its generations anew: what it is told again of the records before, it is told in one of the new ones, so
   * that they leave its window as if they had been delivered then.
   */
  #openGeneration(): number {
    let open = 0;
    for (const { core, process } of this.#world.nodes.values())
      if (core !== null && process.state !== "dead") open = Math.max(open, core.replica.filter.openGenerationId);
    if (open < this.#open)
      for (const delivery of this.#deliveries.values()) delivery.generation = Math.min(delivery.generation, open);
    this.#open = open;
    return open;
  }

  /**
   * Why a run of this task may start although another runs: only outside of the timing bounds, or for another dedup epoch.
   * Nothing that runs is ever outside of the filter's window (R18), also after an unclean start (R15e).
   */
  excuseOverlap(first: Run, second: Run): string | null {
    const zombies = zombiesOf(this.#world);
    if (zombies.has(first.number) || zombies.has(second.number)) return "stopped past the quarantine";
    return this.#replayedAt.some((at) => at >= first.startedAt && at <= second.startedAt) ? "replay" : null;
  }

  /** Why both of these may have had an effect; null: nothing allows it. `first` started before `second`. */
  excuse(first: Run, second: Run): string | null {
    if (first.outcome === "failure" && first.endedAt <= second.startedAt) return "the first reported failure";
    return (
      this.excuseOverlap(first, second) ?? this.#excuseWindow(first, second) ?? this.#excuseDecision(first, second)
    );
  }

  /** Two records of one task id, the first outside of what the filter remembers. One record never is: T is exact (R6). */
  #excuseWindow(first: Run, second: Run): string | null {
    if (first.partition === second.partition && first.offset === second.offset) return null;
    const delivery = this.#deliveries.get(keyOf(first.partition, first.offset));
    if (delivery === undefined) return null;
    if (this.#openGeneration() - delivery.generation >= this.#world.settings.filterGenerations) return "filter window";
    // What an unclean start does not hear of again is what was committed before (R15e).
    const isCommitted = first.offset < (this.#world.committed[first.partition] ?? 0);
    for (const { at, below } of this.#forgot) {
      if (at < first.startedAt || at > second.startedAt) continue;
      const wasFinished = first.offset < (below[first.partition] ?? 0);
      if (wasFinished || (isCommitted && delivery.lastAt <= at)) return "committed before an unclean start";
    }
    return null;
  }

  /** A check that was wrong, or the policy of a task type whose check does not know: only where the end was in doubt. */
  #excuseDecision(first: Run, second: Run): string | null {
    const { onUnknown, checkIsTruthful, hasCheck } = this.#world.settings;
    const sameRecord = first.partition === second.partition && first.offset === second.offset;
    const incarnation = this.#incarnations.get(first.pid) ?? "";
    const inDoubt =
      !sameRecord ||
      first.outcome === "unknown" ||
      first.outcome === "died" ||
      this.#ended.has(first.pid) ||
      this.#gone.has(incarnation) ||
      // A cell without a memory doubts everything below its ceilings (R15), also what a process ran that sleeps since.
      this.#forgot.some(({ at }) => at >= first.startedAt && at <= second.startedAt);
    if (!inDoubt) return null;
    const check = this.#lastCheck.get(keyOf(second.partition, second.offset));
    if (check?.answer === "not-executed" && check.truth && !checkIsTruthful) return "the check was wrong";
    const knows = check !== undefined && (check.answer === "executed" || check.answer === "not-executed");
    return onUnknown === "execute" && (!hasCheck || !knows) ? "onUnknown is execute" : null;
  }
}

export const doublesOf = perWorld((world) => new Doubles(world));
