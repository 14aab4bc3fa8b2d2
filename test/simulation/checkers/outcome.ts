/** I1-I5: what became of the tasks. */
import type { HistoryEvent, HistoryEventOf } from "../history.ts";
import type { Observer, Run, World } from "../observer.ts";
import { partitionOf } from "../../../src/core/identity.ts";
import { keyOf, tellRun, violated } from "./checker.ts";
import { decisionsOf } from "./decisions.ts";
import { doublesOf } from "./doubles.ts";
import { stoppedPartitions } from "./stopped.ts";
import { zombiesOf } from "./timing.ts";

/**
 * A commit passes only what was executed or decided. Not this cell's doing, and passed over with it: what another client's commit
 * skipped (R7), and what the log itself has thrown away.
 */
export function noLoss(world: World): Observer {
  const decisions = decisionsOf(world);
  const judged: number[] = [];
  const committed = ({ partition, position, node }: HistoryEventOf<"committed">): void => {
    const from = judged[partition] ?? world.logStart[partition] ?? 0;
    if (position <= from) return;
    judged[partition] = position;
    if (node === "") return;
    for (let offset = Math.max(from, world.logStart[partition] ?? 0); offset < position; offset++) {
      const record = world.log[partition]?.[offset];
      if (record === undefined || record.isGap || decisions.why(partition, offset) !== "") continue;
      violated(
        "I1",
        `${node} committed ${position} in partition ${partition} at ${world.now}: ${keyOf(partition, offset)} ` +
          `(${world.taskIdOf(partition, offset)}) was never executed, and nothing decided so`,
      );
    }
  };
  return {
    onHistory(event) {
      decisions.onHistory(event);
      if (event.type === "committed") committed(event);
      else if (event.type === "fault" && event.kind === "topic-recreated") judged.length = 0;
    },
    onStep: (node, _event, effects) => decisions.onStep(node, effects),
  };
}

/** Each further effect of a task needs a reason that the rules allow, judged against its neighbours in the order of their starts. */
export function noDouble(world: World): Observer {
  const doubles = doublesOf(world);
  const effects = new Map<string, Run[]>();
  const effect = (run: Run): void => {
    const runs = effects.get(run.taskId);
    if (runs === undefined) {
      effects.set(run.taskId, [run]);
      return;
    }
    runs.push(run);
    runs.sort((a, b) => a.startedAt - b.startedAt || a.number - b.number);
    const at = runs.indexOf(run);
    for (const [first, second] of [
      [runs[at - 1], run],
      [run, runs[at + 1]],
    ] as const) {
      if (first === undefined || second === undefined || doubles.excuse(first, second) !== null) continue;
      violated("I2", `${run.taskId} has two effects: ${tellRun(first)}; ${tellRun(second)}; now ${world.now}`);
    }
  };
  return {
    onHistory(event) {
      doubles.onHistory(event);
      if (event.type === "effect") effect(world.runs[event.run - 1]!);
    },
    onStep: (node, event, effects_) => doubles.onStep(node, event, effects_),
  };
}

/** Two handlers of one task: when one starts, or when a process that was stopped goes on. */
export function noOverlap(world: World): Observer {
  const doubles = doublesOf(world);
  const runsNow = (run: Run): boolean => {
    const process = world.nodes.get(run.node)?.process;
    return (
      run.startedAt !== Infinity && run.endedAt === Infinity && process?.pid === run.pid && process.state === "running"
    );
  };
  const judge = (run: Run): void => {
    for (const other of world.runsByTask.get(run.taskId) ?? []) {
      if (other === run || !runsNow(other)) continue;
      const [first, second] = other.startedAt <= run.startedAt ? [other, run] : [run, other];
      if (doubles.excuseOverlap(first, second) !== null) continue;
      violated("I3", `two handlers of ${run.taskId} run at ${world.now}: ${tellRun(first)}; ${tellRun(second)}`);
    }
  };
  return {
    onHistory(event) {
      doubles.onHistory(event);
      if (event.type === "handler-start") judge(world.runs[event.run - 1]!);
      else if (event.type === "process" && event.what === "continued")
        for (const run of world.runs)
          if (run.pid === event.pid && run.startedAt !== Infinity && run.endedAt === Infinity) judge(run);
    },
    onStep: (node, event, effects) => doubles.onStep(node, event, effects),
  };
}

/** Delivery is continuous: a fetch position moves only over a batch that begins at it and holds every record up to its end. */
export function nothingSkipped(world: World): Observer {
  const positions = new Map<string, number>(); // by incarnation, partition and ownership
  return {
    quietSteps: ["delivered", "assigned"],
    onStep(node, event) {
      if (event.type !== "delivered" && event.type !== "assigned") return;
      for (const window of node.core!.member.state.windows.values()) {
        const key = `${node.incarnation}|${window.pid}|${window.ownership}|${window.readPosition}`;
        const before = positions.get(key) ?? window.readPosition;
        positions.set(key, window.fetchPosition);
        if (window.fetchPosition === before) continue;
        const name = `${node.name}, partition ${partitionOf(window.pid)}`;
        if (event.type !== "delivered" || event.batch.pid !== window.pid || event.batch.fetchedFrom !== before)
          violated(
            "I4",
            `${name}: the fetch position went from ${before} to ${window.fetchPosition} without a delivery`,
          );
        const { offsets } = event.batch;
        let at = 0;
        for (let offset = before; offset < window.fetchPosition; offset++) {
          if (offsets[at] === offset) at++;
          else if (offset >= (world.logStart[partitionOf(window.pid)] ?? 0) && isRecord(world, window.pid, offset))
            violated(
              "I4",
              `${name}: offset ${offset} was passed over at ${world.now} (position ${window.fetchPosition})`,
            );
        }
        if (at !== offsets.length)
          violated("I4", `${name}: ${offsets.length - at} delivered offsets are outside of the batch`);
      }
    },
  };
}

function isRecord(world: World, pid: number, offset: number): boolean {
  const record = world.log[partitionOf(pid)]?.[offset];
  return record !== undefined && !record.isGap;
}

/** At rest: everything produced was executed or decided, and nothing else was executed. Stopped partitions wait for a person. */
export function totalQueue(world: World): Observer {
  const decisions = decisionsOf(world);
  const stopped = stoppedPartitions(world);
  const skipped: number[] = []; // below it another client's commit may have passed over records (R7)
  const produced = new Set<string>();
  return {
    onHistory(event: HistoryEvent) {
      decisions.onHistory(event);
      stopped.onHistory(event);
      if (event.type === "committed" && event.node === "")
        skipped[event.partition] = Math.max(skipped[event.partition] ?? 0, event.position);
      if (event.type === "produced") produced.add(event.taskId);
      else if (event.type === "effect" && !produced.has(event.taskId))
        violated("I5", `run ${event.run} had an effect for ${event.taskId}, which nobody produced`);
    },
    onStep: (node, _event, effects) => decisions.onStep(node, effects),
    atRest() {
      const lost: string[] = [];
      world.log.forEach((records, partition) => {
        if (stopped.has(partition)) return;
        const from = Math.max(world.logStart[partition] ?? 0, skipped[partition] ?? 0);
        for (let offset = from; offset < records.length; offset++)
          if (!records[offset]!.isGap && decisions.why(partition, offset) === "") lost.push(keyOf(partition, offset));
      });
      if (lost.length > 0)
        violated("I5", `at rest, and ${lost.length} records have no end: ${lost.slice(0, 20).join(", ")}`);
    },
  };
}

/** I22: a check runs only when nothing of the task runs, and after whatever an earlier run may still have brought about. */
export function checksComeLate(world: World): Observer {
  const doubles = doublesOf(world);
  const zombies = zombiesOf(world);
  const { effectSettleMs } = world.settings;
  const DRIFT = 0.98; // the leader waits by its own clock: two clocks, 1 % each
  return {
    onStep: (node, event, effects) => doubles.onStep(node, event, effects),
    onHistory(event) {
      doubles.onHistory(event);
      if (event.type !== "check-start") return;
      for (const run of world.runsByTask.get(event.taskId) ?? []) {
        if (run.startedAt === Infinity || zombies.has(run.number)) continue;
        const process = world.nodes.get(run.node)?.process;
        const runs = run.endedAt === Infinity && process?.pid === run.pid && process.state === "running";
        const settles =
          (run.outcome === "died" || run.outcome === "unknown") &&
          event.at < zombies.lastActedAt(run) + effectSettleMs * DRIFT;
        if (!runs && !settles) continue;
        const why = runs ? "runs" : "may still have an effect";
        violated("I22", `${event.node} checks ${event.taskId} at ${event.at} while it ${why}: ${tellRun(run)}`);
      }
    },
  };
}
