/**
 * Which rule of the protocol is shown to be needed by which model, and why the others are not. `coverage.test.ts`
 * fails when a rule or a switch is missing here, so that silence is never mistaken for proof.
 */
import { type Ablation, rulesOn } from "./ablation.ts";
import { attemptAblations, attemptBounds, attemptModel, attemptRules } from "./attempt-model.ts";
import { ceilingAblations, ceilingBounds, ceilingModel, ceilingRules } from "./ceiling-model.ts";
import { doubtAblations } from "./doubt-ablations.ts";
import { doubtBounds, doubtModel, doubtRules } from "./doubt-model.ts";
import { entryAblations, entryBounds, entryModel, entryRules } from "./entry-model.ts";
import { explore, type Exploration, type Model } from "./explore.ts";
import { grantAblations, grantAblationsSlow, grantBudgets, grantModel } from "./grant-model.ts";
import { grantRules } from "./grant-state.ts";
import { leaseAblations, leaseBounds, leaseModel, leaseRules } from "./lease-model.ts";
import { membershipAblations, membershipFaults, membershipModel, membershipRules } from "./membership-model.ts";
import { memoryAblations, memoryBounds, memoryModel } from "./memory-model.ts";
import { memoryRules } from "./memory-state.ts";
import { mergeAblations, mergeBounds, mergeModel, mergeRules } from "./merge-model.ts";
import type { Packed } from "./packed.ts";
import { positionAblations, positionBounds, positionModel, positionRules } from "./position-model.ts";
import { statesMax } from "./prove.ts";
import { restartAblations, restartBounds, restartModel, restartRules } from "./restart-model.ts";
import { revokeAblations } from "./revoke-ablations.ts";
import { revokeBounds, revokeModel, revokeRules } from "./revoke-model.ts";
import { startAblations } from "./start-ablations.ts";
import { startBounds, startModel, startRules } from "./start-model.ts";

export interface ModelCoverage {
  readonly model: string;
  readonly switches: readonly string[];
  /** All rules on, once for each of the model's bounds. */
  readonly proofs: readonly { readonly bounds: unknown; readonly run: () => Exploration }[];
  readonly ablations: readonly Ablation[];
  /** The model without one rule, as the row says. */
  readonly runWithout: (row: Ablation) => Exploration;
}

function covered<Switch extends string, Bounds, S extends Packed>(
  model: string,
  make: (bounds: Bounds, rules?: Record<Switch, boolean>) => Model<S>,
  switches: readonly Switch[],
  bounds: Readonly<Record<string, Bounds>>,
  ablations: readonly Ablation<Switch, Bounds>[],
): ModelCoverage {
  const proofs = Object.values(bounds).map((one) => ({ bounds: one, run: () => explore(make(one), statesMax) }));
  const runWithout = ({ without }: Ablation): Exploration => {
    const row = ablations.find((candidate) => candidate.without === without);
    if (row === undefined) throw new Error(`the ${model} model has no row for ${without}`);
    return explore(make(row.bounds, rulesOn(switches, row.without)), statesMax);
  };
  return { model, switches, proofs, ablations, runWithout };
}

const grantRows = [...grantAblations, ...grantAblationsSlow];

export const models: readonly ModelCoverage[] = [
  covered("grant", grantModel, grantRules, grantBudgets, grantRows),
  covered("membership", membershipModel, membershipRules, { membershipFaults }, membershipAblations),
  covered("entry", entryModel, entryRules, entryBounds, entryAblations),
  covered("merge", mergeModel, mergeRules, mergeBounds, mergeAblations),
  covered("memory", memoryModel, memoryRules, memoryBounds, memoryAblations),
  covered("doubt", doubtModel, doubtRules, doubtBounds, doubtAblations),
  covered("restart", restartModel, restartRules, restartBounds, restartAblations),
  covered("revoke", revokeModel, revokeRules, revokeBounds, revokeAblations),
  covered("lease", leaseModel, leaseRules, leaseBounds, leaseAblations),
  covered("attempt", attemptModel, attemptRules, attemptBounds, attemptAblations),
  covered("position", positionModel, positionRules, positionBounds, positionAblations),
  covered("ceiling", ceilingModel, ceilingRules, ceilingBounds, ceilingAblations),
  covered("start", startModel, startRules, startBounds, startAblations),
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
    "In one task that nobody commits back, a committed record comes back only to who learns W with it. The memory " +
    "model has the counterexample: W is lost with its leader, and another tool moves the offset back.",
  "memory r7FromReplicatedFirst":
    "An anchor names the from that it was committed under; a leader that lost it takes the position for a jump anew.",
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
