/**
 * A cell as a person sees it: asks each member that the coordinator lists for its /status, and lays the answers out as
 * tables. A member that does not answer is shown as such; it is never left out.
 */
import type { LeaderInfo, MemberInfo } from "../coordinator/coordinator.ts";
import { nodeIdOf } from "../core/identity.ts";
import { describeError } from "../errors.ts";
import { type NodeStatus, partitionName } from "./node-status.ts";

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

/** Asks all members at once. Never throws: a failure is an answer with an error. */
export async function askMembers(members: readonly MemberInfo[], timeoutMs: number): Promise<readonly MemberAnswer[]> {
  return Promise.all(
    members.map(async (member) => {
      if (member.httpAddress === "") {
        return { nodeId: member.nodeId, url: "", status: null, error: "this node has no HTTP port" };
      }
      return { ...(await askUrl(`http://${member.httpAddress}`, timeoutMs)), nodeId: member.nodeId };
    }),
  );
}

/** Asks one node by its base URL. */
export async function askUrl(url: string, timeoutMs: number): Promise<MemberAnswer> {
  try {
    const response = await fetch(new URL("/status", url), { signal: AbortSignal.timeout(timeoutMs) });
    if (!response.ok) return { nodeId: "", url, status: null, error: `answered ${response.status}` };
    const status = (await response.json()) as NodeStatus;
    if (typeof status?.core !== "object") return { nodeId: "", url, status: null, error: "no status of a node" };
    return { nodeId: status.nodeId, url, status, error: "" };
  } catch (error) {
    return { nodeId: "", url, status: null, error: describeError(error) };
  }
}

/** The cell as text: a summary, the nodes, the partitions, and what needs attention. */
export function cellText(view: CellView): string {
  const leader = view.members.find((member) => member.status?.core.leaderStatus?.active === true)?.status ?? null;
  const inSync = leader?.core.leaderStatus?.inSync ?? [];
  const named = leader?.nodeId ?? (view.leader === null ? "none" : `${view.leader.nodeId} (does not answer as leader)`);
  const summary = [
    `leader ${named}`,
    `epoch ${leader?.core.epoch ?? view.leader?.epoch ?? "?"}`,
    `in-sync ${inSync.length === 0 ? "?" : inSync.map(nodeIdOf).join(" ")}`,
  ].join("   ");
  const notes = view.members.flatMap(({ nodeId, url, status, error }) => {
    if (status === null) return [`${nodeId || url}: ${error}`];
    return status.core.waitingFor === "" ? [] : [`${nodeId}: ${status.core.waitingFor}`];
  });
  const parts = [summary, table(NODE_HEADINGS, view.members.map(nodeRow))];
  const partitions = partitionRows(view.members);
  if (partitions.length > 0) parts.push(table(PARTITION_HEADINGS, partitions));
  if (notes.length > 0) parts.push(notes.join("\n"));
  return `${parts.join("\n\n")}\n`;
}

const NODE_HEADINGS = [
  "node",
  "role",
  "epoch",
  "in-sync",
  "executed",
  "running",
  "in flight",
  "doubtful",
  "settled",
  "oldest",
];

function nodeRow({ nodeId, url, status }: MemberAnswer): string[] {
  if (status === null) return [nodeId || url, "no answer"];
  const { core } = status;
  const settled = Object.values(core.doubtsSettled).reduce((sum, count) => sum + count, 0);
  return [
    nodeId,
    core.role,
    String(core.epoch),
    core.member ? "yes" : "no",
    String(core.counters.executed),
    String(core.running),
    String(core.inFlight),
    String(core.doubtful),
    String(settled),
    `${(core.oldestUnfinishedMs / 1_000).toFixed(1)} s`,
  ];
}

const PARTITION_HEADINGS = ["partition", "owner", "consumed", "committed", "lag", "watermark", "state"];

function partitionRows(members: readonly MemberAnswer[]): string[][] {
  const rows = members.flatMap(({ status }) =>
    (status?.core.partitions ?? []).map((partition) => ({
      pid: partition.pid,
      cells: [
        partitionName(status?.topics ?? [], partition.pid),
        status?.nodeId ?? "",
        String(partition.fetchPosition),
        String(partition.position),
        String(Math.max(0, partition.logEnd - partition.position)),
        String(partition.watermark),
        partition.stopped !== "" ? `stopped: ${partition.stopped}` : partition.paused ? "paused" : "",
      ],
    })),
  );
  return rows.sort((a, b) => a.pid - b.pid).map(({ cells }) => cells);
}

const NUMBER = /^[\d.]+( s)?$/;

/** Columns aligned, numbers to the right. Short rows are filled up. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => (row[column] ?? "").length)),
  );
  const line = (cells: readonly string[], right: (column: number) => boolean): string =>
    widths
      .map((width, column) => {
        const cell = cells[column] ?? "";
        return right(column) ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd();
  const numeric = headings.map((_, column) => rows.length > 0 && rows.every((row) => NUMBER.test(row[column] ?? "0")));
  const right = (column: number): boolean => numeric[column] === true;
  return [line(headings, right), ...rows.map((row) => line(row, right))].join("\n");
}
