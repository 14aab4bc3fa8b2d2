/** Between a text that names a task and the core, which knows hashes and partition ids; and what only the runner knows. */
import { partitionOf, topicIndexOf } from "../core/identity.ts";
import type { TaskQuery, TaskView } from "../core/task-view.ts";
import type { Runner } from "../execution/runner.ts";
import { boundedTaskId } from "../execution/task-id.ts";
import type { BatchHasher } from "./batch-hasher.ts";
import type { PartitionNames } from "./partition-names.ts";

/** `topic:partition:offset`, also as delivery keys have it, with the topic's generation. */
const POSITION = /^(?<topic>[^:]+?)(@\d+)?:(?<partition>\d{1,5}):(?<offset>\d{1,16})$/;
const PARTITION_MAX = 65_535;

/** A text may be both: somebody's task id, and the place of a record. */
export function taskQuery(text: string, hasher: BatchHasher, names: PartitionNames): TaskQuery {
  const id = boundedTaskId(text);
  const [hashHi, hashLo] = hasher.taskIdPair(id);
  return { id, hashHi, hashLo, record: recordOf(text, hasher, names) };
}

function recordOf(text: string, hasher: BatchHasher, names: PartitionNames): TaskQuery["record"] {
  const groups = POSITION.exec(text)?.groups;
  if (groups === undefined) return null;
  const partition = Number(groups["partition"]);
  const offset = Number(groups["offset"]);
  if (partition > PARTITION_MAX || !Number.isSafeInteger(offset)) return null;
  const pid = names.pid(groups["topic"] ?? "", partition);
  if (pid === null) return null;
  const [hashHi, hashLo] = hasher.deliveryKeyPair(topicIndexOf(pid), partitionOf(pid), offset);
  return { pid, offset, hashHi, hashLo };
}

/** Of a task whose handler runs: since when, and until when it may. */
export function withRunning(view: TaskView, runner: Pick<Runner, "runs">): TaskView {
  const records = view.records.map((record) => {
    const { own, pid, offset } = record;
    const runs = own?.state === "executing" ? runner.runs(pid, offset) : null;
    return own === null || runs === null ? record : { ...record, own: { ...own, ...runs } };
  });
  return { ...view, records };
}
