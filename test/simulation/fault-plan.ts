/**
 * The fault plan of a run: a list that the seed decides before anything happens, so that a fault less does not change the others
 * (shrinking). A fault is one step, or a short script of steps; it comes at its time, or when after its time a moment of the
 * protocol is seen (triggers.ts). Whom each step hits is decided then, from the scene and numbers of the fault's own.
 */
import { quarantineMs } from "../../src/core/settings.ts";
import { AIMED, type AimedPhase, type AimedStep, type Duration } from "./aimed-faults.ts";
import type { FaultKind } from "./history.ts";
import type { SimulationSettings } from "./observer.ts";
import type { Random } from "./random.ts";
import { MOMENTS, type Moment, type Spread } from "./triggers.ts";

/** What a step does: a kind of fault, or one that goes into the history as several of them. */
export type Act =
  | FaultKind
  | "rolling-restart"
  | "full-restart"
  | "others-die" // all but this node, at once
  | "cut-from" // two nodes only
  | "late-batches";

/**
 * Whom a step hits, by role when it comes. actor: at whose step the moment was seen; subject: whom else it concerned; other: somebody
 * who is neither of them; worker: who does not lead.
 */
export type Target = "any" | "leader" | "worker" | "actor" | "subject" | "other";

export interface FaultStep {
  readonly act: Act;
  readonly target: Target;
  /** For what concerns two nodes. */
  readonly second: Target;
  /** After the moment; -1 before what the node wanted is carried out. */
  readonly afterMs: number;
  readonly durationMs: number;
}

export interface FaultPhase {
  readonly moment: Moment | null; // null: at once
  /** The so-many-th such moment. */
  readonly nth: number;
  readonly spread: Spread | null;
  readonly actorLeads: boolean | null; // null: whoever
  readonly steps: readonly FaultStep[];
}

export interface PlannedFault {
  readonly index: number;
  readonly at: number;
  readonly name: string;
  /** One after another; each waits for its moment after the one before. */
  readonly phases: readonly FaultPhase[];
  /** For everything else that it must decide. */
  readonly seed: number;
}

/** These may come at a moment; the others change the surroundings and only last. */
const AT_MOMENTS: readonly string[] = [
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
];
/** Handlers bring these about (workload.ts). */
const OF_HANDLERS: readonly string[] = ["block", "stop-before-handler"];

function draw(random: Random, { unit, from, to }: Duration, settings: SimulationSettings): number {
  const { timing, effectSettleMs } = settings;
  const units: Record<Duration["unit"], number> = {
    lease: timing.leaseMs,
    session: timing.sessionMs,
    eviction: timing.inSyncEvictionMs,
    quarantine: quarantineMs(timing),
    takeover: timing.kafkaSessionMs + quarantineMs(timing) + effectSettleMs, // until another node may run what this one ran
  };
  return Math.ceil(units[unit] * (from + (to - from) * random.next()));
}

function aimedPhase(random: Random, settings: SimulationSettings, phase: AimedPhase): FaultPhase {
  const step = ({ act, target, second = "other", lasts, after }: AimedStep): FaultStep => ({
    act,
    target,
    second,
    afterMs: after === undefined ? -1 : typeof after === "number" ? after : draw(random, after, settings),
    durationMs: draw(random, lasts ?? { unit: "session", from: 0.05, to: 1.5 }, settings),
  });
  return {
    moment: phase.moment,
    nth: random.pick([1, 1, 2, 4]),
    spread: phase.spread ?? null,
    actorLeads: phase.actorLeads ?? null,
    steps: phase.steps.map(step),
  };
}

function plainPhase(random: Random, { timing }: SimulationSettings, act: Act): FaultPhase {
  const moment = AT_MOMENTS.includes(act) && random.chance(0.6) ? random.pick(MOMENTS) : null;
  const target =
    moment === null
      ? random.pick(["any", "any", "leader", "worker"] as const)
      : random.pick(["any", "leader", "worker", "actor", "actor", "subject"] as const);
  const long = random.chance(0.2)
    ? quarantineMs(timing) * 1.6
    : random.chance(0.5)
      ? timing.sessionMs * 1.5
      : timing.leaseMs;
  const nth = random.pick([1, 1, 2, 5, 20]);
  const afterMs = random.chance(0.4) ? -1 : random.below(4);
  const step: FaultStep = { act, target, second: "other", afterMs, durationMs: 20 + random.below(long) };
  return { moment, nth, spread: null, actorLeads: null, steps: [step] };
}

export function planFaults(random: Random, settings: SimulationSettings): PlannedFault[] {
  const { timing, faultMs, faults } = settings;
  const everyMs = random.pick([2_500, 5_000, 9_000, 16_000]) * (timing.leaseMs > 1_000 * 2 ? 2 : 1);
  const aimed = faults.filter((name) => AIMED.has(name));
  const plain = faults.filter((name) => !AIMED.has(name) && !OF_HANDLERS.includes(name)) as Act[];
  const plan: PlannedFault[] = [];
  if (plain.length + aimed.length === 0) return plan;
  for (let at = random.below(everyMs); at < faultMs; at += 1 + random.below(2 * everyMs)) {
    const isAimed = plain.length === 0 || (aimed.length > 0 && random.chance(0.5));
    const name = isAimed ? random.pick(aimed) : random.pick(plain);
    const phases = isAimed
      ? AIMED.get(name)!.map((phase) => aimedPhase(random, settings, phase))
      : [plainPhase(random, settings, name as Act)];
    plan.push({ index: plan.length, at, name, phases, seed: random.uint32() });
  }
  return plan;
}

function describePhase({ moment, nth, spread, steps }: FaultPhase): string {
  const when = moment === null ? "" : `at the ${nth}. "${moment}"${spread === null ? "" : ` at ${spread}`}: `;
  const told = steps.map(({ act, target, afterMs, durationMs }) => {
    const after = afterMs > 0 ? ` after ${afterMs} ms` : "";
    return `${act} ${target}${after} for ${durationMs} ms`;
  });
  return `${when}${told.join(", ")}`;
}

/** One line for a person. */
export function describeFault({ index, at, name, phases }: PlannedFault): string {
  return `${index}: ${at} ms ${name} ${phases.map(describePhase).join("; then ")}`;
}
