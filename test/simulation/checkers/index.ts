/**
 * The invariants of the design as online checkers, each by its own name, so that a run can leave one out. What a checker narrows, and why,
 * is said where it is made. I5, V1, V2 and X2 speak at rest, V5 at the end; the others at once. X4 (equal hashes of two runs of
 * one seed) is the runner's. Those that are named after a rule look at the step that breaks it, whatever becomes of it.
 */
import { candidatesNameTheirEpoch, copiesShareParameters, writesAreAskedInTurn } from "./asking.ts";
import type { Checker } from "./checker.ts";
import { coldStartIsSafe, commitsAreOwned, watermarkFollowsCommits } from "./commits.ts";
import { attestationsAreTrue, noCheckOnABit, noNeedlessDoubt } from "./doubts.ts";
import {
  ceilingsAreAcknowledged,
  checkedBeforeAnotherRun,
  endsAreCertain,
  equalIdsAreDirty,
  formerOwnersGetNothing,
  goneIsGone,
  releasesKeepWhatIsKnown,
  seeksWhereItIs,
} from "./evidence.ts";
import { activationKnows, releasedIsHeld, setChanges } from "./in-sync.ts";
import { idleWithoutALease, leasesAreTheLeadersToGive, leasesRunFromTheReport } from "./leases.ts";
import { cellIsWhole, everythingIsFinished, noStandstill, noStorms, oneOutcomeEach } from "./liveness.ts";
import { checksComeLate, noDouble, noLoss, noOverlap, nothingSkipped, totalQueue } from "./outcome.ts";
import { nothingLeaks, trafficFollowsWork, withinBounds } from "./resources.ts";
import { copiesAreEqual, executedIsKnown, generationsInTurn, noFalseNegative } from "./table.ts";
import { oldEpochsRefused, oneGrant, oneLeader, startsAreGranted, tableNamesHolders } from "./tokens.ts";

export type { Checker } from "./checker.ts";

export const checkers: readonly Checker[] = [
  { id: "I1", title: "no loss: only what was executed or decided is committed", create: noLoss },
  { id: "I2", title: "no double: each further effect has a reason that the rules allow", create: noDouble },
  { id: "I3", title: "no overlap: one handler of a task at a time", create: noOverlap },
  { id: "I4", title: "nothing is skipped: delivery is continuous", create: nothingSkipped },
  { id: "I5", title: "total queue: everything produced has an end", create: totalQueue },
  { id: "I6", title: "one active leader an epoch, and epochs rise", create: oneLeader },
  { id: "I7", title: "messages of lower epochs change nothing", create: oldEpochsRefused },
  { id: "I8", title: "one grant a task, and tokens rise", create: oneGrant },
  { id: "I9", title: "every start is checked, and is in every copy of the table", create: startsAreGranted },
  { id: "I10", title: "what is released is held by the whole in-sync set", create: releasedIsHeld },
  {
    id: "I11",
    title: "the in-sync set changes as a leader asked, and who joins is synchronised",
    create: setChanges("I11"),
  },
  { id: "I12", title: "a new leader knows all that was released", create: activationKnows },
  { id: "I13", title: "no write of a deposed leader is made", create: setChanges("I13") },
  { id: "I14", title: "no false negative above the watermark", create: noFalseNegative },
  { id: "I15", title: "copies at one sequence are equal", create: copiesAreEqual },
  { id: "I16", title: "whoever holds or runs a task is named by every copy", create: tableNamesHolders },
  { id: "I17", title: "executed facts are kept until the watermark passes them", create: executedIsKnown },
  { id: "I18", title: "the watermark rises, and follows commits", create: watermarkFollowsCommits },
  { id: "I19", title: "commits are of owned partitions, and do not fall", create: commitsAreOwned },
  { id: "I20", title: "filter generations retire in turn, when full", create: generationsInTurn },
  { id: "I21", title: "attestations are true, and frees need one", create: attestationsAreTrue },
  { id: "I22", title: "a check starts only when the old run is impossible", create: checksComeLate },
  { id: "I23", title: "no needless doubt", create: noNeedlessDoubt },
  { id: "I24", title: "a Bloom bit alone leads to no check and no drop", create: noCheckOnABit },
  { id: "I25", title: "ceilings lie above every grant, and suspects are checked", create: coldStartIsSafe },
  { id: "V1", title: "at rest the cell is whole", create: cellIsWhole },
  { id: "V2", title: "at rest everything is finished", create: everythingIsFinished },
  { id: "V3", title: "no partition stands still", create: noStandstill },
  { id: "V4", title: "every request has one outcome", create: oneOutcomeEach },
  { id: "V5", title: "no storms", create: noStorms },
  { id: "X1", title: "queues and tables stay in their bounds", create: withinBounds },
  { id: "X2", title: "nothing is left behind at rest", create: nothingLeaks },
  { id: "X3", title: "traffic follows the work", create: trafficFollowsWork },
  { id: "R1", title: "a candidate names the highest epoch it knows", create: candidatesNameTheirEpoch },
  { id: "R3", title: "one change of the set at a time, by who knows what it changes", create: writesAreAskedInTurn },
  { id: "R6", title: "records of one task id are given with a check", create: equalIdsAreDirty },
  {
    id: "R9",
    title: "a lease runs from its report, and a new one finds nothing startable",
    create: leasesRunFromTheReport,
  },
  { id: "R11", title: "a release keeps what its holder said", create: releasesKeepWhatIsKnown },
  { id: "R12", title: "who counts as gone cannot run anything", create: goneIsGone },
  { id: "R14", title: "a position is set to where the deliveries ended", create: seeksWhereItIs },
  { id: "R15", title: "the ceiling of a start is acknowledged", create: ceilingsAreAcknowledged },
  { id: "R16", title: "without a lease nothing is fetched, and who drains starts nothing", create: idleWithoutALease },
  { id: "R17", title: "a lease is the leader's to give", create: leasesAreTheLeadersToGive },
  { id: "R19", title: "copies share their parameters", create: copiesShareParameters },
  { id: "R20", title: "what ended unknown is checked before it runs again", create: checkedBeforeAnotherRun },
  { id: "R23", title: "uncertain ends are no failures, unwritten records no ends", create: endsAreCertain },
  { id: "R24", title: "a former owner is given nothing", create: formerOwnersGetNothing },
];
