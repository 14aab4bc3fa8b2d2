/**
 * A cell as a person sees it: asks each member that the coordinator lists for its /status, and lays the answers out as
 * tables of at most 80 columns. A member that does not answer is shown as such, with what the leader last heard of it; it is
 * never left out.
 */
import type { LeaderInfo, MemberInfo } from "../coordinator/coordinator.ts";
import { nodeIdOf, partitionId, partitionOf, type PartitionId, topicIndexOf } from "../core/identity.ts";
import { askMembersFor, askUrlFor, type NodeReply } from "./ask.ts";
import { ageText, columns, countText, rangesText, table, wrap } from "./layout.ts";
import { type NodeStatus, partitionName } from "./node-status.ts";

export { table } from "./layout.ts";

/** One member's answer: its status, or why there is none. */
export interface MemberAnswer {
  readonly nodeId: string;
  readonly url: string; // "" for a node without HTTP
  readonly status: NodeStatus | null;
  readonly error: string;
}

export interface CellView {
  readonly leader: LeaderInfo | null; // as the coordinator has it; null also when only URLs were asked
  readonly members: readonly MemberAnswer[];
}

const PATH = "/status";

/** Asks all members at once. Never throws: a failure is an answer with an error. */
export async function askMembers(members: readonly MemberInfo[], timeoutMs: number): Promise<readonly MemberAnswer[]> {
  return (await askMembersFor(members, PATH, timeoutMs)).map((reply) => ({
    ...answerOf(reply),
    nodeId: reply.nodeId,
  }));
}

/** Asks one node by its base URL. */
export async function askUrl(url: string, timeoutMs: number): Promise<MemberAnswer> {
  return answerOf(await askUrlFor(url, PATH, timeoutMs));
}

function answerOf({ nodeId, url, body, error }: NodeReply): MemberAnswer {
  if (error !== "") return { nodeId, url, status: null, error };
  const status = body as NodeStatus;
  if (typeof status.core !== "object") return { nodeId, url, status: null, error: "no status of a node" };
  return { nodeId: status.nodeId, url, status, error: "" };
}

/** More partitions than these are summed up, unless all were asked for. */
const PARTITION_ROWS_MAX = 32;
/** Partitions that need attention and are named one by one. */
const NOTES_MAX = 10;

/** The cell as text: a summary, the nodes, the partitions, and what needs attention. No line is longer than 80 columns. */
export function cellText(view: CellView, allPartitions = false): string {
  const leading = view.members
    .flatMap(({ status }) => (status?.core.leaderStatus?.active === true ? [status] : []))
    .sort((a, b) => b.core.epoch - a.core.epoch);
  const [leader = null] = leading;
  const answered = view.members.flatMap(({ status }) => (status === null ? [] : [status]));
  const parts = [summary(view, leader, answered), table(NODE_HEADINGS, view.members.map(nodeRow), columns)];
  const rows = partitionRows(view, leader, answered);
  if (rows.length > PARTITION_ROWS_MAX && !allPartitions) parts.push(shareTable(rows));
  else if (rows.length > 0) parts.push(table(PARTITION_HEADINGS, rows.map(partitionCells), columns));
  const notes = [
    ...leaderNotes(view, leader, leading, answered),
    ...view.members.flatMap(memberNotes),
    ...partitionNotes(rows),
    ...unownedNotes(rows, answered),
  ];
  if (notes.length > 0) parts.push(notes.map((note) => wrap(note, columns)).join("\n"));
  return `${parts.join("\n\n")}\n`;
}

function summary(view: CellView, leader: NodeStatus | null, answered: readonly NodeStatus[]): string {
  const inSync = leader?.core.leaderStatus?.inSync ?? [];
  const named = leader?.nodeId ?? (view.leader === null ? "none" : `${view.leader.nodeId} (does not answer as leader)`);
  const cell = answered[0]?.cell;
  const words = [
    ...(cell === undefined ? [] : [`cell ${cell}`]),
    `leader ${named}`,
    `epoch ${leader?.core.epoch ?? view.leader?.epoch ?? "?"}`,
    `in-sync ${inSync.length === 0 ? "?" : inSync.map(nodeIdOf).join(" ")}`,
  ];
  const silent = view.members.length - answered.length;
  if (silent > 0) words.push(`${answered.length} of ${view.members.length} nodes answered`);
  const oneLine = words.join("   ");
  return oneLine.length <= columns ? oneLine : words.map((word) => wrap(word, columns)).join("\n");
}

const NODE_HEADINGS = ["node", "role", "executed", "running", "in flight", "doubtful", "oldest"];

function nodeRow({ nodeId, url, status }: MemberAnswer): string[] {
  if (status === null) return [nodeId || url, "no answer", "?", "?", "?", "?", "?"];
  const { core } = status;
  return [
    nodeId,
    core.role,
    countText(core.counters.executed),
    countText(core.running),
    countText(core.inFlight),
    countText(core.doubtful),
    ageText(core.oldestUnfinishedMs),
  ];
}

function leaderNotes(
  view: CellView,
  leader: NodeStatus | null,
  leading: readonly NodeStatus[],
  answered: readonly NodeStatus[],
): string[] {
  const notes: string[] = [];
  for (const other of leading.slice(1)) {
    notes.push(
      `${other.nodeId} says that it leads too, in epoch ${other.core.epoch}: it has not heard yet that it was replaced, ` +
        `and what it decides counts for nothing`,
    );
  }
  if (leader === null && answered.length > 0 && view.leader !== null) {
    notes.push(
      `the leader, ${view.leader.nodeId}, does not answer as leader: which nodes are in sync, and what the silent ones do, ` +
        `is not known; if this lasts, look at its log`,
    );
  }
  return notes;
}

function memberNotes({ nodeId, url, status, error }: MemberAnswer): string[] {
  if (status === null) return [`${nodeId || url}: no answer: ${error}`];
  const notes = (status.alarms ?? []).map((alarm) => `${nodeId}: ${alarm}`);
  if (nodeId !== status.nodeId)
    notes.push(`${nodeId}: at its address answers ${status.nodeId}: was its port given away?`);
  const { groupJoined, groupTrouble = "" } = status;
  if (status.core.waitingFor !== "") notes.push(`${nodeId}: ${status.core.waitingFor}`);
  else if (!groupJoined && groupTrouble !== "") notes.push(`${nodeId}: not in the consumer group: ${groupTrouble}`);
  return notes;
}

interface PartitionRow {
  readonly pid: PartitionId;
  readonly topics: readonly string[];
  readonly owner: string;
  readonly consumed: number;
  readonly committed: number;
  readonly lag: number | null; // null: who could say does not answer
  readonly state: "" | "stopped" | "paused" | "no answer";
  readonly why: string; // of one that is stopped
}

/** By the owners' own words; of owners that are silent by what they last told the leader. */
function partitionRows(
  { members }: CellView,
  leader: NodeStatus | null,
  answered: readonly NodeStatus[],
): PartitionRow[] {
  const rows = answered.flatMap(({ nodeId, topics, core }) =>
    core.partitions.map(({ pid, fetchPosition, position, logEnd, stopped, paused }): PartitionRow => ({
      pid,
      topics,
      owner: nodeId,
      consumed: fetchPosition,
      committed: position,
      lag: Math.max(0, logEnd - position),
      state: stopped !== "" ? "stopped" : paused ? "paused" : "",
      why: stopped,
    })),
  );
  const told = new Set(rows.map(({ pid }) => pid));
  const silent = new Set(members.filter(({ status }) => status === null).map(({ nodeId }) => nodeId));
  for (const { incarnation, progress } of leader?.core.leaderStatus?.peers ?? []) {
    const owner = nodeIdOf(incarnation);
    if (leader === null || !silent.has(owner)) continue;
    for (const { pid, delivered, committed } of progress) {
      if (told.has(pid)) continue;
      const { topics } = leader;
      rows.push({ pid, topics, owner, consumed: delivered, committed, lag: null, state: "no answer", why: "" });
    }
  }
  return rows.sort((a, b) => a.pid - b.pid);
}

const PARTITION_HEADINGS = ["partition", "owner", "consumed", "committed", "lag", "state"];

function partitionCells({ pid, topics, owner, consumed, committed, lag, state }: PartitionRow): string[] {
  const name = partitionName(topics, pid);
  return [name, owner, String(consumed), String(committed), lag === null ? "?" : String(lag), state];
}

const SHARE_HEADINGS = ["topic", "owner", "count", "partitions", "lag", "largest", "state"];

/** One line a topic and owner: how many partitions, which, and how far behind. */
function shareTable(rows: readonly PartitionRow[]): string {
  const shares = new Map<string, PartitionRow[]>();
  for (const row of rows) {
    const key = `${topicIndexOf(row.pid)} ${row.owner}`;
    const share = shares.get(key);
    if (share === undefined) shares.set(key, [row]);
    else share.push(row);
  }
  const lines = [...shares.values()].map((share) => {
    const [first] = share;
    const known = share.flatMap(({ lag }) => (lag === null ? [] : [lag]));
    const unknown = known.length < share.length;
    const count = (state: PartitionRow["state"]): string => {
      const found = share.filter((row) => row.state === state).length;
      return found === 0 ? "" : `${found} ${state}`;
    };
    return [
      first === undefined ? "?" : (first.topics[topicIndexOf(first.pid)] ?? "?"),
      first?.owner ?? "?",
      String(share.length),
      rangesText(share.map(({ pid }) => partitionOf(pid))),
      unknown ? "?" : countText(known.reduce((sum, lag) => sum + lag, 0)),
      unknown ? "?" : countText(Math.max(...known)),
      [count("stopped"), count("paused"), count("no answer")].filter((text) => text !== "").join(", "),
    ];
  });
  return `${table(SHARE_HEADINGS, lines, columns)}\n(--partitions lists each)`;
}

/** Partitions of which no node speaks: their owner died, or a rebalance is under way. */
function unownedNotes(rows: readonly PartitionRow[], answered: readonly NodeStatus[]): string[] {
  const [one] = answered;
  const told = new Set(rows.map(({ pid }) => pid));
  return (one?.partitionCounts ?? []).flatMap((count, topic) => {
    const unowned = Array.from({ length: count }, (_, partition) => partition).filter(
      (partition) => !told.has(partitionId(topic, partition)),
    );
    if (unowned.length === 0) return [];
    const which = unowned.length === 1 ? "partition" : "partitions";
    return [
      `${one?.topics[topic]}: no node that answers owns ${which} ${rangesText(unowned)}: a rebalance, or their node died and Kafka waits for its session to end (--kafka-session-ms)`,
    ];
  });
}

function partitionNotes(rows: readonly PartitionRow[]): string[] {
  const stopped = rows.filter(({ state }) => state === "stopped");
  const notes = stopped
    .slice(0, NOTES_MAX)
    .map(({ topics, pid, why }) => `${partitionName(topics, pid)}: stopped: ${why}`);
  if (stopped.length > NOTES_MAX)
    notes.push(`and ${stopped.length - NOTES_MAX} more partitions are stopped; --json has every reason`);
  return notes;
}
