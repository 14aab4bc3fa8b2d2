/** What a node answers on /status, and how ready it is. Plain data: it travels as JSON. */
import { partitionOf, topicIndexOf, type PartitionId } from "../core/identity.ts";
import type { CoreStatus } from "../core/status.ts";

export interface NodeStatus {
  readonly nodeId: string;
  readonly cell: string;
  readonly version: string;
  readonly pid: number; // of the process
  readonly peerAddress: string;
  readonly httpAddress: string; // "" without HTTP
  readonly uptimeMs: number;
  readonly groupJoined: boolean; // member of the consumer group, with an assignment (which may be empty)
  readonly groupTrouble?: string; // what the task log last complained about while not joined, "" for nothing
  readonly setAsideTrouble?: string; // why dead or parked records cannot be written at the moment, "" for nothing
  readonly topics: readonly string[]; // by topic index
  readonly partitionCounts?: readonly number[]; // by topic index, when the node started
  readonly core: CoreStatus;
  /** What happened at the node's edges, by name: links, limits that were reached, late handlers. All only rise. */
  readonly edges?: Readonly<Record<string, number>>;
  /** What is wrong with this node now, in sentences that say what to do; absent in answers of older versions. */
  readonly alarms?: readonly string[];
}

/** One question of /readyz. `detail` says in words what is missing; "" when nothing is. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** `topic/partition`, as people write it. */
export function partitionName(topics: readonly string[], pid: PartitionId): string {
  return `${topics[topicIndexOf(pid)] ?? "?"}/${partitionOf(pid)}`;
}

/**
 * Whether this node may be counted on: in the in-sync set, no deltas behind (a member whose lease holds has had its last
 * acknowledgement accepted), in the consumer group, and no partition stopped by an alarm.
 */
export function readiness(node: NodeStatus | null, startingOn = ""): readonly Check[] {
  if (node === null) return [{ name: "started", ok: false, detail: startingText(startingOn) }];
  const { core } = node;
  const check = (name: string, ok: boolean, detail: string): Check => ({ name, ok, detail: ok ? "" : detail });
  const serving = core.role === "leader" || core.role === "member";
  const waiting = core.waitingFor === "" ? `${core.role}, not a member` : core.waitingFor;
  const stopped = core.partitions.filter((partition) => partition.stopped !== "");
  return [
    check("in-sync", core.member, waiting),
    check("lease", serving && core.leaseRemainingMs > 0, waiting),
    check("group", node.groupJoined, groupText(node.groupTrouble ?? "")),
    check(
      "partitions",
      stopped.length === 0,
      stopped.map(({ pid, stopped: why }) => `${partitionName(node.topics, pid)}: ${why}`).join("; "),
    ),
    check("set-aside", (node.setAsideTrouble ?? "") === "", node.setAsideTrouble ?? ""),
  ];
}

function groupText(trouble: string): string {
  return trouble === "" ? "not in the consumer group" : `not in the consumer group: ${trouble}`;
}

/** Of a node that has no status yet. */
export function startingText(startingOn: string): string {
  return startingOn === "" ? "starting" : `starting: ${startingOn}`;
}
