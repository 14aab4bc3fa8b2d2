/**
 * Rules whose absence the swarm shows too seldom, or cannot show: a second line in the product covers for them, or what they forbid needs
 * a rare order of events. The model has the counterexample without the rule; see `list.ts`.
 */
import type { Row } from "./list.ts";

const grant = "test/model/grant-model.test.ts";
const membership = "test/model/membership-model.test.ts";
const restart = "test/model/restart-model.test.ts";
const entry = "test/model/entry-model.test.ts";
const ceiling = "test/model/ceiling-model.test.ts";
const revoke = "test/model/revoke-model.test.ts";
const lease = "test/model/lease-model.slow.test.ts";
const attempt = "test/model/attempt-model.test.ts";
const position = "test/model/position-model.slow.test.ts";
const start = "test/model/start-model.test.ts";

export const models: readonly Row[] = [
  {
    id: "r1-model-lower-epochs",
    bug: "messages of lower epochs are taken",
    test: grant,
    title: "R1: without refusing lower epochs: double in 28 steps",
    why: "a deposed leader closes its links, so that a late message seldom arrives at all",
  },
  {
    id: "r2-model-incarnation",
    bug: "a restarted node passes for the one before",
    test: membership,
    title:
      "R2: without comparing the incarnation, a restarted node passing for the one that acknowledged: double in 14 steps",
    why: "the handshake of a link names the incarnation, too",
  },
  {
    id: "r2-model-verdict",
    bug: "a verdict for the life before is taken",
    test: restart,
    title: "R2: without naming the incarnation in a verdict: double in 16 steps",
    why: "a link does not outlive its process",
  },
  {
    id: "r5-model-outsiders",
    bug: "a joiner or returning leader contributes its table",
    test: grant,
    title: "R5: without ignoring the table of a joiner or returning leader: double in 28 steps",
    why: "needs a member that left the set, missed deltas, and is merged by the next leader",
  },
  {
    id: "r5-model-bits",
    bug: "after the last set is lost a new leader does without the bits of the others",
    test: start,
    title: "R5: without bits of nodes outside the last set: double in 5 steps",
    why: "needs a duplicate of a task that was committed before the last set was lost",
  },
  {
    id: "r6-model-release",
    bug: "a release deletes the entry",
    test: entry,
    title: "R6: without keeping the entry at a release: double in 14 steps",
    why: "needs a release, a lost executor and a redelivery of one task within moments",
  },
  {
    id: "r6-model-marks-others",
    bug: "adoption a key only: other records of the task id stay clean",
    test: entry,
    title: "R6: without marking other entries of the task id dirty: double in 14 steps",
    why: "needs two records of one id that are both free, one of them run by a node that is lost",
  },
  {
    id: "r7-model-from",
    bug: "W is raised across a foreign jump",
    test: position,
    title: "R7: without looking at the from of the metadata: loss in 10 steps",
    why: "a leader forgets nothing of the jump while one of its set lives, and then its from alone says so",
  },
  {
    id: "r7-model-below",
    bug: "a position below `from` goes on",
    test: position,
    title: "R7: without stopping at a position below from: double in 9 steps",
    why: "the swarm moves the offset within what the cell has finished",
  },
  {
    id: "r10-model-epoch",
    bug: "a grant of a former epoch stays granted",
    test: "test/model/grant-model.slow.test.ts",
    title: "R10: without giving up unstarted grants at a higher epoch: double in 26 steps",
    why: "the start check (R9) looks at the era of a grant once more",
  },
  {
    id: "r11-model-through",
    bug: "a verdict that was refused while in flight is taken",
    test: revoke,
    title: "R11: without remembering the highest refused sequence: double in 14 steps",
    why: "the revoke must overtake the verdict, and a link keeps the order",
  },
  {
    id: "r11-model-gives-up",
    bug: "a refused grant is still started",
    test: revoke,
    title: "R11: without giving up what was refused in the same step: double in 14 steps",
    why: "a revoked grant is mostly of a partition that moved away, and is discarded with it",
  },
  {
    id: "r12-model-quarantine",
    bug: "a silent node counts as gone at once",
    test: grant,
    title: "R12: without the quarantine of a silent node: double in 20 steps",
    why: "kept beside the simulator's, since it says so exhaustively",
  },
  {
    id: "r13-model-ledger",
    bug: "an executed report is acknowledged before it is replicated",
    test: grant,
    title: "R13: without a ledger that is replicated before it is acknowledged: double in 21 steps",
    why: "the acknowledgement and the loss of the leader must fall between two deltas",
  },
  {
    id: "r14-model-continuous",
    bug: "after a stale seek, a batch that does not continue the last one is taken",
    test: position,
    title: "R14: without discarding batches that do not continue the last: loss in 5 steps",
    why: "the adapter hands on nothing that was fetched before a seek: the core is the second line",
  },
  {
    id: "r14-model-position",
    bug: "after a join the position of before is kept: a stale seek",
    test: position,
    title: "R14: without an explicit position at each join: loss in 8 steps",
    why: "the core discards what does not begin at its position, and seeks",
  },
  {
    id: "r15-model-ahead",
    bug: "the ceiling is not written ahead",
    test: ceiling,
    title: "R15: without a ceiling that is written ahead: double in 5 steps",
    why: "kept beside the simulator's, since it says so exhaustively",
  },
  {
    id: "r15-model-never-falls",
    bug: "a new owner lowers the ceiling",
    test: ceiling,
    title: "R15: without keeping the ceiling that was read or sent before: double in 11 steps",
    why: "needs a power loss between a rebalance and the next commit",
  },
  {
    id: "r15-model-clean",
    bug: "the cell votes before its clean mark is taken away",
    test: start,
    title: "R15: without writing clean = false at activation: double in 7 steps",
    why: "needs the loss of the whole set within the first round trip after a clean stop",
  },
  {
    id: "r15-model-quarantine",
    bug: "suspects are adopted without the quarantine",
    test: start,
    title: "R15: without quarantine or proofs before a suspect is adopted: double in 8 steps",
    why: "kept beside the simulator, since it says so exhaustively",
  },
  {
    id: "r15-model-heard",
    bug: "suspects are adopted before every node has said what it runs",
    test: start,
    title: "R15: without asking all nodes before a suspect is adopted: double in 10 steps",
    why: "needs a run that outlives the set of its grant",
  },
  {
    id: "r15-model-bitmap",
    bug: "the bitmap of finished tasks is not read after an unclean start",
    test: start,
    title: "R15: without reading the bitmap of the commit: broken in 7 steps",
    why: "a suspect that is final by the bitmap is checked once more, and the check says so",
  },
  {
    id: "r17-model-deadline",
    bug: "heartbeats are answered past the deadline",
    test: lease,
    title: "R17: without silence past the leader's deadline: double in 24 steps",
    why: "the leader must lose the coordinator and keep its member, and the member must keep running",
  },
  {
    id: "r20-model-exact",
    bug: "a filter's bit drops a task",
    test: attempt,
    title: "R20: without exact evidence for a drop: loss in 2 steps",
    why: "needs a false positive, no check, and `drop`",
  },
  {
    id: "r22-model-last-handler",
    bug: "a draining node says that it runs nothing while it does",
    test: revoke,
    title: "R22: without waiting for the last handler before a node says it runs nothing: double in 13 steps",
    why: "needs a drain in the middle of a handler whose partition has moved",
  },
  {
    id: "r23-model-unknown",
    bug: "an aborted run counts as failed",
    test: attempt,
    title: "R23: without telling an aborted run from a failed one: double in 5 steps",
    why: "kept beside the simulator's, since it says so exhaustively",
  },
  {
    id: "r24-model-generations",
    bug: "claims of a former owner are answered",
    test: revoke,
    title: "R24: without refusing claims of an old group generation: broken in 15 steps",
    why: "the former owner's claims are void at its own barrier, too",
  },
];
