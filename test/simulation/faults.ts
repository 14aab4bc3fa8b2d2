/** Carries out the fault plan of a run (fault-plan.ts), and undoes at its end what lasts. */
import type { CoreEffect } from "../../src/core/effects.ts";
import type { CoreEvent } from "../../src/core/events.ts";
import { nodeIdOf } from "../../src/core/identity.ts";
import { ACTS } from "./fault-acts.ts";
import type { FaultPhase, FaultStep, PlannedFault, Target } from "./fault-plan.ts";
import type { FaultKind } from "./history.ts";
import type { SimulatedNode } from "./observer.ts";
import { Random } from "./random.ts";
import type { Simulation } from "./simulation.ts";
import { hasSpread, sceneOf, type Scene } from "./triggers.ts";
import type { Workload } from "./workload.ts";

/** A moment that does not come within this time is not waited for. */
const MOMENT_WAIT_MS = 6_000;
/** How often it is looked who is dead, and how long who died by itself stays so. */
const LOOK_EVERY_MS = 100;
const DOWN_MS = 2_000;
const NO_SCENE: Scene = { actor: "", subject: "", partition: -1 };

/** What a step of a fault may use. */
export interface FaultField {
  readonly simulation: Simulation;
  readonly workload: Workload;
  readonly random: Random; // of this fault
  readonly scene: Scene;
  readonly name: string; // whom it hits
  readonly second: string; // for what concerns two; never `name`; "" when there is nobody else
  readonly ms: number;
  /** Writes it down and counts it. */
  readonly told: (kind: FaultKind, node: string, detail?: string) => void;
  /** Undone after so long, or when faults end. */
  readonly last: (kind: FaultKind, node: string, ms: number, undo: () => void) => void;
  /** It is started again no earlier than that; else DOWN_MS after it was seen dead. */
  readonly keepDown: (name: string, ms: number) => void;
  /** Later, unless the faults have ended. */
  readonly later: (ms: number, run: () => void) => void;
  /** Nobody is started any more, and the run ends after so long as it is. */
  readonly end: (ms: number) => void;
}

interface Armed {
  readonly fault: PlannedFault;
  readonly phase: FaultPhase;
  readonly next: number; // index of the next phase
  left: number;
}

export class Faults {
  readonly counts: Record<string, number> = {};
  readonly #simulation: Simulation;
  readonly #workload: Workload;
  #armed: Armed[] = [];
  /** What undoes the faults that last. */
  readonly #lasting = new Set<() => void>();
  readonly #downUntil = new Map<string, number>();
  #over = false;
  /** When the run ends as it is; Infinity: it comes to rest. */
  endsAt = Infinity;

  constructor(simulation: Simulation, workload: Workload, plan: readonly PlannedFault[]) {
    this.#simulation = simulation;
    this.#workload = workload;
    for (const fault of plan) simulation.time.after(fault.at, () => this.#begin(fault, 0));
    simulation.onMoment = (node, event, effects) => this.#onStep(node, event, effects);
    simulation.time.after(LOOK_EVERY_MS, () => this.#look());
  }

  /** No more faults; everything that lasts is undone, everybody who is not there is started. */
  heal(): void {
    this.#over = true;
    this.#armed = [];
    for (const undo of this.#lasting) undo();
    this.#lasting.clear();
    const { names, network } = this.#simulation;
    network.healAll();
    for (const name of names) this.#simulation.continue(name);
    this.restartDead();
  }

  /** Who drained or died comes back. */
  restartDead(): void {
    for (const name of this.#simulation.names) if (!this.#simulation.isAlive(name)) this.#simulation.start(name);
  }

  /** What a service manager does: whoever is gone is started again. */
  #look(): void {
    if (this.#over || this.endsAt < Infinity) return;
    const { time, names } = this.#simulation;
    for (const name of names) {
      if (this.#simulation.isAlive(name)) continue;
      const until = this.#downUntil.get(name);
      if (until === undefined) this.#downUntil.set(name, time.now + DOWN_MS);
      else if (time.now >= until) {
        this.#downUntil.delete(name);
        this.#simulation.start(name);
      }
    }
    time.after(LOOK_EVERY_MS, () => this.#look());
  }

  #begin(fault: PlannedFault, index: number): void {
    const phase = fault.phases[index];
    if (this.#over || phase === undefined) return;
    if (phase.moment === null) {
      this.#strike(fault, phase, NO_SCENE);
      this.#begin(fault, index + 1);
      return;
    }
    const armed: Armed = { fault, phase, next: index + 1, left: phase.nth };
    this.#armed.push(armed);
    this.#simulation.time.after(MOMENT_WAIT_MS, () => {
      this.#armed = this.#armed.filter((other) => other !== armed);
    });
  }

  #onStep(node: SimulatedNode, event: CoreEvent, effects: readonly CoreEffect[]): void {
    if (this.#armed.length === 0) return;
    const hit: (readonly [Armed, Scene])[] = [];
    for (const armed of this.#armed) {
      const { moment, spread, actorLeads } = armed.phase;
      const scene = sceneOf(moment!, node, event, effects, this.#simulation);
      if (scene === null || (spread !== null && !hasSpread(spread, event, this.#simulation))) continue;
      if (actorLeads !== null && actorLeads !== (node.name === this.#leader())) continue;
      if (--armed.left <= 0) hit.push([armed, scene]);
    }
    if (hit.length === 0) return;
    this.#armed = this.#armed.filter((armed) => !hit.some(([other]) => other === armed));
    for (const [{ fault, phase, next }, scene] of hit) {
      this.#strike(fault, phase, scene);
      this.#begin(fault, next);
    }
  }

  #leader(): string {
    const { leader } = this.#simulation;
    const name = leader === null ? "" : nodeIdOf(leader.incarnation);
    return this.#simulation.nodes.get(name)?.incarnation === leader?.incarnation ? name : "";
  }

  #strike(fault: PlannedFault, { steps }: FaultPhase, scene: Scene): void {
    const random = new Random(fault.seed);
    const roles = new Map<Target, string>([
      ["actor", scene.actor],
      ["subject", scene.subject],
      ["leader", this.#leader()],
    ]);
    for (const step of steps) {
      if (step.afterMs < 0) this.#act(step, scene, roles, random);
      else this.#simulation.time.after(step.afterMs, () => this.#act(step, scene, roles, random));
    }
  }

  /** Who has the role in this fault: the same node in all its steps. "" when there is nobody. */
  #who(target: Target, scene: Scene, roles: Map<Target, string>, random: Random): string {
    const known = roles.get(target) ?? "";
    if (known !== "") return known;
    const { names } = this.#simulation;
    const leader = this.#leader();
    const wanted = names.filter((name) => {
      if (target === "worker") return name !== leader;
      return target !== "other" || (name !== scene.actor && name !== scene.subject);
    });
    const alive = (wanted.length > 0 ? wanted : names).filter((name) => this.#simulation.isAlive(name));
    const name = alive.length === 0 ? "" : random.pick(alive);
    roles.set(target, name);
    return name;
  }

  #act(step: FaultStep, scene: Scene, roles: Map<Target, string>, random: Random): void {
    if (this.#over) return;
    const name = this.#who(step.target, scene, roles, random);
    if (name === "") return;
    let second = this.#who(step.second, scene, roles, random);
    if (second === name) {
      const others = this.#simulation.names.filter((other) => other !== name);
      second = others.length === 0 ? "" : random.pick(others);
    }
    ACTS[step.act](this.#field(step, scene, name, second, random));
  }

  #field(step: FaultStep, scene: Scene, name: string, second: string, random: Random): FaultField {
    const simulation = this.#simulation;
    return {
      simulation,
      workload: this.#workload,
      random,
      scene,
      name,
      second,
      ms: step.durationMs,
      told: (kind, node, detail) => {
        simulation.fault(kind, node, detail);
        this.counts[kind] = (this.counts[kind] ?? 0) + 1;
      },
      last: (kind, node, ms, undo) => this.#last(kind, node, ms, undo),
      keepDown: (victim, ms) => this.#downUntil.set(victim, simulation.now + ms),
      end: (ms) => (this.endsAt = simulation.now + ms),
      later: (ms, run) => {
        simulation.time.after(ms, () => {
          if (!this.#over) run();
        });
      },
    };
  }

  #last(kind: FaultKind, node: string, ms: number, undo: () => void): void {
    const once = (): void => {
      if (!this.#lasting.delete(once)) return;
      undo();
      this.#simulation.healed(kind, node);
    };
    this.#lasting.add(once);
    this.#simulation.time.after(ms, once);
  }
}
