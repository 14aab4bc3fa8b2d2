/** I14, I15, I17, I20: the filter, the copies of the table, executed facts, and the filter's generations. */
import { RotatingBloomFilter } from "../../../native-ish/bloom.ts";
import { partitionOf } from "../../../src/core/identity.ts";
import { State } from "../../../src/core/member/window.ts";
import { isFinalPhase } from "../../../src/core/table.ts";
import type { Observer, Run, SimulatedNode, World } from "../observer.ts";
import { actingLeader, copiesOf, keyOf, NowAndThen, violated } from "./checker.ts";
import { releasedOf } from "./released.ts";

/** When copies are compared: when the set changed, a leader began, at rest, and now and then. */
function whenComparing(
  world: World,
  everyMs: number,
  compare: () => void,
): Required<Pick<Observer, "worldOnly" | "afterEvent" | "atRest">> {
  const often = new NowAndThen(everyMs);
  let version = Number.NaN;
  return {
    worldOnly: true,
    afterEvent(process) {
      if (process !== null) return; // the ensemble works in the world's name
      const changed = version !== world.inSyncVersion;
      if (changed) version = world.inSyncVersion;
      if (often.due(world.now) || changed) compare();
    },
    atRest: compare,
  };
}

/**
 * Every released entry above W is seen by the filter of every copy. A hash whose filter generation was retired is no false negative: the
 * entry itself answers then (R18).
 */
export function noFalseNegative(world: World): Observer {
  const released = releasedOf(world);
  const compare = (): void => {
    // While a leader begins anew because the last set was lost, what was released before is nobody's.
    if (released.activated?.lost === true) return;
    for (const copy of copiesOf(world)) {
      const { filter, table, appliedEpoch } = copy.core!.replica;
      if (appliedEpoch !== released.epoch) continue; // it is looked at when its leader votes
      const oldest = filter.openGenerationId - filter.generationsMax + 1;
      for (const [pid, partition] of released.partitions) {
        const { watermark } = table.partition(pid);
        for (const [offset, { hi, lo, generation }] of partition.entries) {
          if (offset < watermark || generation < oldest || (hi === 0 && lo === 0) || filter.has(hi, lo)) continue;
          violated(
            "I14",
            `the filter of ${copy.name} does not know ${keyOf(partitionOf(pid), offset)} at ${world.now}`,
          );
        }
      }
    }
  };
  return { onStep: (node, _event, effects) => released.onStep(node, effects), ...whenComparing(world, 5_000, compare) };
}

/**
 * A copy at the leader's sequence has the leader's table and watermarks, and no bit that the leader does not have. The leader may have
 * more bits: it puts a hash that an older generation knows into the open one when it is asked about it, and tells the others only
 * when that gives an entry. Those bits are of tasks that were answered "doubtful", so nothing rests on them.
 */
export function copiesAreEqual(world: World): Observer {
  const compare = (): void => {
    const leader = actingLeader(world);
    if (leader === null) return;
    const { state } = leader.core!.leader!;
    if (!state.builder.empty) return;
    for (const copy of copiesOf(world)) {
      const { replica } = copy.core!;
      if (copy === leader || replica.appliedEpoch !== state.epoch || replica.appliedSeq !== state.seq) continue;
      compareTables(world, leader, copy);
      compareFilters(world, leader, copy);
    }
  };
  return whenComparing(world, 3_000, compare);
}

function compareTables(world: World, leader: SimulatedNode, copy: SimulatedNode): void {
  const theirs = copy.core!.replica.table;
  for (const [pid, table] of leader.core!.replica.table.partitions) {
    const other = theirs.partition(pid);
    const where = `partition ${partitionOf(pid)} at ${world.now}`;
    if (table.from < 0) continue; // not begun: nothing of it is replicated
    if (table.from !== other.from || table.watermark !== other.watermark || table.entries !== other.entries)
      violated(
        "I15",
        `${where}: ${leader.name} has [${table.from}, ${table.watermark}) and ${table.entries} entries, ` +
          `${copy.name} [${other.from}, ${other.watermark}) and ${other.entries}`,
      );
    for (let offset = table.watermark; offset < table.top; offset++) {
      const mine = JSON.stringify(table.read(offset));
      const its = JSON.stringify(other.read(offset));
      if (mine !== its) violated("I15", `${where}, offset ${offset}: ${leader.name} has ${mine}, ${copy.name} ${its}`);
    }
  }
}

function compareFilters(world: World, leader: SimulatedNode, copy: SimulatedNode): void {
  const mine = leader.core!.replica.filter;
  const its = copy.core!.replica.filter;
  const where = `the filters of ${leader.name} (leader) and ${copy.name} at ${world.now}`;
  if (mine.openGenerationId !== its.openGenerationId)
    violated("I15", `${where}: generations ${mine.openGenerationId} and ${its.openGenerationId} are open`);
  const held = new Set(mine.generations.map(({ id }) => id));
  const none = noHash(mine);
  for (const { id } of its.generations) {
    if (!held.has(id)) continue;
    const words = mine.wordsOf(id);
    const theirs = its.wordsOf(id);
    for (let at = 0; at < theirs.length; at++)
      if ((theirs[at]! & ~words[at]! & ~none[at]!) !== 0)
        violated("I15", `${where}: a bit of generation ${id} is at ${copy.name} only`);
  }
}

/** A hash of zeros stands for "not known"; members put it into their filters as if it were one. */
function noHash({ parameters, generationsMax, capacity }: RotatingBloomFilter): Uint32Array {
  const filter = new RotatingBloomFilter({ ...parameters, generationsMax, capacity, openGenerationId: 1 });
  filter.add(0, 0);
  return filter.wordsOf(1);
}

/** What a live node executed above W is known to itself, or to every copy of the table, until W passes it (R13). */
export function executedIsKnown(world: World): Observer {
  let open: Run[] = [];
  const isKnown = (run: Run): boolean => {
    const node = world.nodes.get(run.node);
    // Its memory went with it; what it had told is looked at by I12.
    if (node === undefined || node.process.pid !== run.pid || node.process.state === "dead" || node.core === null)
      return true;
    const { state } = node.core.member;
    const window = state.windows.get(run.partition);
    const here = window?.stateOf(run.offset) ?? State.absent;
    const kept = state.retained.get(run.partition)?.get(run.offset)?.state ?? State.absent;
    if (here === State.executed || here === State.executing || kept === State.executed || kept === State.executing)
      return true;
    return copiesOf(world).every((copy) => {
      const table = copy.core!.replica.table.partition(run.partition);
      return run.offset < table.watermark || isFinalPhase(table.phaseOf(run.offset));
    });
  };
  const passed = (run: Run): boolean => {
    const copies = copiesOf(world);
    return (
      copies.length > 0 &&
      copies.every((copy) => run.offset < copy.core!.replica.table.partition(run.partition).watermark)
    );
  };
  return {
    onHistory(event) {
      if (event.type === "handler-end" && event.outcome === "success") open.push(world.runs[event.run - 1]!);
    },
    everyMs: 1_000,
    afterEvent() {
      open = open.filter((run) => !passed(run));
      for (const run of open)
        if (!isKnown(run))
          violated(
            "I17",
            `${run.taskId} (${keyOf(run.partition, run.offset)}) was executed on ${run.node}, and nobody knows at ${world.now}`,
          );
    },
  };
}

/**
 * A generation is opened only by a leader whose open one is full, one after another; so the oldest leaves in its turn (R18). A leader that hears
 * itself takes several turns in one step, and small generations may be filled in each: all that one step closed were full.
 */
export function generationsInTurn(world: World): Observer {
  const opened = new Map<string, { epoch: number; id: number }>(); // by incarnation
  return {
    onStep(node) {
      const { leader, replica } = node.core!;
      if (leader === null || !leader.state.active) return;
      const { filter } = replica;
      const id = filter.openGenerationId;
      const before = opened.get(node.incarnation);
      if (before?.id === id && before.epoch === leader.state.epoch) return;
      opened.set(node.incarnation, { epoch: leader.state.epoch, id });
      if (before === undefined || before.epoch !== leader.state.epoch || id === before.id) return;
      const { generations } = filter;
      if (id <= before.id || generations.length !== Math.min(filter.generationsMax, id))
        violated(
          "I20",
          `${node.name} went from filter generation ${before.id} to ${id} at ${world.now}, holding ${generations.length}`,
        );
      for (const closed of generations)
        if (closed.id >= before.id && closed.id < id && closed.insertions < filter.capacity)
          violated(
            "I20",
            `${node.name} closed generation ${closed.id} at ${world.now} with ${closed.insertions} of ${filter.capacity} keys`,
          );
    },
  };
}
