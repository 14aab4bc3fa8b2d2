/** The worker's half of the grant model: delivery, the claim, the handler, commit and ledger, and the doubt. */
import type { GrantNode, Turn } from "./grant-state.ts";
import { connected, has, nodes, Phase, setAnswers, sizeOf, Up, Verdict } from "./grant-state.ts";

export function workerMoves(turn: Turn): void {
  deliveryMoves(turn);
  claimMoves(turn);
  handlerMoves(turn);
  outcomeMoves(turn);
  if (turn.from.node(turn.i).phase === Phase.doubtful) doubtMoves(turn);
}

const inPhase = (node: GrantNode, ...phases: number[]): boolean => phases.includes(node.phase);

function deliveryMoves({ rules, from, moves, i }: Turn): void {
  const { world } = from;
  const me = from.node(i);
  const owner = world.owner === i;
  if (owner && !world.committed && !me.cut && (!me.owns || me.phase === Phase.none)) {
    moves.step(`n${i} is delivered the task`, (to) => {
      to.node(i).owns = 1;
      if (me.phase === Phase.none) to.node(i).phase = Phase.held;
    });
  }
  if (me.owns && !owner && !me.cut) {
    moves.step(`n${i} learns that the partition moved away`, (to) => {
      const node = to.node(i);
      node.owns = 0;
      const discards = inPhase(me, Phase.held, Phase.claimed, Phase.doubtful);
      if (discards || (rules.r9StartCheck && me.phase === Phase.granted)) {
        node.phase = Phase.none;
        node.verdict = Verdict.none;
      }
    });
  }
}

function claimMoves({ rules, from, moves, i }: Turn): void {
  const me = from.node(i);
  if (me.phase === Phase.held && me.leader) {
    moves.step(`n${i} claims at n${me.leader - 1}`, (to) => {
      to.node(i).phase = Phase.claimed;
    });
  }
  if (me.verdict && me.phase !== Phase.claimed) {
    moves.step(`n${i} ignores a late verdict`, (to) => {
      to.node(i).verdict = Verdict.none;
    });
  }
  if (me.phase !== Phase.claimed) return;
  const holdAgain = (to: Turn["from"]): void => {
    to.node(i).verdict = Verdict.none;
    to.node(i).phase = Phase.held;
  };
  if (!me.verdict) {
    const l = me.leader - 1;
    const leader = from.node(l);
    const answering = connected(from, i, l) && leader.leads && leader.votes;
    if (!answering || (leader.claimant && leader.claimant !== i + 1)) {
      moves.step(`n${i}: the claim times out`, holdAgain);
    }
    return;
  }
  const epoch = Verdict.epoch(me.verdict);
  const doubtful = Verdict.isDoubtful(me.verdict);
  if (rules.r1RefuseLowerEpochs && epoch !== me.epoch) {
    moves.step(`n${i} refuses a verdict of epoch ${epoch}`, holdAgain);
  } else {
    moves.step(`n${i} receives ${doubtful ? "DOUBTFUL" : "GRANTED"} e${epoch}`, (to) => {
      to.node(i).verdict = Verdict.none;
      to.node(i).phase = doubtful ? Phase.doubtful : Phase.granted;
    });
  }
  moves.step(`the verdict to n${i} is lost, its claim times out`, holdAgain);
}

function handlerMoves({ rules, from, moves, i }: Turn): void {
  const { world } = from;
  const me = from.node(i);
  const start = (to: Turn["from"]): void => {
    to.node(i).phase = Phase.executing;
  };
  const current = me.epoch === world.zkEpoch;
  if (me.phase === Phase.granted && (!rules.r9StartCheck || (me.owns && !me.cut && current))) {
    moves.step(`n${i} STARTS the handler, granted`, start);
  }
  if (me.phase === Phase.granted && rules.r9StartCheck && me.owns && !current) {
    moves.step(`n${i} has no current leader: the grant is only held again`, (to) => {
      to.node(i).phase = Phase.held;
    });
  }
  if (me.phase === Phase.decided) moves.step(`n${i} STARTS the handler after its own check`, start);
  if (me.phase === Phase.executing) {
    moves.step(`n${i} FINISHES the handler`, (to) => {
      to.node(i).phase = Phase.executed;
      if (rules.r13ExecutedRemembered) to.node(i).ledger = 1;
      to.world.effects = Math.min(3, world.effects + 1);
    });
  }
}

function outcomeMoves({ rules, from, moves, i }: Turn): void {
  const { world } = from;
  const me = from.node(i);
  if (me.phase !== Phase.executed) return;
  if (me.owns && world.owner === i && !me.cut) {
    moves.step(`n${i} commits`, (to) => {
      to.world.committed = 1;
      to.node(i).phase = Phase.none;
    });
  }
  if (world.committed) {
    moves.step(`n${i} learns that the task is committed`, (to) => {
      to.node(i).phase = Phase.none;
    });
  }
  if (world.owner === i || me.cut || !hearsItsLeader({ rules, from, moves, i })) return;
  const l = me.leader - 1;
  const set = from.node(l).inSync;
  if (!rules.r13LedgerReplicated) {
    moves.step(`n${i} gives the task to the ledger of n${l} and forgets it`, (to) => {
      to.node(l).ledger = 1;
      to.node(i).phase = Phase.none;
    });
  } else if (!from.node(l).ledger && setAnswers(from, l, set)) {
    moves.step(`n${i} gives the task to the ledger, replicated`, (to) => {
      for (const k of nodes) if (k === l || has(set, k)) to.node(k).ledger = 1;
    });
  }
}

function hearsItsLeader({ rules, from, i }: Turn): boolean {
  const me = from.node(i);
  if (!me.leader || !connected(from, i, me.leader - 1)) return false;
  const leader = from.node(me.leader - 1);
  return leader.leads > 0 && leader.votes > 0 && (!rules.r1RefuseLowerEpochs || me.epoch === leader.leads);
}

/** What the leader can find out about everyone else for a doubt of node `i`. */
function evidence({ rules, from, i }: Turn): { executed: boolean; busy: boolean; unknown: boolean } {
  const l = from.node(i).leader - 1;
  const leader = from.node(l);
  let executed = leader.ledger === 1;
  let busy = rules.r6OneKeyAtATime && leader.claimant > 0;
  let unknown = false;
  for (const j of nodes) {
    if (j === i) continue;
    const other = from.node(j);
    if (connected(from, l, j)) {
      if (other.phase === Phase.executed || (rules.r13ExecutedRemembered && other.ledger)) executed = true;
      if (inPhase(other, Phase.executing, Phase.granted)) busy = true;
      if (rules.r6Adoption && rules.r3InSyncSetAcknowledges && other.epoch > leader.leads) unknown = true;
    } else if (rules.r12Quarantine && other.up !== Up.down && other.phase === Phase.executing) {
      unknown = true;
    }
  }
  return { executed, busy, unknown };
}

function doubtMoves(turn: Turn): void {
  const { rules, from, moves, i } = turn;
  const { world } = from;
  const me = from.node(i);
  if (!hearsItsLeader(turn)) return;
  const { executed, busy, unknown } = evidence(turn);
  const tableBusy = revokeMoves(turn);
  const drop = (why: string): void => {
    const commits = world.owner === i && me.owns;
    moves.step(`n${i} doubt: ${why} -> drops${commits ? " and commits" : ""}`, (to) => {
      to.node(i).phase = Phase.none;
      if (commits) to.world.committed = 1;
    });
  };
  if (executed) return drop("attested executed");
  if (busy || tableBusy) return rules.r6OnlyExecutedLicensesDrop ? undefined : drop("attested executing or about to");
  if (unknown || !mayAdopt(turn)) return;
  if (world.effects > 0) return drop("nobody attests, check says executed");
  if (rules.r6Adoption) {
    moves.step(`n${i} doubt: adopted, check says not executed -> STARTS the handler`, (to) => adopt(turn, to));
  } else {
    moves.step(`n${i} doubt: nobody attests, check says not executed, decides to run`, (to) => {
      to.node(i).phase = Phase.decided;
    });
  }
}

/** R11: an outstanding grant counts as attested until its holder gave it back or is gone. */
function revokeMoves({ rules, from, moves, i }: Turn): boolean {
  const l = from.node(i).leader - 1;
  const leader = from.node(l);
  const holder = leader.table - 1;
  if (!rules.r11RevokeBeforeGiving || !rules.r5GrantTable || holder < 0 || holder === i) return false;
  const other = from.node(holder);
  if (other.up === Up.down || !connected(from, l, holder)) return false;
  const mayStillAct = inPhase(other, Phase.granted, Phase.executing, Phase.executed);
  if (!mayStillAct && leader.claimant !== holder + 1 && setAnswers(from, l, leader.inSync)) {
    moves.step(`leader n${l} revokes the grant of n${holder}`, (to) => {
      const given = to.node(holder);
      given.verdict = Verdict.none;
      if (given.phase === Phase.claimed) given.phase = Phase.held;
      for (const k of nodes) if (k === l || has(leader.inSync, k)) to.node(k).table = 0;
    });
  }
  return true;
}

function mayAdopt({ rules, from, i }: Turn): boolean {
  if (!rules.r6Adoption) return true;
  const me = from.node(i);
  const l = me.leader - 1;
  const set = from.node(l).inSync;
  if (!setAnswers(from, l, set)) return false;
  if (rules.r3InSyncSetAcknowledges && (sizeOf(set) < 2 || !me.owns)) return false;
  return !rules.r9StartCheck || me.epoch === from.world.zkEpoch;
}

/** The quarantine is over for whoever is out of reach: its lease lapsed, so what it had not started is only held. */
function adopt({ rules, from, i }: Turn, to: Turn["from"]): void {
  const l = from.node(i).leader - 1;
  for (const k of nodes) {
    const away = k !== i && !connected(from, l, k) && from.node(k).up !== Up.down;
    if (rules.r12Quarantine && away) {
      const silent = to.node(k);
      silent.verdict = Verdict.none;
      if (inPhase(silent, Phase.granted, Phase.claimed, Phase.decided)) silent.phase = Phase.held;
    }
    if (has(from.node(l).inSync, k)) to.node(k).table = i + 1;
  }
  to.node(i).phase = Phase.executing;
}
