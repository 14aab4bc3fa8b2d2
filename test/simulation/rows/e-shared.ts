/** What both halves of part E begin from. */
import { openTasks, type Task } from "./lookups.ts";
import type { NodeFacts } from "./records.ts";
import { type Judge, type Tracker } from "./tracker.ts";

export const RECOVERY_MS = 60_000;

/** A join takes the partitions of a node; told with each open task. */
export function onRevoked(t: Tracker, look: (node: NodeFacts, task: Task) => void): void {
  t.facts.on(
    "revoked",
    (node, windows) => {
      for (const task of openTasks(windows)) look(node, task);
    },
    t,
  );
}

/** Another node committed it. */
export function moved(node: NodeFacts): Judge {
  return (story) => story.committedBy !== "" && story.committedBy !== node.name;
}
