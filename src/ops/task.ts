/**
 * `task <id>` as JSON: what one node answers on `/task?id=…`, and what the command makes of the answers of all. This file
 * is the description of both. Durations are milliseconds, null where none is known; nodes are named by their node ids, and
 * by incarnation (`node id/boot id`) where one life of a node is meant.
 */
import { nodeIdOf, partitionOf, topicIndexOf } from "../core/identity.ts";
import type { EntryView, OwnView, RecordView, SetAsideView, SettledView, TaskView } from "../core/task-view.ts";
import type { NodeStatus } from "./node-status.ts";

/** One record, as one node knows it. The views are described in `core/task-view.ts`. */
export interface NodeRecord extends Omit<RecordView, "pid"> {
  readonly topic: string;
  readonly partition: number;
}

/** What a node answers on `/task?id=…`, with 200 also when it knows nothing. */
export interface NodeTaskAnswer {
  readonly id: string; // as it was asked
  readonly nodeId: string;
  readonly incarnation: string;
  readonly cell: string;
  readonly at: string; // when, by this node's clock, ISO 8601
  readonly role: string;
  readonly epoch: number;
  readonly leader: string; // node id of the leader that this node follows, "" for none
  readonly leads: boolean; // it votes
  readonly member: boolean; // in the in-sync set
  readonly topics: readonly string[]; // that this cell works on
  readonly seen: boolean | null; // by the seen-set; null: this node holds no complete one
  readonly records: readonly NodeRecord[];
}

/** Where a task stands in the cell. The first that holds, in this order, for the record that is most alive. */
export type TaskState =
  | "in-flight" // delivered, and asked for, granted, running, waiting for a retry, or being written to .dead or .parked
  | "doubtful" // it may have run before: nobody may start it until that is known
  | "adopted" // its check is asked, or its `onUnknown` decides
  | "parked" // in <topic>.parked, for a person to decide
  | "dead" // in <topic>.dead, its attempts are used up
  | "settled" // it was in doubt, among the last 10,000 of its node; how that ended is in `settled`
  | "executed" // its handler succeeded; the commit may follow
  | "dropped" // not run: there was evidence that it had been executed
  | "committed" // below the watermark: finished, and nothing more is kept of it
  | "unknown"; // no record: `seen` says whether the seen-set knows it

/** One record, as the whole cell knows it. */
export interface TaskRecordReport {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly taskId: string | null; // "" when its position names it; null when nobody knows any more
  readonly asked: boolean; // false: another record with the same task id
  readonly state: TaskState;
  readonly text: string; // the same in a sentence
  readonly committed: boolean; // below the watermark, whatever `state` says besides
  readonly owner: string; // node that has the partition, "" when nobody says so
  readonly holder: string; // node to which it is granted, "" for none
  readonly runsOn: string; // node whose handler runs, "" for none
  readonly phase: OwnView["state"] | ""; // where it stands at its owner, or where it runs
  readonly epoch: number | null; // with `sequence`: the fencing token of its last grant
  readonly sequence: number | null;
  readonly attempts: number; // that failed
  readonly unknownRuns: number; // runs that ended unknown
  readonly ageMs: number | null; // how long it has been so
  readonly waitsFor: string; // "" for nothing
  readonly withinMs: number | null; // how long that takes at most, or until the next try
  readonly verdict: string; // the leader's last answer about a doubt, "" for none
  readonly attestation: string; // what the holder said when it was asked, "" for nothing
  readonly checks: { readonly asked: number; readonly answer: string; readonly runs: boolean } | null;
  readonly outcome: EntryView["phase"] | ""; // of a task that has ended
  readonly setAside: (SetAsideView & { readonly by: string }) | null; // in <topic>.dead or <topic>.parked
  readonly settled: (SettledView & { readonly by: string }) | null; // as one of the last doubts of a node
  readonly views: readonly { readonly nodeId: string; readonly view: string }[]; // each node's own, in words
}

/** One node of the cell, and what it answered. */
export interface TaskMemberAnswer {
  readonly nodeId: string;
  readonly url: string; // "" for a node without HTTP
  readonly error: string; // "" when it answered
  readonly answer: NodeTaskAnswer | null;
}

/** What `task <id> --json` prints. */
export interface TaskReport {
  readonly id: string;
  readonly state: TaskState; // of the record that is most alive among those asked for
  readonly text: string; // the same in a sentence
  readonly seen: boolean | null; // by any node's seen-set; null: none that answered holds a complete one
  readonly complete: boolean; // every node that the coordinator lists answered, and one of them leads
  readonly leader: { readonly nodeId: string; readonly epoch: number } | null;
  readonly records: readonly TaskRecordReport[]; // those asked for first; at most 100 a node
  readonly nodes: readonly TaskMemberAnswer[];
}

/** A node's view with names instead of numbers. */
export function nodeTaskAnswer(id: string, node: NodeStatus, view: TaskView, at: Date): NodeTaskAnswer {
  const { core } = node;
  return {
    id,
    nodeId: node.nodeId,
    incarnation: core.incarnation,
    cell: node.cell,
    at: at.toISOString(),
    role: core.role,
    epoch: core.epoch,
    leader: core.leader === "" ? "" : nodeIdOf(core.leader),
    leads: core.leaderStatus?.active === true,
    member: core.member,
    topics: node.topics,
    seen: view.seen,
    records: view.records.map(({ pid, ...record }) => ({
      topic: node.topics[topicIndexOf(pid)] ?? "?",
      partition: partitionOf(pid),
      ...withoutFractions(record),
    })),
  };
}

/** Clocks tell fractions of a microsecond: nobody who reads an age wants them. Everything else is whole anyway. */
function withoutFractions<Value>(value: Value): Value {
  if (typeof value === "number") return Math.round(value) as Value;
  if (Array.isArray(value)) return value.map(withoutFractions) as Value;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, withoutFractions(each)])) as Value;
}
