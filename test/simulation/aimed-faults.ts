/**
 * Faults that are aimed at one row of the failure matrix each: the moment, and what happens then to whom. Most rows are a window of
 * one round trip, or need two things within one; a swarm of single faults meets them once in many thousand runs.
 */
import type { Act, Target } from "./fault-plan.ts";
import type { Moment, Spread } from "./triggers.ts";

/** Drawn evenly between two multiples of a time of the cell. */
export interface Duration {
  readonly unit: "lease" | "session" | "eviction" | "quarantine" | "takeover";
  readonly from: number;
  readonly to: number;
}

export interface AimedStep {
  readonly act: Act;
  readonly target: Target;
  readonly second?: Target;
  readonly lasts?: Duration;
  /** From the moment; left out: before what the node wanted is carried out. */
  readonly after?: number | Duration; // number: ms
}

export interface AimedPhase {
  readonly moment: Moment | null;
  readonly spread?: Spread;
  readonly actorLeads?: boolean;
  readonly steps: readonly AimedStep[];
}

function lasts(unit: Duration["unit"], from: number, to: number): Duration {
  return { unit, from, to };
}

const LONG_AFTER_SESSION = lasts("session", 1.5, 2.6);
const OVER_QUARANTINE = lasts("takeover", 1, 1.5);
const kill = (target: Target, after?: number): AimedStep => ({
  act: "kill",
  target,
  ...(after === undefined ? {} : { after }),
});
const at = (moment: Moment, ...steps: readonly AimedStep[]): AimedPhase[] => [{ moment, steps }];

/** The node that asked, or holds a grant, dies. */
const OF_ASKERS: Readonly<Record<string, readonly AimedPhase[]>> = {
  "A2 asker dies with its ask sent": [{ moment: "asks", actorLeads: false, steps: [kill("actor", 0)] }],
  "A3 grantee dies, only the leader knows": at("grant-sent", kill("subject")),
  "A4 grantee dies, some know": [{ moment: "grant-arrives", spread: "some", steps: [kill("subject")] }],
  "A5 grantee dies, all know": [{ moment: "grant-arrives", spread: "all", steps: [kill("subject")] }],
  "A6 grantee dies, reply under way": at("granted-sent", kill("subject", 0)),
  "A9 executor dies with its fact": [{ moment: "ended-well", actorLeads: false, steps: [kill("actor")] }],
  "A11 committer dies": [{ moment: "commit-sent", actorLeads: false, steps: [kill("actor", 1)] }],
  "A12 committer dies before it tells": [{ moment: "commit-answered", actorLeads: false, steps: [kill("actor")] }],
  "A13 dies as it gives back": [
    { moment: "granted-arrives", actorLeads: false, steps: [{ act: "move", target: "other", after: 0 }] },
    { moment: "refusal-sent", actorLeads: false, steps: [kill("actor", 0)] },
  ],
  "D9 leader dies as it is given back": [
    { moment: "granted-arrives", actorLeads: false, steps: [{ act: "move", target: "other", after: 0 }] },
    { moment: "refusal-sent", actorLeads: false, steps: [kill("subject")] },
  ],
};

/** The leader dies. */
const OF_LEADERS: Readonly<Record<string, readonly AimedPhase[]>> = {
  "B1 leader dies before an ask": [{ moment: "asks", actorLeads: false, steps: [kill("leader")] }],
  "B2 leader dies, nobody knows the grant": at("grant-sent", kill("actor")),
  "B3 leader dies, some know the grant": [{ moment: "grant-arrives", spread: "some", steps: [kill("leader")] }],
  "B4 leader dies, all know the grant": [{ moment: "grant-arrives", spread: "all", steps: [kill("leader")] }],
  "B6 leader dies, the adoption is known": at("adoption-arrives", kill("leader")),
  "B7 leader dies, the check is done": [{ moment: "check-ended", actorLeads: false, steps: [kill("leader")] }],
  "B8 leader dies with a fact": at("fact-sent", kill("actor")),
  "B10 leader dies in a sync": at(
    "sync-chunk-sent",
    { act: "cut-from", target: "actor", second: "subject" },
    kill("actor", 1),
  ),
  "B12 leader dies in a set change": at("in-sync-write", kill("actor", 1)),
  "B12 the answer to a set change is lost": at(
    "in-sync-write",
    { act: "lost-answers", target: "actor", lasts: lasts("lease", 0.1, 0.5) },
    kill("actor", 40),
  ),
  "B14 leader dies with a watermark": at("watermark-sent", kill("actor")),
  "E12 leader dies as a task ends": [{ moment: "ended-well", actorLeads: false, steps: [kill("leader")] }],
  "D3 leader dies, its grant is lost": at(
    "granted-sent",
    { act: "cut-from", target: "actor", second: "subject" },
    kill("actor", 1),
  ),
  "D4 leader dies, its doubt is lost": at(
    "doubtful-sent",
    { act: "cut-from", target: "actor", second: "subject" },
    kill("actor", 1),
  ),
};

/** Pauses and cuts that are longer than somebody's patience. */
const OF_PAUSES: Readonly<Record<string, readonly AimedPhase[]>> = {
  "C2 leader stops with acknowledgements pending": at("grant-sent", {
    act: "stop",
    target: "actor",
    lasts: LONG_AFTER_SESSION,
  }),
  "C5 leader stops with its own grant": at("own-grant-sent", {
    act: "stop",
    target: "actor",
    lasts: LONG_AFTER_SESSION,
  }),
  "C3 leader stops before an ask": [
    { moment: "asks", actorLeads: false, steps: [{ act: "stop", target: "subject", lasts: LONG_AFTER_SESSION }] },
  ],
  "C6 leader stops before a fact": [
    {
      moment: "reports-facts",
      actorLeads: false,
      steps: [{ act: "stop", target: "subject", lasts: LONG_AFTER_SESSION }],
    },
  ],
  "C3 a late ask reaches a replaced leader": [
    {
      moment: "asks",
      actorLeads: false,
      steps: [
        { act: "slow-link", target: "actor", second: "leader", lasts: lasts("session", 0.4, 1) },
        { act: "cut-coordinator", target: "leader", lasts: lasts("session", 0.5, 1.2) },
        { act: "session-expiry", target: "leader", after: 0 },
      ],
    },
  ],
  "C8 worker sleeps in its handler": [
    {
      moment: "starts",
      actorLeads: false,
      steps: [{ act: "stop", target: "actor", lasts: OVER_QUARANTINE, after: 2 }],
    },
  ],
  "C11 leader loses the coordinator": [
    { moment: null, steps: [{ act: "cut-coordinator", target: "leader", lasts: lasts("session", 1.2, 2) }] },
  ],
  "C13 quorum lost for long": [
    { moment: null, steps: [{ act: "coordinator-quorum", target: "any", lasts: lasts("session", 0.8, 2) }] },
  ],
  "D2 leader replaced under running handlers": at(
    "grant-sent",
    { act: "cut-coordinator", target: "actor", lasts: lasts("session", 0.5, 1.5) },
    { act: "session-expiry", target: "actor", after: 0 },
  ),
  "F12 holder cut off, its partition moved": [
    {
      moment: "starts",
      actorLeads: false,
      steps: [
        { act: "move", target: "other" },
        { act: "cut-peers", target: "actor", lasts: lasts("quarantine", 0.4, 1.5), after: 1 },
      ],
    },
  ],
};

/** The log, and whole cells. */
const OF_OTHERS: Readonly<Record<string, readonly AimedPhase[]>> = {
  "E7 moved while stale commits are taken": [
    {
      moment: "starts",
      steps: [
        { act: "stale-commit-accepted", target: "any", lasts: lasts("session", 0.5, 2) },
        { act: "move", target: "other", after: 0 },
      ],
    },
  ],
  "E13 moved without a word": [
    {
      moment: "starts",
      steps: [
        { act: "lost-revocation", target: "actor", lasts: lasts("session", 0.5, 2) },
        { act: "move", target: "other", after: 0 },
      ],
    },
  ],
  "E24 moved with batches on their way": at(
    "delivered",
    { act: "late-batches", target: "actor", lasts: lasts("session", 0.5, 2) },
    { act: "move", target: "other", after: 0 },
    { act: "move", target: "actor", after: lasts("session", 0.2, 0.6) },
  ),
  "F13 a grant is lost on its link": at(
    "granted-sent",
    { act: "cut-from", target: "actor", second: "subject", lasts: lasts("lease", 0.02, 0.2) },
    { act: "drop-links", target: "subject", after: 1 },
  ),
  "E2 moved while granted": at("granted-arrives", { act: "move", target: "other", after: 0 }),
  "E14 moved there and back": at(
    "starts",
    { act: "move", target: "other", after: 1 },
    { act: "move", target: "actor", after: lasts("session", 0.1, 0.6) },
  ),
  "M4 the last set dies, another lives": [
    {
      moment: null,
      steps: [
        { act: "cut-peers", target: "worker", lasts: lasts("eviction", 2.5, 3) },
        { act: "others-die", target: "worker", after: lasts("eviction", 2, 2.4), lasts: lasts("session", 0.1, 2) },
      ],
    },
  ],
  "M13 leader drains at a grant": at("grant-sent", { act: "drain", target: "actor", after: 0 }),
  "M12 worker drains at an ask": [
    { moment: "asks", actorLeads: false, steps: [{ act: "drain", target: "actor", after: 0 }] },
  ],
};

export const AIMED: ReadonlyMap<string, readonly AimedPhase[]> = new Map(
  [OF_ASKERS, OF_LEADERS, OF_PAUSES, OF_OTHERS].flatMap((part) => Object.entries(part)),
);
