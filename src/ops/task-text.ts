/** What is known of a task, in sentences: each says what happened, where, and what it waits for. */
import type { LeaderView, OwnState, PlaceView } from "../core/task-view.ts";
import type { DoubtEnd } from "../core/member/recent-ends.ts";
import { ageText, columns, wrap } from "./layout.ts";
import type { NodeRecord, NodeTaskAnswer, TaskMemberAnswer, TaskRecordReport, TaskReport } from "./task.ts";

const SETTLED: Readonly<Record<DoubtEnd, string>> = {
  attestedExecuted: "another node, the ledger or the last commit said that it was executed",
  waitedForHolder: "the node that had it was waited for",
  checkedExecuted: 'the check answered "executed"',
  checkedNotExecuted: 'the check answered "not-executed"',
  falsePositive: "nobody was ever given it: the seen-set was wrong about it",
  committed: "it lay below the watermark",
  regranted: "it was this node's own grant, which never started",
  byPolicy: "the check did not know, or there is none, and onUnknown decided",
  poison: "too many of its runs ended unknown",
  conflict: "a task with the same id and another payload was executed",
};

const PHASES: Readonly<Record<OwnState, string>> = {
  held: "delivered, not granted",
  asked: "asked for, no verdict yet",
  granted: "granted, not started",
  executing: "running",
  adopted: "adopted",
  doubtful: "doubtful",
  writing: "being set aside",
  executed: "executed",
  dropped: "dropped",
  dead: "dead",
  parked: "parked",
};

/** One record in one or two sentences. */
export function recordText(
  record: Omit<TaskRecordReport, "text">,
  place: PlaceView,
  leader: LeaderView | null,
): string {
  const waits = waitText(record);
  switch (record.state) {
    case "in-flight":
      return `${inFlightText(record, leader)}${waits}`;
    case "doubtful":
      return `in doubt${at(record.owner)}${forText(record.ageMs)}: an earlier run may exist${waits}`;
    case "adopted":
      return `adopted by ${record.owner}, in doubt${forText(record.ageMs)}${checksText(record)}${waits}`;
    case "dead":
    case "parked":
      return asideText(record);
    case "settled":
      return settledText(record);
    case "executed":
      return `executed${record.committed ? ", committed" : `, not committed yet${waits}`}`;
    case "dropped":
      return `dropped: it was executed before${record.committed ? "; committed" : `${waits}`}`;
    case "committed":
      return (
        `below the watermark (${place.watermark}): committed; nothing more is kept of it ` +
        `(had it been set aside, its record would be in ${record.topic}.dead or ${record.topic}.parked)`
      );
    case "unknown":
      return `unknown: ${nowhereText(record, place)}`;
    default:
      return record.state satisfies never;
  }
}

function inFlightText(record: Omit<TaskRecordReport, "text">, leader: LeaderView | null): string {
  if (record.runsOn !== "") {
    return `${record.runsOn} runs it (attempt ${record.attempts + 1})${forText(record.ageMs)}`;
  }
  if (record.phase !== "" && record.owner !== "") return `${record.owner} has it: ${PHASES[record.phase]}`;
  if (record.holder !== "") {
    const silent = leader !== null && leader.holderStanding !== "connected" ? ", which does not answer" : "";
    return `granted to ${record.holder}${silent}; nobody else has asked for it`;
  }
  return "given back, and not asked for again yet";
}

function asideText(record: Omit<TaskRecordReport, "text">): string {
  const target = `${record.topic}.${record.state}`;
  if (record.setAside === null) return `${record.state}: its record is in ${target}`;
  const { by, ageMs, attempts, reason } = record.setAside;
  const tries = attempts === 0 ? "" : `, after ${attempts} failed ${attempts === 1 ? "attempt" : "attempts"}`;
  return `${record.state} (${reason})${tries}: ${by} wrote it to ${target} ${ageText(ageMs)} ago`;
}

function settledText(record: Omit<TaskRecordReport, "text">): string {
  if (record.settled === null) return "its doubt was settled";
  const { by, ageMs, doubtfulMs, how, ran } = record.settled;
  const outcome = record.outcome === "" ? (ran ? "it was given to its handler" : "") : record.outcome;
  const committed = record.committed ? ", committed" : "";
  return `in doubt for ${ageText(doubtfulMs)}, settled ${ageText(ageMs)} ago on ${by}: ${SETTLED[how]}; ${outcome}${committed}`;
}

function nowhereText({ topic, partition, offset, owner }: Omit<TaskRecordReport, "text">, place: PlaceView): string {
  if (place.from >= 0 && offset < place.from) return `this cell began to read ${topic}/${partition} at ${place.from}`;
  if (place.logEnd >= 0 && offset >= place.logEnd)
    return `${topic}/${partition} ends at ${place.logEnd}: there is no such record yet`;
  if (place.fetchPosition >= 0 && offset >= place.fetchPosition)
    return `not delivered yet: ${owner} has read ${topic}/${partition} up to ${place.fetchPosition} of ${place.logEnd}`;
  if (place.owned) return "no record at this offset: it was compacted away, or is a transaction's marker";
  return `no node that answered has ${topic}/${partition}`;
}

/** Of a task without any record. */
export function unknownText(id: string, seen: boolean | null, answers: readonly NodeTaskAnswer[]): string {
  const position = /^(.+):\d+:\d+$/.exec(id);
  const [answer] = answers;
  if (position !== null && answer !== undefined && seen !== true && !answer.topics.includes(position[1] ?? "")) {
    return `unknown: no topic "${position[1]}" in this cell (it has ${answer.topics.join(", ")}), and no task with that id`;
  }
  if (seen === null) return "unknown: no node that answered holds a complete seen-set";
  if (!seen)
    return "unseen: no node was given a task with this id within the window, which begins anew when all nodes were down";
  return (
    "seen by the filter, no record: most likely executed and committed, of which only the filter keeps ids " +
    "(a filter may also take one id for another); its position as topic:partition:offset says for certain"
  );
}

/** One node's own view, for the list of views. */
export function viewText(record: NodeRecord, leads: boolean): string {
  const { own, entry, settled, setAside, place, offset } = record;
  const parts: string[] = [];
  if (own !== null) parts.push(`${own.owned ? "has it" : "had it"}: ${PHASES[own.state]}`);
  if (setAside !== null) parts.push(`set it aside (${setAside.kind}: ${setAside.reason})`);
  if (settled !== null) parts.push(`settled its doubt (${settled.how})`);
  if (entry !== null) {
    const holder = entry.holder === "" ? "nobody" : entry.holder.slice(0, entry.holder.lastIndexOf("/"));
    const dirty = entry.dirty ? ", to be checked first" : "";
    parts.push(
      `${leads ? "leads; " : ""}table: ${entry.phase}, ${holder}, token ${entry.epoch}.${entry.stamp}${dirty}`,
    );
  } else if (place.from >= 0 && offset < place.watermark && offset >= place.from) parts.push("below the watermark");
  return parts.length === 0 ? "knows nothing of it" : parts.join("; ");
}

function at(owner: string): string {
  return owner === "" ? ", held by nobody" : ` at ${owner}`;
}

function forText(ageMs: number | null): string {
  return ageMs === null ? "" : ` for ${ageText(ageMs)}`;
}

function waitText({ waitsFor, withinMs }: Omit<TaskRecordReport, "text">): string {
  if (waitsFor === "") return "";
  return `; waits for ${waitsFor}${withinMs === null ? "" : ` (within ${ageText(withinMs)})`}`;
}

function checksText({ checks }: Omit<TaskRecordReport, "text">): string {
  if (checks === null || checks.asked === 0) return "";
  const answer = checks.answer === "" ? "" : `, last answer "${checks.answer}"`;
  return `; its check was asked ${checks.asked} ${checks.asked === 1 ? "time" : "times"}${answer}`;
}

/** The whole report for a terminal. */
export function reportText(report: TaskReport, width: number = columns): string {
  const paragraphs = [wrap(`${report.id}: ${report.records.length === 0 ? report.text : report.state}`, width)];
  for (const record of report.records) {
    const name = record.taskId === null || record.taskId === "" ? "" : ` (task ${record.taskId})`;
    const same = record.asked ? "" : ", another record of the same task";
    paragraphs.push(
      [
        wrap(`${record.topic}:${record.partition}:${record.offset}${name}${same}`, width),
        wrap(`  ${record.text}`, width, "  "),
        ...record.views
          .filter(({ view }) => view !== "knows nothing of it")
          .map(({ nodeId, view }) => wrap(`  ${nodeId}: ${view}`, width, "    ")),
      ].join("\n"),
    );
  }
  const notes = report.nodes.filter((node) => node.answer === null).map((node) => silentText(node, width));
  const leader = report.leader === null ? "none" : `${report.leader.nodeId} (epoch ${report.leader.epoch})`;
  notes.unshift(wrap(`leader ${leader}; ${answeredText(report)}`, width));
  return `${[...paragraphs, notes.join("\n")].join("\n\n")}\n`;
}

function answeredText({ nodes, complete }: TaskReport): string {
  const answered = nodes.filter((node) => node.answer !== null).length;
  const all = `${answered} of ${nodes.length} ${nodes.length === 1 ? "node" : "nodes"} answered`;
  if (complete) return all;
  return answered < nodes.length ? `${all}: who is silent may know more` : `${all}, none of them leads: ask again`;
}

function silentText({ nodeId, url, error }: TaskMemberAnswer, width: number): string {
  return wrap(`${nodeId || url}: no answer: ${error}`, width, "  ");
}
