/**
 * The life of one grant under every fault: three nodes, one task, messages that may be lost or late.
 *
 * Covers: election and activation (R1, R3, R5), the vote on a claim and its release (R3, R6), the start check (R9,
 * R10), commit and ledger (R13), doubt, attestation, revoke, adoption and check (R6, R11, R12), under crashes, pauses,
 * partitions from everything, rebalances and elections.
 * Does not cover: time (a quarantine is "it has stopped executing"), a node that comes back after a crash, more than
 * one task, free and dirty entries, positions and watermarks, writes of the in-sync set that are under way. The other
 * models of this folder look there.
 *
 * Violations: *double* = the sink saw two effects; *loss* = committed with no effect and nobody who may still run;
 * *stuck* = no way to a commit that needs no further fault.
 * A handler that crashes may have had its effect or not.
 */
import type { Model, Moves, ViolationKind } from "./explore.ts";
import { electionMoves } from "./grant-leader.ts";
import {
  type Faults,
  type GrantRule,
  grantLayout,
  type GrantRules,
  grantRules,
  type GrantState,
  nodes,
  Phase,
  Up,
} from "./grant-state.ts";
import { workerMoves } from "./grant-worker.ts";
import { type Ablation, ablation, rulesOn } from "./ablation.ts";

export const grantBudgets = {
  crashAndRebalance: { crashes: 1, rebalances: 1, elections: 1, owner: 1 },
  crashAndPartition: { crashes: 1, partitions: 1, elections: 1, owner: 1 },
  crashAndPartitionOfTheOwner: { crashes: 1, partitions: 1, elections: 1, owner: 0 },
  crashAndPause: { crashes: 1, pauses: 1, elections: 1, owner: 1 },
  partitionAndRebalance: { partitions: 1, rebalances: 1, elections: 1, owner: 1 },
  pauseAndRebalance: { pauses: 1, rebalances: 1, elections: 1, owner: 1 },
  crashPartitionAndRebalance: { crashes: 1, partitions: 1, rebalances: 1, elections: 1, owner: 1 },
  twoRebalances: { rebalances: 2, owner: 1 },
} as const satisfies Record<string, Faults>;

const everyone = (1 << nodes.length) - 1;

export function grantModel(faults: Faults, rules: GrantRules = rulesOn(grantRules)): Model<GrantState> {
  return {
    name: `grant model ${JSON.stringify(faults)}`,
    layout: grantLayout,
    start(state) {
      const { world } = state;
      Object.assign(world, { owner: faults.owner ?? 1, zkLeader: 1, zkEpoch: 1, zkInSync: everyone });
      world.crashes = faults.crashes ?? 0;
      world.pauses = faults.pauses ?? 0;
      world.partitions = faults.partitions ?? 0;
      world.rebalances = faults.rebalances ?? 0;
      world.elections = faults.elections ?? 0;
      for (const i of nodes) Object.assign(state.node(i), { up: Up.running, epoch: 1, leader: 1 });
      Object.assign(state.node(0), { leads: 1, votes: 1, synced: everyone, inSync: everyone });
    },
    moves(from, moves) {
      for (const i of nodes) {
        faultMoves(from, moves, i);
        if (from.node(i).up !== Up.running) continue;
        electionMoves({ rules, from, moves, i });
        workerMoves({ rules, from, moves, i });
      }
    },
    violation: violationOf,
    isSettled,
  };
}

/** Committed; or what these bounds excuse: too few nodes alive, or no leader and no election left in the budget. */
function isSettled(state: GrantState): boolean {
  const { world } = state;
  if (world.committed || nodes.filter((j) => state.node(j).up !== Up.down).length < 2) return true;
  if (world.elections) return false;
  if (!world.zkLeader) return true;
  const leader = state.node(world.zkLeader - 1);
  return leader.up === Up.down || leader.leads !== world.zkEpoch;
}

function violationOf(state: GrantState): ViolationKind | undefined {
  const { world } = state;
  if (world.effects > 1) return "double";
  if (!world.committed || world.effects > 0) return undefined;
  const mayRun: number[] = [Phase.granted, Phase.executing, Phase.decided];
  const hope = nodes.some((j) => state.node(j).up !== Up.down && mayRun.includes(state.node(j).phase));
  return hope ? undefined : "loss";
}

function faultMoves(from: GrantState, moves: Moves<GrantState>, i: number): void {
  const { world } = from;
  const me = from.node(i);
  if (world.crashes && me.up !== Up.down) crashMoves(from, moves, i);
  if (world.pauses && me.up === Up.running) {
    moves.fault(`n${i} is paused`, (to) => {
      to.world.pauses--;
      to.node(i).up = Up.paused;
    });
  }
  if (me.up === Up.paused) {
    moves.step(`n${i} goes on`, (to) => {
      to.node(i).up = Up.running;
    });
  }
  if (world.partitions && me.up === Up.running && !me.cut) {
    moves.fault(`n${i} is cut off from peers, ZooKeeper and the Kafka coordinator`, (to) => {
      to.world.partitions--;
      to.node(i).cut = 1;
    });
  }
  if (me.cut) {
    moves.step(`n${i} is connected again`, (to) => {
      to.node(i).cut = 0;
    });
  }
  const sick = me.up !== Up.running || me.cut === 1;
  if (sick && world.zkLeader === i + 1) {
    moves.step(`the ZooKeeper session of n${i} expires`, (to) => {
      to.world.zkLeader = 0;
    });
  }
  rebalanceMoves(from, moves, i, sick);
}

function crashMoves(from: GrantState, moves: Moves<GrantState>, i: number): void {
  const executing = from.node(i).phase === Phase.executing;
  const crash = (how: string, effect: number): void =>
    moves.fault(`n${i} crashes${how}`, (to) => {
      to.world.crashes--;
      to.world.effects = Math.min(3, to.world.effects + effect);
      to.node(i).clear();
    });
  if (!executing) return crash("", 0);
  crash(" in the handler, before the effect", 0);
  crash(" in the handler, after the effect", 1);
}

function rebalanceMoves(from: GrantState, moves: Moves<GrantState>, i: number, sick: boolean): void {
  const { world } = from;
  if (world.owner !== i || !(sick || world.rebalances)) return;
  for (const j of nodes) {
    if (j === i || from.node(j).up !== Up.running || from.node(j).cut) continue;
    const move = (to: GrantState): void => {
      if (!sick) to.world.rebalances--;
      to.world.owner = j;
    };
    if (sick) moves.step(`Kafka moves the partition from silent n${i} to n${j}`, move);
    else moves.fault(`Kafka moves the partition n${i} -> n${j}`, move);
  }
}

const { crashAndRebalance, crashAndPartition, crashAndPartitionOfTheOwner, crashAndPause } = grantBudgets;
const { partitionAndRebalance } = grantBudgets;

/** Stories that are found in about two seconds. */
export const grantAblations: readonly Ablation<GrantRule, Faults>[] = [
  ablation("r1RefuseLowerEpochs", "refusing lower epochs", crashAndPause, "double", 28),
  ablation(
    "r3InSyncSetAcknowledges",
    "acknowledgements of the whole in-sync set",
    crashAndPartitionOfTheOwner,
    "double",
    22,
  ),
  ablation("r5GrantTable", "the grant table beside the Bloom delta", crashAndRebalance, "double", 19),
  ablation(
    "r5OnlyTheLastSetGivesEntries",
    "ignoring the table of a joiner or returning leader",
    crashAndPartition,
    "double",
    28,
  ),
  ablation(
    "r6OnlyExecutedLicensesDrop",
    "waiting for a node that is only executing or about to",
    crashAndRebalance,
    "loss",
    14,
  ),
  ablation("r6Adoption", "an exclusive adoption", crashAndRebalance, "double", 25),
  ablation("r9StartCheck", "the check right before the start", crashAndPartitionOfTheOwner, "double", 24),
  ablation("r11RevokeBeforeGiving", "revoking an outstanding grant", crashAndRebalance, "double", 19),
  ablation("r12Quarantine", "the quarantine of a silent node", crashAndPause, "double", 20),
  ablation(
    "r13LedgerReplicated",
    "a ledger that is replicated before it is acknowledged",
    crashAndRebalance,
    "double",
    21,
  ),
];

/** Stories that need most of the 271,000 and 290,000 states before them. */
export const grantAblationsSlow: readonly Ablation<GrantRule, Faults>[] = [
  ablation(
    "r10GrantDiesWithEpoch",
    "giving up unstarted grants at a higher epoch",
    partitionAndRebalance,
    "double",
    26,
  ),
  ablation(
    "r6OneKeyAtATime",
    "settling one key at a time and validating at the release",
    partitionAndRebalance,
    "double",
    28,
  ),
];
