/**
 * R9, R16, R17: what is said about time. No violation of these need end in a second run: each is judged in the step that breaks it.
 */
import type { CoreEvent } from "../../../src/core/events.ts";
import { State } from "../../../src/core/member/window.ts";
import type { Observer, SimulatedNode, World } from "../observer.ts";
import { violated } from "./checker.ts";

/** Clocks of the simulation run in fractions of a millisecond. */
const ROUNDING_MS = 1e-6;

/** A leader's word about a lease lies within its own time, and that within what a session is good for. */
export function leasesAreTheLeadersToGive(world: World): Observer {
  const { leaseMs, sessionMs } = world.settings.timing;
  return {
    quietSteps: ["coordinator-deadline"],
    onStep(node, event, effects, now) {
      if (event.type === "coordinator-deadline" && event.at - now > (sessionMs * 2) / 3 + ROUNDING_MS)
        violated(
          "R17",
          `${node.name} relies on its session until ${event.at} at ${now}, which is ${sessionMs} ms long`,
        );
      for (const effect of effects) {
        if (effect.type !== "send" || effect.message.kind !== "ack") continue;
        const { leaseMs: given, number } = effect.message;
        const state = node.core!.leader?.state;
        if (state === undefined) continue; // deposed later in this step
        const right = Math.min(leaseMs, state.deadline - now);
        if (right <= 0 || given > right + ROUNDING_MS)
          violated("R17", `${node.name} answers report ${number} with ${given} ms at ${world.now}; it has ${right} ms`);
      }
    },
  };
}

interface Known {
  led: boolean;
  until: number;
  era: number;
  epoch: number;
  readonly reports: Map<number, { readonly at: number; readonly connection: number }>;
}

/**
 * A member's lease runs from when it handed over the report that an acknowledgement names, on the same connection; and one that begins when
 * none is valid finds nothing startable, and nothing adopted, of before. A leader's own reports are not sent: it is only looked at as a member.
 */
export function leasesRunFromTheReport(world: World): Observer {
  const nodes = new Map<string, Known>(); // by incarnation
  const granted = (node: SimulatedNode, known: Known, event: CoreEvent, until: number): void => {
    if (event.type !== "message" || event.message.kind !== "ack")
      violated(
        "R9",
        `the lease of ${node.name} was ${known.until} and is ${until} at ${world.now}, after ${event.type}`,
      );
    const { number, leaseMs } = event.message;
    const report = known.reports.get(number);
    if (report === undefined || report.connection !== event.connection)
      violated("R9", `${node.name} takes a lease from the answer to report ${number}, not of this connection`);
    if (until > report.at + leaseMs + ROUNDING_MS)
      violated(
        "R9",
        `the lease of ${node.name} ends at ${until}; report ${number} left at ${report.at} for ${leaseMs} ms`,
      );
  };
  return {
    onStep(node, event, effects, now) {
      const { leader, member } = node.core!;
      const { lease, era, epoch, windows } = member.state;
      let known = nodes.get(node.incarnation);
      if (known === undefined)
        nodes.set(node.incarnation, (known = { led: false, until: lease.until, era, epoch, reports: new Map() }));
      const leads = leader !== null || known.led;
      known.led = leader !== null;
      if (lease.until > known.until && !leads && now < lease.until) granted(node, known, event, lease.until);
      const began = now >= known.until && now < lease.until;
      if (era === known.era && (began || epoch > known.epoch))
        violated(
          "R9",
          `${node.name} has a new lease or epoch at ${world.now}, and what was granted before stays startable`,
        );
      // Adoptions come with verdicts only, or from the leader in this process.
      const isAnswer = event.type === "message" && event.message.kind === "verdicts";
      if (era !== known.era && !leads && !isAnswer)
        for (const window of windows.values())
          for (const { offset } of window.doubts.values())
            if (window.stateOf(offset) === State.adopted)
              violated(
                "R9",
                `${node.name} keeps its adoption of ${window.pid}:${offset} into a new era at ${world.now}`,
              );
      known.until = lease.until;
      known.era = era;
      known.epoch = epoch;
      for (const effect of effects) {
        if (effect.type !== "send" || effect.message.kind !== "report") continue;
        known.reports.set(effect.message.number, { at: now, connection: effect.connection });
        known.reports.delete(effect.message.number - 64);
      }
    },
  };
}

/** So many ticks may see what a turn has not looked at yet. */
const TICKS_MAX = 3;

/** Without a lease nothing is fetched; and who drains starts nothing (R22). */
export function idleWithoutALease(world: World): Observer {
  const fetching = new Map<string, number>(); // ticks, by incarnation
  return {
    onStep(node, event, effects, now) {
      const { state } = node.core!.member;
      if (state.draining)
        for (const effect of effects)
          if (effect.type === "execute" || effect.type === "check")
            violated("R16", `${node.name} drains, and begins another ${effect.type} at ${world.now}`);
      if (event.type !== "tick") return;
      const fetches =
        !state.lease.valid(now) && [...state.windows.values()].some(({ paused, stopped }) => !paused && stopped === "");
      const ticks = fetches ? (fetching.get(node.incarnation) ?? 0) + 1 : 0;
      fetching.set(node.incarnation, ticks);
      if (ticks > TICKS_MAX) violated("R16", `${node.name} has no lease, and fetches at ${world.now}`);
    },
  };
}
