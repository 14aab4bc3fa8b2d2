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
    if (!response.ok) return { nodeId: "", url, status: null, error: await refusalOf(response) };
    const status = (await response.json()) as NodeStatus;
    if (typeof status?.core !== "object") return { nodeId: "", url, status: null, error: "no status of a node" };
    return { nodeId: status.nodeId, url, status, error: "" };
  } catch (error) {
    return { nodeId: "", url, status: null, error: describeError(error) };
  }
}

/** A node that is starting says with what in the answer's `error`. */
async function refusalOf(response: Response): Promise<string> {
  const body = (await response.json().catch(() => null)) as { readonly error?: unknown } | null;
  const why = typeof body?.error === "string" ? `: ${body.error}` : "";
  return `answered ${response.status}${why}`;
}

/** What fits on a terminal that nobody made wider. Only a note may be longer, since a cut sentence is none. */
const COLUMNS = 80;

/** The cell as text: a summary, the nodes, the partitions, and what needs attention. */
export function cellText(view: CellView): string {
  const leader = view.members.find((member) => member.status?.core.leaderStatus?.active === true)?.status ?? null;
  const answered = view.members.flatMap(({ status }) => (status === null ? [] : [status]));
  const parts = [summary(view, leader, answered), table(NODE_HEADINGS, view.members.map(nodeRow), COLUMNS)];
  const partitions = partitionRows(answered);
  if (partitions.length > 0) parts.push(table(PARTITION_HEADINGS, partitions, COLUMNS));
  const notes = [...view.members.flatMap(memberNotes), ...answered.flatMap(partitionNotes)];
  if (notes.length > 0) parts.push(notes.join("\n"));
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
  const oneLine = words.join("   ");
  return oneLine.length <= COLUMNS ? oneLine : words.join("\n");
}

const NODE_HEADINGS = ["node", "role", "executed", "running", "in flight", "doubtful", "oldest"];

function nodeRow({ nodeId, url, status }: MemberAnswer): string[] {
  if (status === null) return [nodeId || url, "no answer"];
  const { core } = status;
  return [
    nodeId,
    core.role,
    String(core.counters.executed),
    String(core.running),
    String(core.inFlight),
    String(core.doubtful),
    ageText(core.oldestUnfinishedMs),
  ];
}

/** "0.4 s", "12 min": the unit that a person would choose. */
function ageText(ms: number): string {
  const seconds = ms / 1_000;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  return seconds < 6_000 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`;
}

function memberNotes({ nodeId, url, status, error }: MemberAnswer): string[] {
  if (status === null) return [`${nodeId || url}: ${error}`];
  return status.core.waitingFor === "" ? [] : [`${nodeId}: ${status.core.waitingFor}`];
}

const PARTITION_HEADINGS = ["partition", "owner", "consumed", "committed", "lag", "state"];

function partitionRows(answered: readonly NodeStatus[]): string[][] {
  const rows = answered.flatMap(({ nodeId, topics, core }) =>
    core.partitions.map(({ pid, fetchPosition, position, logEnd, stopped, paused }) => ({
      pid,
      cells: [
        partitionName(topics, pid),
        nodeId,
        String(fetchPosition),
        String(position),
        String(Math.max(0, logEnd - position)),
        stopped !== "" ? "stopped" : paused ? "paused" : "",
      ],
    })),
  );
  return rows.sort((a, b) => a.pid - b.pid).map(({ cells }) => cells);
}

function partitionNotes({ topics, core }: NodeStatus): string[] {
  const stopped = core.partitions.filter((partition) => partition.stopped !== "");
  return stopped.map((partition) => `${partitionName(topics, partition.pid)}: stopped: ${partition.stopped}`);
}

const NUMBER = /^[\d.]+( s| min| h)?$/;
const GAP = "  ";
/** A name is cut no further than this: what is left must still tell one node from another. */
const NAME_WIDTH_MIN = 12;

/**
 * Columns aligned, numbers to the right; short rows are filled up. Where a line would be longer than `columns`, the widest
 * texts lose their middle: names of one deployment differ at their ends.
 */
export function table(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  columns: number = Number.POSITIVE_INFINITY,
): string {
  const numeric = headings.map((_, column) => rows.length > 0 && rows.every((row) => NUMBER.test(row[column] ?? "0")));
  const right = (column: number): boolean => numeric[column] === true;
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => (row[column] ?? "").length)),
  );
  narrow(widths, right, columns);
  const line = (cells: readonly string[]): string =>
    widths
      .map((width, column) => {
        const cell = cutMiddle(cells[column] ?? "", width);
        return right(column) ? cell.padStart(width) : cell.padEnd(width);
      })
      .join(GAP)
      .trimEnd();
  return [line(headings), ...rows.map(line)].join("\n");
}

/** Takes characters from the widest column of texts until the line fits or all are as short as they may be. */
function narrow(widths: number[], right: (column: number) => boolean, columns: number): void {
  let excess = widths.reduce((sum, width) => sum + width, 0) + GAP.length * (widths.length - 1) - columns;
  for (; excess > 0; excess--) {
    const texts = widths.map((width, column) => (right(column) ? 0 : width));
    const widest = texts.indexOf(Math.max(...texts));
    if ((texts[widest] ?? 0) <= NAME_WIDTH_MIN) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}

function cutMiddle(text: string, width: number): string {
  if (text.length <= width) return text;
  const head = Math.ceil((width - 1) / 2);
  return `${text.slice(0, head)}…${text.slice(text.length - (width - 1 - head))}`;
}
