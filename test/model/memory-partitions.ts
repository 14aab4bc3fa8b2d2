/** The memory model's faults, and what happens to whole partitions: ownership, `from`, W and foreign commits (R7). */
import { releaseMoves } from "./memory-work.ts";
import {
  copyOf,
  discard,
  isReachable,
  keepAll,
  type MemoryState,
  nodes,
  partitionsOf,
  passedByW,
  Phase,
  records,
  restoreAll,
  Status,
  type Turn,
} from "./memory-state.ts";

export function budgetFaults(turn: Turn): void {
  const { shape, from, moves } = turn;
  const { budget } = from;
  if (budget.elections) {
    moves.fault("the leader dies, its follower leads with what it has", (to) => {
      to.budget.elections--;
      restoreAll(to);
    });
  }
  for (const i of nodes) if (from.node(i).up) nodeFaults(turn, i);
  for (const p of partitionsOf(shape)) {
    if (from.partition(p).stopped) continue;
    rebalanceMoves(turn, p);
    if (budget.foreignCommits) foreignMoves(turn, p);
  }
}

function leaveGroup({ shape, from }: Turn, to: MemoryState, i: number): void {
  for (const p of partitionsOf(shape)) {
    discard(shape, to, i, p);
    if (from.partition(p).owner === i + 1) Object.assign(to.partition(p), { owner: 0, informed: 0, note: 0 });
  }
}

function nodeFaults(turn: Turn, i: number): void {
  const { from, moves } = turn;
  const { budget } = from;
  if (budget.crashes) {
    const running = records.find((k) => copyOf(from, i, k).phase === Phase.executing);
    const crash = (how: string, effect: number): void =>
      moves.fault(`n${i} crashes${how}`, (to) => {
        to.budget.crashes--;
        leaveGroup(turn, to, i);
        to.node(i).up = 0;
        for (const k of records) copyOf(to, i, k).clear();
        if (running !== undefined) to.record(running).effects += effect;
      });
    if (running === undefined) crash("", 0);
    else {
      crash(" in the handler, before the effect", 0);
      crash(" in the handler, after the effect", 1);
    }
  }
  if (budget.cuts && !from.node(i).cut) {
    moves.fault(`n${i} is cut off and loses its partitions`, (to) => {
      to.budget.cuts--;
      to.node(i).cut = 1;
      leaveGroup(turn, to, i);
    });
  }
  if (from.node(i).cut) moves.step(`n${i} is connected again`, (to) => void (to.node(i).cut = 0));
  const given: number[] = [Phase.granted, Phase.adopted];
  if (budget.lapses && records.some((k) => given.includes(copyOf(from, i, k).phase))) {
    moves.fault(`the lease of n${i} lapses: what it had not started is only held`, (to) => {
      to.budget.lapses--;
      for (const k of records) if (given.includes(copyOf(to, i, k).phase)) copyOf(to, i, k).phase = Phase.held;
    });
  }
}

function rebalanceMoves({ shape, from, moves }: Turn, p: number): void {
  const { owner } = from.partition(p);
  for (const j of nodes) {
    if (!isReachable(from, j) || owner === j + 1 || (owner && !from.budget.rebalances)) continue;
    const join = (to: MemoryState): void => {
      if (owner) {
        to.budget.rebalances--;
        discard(shape, to, owner - 1, p);
      }
      Object.assign(to.partition(p), { owner: j + 1, informed: 0 });
    };
    if (owner) moves.fault(`partition ${p} moves n${owner - 1} -> n${j}`, join);
    else moves.step(`partition ${p} is given to n${j}`, join);
  }
}

/** Whoever moves the offset forward skips on purpose; whoever moves it back wants again what is above. */
function foreignMoves({ shape, from, moves }: Turn, p: number): void {
  const { committed, owner } = from.partition(p);
  for (let offset = 0; offset <= shape.end; offset++) {
    if (offset === committed) continue;
    moves.fault(`the group is empty, another tool commits ${offset} in partition ${p}`, (to) => {
      to.budget.foreignCommits--;
      if (owner) discard(shape, to, owner - 1, p);
      Object.assign(to.partition(p), { owner: 0, informed: 0, committed: offset, metaFrom: 0 });
      for (const k of records) {
        if (shape.partition(k) !== p) continue;
        const at = shape.offset(k);
        if (at >= committed && at < offset) to.record(k).skipped = 1;
        if (at >= offset) to.record(k).skipped = 0;
      }
    });
  }
}

/** The owner's first report, and the leader's answer; an acknowledged commit that the leader hears of. */
export function joinMoves(turn: Turn, p: number): void {
  const { rules, shape, from, moves } = turn;
  const { owner, informed, committed, metaFrom, note, stopped, from: first, watermark } = from.partition(p);
  // Facts and commits are in one report, in this order.
  const factsAreKnown = records.every((k) => {
    const executed = shape.partition(k) === p && nodes.some((i) => copyOf(from, i, k).remembers === 1);
    return !executed || shape.offset(k) >= note || from.record(k).status === Status.executed;
  });
  if (note && (factsAreKnown || !shape.unchecked || !rules.r13FactsBeforeCommits)) {
    moves.step(`the leader hears of the commit of ${note} in partition ${p}`, (to) => {
      to.partition(p).note = 0;
      if (note >= first && note > watermark) to.partition(p).watermark = note;
      passedByW(shape, to, p);
    });
  }
  if (!owner || informed || stopped || !isReachable(from, owner - 1)) return;
  const ours = metaFrom === first + 1;
  const name = `n${owner - 1} reports ${committed} in partition ${p}`;
  if (committed < first && rules.r7BelowFromStops) {
    moves.step(`${name}: below from, stopped with an alarm`, (to) => void (to.partition(p).stopped = 1));
    return;
  }
  const jumps = committed > watermark && !ours;
  if (jumps && !rules.r7AnchorAfterTheAnswer) {
    moves.step(`n${owner - 1} commits its anchor with the from it knows`, (to) => {
      to.partition(p).metaFrom = first + 1;
    });
  }
  if (jumps && rules.r7WaitsForHeldEntries) {
    const held = records.filter((k) => shape.partition(k) === p && from.record(k).status === Status.held);
    for (const k of held) releaseMoves(turn, k, true);
    if (held.length > 0) return;
  }
  moves.step(`${name}${jumps ? ", not ours: from and W are there" : ""}, and is told from and W`, (to) => {
    const partition = to.partition(p);
    // It may come before the executor's own word: then nobody can say what the twin's question waited for.
    for (const k of records) {
      const twin = to.record(1 - k);
      if (shape.partition(k) === p && shape.offset(k) < committed && !twin.outcome) twin.waited = 0;
    }
    if (committed > watermark) partition.watermark = committed;
    if (jumps) partition.from = committed;
    passedByW(shape, to, p);
    if (!jumps || rules.r7FromReplicatedFirst) keepAll(to);
    Object.assign(partition, { informed: 1, metaFrom: partition.from + 1 });
  });
}
