/**
 * Leases as time: one member that holds a grant, the leader that gave it, ZooKeeper, and whoever may take the task
 * over. Time is a number that any step may let pass; not moving is how a process sleeps or a message is late.
 *
 * Covers: the leader's deadline from the send time of an answered ZooKeeper request, acknowledgements that name one
 * report and are capped by the leader's own right (R17), the lease from the report's send time and its number (R9),
 * the quarantine from the last frame and from the activation, with the abort of handlers (R12), and that nobody starts
 * without a lease (R16).
 * Does not cover: clock drift and steps of the wall clock (all clocks run alike), a watchdog that fails, a node that is
 * stopped between its start check and its handler (outside G2), the new leader's own lease.
 *
 * Violations: *double* = two effects, the second holder having checked truthfully before; *broken* (watched instead
 * of doubles) = the member might start a grant of the old epoch while a new leader is active.
 */
import type { Model, Moves } from "./explore.ts";
import { layout, many, one, type StateOf } from "./packed.ts";
import { type Ablation, ablation, rulesOn } from "./ablation.ts";

export const leaseRules = [
  "r9LeaseIsChecked",
  "r9LeaseNumber",
  "r12QuarantineFromLastFrame",
  "r12QuarantineFromActivation",
  "r12HandlersAreAborted",
  "r17DeadlineFromSendTime",
  "r17NoAnswerPastDeadline",
  "r17AcknowledgementNamesReport",
  "r17LeaseFromSendTime",
  "r17LeaseWithinDeadline",
] as const;
export type LeaseRule = (typeof leaseRules)[number];
type Rules = Readonly<Record<LeaseRule, boolean>>;

export interface LeaseBounds {
  /** How long the clock runs. */
  readonly ticks: number;
  /** Requests of the leader to ZooKeeper, reports of the member, and how many of these are under way at a time. */
  readonly requests: number;
  readonly reports: number;
  readonly inFlight: 1 | 2;
  readonly watch: "double" | "lease";
  /** 3 by default. 4 where a tick is too coarse for a report sent just before the leader's deadline. */
  readonly leaseTicks?: number;
}

/** In ticks of a second as the defaults have them, only the isolation grace (12) is cut to what still overlaps. */
const sessionTicks = 6;
const deadlineTicks = 4;
const graceTicks = 3;

const Run = { held: 0, granted: 1, executing: 2, over: 3 } as const;
const Report = { none: 0, sent: 1, acknowledged: 2 } as const;
const Ping = { none: 0, sent: 1, applied: 2 } as const;
const Takeover = { none: 0, adopted: 1, checked: 2, over: 3 } as const;

/** `activeSince` is 0 until a new leader is active, else that tick + 1. `newest` is the last report sent. */
const leaseLayout = layout({
  world: one("now", "effects", "zkHeard", "activeSince", "takeover", "requests", "reports"),
  leader: one("deadline", "ping", "pingSentAt", "lastFrame"),
  member: one("run", "leaseEnd", "newest"),
  report: many(2, "state", "sentAt", "value"),
});
type State = StateOf<typeof leaseLayout>;

interface Turn {
  readonly bounds: LeaseBounds;
  readonly rules: Rules;
  readonly from: State;
  readonly moves: Moves<State>;
}

export function leaseModel(bounds: LeaseBounds, rules: Rules = rulesOn(leaseRules)): Model<State> {
  return {
    name: `lease model ${JSON.stringify(bounds)}`,
    layout: leaseLayout,
    start(state) {
      Object.assign(state.world, { requests: bounds.requests, reports: bounds.reports });
      state.leader.deadline = deadlineTicks;
      Object.assign(state.member, { run: Run.granted, leaseEnd: leaseTicksOf(bounds) });
    },
    moves(from, moves) {
      const turn = { bounds, rules, from, moves };
      if (from.world.now < bounds.ticks) tickMove(turn);
      zooKeeperMoves(turn);
      reportMoves(turn);
      memberMoves(turn);
      takeoverMoves(turn);
    },
    violation({ world, member }) {
      if (bounds.watch === "double") return world.effects > 1 ? "double" : undefined;
      const mayStart = member.run === Run.granted && world.now < member.leaseEnd;
      return world.activeSince > 0 && mayStart ? "broken" : undefined;
    },
  };
}

const leaseTicksOf = (bounds: LeaseBounds): number => bounds.leaseTicks ?? 3;

/** R12 as the timing assumption that it is: by the time the grace is over the watchdog has ended the handler. */
function tickMove({ rules, from, moves }: Turn): void {
  const { world, member } = from;
  const now = world.now + 1;
  const running = member.run === Run.executing;
  const aborts = rules.r12HandlersAreAborted && running && now >= member.leaseEnd + graceTicks;
  moves.step(`the clock shows ${now}${aborts ? ", the member's handler is aborted" : ""}`, (to) => {
    to.world.now = now;
    if (aborts) to.member.run = Run.over;
  });
}

function zooKeeperMoves({ rules, from, moves }: Turn): void {
  const { world, leader } = from;
  const expired = world.now >= world.zkHeard + sessionTicks;
  if (leader.ping === Ping.none && world.requests && !expired) {
    moves.step("the leader sends a request to ZooKeeper", (to) => {
      to.world.requests--;
      Object.assign(to.leader, { ping: Ping.sent, pingSentAt: world.now });
    });
  }
  if (leader.ping === Ping.sent && !expired) {
    moves.step("ZooKeeper hears it", (to) => {
      to.leader.ping = Ping.applied;
      to.world.zkHeard = world.now;
    });
  }
  if (leader.ping === Ping.applied) {
    const since = rules.r17DeadlineFromSendTime ? leader.pingSentAt : world.now;
    moves.step(`the leader has the answer, its deadline is ${since + deadlineTicks}`, (to) => {
      Object.assign(to.leader, { ping: Ping.none, pingSentAt: 0, deadline: since + deadlineTicks });
    });
  }
  if (expired && !world.activeSince) {
    moves.step("the session has expired, a new leader is active", (to) => void (to.world.activeSince = world.now + 1));
  }
}

function reportMoves({ bounds, rules, from, moves }: Turn): void {
  const { world, leader, member } = from;
  for (let k = 0; k < bounds.inFlight; k++) {
    const { state, sentAt, value } = from.report(k);
    if (state === Report.none && world.reports) {
      moves.step(`the member sends report ${k}`, (to) => {
        to.world.reports--;
        Object.assign(to.report(k), { state: Report.sent, sentAt: world.now });
        to.member.newest = k;
      });
    }
    if (state === Report.sent && (world.now < leader.deadline || !rules.r17NoAnswerPastDeadline)) {
      const left = Math.max(0, leader.deadline - world.now);
      const capped = rules.r17LeaseWithinDeadline && rules.r17NoAnswerPastDeadline;
      const given = capped ? Math.min(leaseTicksOf(bounds), left) : leaseTicksOf(bounds);
      moves.step(`the leader acknowledges report ${k}, worth ${given}`, (to) => {
        Object.assign(to.report(k), { state: Report.acknowledged, value: given });
        to.leader.lastFrame = world.now;
      });
    }
    if (state !== Report.acknowledged) continue;
    const named = rules.r17AcknowledgementNamesReport ? sentAt : from.report(member.newest).sentAt;
    const end = Math.max(member.leaseEnd, (rules.r17LeaseFromSendTime ? named : world.now) + value);
    // A renewal after the old lease ended begins a new lease number: what was granted before is only held.
    const renumbered = rules.r9LeaseNumber && world.now >= member.leaseEnd && member.run === Run.granted;
    const lost = renumbered ? ", a new lease number: the grant is only held" : "";
    moves.step(`the member hears it, its lease ends at ${end}${lost}`, (to) => {
      to.report(k).clear();
      to.member.leaseEnd = end;
      if (renumbered) to.member.run = Run.held;
    });
  }
}

function memberMoves({ rules, from, moves }: Turn): void {
  const { world, member } = from;
  if (member.run === Run.granted && (world.now < member.leaseEnd || !rules.r9LeaseIsChecked)) {
    moves.step("the member STARTS", (to) => void (to.member.run = Run.executing));
  }
  if (member.run === Run.executing) {
    moves.step("the member's handler ends (effect)", (to) => {
      to.member.run = Run.over;
      to.world.effects++;
    });
  }
}

/** The leader that finds the member silent for the quarantine gives the task to someone else, as an adoption. */
function takeoverMoves({ bounds, rules, from, moves }: Turn): void {
  const quarantineTicks = leaseTicksOf(bounds) + graceTicks;
  const { world, leader, member } = from;
  if (world.takeover === Takeover.none) {
    const silentSince = rules.r12QuarantineFromLastFrame ? leader.lastFrame : 0;
    const leads = world.now < leader.deadline;
    if (leads && member.run === Run.held && world.now < member.leaseEnd) {
      moves.step("the leader grants the task to the member anew", (to) => void (to.member.run = Run.granted));
    }
    if (leads && world.now >= silentSince + quarantineTicks) {
      moves.step("the leader believes that the silent member has stopped: adoption by another", (to) => {
        to.world.takeover = Takeover.adopted;
      });
    }
    const active = world.activeSince > 0;
    const since = rules.r12QuarantineFromActivation ? world.activeSince - 1 : 0;
    if (active && world.now >= since + quarantineTicks) {
      moves.step("the new leader believes that the silent member has stopped: adoption by another", (to) => {
        to.world.takeover = Takeover.adopted;
      });
    }
  }
  if (world.takeover === Takeover.adopted) {
    const executed = world.effects > 0;
    moves.step(`the other checks: ${executed ? "executed, drops" : "not executed"}`, (to) => {
      to.world.takeover = executed ? Takeover.over : Takeover.checked;
    });
  }
  if (world.takeover === Takeover.checked) {
    moves.step("the other EXECUTES (effect)", (to) => {
      to.world.takeover = Takeover.over;
      to.world.effects++;
    });
  }
}

const doubles: LeaseBounds = { ticks: 10, requests: 1, reports: 2, inFlight: 1, watch: "double" };
const cutOffLeader: LeaseBounds = { ticks: 13, requests: 0, reports: 3, inFlight: 1, watch: "double" };
const pipelined: LeaseBounds = { ticks: 7, requests: 1, reports: 2, inFlight: 2, watch: "double" };
const leases: LeaseBounds = { ticks: 8, requests: 1, reports: 2, inFlight: 1, watch: "lease", leaseTicks: 4 };
export const leaseBounds = { doubles, cutOffLeader, pipelined, leases };

export const leaseAblations: readonly Ablation<LeaseRule, LeaseBounds>[] = [
  ablation("r9LeaseIsChecked", "looking at the lease before a start", doubles, "double", 14),
  ablation("r9LeaseNumber", "a new number for a lease that was renewed too late", doubles, "double", 17),
  ablation("r12QuarantineFromLastFrame", "counting the quarantine from the last frame", doubles, "double", 17),
  ablation("r12QuarantineFromActivation", "counting the quarantine from the activation", doubles, "double", 15),
  ablation("r12HandlersAreAborted", "aborting handlers after the isolation grace", doubles, "double", 14),
  ablation("r17DeadlineFromSendTime", "counting the deadline from the request's send time", leases, "broken", 13),
  ablation("r17NoAnswerPastDeadline", "silence past the leader's deadline", cutOffLeader, "double", 24),
  ablation("r17AcknowledgementNamesReport", "acknowledgements that name one report", pipelined, "double", 18),
  ablation("r17LeaseFromSendTime", "counting the lease from the report's send time", doubles, "double", 17),
  ablation("r17LeaseWithinDeadline", "capping a lease by the leader's remaining time", leases, "broken", 10),
];
