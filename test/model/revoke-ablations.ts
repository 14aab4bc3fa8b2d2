/** What goes wrong in the revoke model without each of its rules. */
import { type Ablation, ablation } from "./ablation.ts";
import { type RevokeBounds, revokeBounds, type RevokeRule } from "./revoke-model.ts";

const { rebalanced, drained, once, askedTwice } = revokeBounds;

export const revokeAblations: readonly Ablation<RevokeRule, RevokeBounds>[] = [
  ablation(
    "r8JoinsWhatRuns",
    "joining a redelivery to what runs here already",
    rebalanced,
    "double",
    14,
    "n0 STARTS",
    "moves the partition to n0",
    "n0 is delivered the task",
    "n0 claims",
    "leader grants s2 to n0",
    "n0 STARTS",
  ),
  ablation(
    "r8JoinsWhatItExecuted",
    "joining a redelivery to what was executed here",
    rebalanced,
    "double",
    14,
    "n0 has executed",
    "moves the partition to n0",
    "n0 is delivered the task",
    "leader grants s2 to n0",
    "n0 STARTS",
  ),
  ablation("r11RefusedSequence", "remembering the highest refused sequence", rebalanced, "double", 14),
  ablation("r11RefusesTheUnknown", "refusing what the node does not know", rebalanced, "stuck", 4),
  ablation("r11RefusalGivesUp", "giving up what was refused in the same step", rebalanced, "double", 14),
  ablation(
    "r11RefusalNamesItsGrant",
    "refusals that name the grant they refuse",
    askedTwice,
    "double",
    19,
    "refuses s1 again",
    "leader grants s2 to n1",
    "leader hears n0 refuse s1 again: free",
    "n1 STARTS",
    "leader grants s3 to n0",
    "n0 STARTS",
  ),
  ablation(
    "r22NothingRunsWhenItSaysSo",
    "waiting for the last handler before a node says it runs nothing",
    drained,
    "double",
    13,
  ),
  ablation("r24RefusesOldGenerations", "refusing claims of an old group generation", once, "broken", 15),
];
