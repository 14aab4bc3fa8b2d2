/** What goes wrong in the doubt model without each of its rules. */
import { type Ablation, ablation } from "./ablation.ts";
import { type DoubtBounds, doubtBounds, type DoubtRule } from "./doubt-model.ts";

const { keys, different, differentSeen, differentAtAMember, equal, equalChecked } = doubtBounds;

export const doubtAblations: readonly Ablation<DoubtRule, DoubtBounds>[] = [
  ablation(
    "r6BitOfAKeyIsNoEvidence",
    "granting a delivery key without entry whatever the filter says",
    keys,
    "broken",
    1,
    "adopted for a bit",
  ),
  ablation(
    "r6FullIdDecides",
    "comparing full task ids when hashes are equal",
    different,
    "loss",
    6,
    "n0 reports r0 executed",
    "n0 tells the id of r0",
    "r0 has its hash and executed: drops",
  ),
  ablation(
    "r6GivingMarksOthers",
    "marking other entries of the hash dirty",
    equalChecked,
    "double",
    11,
    "n0 refuses r0: free",
    "r1 for n1: adopted",
    "n1 STARTS r1",
    "n1 crashes after the effect",
    "r0 for n0: granted",
  ),
  ablation(
    "r20BitIsNoExactEvidence",
    "exact evidence for a drop",
    differentSeen,
    "loss",
    2,
    "adopted for a bit",
    "policy drop",
  ),
  ablation(
    "r20MembersBitIsNoExactEvidence",
    "taking a member's bit for no more than a bit",
    differentAtAMember,
    "loss",
    3,
    "a member has seen it",
    "policy drop",
  ),
  ablation(
    "r20MarkIsNoExactEvidence",
    "taking the mark of an equal hash for no more than a bit",
    different,
    "loss",
    7,
    "n0 refuses r0: free",
    "r1 for n1: adopted for a bit",
    "r0 for n1: adopted",
    "n1, r0: policy drop",
  ),
  ablation(
    "r20MarkOfAnEqualIdIsNone",
    "taking the mark of an equal full id for no more than a bit",
    equal,
    "loss",
    9,
    "n0 tells the id of r0",
    "n0 refuses r0: free",
    "r1 for n1: adopted for a bit",
    "r0 for n1: adopted",
    "n1, r0: policy drop",
  ),
];
