/**
 * Which rule of the protocol is shown to be needed by which model, and why the others are not. `coverage.test.ts`
 * fails when a rule or a switch is missing here, so that silence is never mistaken for proof.
 */
import { attemptAblations, attemptRules } from "./attempt-model.ts";
import { ceilingAblations, ceilingRules } from "./ceiling-model.ts";
import { entryAblations, entryRules } from "./entry-model.ts";
import { grantAblations, grantAblationsSlow } from "./grant-model.ts";
import { grantRules } from "./grant-state.ts";
import { leaseAblations, leaseRules } from "./lease-model.ts";
import { membershipAblations, membershipRules } from "./membership-model.ts";
import { mergeAblations, mergeRules } from "./merge-model.ts";
import { positionAblations, positionRules } from "./position-model.ts";
import type { Ablation } from "./prove.ts";
import { restartAblations, restartRules } from "./restart-model.ts";
import { revokeAblations, revokeRules } from "./revoke-model.ts";

export interface ModelCoverage {
  readonly model: string;
  readonly switches: readonly string[];
  readonly ablations: readonly Ablation[];
}

export const models: readonly ModelCoverage[] = [
  { model: "grant", switches: grantRules, ablations: [...grantAblations, ...grantAblationsSlow] },
  { model: "membership", switches: membershipRules, ablations: membershipAblations },
  { model: "entry", switches: entryRules, ablations: entryAblations },
  { model: "merge", switches: mergeRules, ablations: mergeAblations },
  { model: "restart", switches: restartRules, ablations: restartAblations },
  { model: "revoke", switches: revokeRules, ablations: revokeAblations },
  { model: "lease", switches: leaseRules, ablations: leaseAblations },
  { model: "attempt", switches: attemptRules, ablations: attemptAblations },
  { model: "position", switches: positionRules, ablations: positionAblations },
  { model: "ceiling", switches: ceilingRules, ablations: ceilingAblations },
];

/** Switches whose absence harms nothing within these bounds; a test of the model keeps each as a finding. */
export const withoutCounterexample: Readonly<Record<string, string>> = {
  "membership r3NeverBelowMinInSync":
    "A set of one grants nothing anyway (a release needs minInSync); the floor keeps members eligible for R4.",
  "merge r5HighestWins":
    "Each member of the last set holds all that was released and at most one decision more; any of them will do.",
  "revoke r11OtherOwnership":
    "The refused sequence already stops every verdict that was taken back; this half spares a forgotten start.",
  "grant r13ExecutedRemembered":
    "A committed record comes back only to who learns W with it; the replicated ledger covers the time before.",
};

/** Rules that no model has, and what checks them instead. */
export const notModelled: Readonly<Record<string, string>> = {
  R16:
    "Its half that matters for safety is the lease check before a start (R9 in the lease model). Pausing and leaving " +
    "the group only decide when Kafka moves the partition, which the models allow at any time.",
  R18:
    "The models have one Bloom bit that is never retired. What a retired filter forgets lies outside the declared " +
    "window; that nothing above W depends on it is a property of the table's index, tested there.",
  R19: "A comparison in the handshake, without interleavings: tested where it is made.",
  R21: "A bound only delays. A partition that pauses is a run in which its steps come late, which all models contain.",
};
