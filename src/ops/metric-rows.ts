/** From a node's status to metric values: one table, pure. */
import type { Role } from "../core/effects.ts";
import type { CoreCounters, DoubtsSettled } from "../core/status.ts";
import type { NodeStatus } from "./node-status.ts";

export interface MetricRow {
  readonly kind: "counter" | "gauge";
  readonly name: string;
  readonly help: string;
  readonly value: number;
  readonly labels: Readonly<Record<string, string>>;
}

type CounterName = Exclude<keyof CoreCounters, "limitHits">;

/** Every counter of the core has its place here; the compiler asks for one that is missing. */
const COUNTERS: Readonly<
  Record<CounterName, readonly [name: string, help: string, labels: Readonly<Record<string, string>>]>
> = {
  executed: ["vouch_tasks_total", "Tasks by outcome", { outcome: "executed" }],
  dropped: ["vouch_tasks_total", "Tasks by outcome", { outcome: "dropped" }],
  dead: ["vouch_tasks_total", "Tasks by outcome", { outcome: "dead" }],
  parked: ["vouch_tasks_total", "Tasks by outcome", { outcome: "parked" }],
  failedAttempts: ["vouch_attempts_ended_badly_total", "Attempts that failed or ended unknown", { end: "failed" }],
  unknownEnds: ["vouch_attempts_ended_badly_total", "Attempts that failed or ended unknown", { end: "unknown" }],
  commits: ["vouch_commits_total", "Commits sent", {}],
  commitsRefused: [
    "vouch_commits_failed_total",
    "Commits that were refused (a rebalance), or whose outcome is unknown",
    { outcome: "refused" },
  ],
  commitsUnknown: [
    "vouch_commits_failed_total",
    "Commits that were refused (a rebalance), or whose outcome is unknown",
    { outcome: "unknown" },
  ],
  delivered: ["vouch_delivered_total", "Records delivered", {}],
  discardedBatches: ["vouch_discarded_batches_total", "Batches discarded: an old ownership, or not continuous", {}],
  claimed: ["vouch_claimed_total", "Tasks asked for", {}],
  granted: ["vouch_granted_total", "Tasks granted to this node", {}],
  started: ["vouch_started_total", "Handler starts, attempts included", {}],
  doubts: ["vouch_doubts_total", "Tasks that entered the doubtful queue", {}],
  verdictsLost: ["vouch_verdicts_lost_total", "Verdicts that were outstanding when the leader changed", {}],
  staleVerdicts: ["vouch_stale_verdicts_total", "Verdicts refused: an old epoch, ownership or revoke", {}],
  heldAgain: ["vouch_held_again_total", "Granted, unstarted tasks put back by a new epoch or lease", {}],
  checks: ["vouch_checks_total", "Checks asked", {}],
  ledgerEntries: [
    "vouch_ledger_entries_total",
    "Executed tasks recorded by the leader after their partition moved",
    {},
  ],
  elections: ["vouch_elections_won_total", "Elections won by this node", {}],
  syncs: ["vouch_syncs_total", "State transfers received", {}],
  skipped: ["vouch_skipped_offsets_total", "Offsets passed over by a commit that is not this cell's", {}],
  unexpectedSeen: ["vouch_unexpected_seen_total", "Tasks new to the leader and known to a member's filter", {}],
  refusedMessages: ["vouch_refused_messages_total", "Messages refused: an old epoch or another incarnation", {}],
};

const SETTLED: Readonly<Record<keyof DoubtsSettled, string>> = {
  attestedExecuted: "attested-executed",
  waitedForHolder: "waited-for-holder",
  checkedExecuted: "checked-executed",
  checkedNotExecuted: "checked-not-executed",
  falsePositive: "false-positive",
  committed: "committed",
  regranted: "regranted",
  byPolicy: "by-policy",
};

/** Every limit of the core is there before it is reached, so that a rule about it can be written. */
const LIMITS = [
  "deltaLogMax",
  "doubtfulMax",
  "messagesToItself",
  "tableSlotsMax",
  "uncommittedSpanMax",
  "windowSlots",
] as const;

const ROLES: Readonly<Record<Role, true>> = {
  observer: true,
  candidate: true,
  activating: true,
  leader: true,
  learner: true,
  member: true,
  suspended: true,
  isolated: true,
  draining: true,
  stopped: true,
};

function keysOf<K extends string>(record: Readonly<Record<K, unknown>>): readonly K[] {
  return Object.keys(record) as K[];
}

/** Everything about a node but its partitions. */
export function metricRows(node: NodeStatus): MetricRow[] {
  const { core } = node;
  const gauge = (name: string, help: string, value: number, labels: MetricRow["labels"] = {}): MetricRow => ({
    kind: "gauge",
    name,
    help,
    value,
    labels,
  });
  const counter = (name: string, help: string, value: number, labels: MetricRow["labels"]): MetricRow => ({
    ...gauge(name, help, value, labels),
    kind: "counter",
  });
  const rows: MetricRow[] = [
    gauge("vouch_node_info", "Always 1; who this is", 1, { node: node.nodeId, cell: node.cell, version: node.version }),
    gauge("vouch_epoch", "Epoch that this node accepted", core.epoch),
    gauge("vouch_member", "1 while this node is in the in-sync set", core.member ? 1 : 0),
    gauge(
      "vouch_lease_remaining_seconds",
      "How long this node may still start handlers",
      core.leaseRemainingMs / 1_000,
    ),
    gauge("vouch_running", "Handlers that run", core.running),
    gauge("vouch_in_flight", "Tasks delivered and not final", core.inFlight),
    gauge("vouch_oldest_unfinished_seconds", "Age of the oldest unfinished task", core.oldestUnfinishedMs / 1_000),
    gauge(
      "vouch_oldest_question_seconds",
      "Age of the oldest question to the leader without a verdict",
      core.oldestAskMs / 1_000,
    ),
    gauge("vouch_doubtful", "Tasks in the doubtful queue", core.doubtful),
    gauge("vouch_oldest_doubt_seconds", "Age of the oldest doubt", core.oldestDoubtMs / 1_000),
    gauge("vouch_filter_fill", "Share of bits set in the open filter generation", core.filterFill),
    gauge(
      "vouch_filter_false_positive_rate",
      "Expected share of new tasks that look seen",
      core.filterFalsePositiveRate,
    ),
  ];
  for (const role of keysOf(ROLES))
    rows.push(gauge("vouch_role", "1 for the present role", core.role === role ? 1 : 0, { role }));
  for (const key of keysOf(COUNTERS)) {
    const [name, help, labels] = COUNTERS[key];
    rows.push(counter(name, help, core.counters[key], labels));
  }
  for (const key of keysOf(SETTLED)) {
    rows.push(
      counter("vouch_doubts_settled_total", "Doubts by how they were settled", core.doubtsSettled[key], {
        how: SETTLED[key],
      }),
    );
  }
  const unhit = Object.fromEntries(LIMITS.map((limit) => [limit, 0]));
  for (const [limit, hits] of Object.entries({ ...unhit, ...core.counters.limitHits })) {
    rows.push(counter("vouch_limit_hits_total", "How often a limit was reached", hits, { limit }));
  }
  for (const [event, count] of Object.entries(node.edges ?? {})) {
    rows.push(
      counter("vouch_edge_events_total", "Links, limits and late handlers at the node's edges", count, { event }),
    );
  }
  const leader = core.leaderStatus;
  if (leader !== null) {
    rows.push(
      gauge("vouch_in_sync_size", "Nodes in the in-sync set; told by the leader only", leader.inSync.length),
      gauge("vouch_table_entries", "Entries of the grant table", leader.tableEntries),
      gauge("vouch_ledger_size", "Executed tasks above the watermark", leader.ledger),
    );
  }
  return rows;
}
