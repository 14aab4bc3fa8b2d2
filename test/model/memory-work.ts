/** The memory model's tasks: delivery, the settle procedure (R6), the run, commits, facts and forgetting (R8, R13). */
import {
  copyOf,
  isReachable,
  isUnstarted,
  keepAll,
  type MemoryState,
  partitionsOf,
  Phase,
  records,
  type Shape,
  Status,
  type Turn,
} from "./memory-state.ts";

const owns = (state: MemoryState, i: number, p: number): boolean =>
  state.partition(p).owner === i + 1 && state.partition(p).informed === 1 && isReachable(state, i);

export function workMoves(turn: Turn, i: number): void {
  const { shape, from } = turn;
  for (const p of partitionsOf(shape)) if (owns(from, i, p)) commitMoves(turn, i, p);
  for (const k of records) {
    runMoves(turn, i, k);
    memoryMoves(turn, i, k);
    if (owns(from, i, shape.partition(k))) deliveredMoves(turn, i, k);
  }
}

function runMoves({ shape, from, moves }: Turn, i: number, k: number): void {
  if (copyOf(from, i, k).phase !== Phase.executing) return;
  moves.step(`n${i} has executed r${k} (effect)`, (to) => {
    to.record(k).effects++;
    const here = from.partition(shape.partition(k)).owner === i + 1;
    Object.assign(copyOf(to, i, k), { phase: here ? Phase.final : Phase.none, remembers: 1 });
  });
}

/** R13: facts are reported until they are known, and remembered until the acknowledged W has passed them. */
function memoryMoves({ rules, shape, from, moves }: Turn, i: number, k: number): void {
  if (!copyOf(from, i, k).remembers || !isReachable(from, i)) return;
  const { status, holder, acknowledged } = from.record(k);
  const { watermark, keptWatermark } = from.partition(shape.partition(k));
  const passed = rules.r13InSyncSetHasW ? keptWatermark : watermark;
  if (passed > shape.offset(k)) {
    moves.step(`n${i} hears of W and forgets r${k}`, (to) => void (copyOf(to, i, k).remembers = 0));
  }
  if (shape.offset(k) < watermark || status === Status.executed) return;
  if (status === Status.held && holder !== i + 1 && !rules.r13FactEndsAnyEntry) {
    if (acknowledged) return;
    moves.step(`n${i} reports r${k} executed: acknowledged, n${holder - 1} keeps it`, (to) => {
      to.record(k).acknowledged = 1;
    });
    return;
  }
  // Without the rule the ledger's entry is taken for done with: it leaves before W passes it.
  if (!rules.r6LeavesWhenWPasses && status === Status.absent) return;
  moves.step(`n${i} reports r${k} executed`, (to) => {
    const ends = rules.r6LeavesWhenWPasses ? Status.executed : Status.absent;
    Object.assign(to.record(k), { status: ends, holder: 0, dirty: 0 });
    wakeTwin(to, k);
    if (!rules.r6LeavesWhenWPasses || !rules.r13ReportedIsRemembered) copyOf(to, i, k).remembers = 0;
  });
}

function commitMoves({ rules, shape, from, moves }: Turn, i: number, p: number): void {
  const { committed, from: first } = from.partition(p);
  const here = records.filter((k) => shape.partition(k) === p);
  let position = committed;
  for (const k of here) {
    if (shape.offset(k) === position && copyOf(from, i, k).phase === Phase.final) position++;
  }
  if (position === committed) return;
  moves.step(`n${i} commits ${position} in partition ${p}`, (to) => {
    Object.assign(to.partition(p), { committed: position, metaFrom: first + 1, note: position });
    for (const k of here) {
      if (shape.offset(k) >= position) continue;
      copyOf(to, i, k).phase = Phase.none;
      if (!rules.r13ExecutedRemembered) copyOf(to, i, k).remembers = 0;
    }
  });
}

function deliveredMoves(turn: Turn, i: number, k: number): void {
  const { shape, from, moves } = turn;
  const { phase, remembers } = copyOf(from, i, k);
  const become = (label: string, next: number): void =>
    moves.step(`n${i} ${label}`, (to) => void (copyOf(to, i, k).phase = next));
  const delivers = shape.offset(k) >= from.partition(shape.partition(k)).committed;
  if (phase === Phase.none && delivers) {
    if (remembers)
      become(`is delivered r${k}, which it ran`, Phase.final); // R8
    else become(`is delivered r${k}`, Phase.held);
  }
  if (phase === Phase.held) settleMoves(turn, i, k);
  if (phase === Phase.granted) become(`STARTS r${k}`, Phase.executing);
  if (phase === Phase.adopted) {
    const { effects } = from.record(k);
    const all = shape.twins ? from.record(0).effects + from.record(1).effects : effects;
    if (shape.unchecked) become(`has no check for r${k}, policy execute`, Phase.granted);
    else if (all === 0) become(`checks r${k}: not executed`, Phase.granted);
    else finish(turn, i, k, `n${i} checks r${k}: executed -> drops`);
  }
}

/** The record is final here without a run. */
function finish({ shape, moves }: Turn, i: number, k: number, label: string): void {
  moves.step(label, (to) => {
    copyOf(to, i, k).phase = Phase.final;
    if (shape.offset(k) < to.partition(shape.partition(k)).watermark) return;
    Object.assign(to.record(k), { status: Status.executed, holder: 0, dirty: 0 });
  });
}

/** R6; the comments are the steps of the rule. */
function settleMoves(turn: Turn, i: number, k: number): void {
  const { rules, shape, from } = turn;
  const { status, holder, dirty } = from.record(k);
  const { from: first, watermark } = from.partition(shape.partition(k));
  const offset = shape.offset(k);
  // 1
  if (rules.r6CommittedBelowW && offset >= first && offset < watermark) {
    return finish(turn, i, k, `leader, r${k} for n${i}: committed -> drops`);
  }
  // 2
  if (status === Status.executed) return finish(turn, i, k, `leader, r${k} for n${i}: executed -> drops`);
  // 3
  if (status === Status.held && holder === i + 1) return give(turn, i, k, dirty === 1);
  if (status === Status.held) return releaseMoves(turn, k, true);
  // 4
  if (shape.twins) {
    const o = 1 - k;
    const other = from.record(o);
    if (other.status === Status.executed) {
      return finish(turn, i, k, `leader, r${k} for n${i}: r${o} has its id and executed -> drops`);
    }
    if (from.record(k).outcome && rules.r6WaitedOutcomeIsKept) {
      return finish(turn, i, k, `leader, r${k} for n${i}: r${o}, for which it waited, executed -> drops`);
    }
    if (shape.unchecked && other.status === Status.held && !from.record(k).waited) {
      turn.moves.step(`leader, r${k} for n${i}: waits for r${o}`, (to) => void (to.record(k).waited = 1));
      return;
    }
    const moved = from.partition(shape.partition(o)).owner !== other.holder;
    if (other.status === Status.held) return releaseMoves(turn, o, moved);
  }
  // 5
  give(turn, i, k, dirty === 1 || (shape.twins && status === Status.absent && from.world.bit === 1));
}

/** The other record's question waited for this outcome. */
function wakeTwin(to: MemoryState, k: number): void {
  if (to.record(1 - k).waited) to.record(1 - k).outcome = 1;
}

/** What was given is replicated before it is told. */
function give({ shape, from, moves }: Turn, i: number, k: number, adopts: boolean): void {
  moves.step(`leader, r${k} for n${i}: ${adopts ? "adopted" : "granted"}`, (to) => {
    if (from.record(k).acknowledged) to.world.givenAgain = 1;
    const { waited } = from.record(k);
    if (waited && from.record(1 - k).effects && from.record(1 - k).status !== Status.held) to.world.givenAgain = 1;
    Object.assign(to.record(k), { status: Status.held, holder: i + 1, dirty: adopts ? 1 : 0 });
    if (shape.twins) {
      to.world.bit = 1;
      const other = to.record(1 - k);
      if (other.status === Status.free || other.status === Status.held) other.dirty = 1;
    }
    keepAll(to);
    copyOf(to, i, k).phase = adopts ? Phase.adopted : Phase.granted;
  });
}

/** The holder of record `k` is asked (R11), or waited for until it is gone (R12). */
export function releaseMoves({ shape, from, moves }: Turn, k: number, mayRevoke: boolean): void {
  const { holder, dirty } = from.record(k);
  const j = holder - 1;
  const { phase, remembers } = copyOf(from, j, k);
  const become = (label: string, status: number, nextDirty: number): void =>
    moves.step(label, (to) => void Object.assign(to.record(k), { status, holder: 0, dirty: nextDirty }));
  if (!isReachable(from, j)) {
    if (phase !== Phase.executing) become(`n${j}, the holder of r${k}, is gone: free, dirty`, Status.free, 1);
    return;
  }
  if (phase === Phase.executing) return;
  if (remembers) {
    return moves.step(`n${j} is asked for r${k}: executed`, (to) => {
      Object.assign(to.record(k), { status: Status.executed, holder: 0, dirty: 0 });
      wakeTwin(to, k);
    });
  }
  if (!mayRevoke) return;
  moves.step(`n${j} is asked for r${k} and refuses it: free`, (to) => {
    Object.assign(to.record(k), { status: Status.free, holder: 0, dirty });
    const copy = copyOf(to, j, k);
    if (isUnstarted(copy.phase)) copy.phase = holdsAgain(shape, from, j, k) ? Phase.held : Phase.none;
  });
}

const holdsAgain = (shape: Shape, state: MemoryState, j: number, k: number): boolean =>
  state.partition(shape.partition(k)).owner === j + 1 && copyOf(state, j, k).phase !== Phase.none;
