/**
 * The fault plan of a run: a list that the seed decides before anything happens, so that a fault less does not change the others
 * (shrinking). A fault comes at its time, or when after its time a moment of the protocol is seen (triggers.ts); whom it hits is
 * decided then, from numbers of its own.
 */
import type { CoreEffect } from "../../src/core/effects.ts";
import type { CoreEvent } from "../../src/core/events.ts";
import type { FaultKind } from "./history.ts";
import type { SimulatedNode, SimulationSettings } from "./observer.ts";
import { Random } from "./random.ts";
import type { Simulation } from "./simulation.ts";
import { isMoment, MOMENTS, type Moment } from "./triggers.ts";
import type { Workload } from "./workload.ts";

/** Whom it hits: by role when it comes. "actor": the node at whose step the moment was seen. */
const TARGETS = ["any", "any", "leader", "worker", "actor"] as const;

export interface PlannedFault {
  readonly index: number;
  readonly at: number;
  readonly kind: FaultKind;
  readonly target: (typeof TARGETS)[number];
  readonly moment: Moment | null;
  /** The so-many-th such moment after `at`. */
  readonly nth: number;
  /** From the moment to the fault: -1 before what the node wanted is carried out, else ms. */
  readonly delayMs: number;
  readonly durationMs: number;
  /** For everything else that it must decide. */
  readonly seed: number;
}

/** These may come at a moment; the others change the surroundings and only last. */
const AT_MOMENTS: readonly FaultKind[] = [
  "kill",
  "stop",
  "drop-links",
  "cut-peers",
  "cut-all",
  "cut-coordinator",
  "session-expiry",
  "move",
  "clock-jump",
  "drain",
  "block",
];
/** A moment that does not come within this time is not waited for. */
const MOMENT_WAIT_MS = 6_000;

export function planFaults(random: Random, settings: SimulationSettings): PlannedFault[] {
  const { timing, faultMs } = settings;
  const quarantine = timing.leaseMs + timing.isolationGraceMs + timing.quarantineMarginMs;
  const everyMs = random.pick([1_500, 3_000, 5_000, 9_000]) * (timing.leaseMs > 1_000 ? 2 : 1);
  const kinds = settings.faults.filter((kind) => kind !== "block" && kind !== "stop-before-handler") as FaultKind[];
  const plan: PlannedFault[] = [];
  if (kinds.length === 0) return plan;
  for (let at = random.below(everyMs); at < faultMs; at += 1 + random.below(2 * everyMs)) {
    const kind = random.pick(kinds);
    const moment = AT_MOMENTS.includes(kind) && random.chance(0.6) ? random.pick(MOMENTS) : null;
    const target = moment === null ? random.pick(["any", "any", "leader", "worker"] as const) : random.pick(TARGETS);
    const long = random.chance(0.2) ? quarantine * 1.6 : random.chance(0.5) ? timing.sessionMs * 1.5 : timing.leaseMs;
    plan.push({
      index: plan.length,
      at,
      kind,
      target,
      moment,
      nth: random.pick([1, 1, 2, 5, 20]),
      delayMs: random.chance(0.4) ? -1 : random.below(4),
      durationMs: 20 + random.below(long),
      seed: random.uint32(),
    });
  }
  return plan;
}

/** One line for a person. */
export function describeFault({ index, at, kind, target, moment, nth, durationMs }: PlannedFault): string {
  const when = moment === null ? "" : ` at the ${nth}. "${moment}"`;
  return `${index}: ${at} ms ${kind} ${target}${when} for ${durationMs} ms`;
}

interface Armed {
  readonly fault: PlannedFault;
  left: number;
}

export class Faults {
  readonly counts: Record<string, number> = {};
  readonly #simulation: Simulation;
  readonly #workload: Workload;
  #armed: Armed[] = [];
  /** What undoes the faults that last. */
  readonly #lasting = new Set<() => void>();
  #over = false;

  constructor(simulation: Simulation, workload: Workload, plan: readonly PlannedFault[]) {
    this.#simulation = simulation;
    this.#workload = workload;
    for (const fault of plan) simulation.time.after(fault.at, () => this.#due(fault));
    simulation.onMoment = (node, event, effects) => this.#onStep(node, event, effects);
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

  #due(fault: PlannedFault): void {
    if (this.#over) return;
    if (fault.moment === null) {
      this.#strike(fault, null);
      return;
    }
    const armed: Armed = { fault, left: fault.nth };
    this.#armed.push(armed);
    this.#simulation.time.after(MOMENT_WAIT_MS, () => {
      this.#armed = this.#armed.filter((other) => other !== armed);
    });
  }

  #onStep(node: SimulatedNode, event: CoreEvent, effects: readonly CoreEffect[]): void {
    if (this.#armed.length === 0) return;
    const hit = this.#armed.filter((armed) => isMoment(armed.fault.moment!, event, effects) && --armed.left <= 0);
    if (hit.length === 0) return;
    this.#armed = this.#armed.filter((armed) => !hit.includes(armed));
    for (const { fault } of hit) {
      if (fault.delayMs < 0) this.#strike(fault, node.name);
      else this.#simulation.time.after(fault.delayMs, () => this.#strike(fault, node.name));
    }
  }

  #strike(fault: PlannedFault, actor: string | null): void {
    if (this.#over) return;
    const random = new Random(fault.seed);
    const name = this.#victim(fault, actor, random);
    if (name === null) return;
    if (!this.#apply(fault, name, random)) return;
    this.counts[fault.kind] = (this.counts[fault.kind] ?? 0) + 1;
  }

  #victim({ target }: PlannedFault, actor: string | null, random: Random): string | null {
    const simulation = this.#simulation;
    if (target === "actor" && actor !== null && simulation.isAlive(actor)) return actor;
    const alive = simulation.names.filter((name) => simulation.isAlive(name));
    if (alive.length === 0) return null;
    const leader = simulation.leader?.incarnation;
    const leads = alive.filter((name) => simulation.nodes.get(name)!.incarnation === leader);
    if (target === "leader" && leads.length > 0) return leads[0]!;
    const others = alive.filter((name) => !leads.includes(name));
    return random.pick(target === "worker" && others.length > 0 ? others : alive);
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

  #startLater(name: string, ms: number): void {
    this.#simulation.time.after(ms, () => {
      if (!this.#over && !this.#simulation.isAlive(name)) this.#simulation.start(name);
    });
  }

  /** False when it does not apply now. */
  #apply(fault: PlannedFault, name: string, random: Random): boolean {
    const simulation = this.#simulation;
    const { network, zookeeper, kafka, names, settings } = simulation;
    const { kind, durationMs: ms } = fault;
    const other = random.pick(names);
    switch (kind) {
      case "kill":
        simulation.fault(kind, name);
        simulation.kill(name);
        this.#startLater(name, random.chance(0.3) ? random.below(200) : ms);
        return true;
      case "power-loss":
        simulation.fault(kind, "");
        for (const each of names) {
          if (simulation.isAlive(each)) simulation.kill(each, "power loss");
          this.#startLater(each, random.below(ms) + 10);
        }
        return true;
      case "stop":
        if (simulation.processOf(name).state !== "running") return false;
        simulation.fault(kind, name, `${ms} ms`);
        simulation.stop(name);
        this.#last(kind, name, ms, () => simulation.continue(name));
        return true;
      case "drain":
        simulation.fault(kind, name);
        for (const each of random.chance(0.15) ? names : [name]) {
          simulation.drain(each);
          this.#startAgain(each);
        }
        return true;
      case "cut-peers":
      case "cut-peers-one-way": {
        const others = names.filter((each) => each !== name && (names.length < 4 || random.chance(0.8)));
        if (others.length === 0) return false;
        simulation.fault(kind, name, others.join(","));
        for (const each of others) {
          if (kind === "cut-peers") network.cut(name, each);
          else if (random.chance(0.5)) network.cutOneWay(name, each);
          else network.cutOneWay(each, name);
        }
        this.#last(kind, name, ms, () => others.forEach((each) => network.heal(name, each)));
        return true;
      }
      case "split": {
        const left = names.filter(() => random.chance(0.5));
        const right = names.filter((each) => !left.includes(each));
        if (left.length === 0 || right.length === 0) return false;
        simulation.fault(kind, "", `${left.join(",")} | ${right.join(",")}`);
        for (const a of left) for (const b of right) network.cut(a, b);
        this.#last(kind, "", ms, () => left.forEach((a) => right.forEach((b) => network.heal(a, b))));
        return true;
      }
      case "cut-coordinator":
      case "cut-log": {
        const what = kind === "cut-log" ? "log" : "coordinator";
        simulation.fault(kind, name, `${ms} ms`);
        simulation.setReach(name, what, false);
        this.#last(kind, name, ms, () => simulation.setReach(name, what, true));
        return true;
      }
      case "cut-all":
        simulation.fault(kind, name, `${ms} ms`);
        for (const each of names) if (each !== name) network.cut(name, each);
        simulation.setReach(name, "coordinator", false);
        simulation.setReach(name, "log", false);
        this.#last(kind, name, ms, () => {
          for (const each of names) if (each !== name) network.heal(name, each);
          simulation.setReach(name, "coordinator", true);
          simulation.setReach(name, "log", true);
        });
        return true;
      case "drop-links":
        simulation.fault(kind, name);
        network.dropConnections(name);
        return true;
      case "slow-link": {
        if (other === name) return false;
        const slowMs = random.between(5, settings.timing.leaseMs);
        simulation.fault(kind, name, `to ${other}: ${slowMs} ms more`);
        network.slow(name, other, slowMs);
        this.#last(kind, name, ms, () => network.slow(name, other, 0));
        return true;
      }
      case "half-open":
        simulation.fault(kind, name);
        network.halfOpen(name);
        simulation.kill(name, "power cut of its machine");
        this.#startLater(name, ms);
        return true;
      case "corrupt-link":
        if (other === name) return false;
        simulation.fault(kind, name, `to ${other}`);
        network.corruptNext(name, other);
        return true;
      case "clock-jump": {
        const jumpMs = random.pick([-3_600_000, 3_600_000, 400, -5_000]);
        const hit = random.chance(0.4) ? names : [name];
        simulation.fault(kind, hit.length > 1 ? "" : name, `${jumpMs} ms`);
        for (const each of hit) if (simulation.isAlive(each)) simulation.processOf(each).wallOffsetMs += jumpMs;
        return true;
      }
      case "coordinator-quorum":
        simulation.fault(kind, "", `${ms} ms`);
        zookeeper.setQuorum(false);
        this.#last(kind, "", ms, () => zookeeper.setQuorum(true));
        return true;
      case "session-expiry":
        simulation.fault(kind, name);
        zookeeper.expireSessionOf(name);
        return true;
      case "lost-answers": {
        const level = 0.1 + 0.5 * random.next();
        simulation.fault(kind, "", `${level.toFixed(2)} for ${ms} ms`);
        zookeeper.troubleChance.answerLost = level;
        zookeeper.troubleChance.requestLost = random.chance(0.5) ? level : 0;
        this.#last(kind, "", ms, () => {
          zookeeper.troubleChance.answerLost = 0;
          zookeeper.troubleChance.requestLost = 0;
        });
        return true;
      }
      case "stale-reads":
        simulation.fault(kind, "", `${ms} ms`);
        zookeeper.staleReads = true;
        this.#last(kind, "", ms, () => (zookeeper.staleReads = false));
        return true;
      case "slow-watches":
        simulation.fault(kind, "", `${ms} ms`);
        zookeeper.watchDelayMs = random.between(50, settings.timing.sessionMs);
        this.#last(kind, "", ms, () => (zookeeper.watchDelayMs = 0));
        return true;
      case "move":
        simulation.fault(kind, name);
        kafka.move(random.below(settings.partitions), name);
        return true;
      case "rebalance-storm":
        simulation.fault(kind, "", `${ms} ms`);
        this.#storm(ms, random);
        return true;
      case "commit-trouble": {
        const level = 0.2 + 0.7 * random.next();
        simulation.fault(kind, "", `${level.toFixed(2)} for ${ms} ms`);
        const { commitTrouble } = kafka;
        const which = random.pick(["refused", "unknownApplied", "unknownLost"] as const);
        commitTrouble[which] = level;
        this.#last(kind, "", ms, () => (commitTrouble[which] = 0));
        return true;
      }
      case "stale-commit-accepted":
        simulation.fault(kind, "", `${ms} ms`);
        kafka.acceptsStaleCommits = true;
        this.#last(kind, "", ms, () => (kafka.acceptsStaleCommits = false));
        return true;
      case "lost-revocation":
        simulation.fault(kind, name, `${ms} ms`);
        kafka.lostRevocation.add(name);
        this.#last(kind, name, ms, () => kafka.lostRevocation.delete(name));
        return true;
      case "check-trouble":
        simulation.fault(kind, "", `${ms} ms`);
        this.#workload.checkTrouble = 0.2 + 0.8 * random.next();
        this.#last(kind, "", ms, () => (this.#workload.checkTrouble = 0));
        return true;
      case "set-aside-trouble":
        simulation.fault(kind, "", `${ms} ms`);
        kafka.setAsideTrouble = 0.7;
        this.#last(kind, "", ms, () => (kafka.setAsideTrouble = 0));
        return true;
      case "slow-handlers":
        simulation.fault(kind, "", `${ms} ms`);
        this.#workload.slowness = 1;
        this.#last(kind, "", ms, () => (this.#workload.slowness = 0));
        return true;
      default:
        return this.#meddle(fault, random);
    }
  }

  /** From outside of the cell: other clients, and people. */
  #meddle({ kind }: PlannedFault, random: Random): boolean {
    const simulation = this.#simulation;
    const { kafka, settings } = simulation;
    const partition = random.below(settings.partitions);
    switch (kind) {
      case "foreign-commit": {
        const end = kafka.log[partition]!.length;
        const position = random.below(end + 1);
        simulation.fault(kind, "", `${partition} to ${position}`);
        kafka.foreignCommit(partition, position);
        return true;
      }
      case "offsets-lost":
        simulation.fault(kind, "");
        kafka.loseOffsets();
        return true;
      case "retention":
        simulation.fault(kind, "", `${partition} from ${kafka.committed[partition] ?? 0}`);
        kafka.raiseLogStart(partition, kafka.committed[partition] ?? 0);
        return true;
      default:
        return false;
    }
  }

  #startAgain(name: string): void {
    const { time } = this.#simulation;
    const look = (): void => {
      if (this.#over) return;
      if (this.#simulation.isAlive(name)) time.after(200, look);
      else this.#simulation.start(name);
    };
    time.after(200, look);
  }

  #storm(ms: number, random: Random): void {
    const { time, kafka } = this.#simulation;
    const end = time.now + ms;
    const again = (): void => {
      if (this.#over || time.now >= end) return;
      kafka.rebalance();
      time.after(50 + random.below(400), again);
    };
    again();
  }
}
