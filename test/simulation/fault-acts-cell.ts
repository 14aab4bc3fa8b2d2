/** Faults of a whole cell, and what operators do to one: restarts, other parameters, a replay. */
import type { Acts } from "./fault-acts.ts";
import { quarantineMs } from "../../src/core/settings.ts";
import type { FaultField } from "./faults.ts";

/** How often a script looks whether its next part may begin, and how often at most. */
const LOOK_MS = 100;
const LOOKS_MAX = 300;

/** Runs when the condition holds; never, when it does not within half a minute. */
function when(field: FaultField, condition: () => boolean, run: () => void, looks = 0): void {
  if (condition()) run();
  else if (looks < LOOKS_MAX) field.later(LOOK_MS, () => when(field, condition, run, looks + 1));
}

function powerLoss({ simulation, random, ms, told, keepDown }: FaultField): void {
  told("power-loss", "");
  for (const each of simulation.names) {
    if (simulation.isAlive(each)) simulation.kill(each, "power loss");
    keepDown(each, random.below(ms) + 10);
  }
}

function othersDie({ simulation, random, name, ms, told, keepDown }: FaultField): void {
  for (const each of simulation.names) {
    if (each === name || !simulation.isAlive(each)) continue;
    told("kill", each);
    simulation.kill(each);
    keepDown(each, ms + random.below(200));
  }
}

/** One after the other, each when the one before is in the set again. */
function rollingRestart(field: FaultField): void {
  const { simulation, told, keepDown } = field;
  const isAdmitted = (name: string): boolean =>
    simulation.isAlive(name) && simulation.nodes.get(name)?.core?.member.state.admitted === true;
  const next = (index: number): void => {
    const name = simulation.names[index];
    if (name === undefined) return;
    if (!simulation.isAlive(name)) return next(index + 1);
    const { pid } = simulation.processOf(name);
    told("drain", name, "rolling restart");
    simulation.drain(name);
    keepDown(name, 0);
    const isNew = (): boolean => simulation.processOf(name).pid !== pid && simulation.names.every(isAdmitted);
    when(field, isNew, () => next(index + 1));
  };
  when(
    field,
    () => simulation.names.every(isAdmitted),
    () => next(0),
  );
}

function fullRestart({ simulation, told, keepDown }: FaultField): void {
  for (const name of simulation.names) {
    if (!simulation.isAlive(name)) continue;
    told("drain", name, "full restart");
    simulation.drain(name);
    keepDown(name, 0);
  }
}

/** It is started with another parameter and must not be let in; at the end it has the cell's again. */
function parameterMismatch({ simulation, random, name, ms, told, last, keepDown }: FaultField): void {
  const { filterCapacity, filterGenerations, timing } = simulation.settings;
  if (simulation.names.length < 2) return;
  const other = random.chance(0.5)
    ? { filterCapacity: filterCapacity * 2 }
    : { filterGenerations: filterGenerations + 1 };
  if (simulation.isAlive(name)) simulation.kill(name, "for another parameter");
  keepDown(name, 0);
  told("parameter-mismatch", name, JSON.stringify(other));
  simulation.configure(name, other);
  // Long enough to start, to ask to be let in, and to be refused.
  last("parameter-mismatch", name, ms + 5 * timing.leaseMs, () => {
    simulation.configure(name, { filterCapacity, filterGenerations });
    if (simulation.isAlive(name)) simulation.kill(name, "for the cell's parameters");
    keepDown(name, 0);
  });
}

export const OF_CELLS: Acts<
  | "power-loss"
  | "others-die"
  | "rolling-restart"
  | "full-restart"
  | "parameter-mismatch"
  | "coordinator-wipe"
  | "replay"
> = {
  "power-loss": powerLoss,
  "others-die": othersDie,
  "rolling-restart": rollingRestart,
  "full-restart": fullRestart,
  "parameter-mismatch": parameterMismatch,
  "coordinator-wipe": wipe,
  replay,
};

/** What begins a new life of the cell comes once in a run. */
const renewed = new WeakSet<FaultField["simulation"]>();

/**
 * The ensemble is set up from nothing: nodes of the old cluster do nothing more, and what becomes of the cell is the operator's
 * decision. The run ends when they had time enough to do something wrong.
 */
function wipe({ simulation, told, end }: FaultField): void {
  const { zookeeper, settings, names } = simulation;
  const isRegistered = (name: string): boolean => simulation.isAlive(name) && simulation.nodes.get(name)!.core !== null;
  if (renewed.has(simulation) || !names.every(isRegistered)) return;
  renewed.add(simulation);
  told("coordinator-wipe", "");
  zookeeper.wipe();
  end(3 * quarantineMs(settings.timing));
}

/**
 * The operator wants everything again: all nodes are stopped, the dedup epoch is raised, the group's offsets are set back to the
 * beginning of the log, and the nodes start. From the moment at which nobody runs, what was executed before does not count.
 */
function replay(field: FaultField): void {
  const { simulation, told, keepDown } = field;
  const { kafka, names } = simulation;
  if (renewed.has(simulation)) return;
  const hold = (): void => names.forEach((name) => keepDown(name, 60_000));
  renewed.add(simulation);
  for (const name of names) simulation.drain(name);
  hold();
  when(
    field,
    () => names.every((name) => !simulation.isAlive(name)),
    () => {
      told("replay", "", "dedup epoch 1");
      for (const name of names) simulation.configure(name, { dedupEpoch: 1 });
      simulation.highestCommit.length = 0;
      for (let partition = 0; partition < kafka.log.length; partition++)
        kafka.foreignCommit(partition, kafka.logStart[partition] ?? 0);
      for (const name of names) keepDown(name, 0);
    },
  );
}
