/**
 * From what each node says about a task to what the cell knows: whose word counts for what. A node is right about what is
 * in its own hands, the leader about grants and who must be waited for; what a node lost with its life nobody says.
 */
import type { LeaderInfo } from "../coordinator/coordinator.ts";
import { nodeIdOf } from "../core/identity.ts";
import type { EntryView, LeaderView, OwnState } from "../core/task-view.ts";
import { LEADERS_ANSWER } from "../core/task-waits.ts";
import type { NodeRecord, TaskMemberAnswer, TaskRecordReport, TaskReport, TaskState } from "./task.ts";
import { recordText, unknownText, viewText } from "./task-text.ts";

interface View {
  readonly nodeId: string;
  readonly incarnation: string;
  readonly epoch: number;
  readonly leads: boolean;
  readonly record: NodeRecord;
}

/** The most alive first: of several records with one task id, this one is the task's state. */
const STATES: readonly TaskState[] = [
  "in-flight",
  "adopted",
  "doubtful",
  "parked",
  "dead",
  "settled",
  "executed",
  "dropped",
  "committed",
  "unknown",
];

/** `leader`: as the coordinator has it; null when it was not asked. */
export function mergeTask(id: string, members: readonly TaskMemberAnswer[], leader: LeaderInfo | null): TaskReport {
  const byRecord = new Map<string, View[]>();
  for (const { nodeId, answer } of members) {
    for (const record of answer?.records ?? []) {
      const key = `${record.topic}:${record.partition}:${record.offset}`;
      const views = byRecord.get(key) ?? [];
      const { epoch = 0, leads = false, incarnation = "" } = answer ?? {};
      views.push({ nodeId, incarnation, epoch, leads, record });
      byRecord.set(key, views);
    }
  }
  const records = [...byRecord.values()].map(recordReport).sort(byInterest);
  const answers = members.flatMap(({ answer }) => (answer === null ? [] : [answer]));
  const leading = answers.filter((answer) => answer.leads).sort((a, b) => b.epoch - a.epoch)[0];
  const seen = answers.some((answer) => answer.seen === true)
    ? true
    : answers.some((answer) => answer.seen === false)
      ? false
      : null;
  const [first] = records;
  const state = first?.state ?? "unknown";
  const complete = members.length > 0 && answers.length === members.length && leading !== undefined;
  return {
    id,
    state,
    text: first !== undefined ? first.text : unknownText(id, seen, answers),
    seen,
    complete,
    leader:
      leading !== undefined
        ? { nodeId: leading.nodeId, epoch: leading.epoch }
        : leader === null
          ? null
          : { nodeId: leader.nodeId, epoch: leader.epoch },
    records,
    nodes: members,
  };
}

function byInterest(a: TaskRecordReport, b: TaskRecordReport): number {
  if (a.asked !== b.asked) return a.asked ? -1 : 1;
  return STATES.indexOf(a.state) - STATES.indexOf(b.state) || a.offset - b.offset;
}

/** What each source says of one record. */
interface Word {
  readonly record: NodeRecord;
  readonly running: View | undefined; // its handler runs there, or it is being set aside there
  readonly owner: View | undefined; // has the partition
  readonly keeper: View | undefined; // ran it for a partition that has moved
  readonly entry: EntryView | null;
  readonly leader: LeaderView | null;
  readonly setAside: View | undefined;
  readonly settled: View | undefined;
  readonly committed: boolean;
}

function recordReport(views: readonly View[]): TaskRecordReport {
  const word = wordOf(views);
  const { record, running, owner, keeper, entry, leader } = word;
  const state = stateOf(word);
  const own = (running ?? owner ?? keeper)?.record.own ?? null;
  const doubt = owner?.record.own?.doubt ?? null;
  const holder = entry !== null && entry.holder !== "" && !isFinal(entry.phase) ? nodeIdOf(entry.holder) : "";
  const waits = waitOf(word, state);
  const report: Omit<TaskRecordReport, "text"> = {
    topic: record.topic,
    partition: record.partition,
    offset: record.offset,
    taskId: taskIdOf(views),
    asked: views.some((view) => view.record.asked),
    state,
    committed: word.committed,
    owner: owner?.nodeId ?? (leader === null || leader.owner === "" ? "" : nodeIdOf(leader.owner)),
    holder,
    runsOn: running !== undefined && running.record.own?.state === "executing" ? running.nodeId : "",
    phase: own?.state ?? "",
    epoch: entry?.epoch ?? null,
    sequence: entry?.stamp ?? (own !== null && own.stamp > 0 ? own.stamp : null),
    attempts: Math.max(entry?.attempts ?? 0, own?.attempts ?? 0, word.setAside?.record.setAside?.attempts ?? 0),
    unknownRuns: entry?.unknownRuns ?? 0,
    ageMs: own?.ageMs ?? null,
    waitsFor: waits.waitsFor,
    withinMs: waits.withinMs,
    verdict: doubt?.verdict ?? "",
    attestation: leader?.attestation ?? "",
    checks: doubt === null ? null : { asked: doubt.checks, answer: doubt.checkAnswer, runs: doubt.checkRuns },
    outcome: outcomeOf(word, state),
    setAside: withNode(word.setAside?.record.setAside, word.setAside),
    settled: withNode(word.settled?.record.settled, word.settled),
    views: views.map((view) => ({ nodeId: view.nodeId, view: viewText(view.record, view.leads) })),
  };
  return { ...report, text: recordText(report, record.place, leader) };
}

function withNode<T extends object>(value: T | null | undefined, view: View | undefined): (T & { by: string }) | null {
  return value === null || value === undefined || view === undefined ? null : { ...value, by: view.nodeId };
}

function wordOf(views: readonly View[]): Word {
  const newest = [...views].sort((a, b) => b.epoch - a.epoch);
  const leading = newest.find((view) => view.leads);
  const owners = views
    .filter((view) => view.record.place.owned)
    .sort((a, b) => b.record.place.generation - a.record.place.generation);
  const latest = (of: (record: NodeRecord) => { readonly ageMs: number } | null): View | undefined =>
    views
      .filter((view) => of(view.record) !== null)
      .sort((a, b) => (of(a.record)?.ageMs ?? 0) - (of(b.record)?.ageMs ?? 0))[0];
  const { record } = owners[0] ?? leading ?? newest[0]!;
  return {
    record,
    running: views.find(({ record: { own } }) => own?.state === "executing" || own?.state === "writing"),
    owner: owners[0],
    keeper: views.find(({ record: { own } }) => own !== null && !own.owned),
    entry: (leading ?? newest.find((view) => view.record.entry !== null))?.record.entry ?? null,
    leader: leading?.record.leader ?? null,
    setAside: latest((each) => each.setAside),
    settled: latest((each) => each.settled),
    committed: views.some(
      ({ record: { place, offset } }) => place.from >= 0 && offset >= place.from && offset < place.watermark,
    ),
  };
}

function isFinal(phase: EntryView["phase"]): boolean {
  return phase !== "granted" && phase !== "executing";
}

const IN_HAND: Readonly<Record<Exclude<OwnState, "executed" | "dropped" | "dead" | "parked">, TaskState>> = {
  held: "in-flight",
  asked: "in-flight",
  granted: "in-flight",
  executing: "in-flight",
  writing: "in-flight",
  doubtful: "doubtful",
  adopted: "adopted",
};

function stateOf({ running, owner, keeper, entry, leader, setAside, settled, committed }: Word): TaskState {
  if (running !== undefined) return "in-flight";
  const own = owner?.record.own?.state;
  if (own === "dead" || own === "parked") return own;
  if (own === "executed" || own === "dropped") return settled === undefined ? own : "settled";
  if (own !== undefined) return IN_HAND[own];
  const open = entry !== null && !isFinal(entry.phase);
  if (open && entry.holder !== "") return "in-flight";
  if (setAside !== undefined) return setAside.record.setAside?.kind ?? "parked";
  if (open) return entry.dirty || leader?.suspect === true ? "doubtful" : "in-flight";
  if (entry?.phase === "dead" || entry?.phase === "parked") return entry.phase;
  if (settled !== undefined) return "settled";
  if (entry?.phase === "executed" || entry?.phase === "dropped") return entry.phase;
  if (committed) return "committed";
  const kept = keeper?.record.own?.state;
  if (kept === "executed" || kept === "dropped" || kept === "dead" || kept === "parked") return kept;
  return kept === undefined ? "unknown" : "in-flight";
}

function outcomeOf({ owner, entry, setAside, settled, committed }: Word, state: TaskState): EntryView["phase"] | "" {
  if (state === "dead" || state === "parked" || state === "executed" || state === "dropped") return state;
  if (state !== "settled") return "";
  const own = owner?.record.own?.state;
  if (own === "executed" || own === "dropped") return own;
  if (entry !== null && isFinal(entry.phase)) return entry.phase;
  if (setAside !== undefined) return setAside.record.setAside?.kind ?? "";
  if (settled?.record.settled?.ran !== true) return "dropped";
  return committed ? "executed" : "";
}

/** What the owner waits for, more exactly where the leader knows whom. */
function waitOf(
  { running, owner, keeper, entry, leader }: Word,
  state: TaskState,
): { readonly waitsFor: string; readonly withinMs: number | null } {
  const waits = leader !== null && (state === "doubtful" || (state === "in-flight" && running === undefined));
  const forOther = waits ? waitForOther(leader, entry, owner, state) : null;
  if (forOther !== null) return forOther;
  const own = (running ?? owner ?? keeper)?.record.own;
  if (own === null || own === undefined) return { waitsFor: "", withinMs: null };
  const { waitsFor, withinMs, doubt } = own;
  const asks = own.state === "asked" || (doubt !== null && waitsFor === LEADERS_ANSWER);
  if (!asks || leader === null || leader.behind.length === 0) return { waitsFor, withinMs };
  return { waitsFor: `${waitsFor}, which ${leader.behind.map(nodeIdOf).join(", ")} must acknowledge`, withinMs };
}

function waitForOther(
  leader: LeaderView,
  entry: EntryView | null,
  owner: View | undefined,
  state: TaskState,
): { readonly waitsFor: string; readonly withinMs: number | null } | null {
  const { suspect, settlesInMs, goneInMs, holderStanding, attestation } = leader;
  if (suspect) {
    return { waitsFor: "all nodes to say what they ran before the cell lost its memory", withinMs: goneInMs };
  }
  if (settlesInMs !== null && settlesInMs > 0)
    return { waitsFor: "the effects of a run that ended unknown to settle", withinMs: settlesInMs };
  const other = entry === null || entry.holder === owner?.incarnation ? "" : entry.holder;
  if (other === "") return null;
  const name = nodeIdOf(other) === owner?.nodeId ? `${nodeIdOf(other)} in its former life` : nodeIdOf(other);
  if (holderStanding === "dead")
    return { waitsFor: `${name}, whose process is dead, for its effects to settle`, withinMs: goneInMs };
  if (holderStanding === "silent")
    return { waitsFor: `${name}, to count as stopped: it does not answer`, withinMs: goneInMs };
  if (state !== "doubtful") return null;
  const says = attestation === "" ? "" : ` (it says: ${attestation})`;
  return { waitsFor: `${name}, which may still run it${says}`, withinMs: null };
}

function taskIdOf(views: readonly View[]): string | null {
  for (const { record } of views) if (record.taskId !== null) return record.taskId;
  return null;
}
