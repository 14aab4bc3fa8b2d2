/** The leader's half of the grant model: election, activation, the in-sync set, and the vote on one claim. */
import {
  acceptEpoch,
  clearPending,
  connected,
  depose,
  has,
  nodes,
  Phase,
  setAnswers,
  showSet,
  sizeOf,
  type Turn,
  Verdict,
  without,
} from "./grant-state.ts";

export function electionMoves(turn: Turn): void {
  const { rules, from, moves, i } = turn;
  const { world } = from;
  const me = from.node(i);
  if (!world.zkLeader && !me.cut && world.elections) {
    moves.step(`ZooKeeper elects n${i}, epoch ${world.zkEpoch + 1}`, (to) => {
      const node = to.node(i);
      to.world.elections--;
      to.world.zkEpoch++;
      to.world.zkLeader = i + 1;
      depose(node);
      acceptEpoch(rules, node, to.world.zkEpoch);
      node.leads = to.world.zkEpoch;
      node.leader = i + 1;
      node.synced = 1 << i;
      if (rules.r5OnlyTheLastSetGivesEntries && !has(world.zkInSync, i)) node.table = 0;
    });
  }
  if (me.leads && !me.cut && !holdsTheNode(turn)) {
    moves.step(`n${i} notices that it lost the leadership`, (to) => depose(to.node(i)));
  }
  if (me.leads && !me.votes) activationMoves(turn);
  if (me.leads && me.votes) {
    joinMoves(turn);
    evictionMoves(turn);
    takeClaimMoves(turn);
    if (me.claimant) voteMoves(turn);
  }
}

function holdsTheNode({ from, i }: Turn): boolean {
  return from.world.zkLeader === i + 1 && from.world.zkEpoch === from.node(i).leads;
}

function activationMoves(turn: Turn): void {
  const { rules, from, moves, i } = turn;
  const me = from.node(i);
  for (const f of nodes) {
    if (f === i || !connected(from, i, f) || has(me.synced, f)) continue;
    if (from.node(f).epoch <= me.leads) {
      moves.step(`leader n${i} e${me.leads} merges n${f}`, (to) => mergeInto(turn, to, f));
    } else if (rules.r1RefuseLowerEpochs) {
      moves.step(`n${f} refuses n${i} e${me.leads}, n${i} deposes itself`, (to) => depose(to.node(i)));
    }
  }
  if (rules.r3InSyncSetAcknowledges) {
    for (const f of nodes) {
      if (f === i || !has(me.synced, f) || connected(from, i, f)) continue;
      moves.step(`leader n${i} leaves unreachable n${f} out`, (to) => {
        to.node(i).synced = without(me.synced, f);
      });
    }
  }
  if (mayActivate(turn)) {
    moves.step(`leader n${i} e${me.leads} is active, in-sync ${showSet(me.synced)}`, (to) => activate(turn, to));
  }
}

function mergeInto({ rules, from, i }: Turn, to: Turn["from"], f: number): void {
  const other = from.node(f);
  const leader = to.node(i);
  const given = to.node(f);
  acceptEpoch(rules, given, leader.leads);
  given.leader = i + 1;
  if (given.leads) depose(given);
  leader.bloom |= other.bloom;
  const mayGive = !rules.r5OnlyTheLastSetGivesEntries || has(from.world.zkInSync, f);
  if (rules.r5GrantTable && other.table && mayGive) leader.table = other.table;
  if (other.ledger || (rules.r13LedgerReplicated && other.phase === Phase.executed)) leader.ledger = 1;
  leader.synced |= 1 << f;
}

function mayActivate(turn: Turn): boolean {
  const { rules, from, i } = turn;
  const me = from.node(i);
  if (!rules.r3InSyncSetAcknowledges) return nodes.every((f) => !connected(from, i, f) || has(me.synced, f));
  const knowsTheLastSet = (me.synced & from.world.zkInSync) !== 0 && sizeOf(me.synced) >= 2;
  const othersFollow = nodes.every(
    (f) => f === i || !has(me.synced, f) || (connected(from, i, f) && from.node(f).epoch === me.leads),
  );
  return knowsTheLastSet && holdsTheNode(turn) && !me.cut && othersFollow;
}

function activate({ rules, from, i }: Turn, to: Turn["from"]): void {
  const leader = to.node(i);
  leader.votes = 1;
  leader.inSync = leader.synced;
  if (rules.r3InSyncSetAcknowledges) to.world.zkInSync = leader.synced;
  if (leader.phase === Phase.executed) leader.ledger = 1;
  for (const f of nodes) {
    if (!has(leader.synced, f) || (f !== i && !connected(from, i, f))) continue;
    const member = to.node(f);
    member.bloom = leader.bloom;
    if (rules.r5GrantTable) member.table = leader.table;
    if (rules.r13LedgerReplicated) member.ledger = leader.ledger;
  }
}

function joinMoves(turn: Turn): void {
  const { rules, from, moves, i } = turn;
  const me = from.node(i);
  const inSet = rules.r3InSyncSetAcknowledges;
  for (const f of nodes) {
    const other = from.node(f);
    const follows = other.leader === i + 1 && other.epoch === me.leads && (!inSet || has(me.inSync, f));
    if (f === i || !connected(from, i, f) || follows) continue;
    if (other.epoch > me.leads) {
      if (rules.r1RefuseLowerEpochs) {
        moves.step(`n${f} refuses n${i} e${me.leads}, n${i} deposes itself`, (to) => depose(to.node(i)));
      }
      continue;
    }
    const set = inSet ? me.inSync | (1 << f) : 0;
    if (me.claimant || (inSet && (me.cut || !holdsTheNode(turn) || !setAnswers(from, i, set)))) continue;
    moves.step(`n${f} joins leader n${i} e${me.leads}`, (to) => join(turn, to, f, set));
  }
}

function join({ rules, from, i }: Turn, to: Turn["from"], f: number, set: number): void {
  const leader = from.node(i);
  const joiner = from.node(f);
  const given = to.node(f);
  acceptEpoch(rules, given, leader.leads);
  given.leader = i + 1;
  if (given.leads) depose(given);
  if (rules.r3InSyncSetAcknowledges) to.world.zkInSync = to.node(i).inSync = set;
  const table = rules.r5OnlyTheLastSetGivesEntries ? leader.table : leader.table || joiner.table;
  const executed = leader.ledger || joiner.ledger || (rules.r13LedgerReplicated && joiner.phase === Phase.executed);
  for (const k of nodes) {
    if (k !== i && k !== f && !has(set, k)) continue;
    const member = to.node(k);
    member.bloom |= leader.bloom | joiner.bloom;
    if (rules.r5GrantTable) member.table = table;
    if (rules.r13LedgerReplicated || k === i) member.ledger = executed ? 1 : 0;
  }
}

function evictionMoves(turn: Turn): void {
  const { rules, from, moves, i } = turn;
  const me = from.node(i);
  if (!rules.r3InSyncSetAcknowledges || me.cut || !holdsTheNode(turn) || sizeOf(me.inSync) < 2) return;
  for (const f of nodes) {
    if (f === i || !has(me.inSync, f) || connected(from, i, f)) continue;
    moves.step(`leader n${i} evicts n${f} (write to ZooKeeper)`, (to) => {
      to.world.zkInSync = to.node(i).inSync = without(me.inSync, f);
    });
  }
}

function takeClaimMoves({ rules, from, moves, i }: Turn): void {
  const me = from.node(i);
  if (me.claimant) return;
  for (const a of nodes) {
    const asker = from.node(a);
    if (asker.phase !== Phase.claimed || !connected(from, i, a) || asker.leader !== i + 1 || asker.verdict) continue;
    if (rules.r1RefuseLowerEpochs && asker.epoch !== me.leads) continue;
    const again = rules.r5GrantTable && me.table === a + 1;
    const how = again ? "already given to the asker" : me.bloom ? "seen" : "unseen";
    moves.step(`leader n${i} e${me.leads} takes the claim of n${a}: ${how}`, (to) => {
      const leader = to.node(i);
      leader.seen = again ? 0 : me.bloom;
      leader.again = again ? 1 : 0;
      leader.bloom = 1;
      leader.claimant = a + 1;
      leader.acks = 1 << i;
      if (rules.r5GrantTable && !leader.seen) leader.table = a + 1;
    });
  }
}

function voteMoves(turn: Turn): void {
  const { rules, from, moves, i } = turn;
  const me = from.node(i);
  const inSet = rules.r3InSyncSetAcknowledges;
  for (const f of nodes) {
    const other = from.node(f);
    if (f === i || has(me.acks, f) || !connected(from, i, f) || (inSet && !has(me.inSync, f))) continue;
    if (rules.r1RefuseLowerEpochs && other.epoch > me.leads) {
      moves.step(`n${f} e${other.epoch} refuses the delta of n${i} e${me.leads}`, (to) => depose(to.node(i)));
      continue;
    }
    moves.step(`n${f} acknowledges the delta of n${i} e${me.leads}`, (to) => {
      const leader = to.node(i);
      const member = to.node(f);
      if (!me.again) leader.seen |= other.bloom;
      leader.acks |= 1 << f;
      member.bloom = 1;
      if (rules.r5GrantTable) member.table = me.table;
      if (rules.r1RefuseLowerEpochs) acceptEpoch(rules, member, Math.max(other.epoch, me.leads));
    });
  }
  const complete = inSet
    ? (me.acks & me.inSync) === me.inSync && sizeOf(me.inSync) >= 2
    : nodes.every((f) => !connected(from, i, f) || has(me.acks, f));
  const someoneIsAway = nodes.some((f) => f !== i && has(me.inSync, f) && !connected(from, i, f));
  if (inSet && !complete && (sizeOf(me.inSync) < 2 || someoneIsAway)) {
    moves.step(`leader n${i} aborts the claim, its entry stays`, (to) => clearPending(to.node(i)));
  }
  if (complete) releaseMove(turn);
}

/** R6: the verdict is validated against the table once more when it is released. */
function releaseMove({ rules, from, moves, i }: Turn): void {
  const me = from.node(i);
  const a = me.claimant - 1;
  const asker = from.node(a);
  const overtaken = rules.r6OneKeyAtATime && rules.r5GrantTable && me.table !== a + 1;
  const doubtful = overtaken || me.seen === 1;
  moves.step(`leader n${i} e${me.leads} releases ${doubtful ? "DOUBTFUL" : "GRANTED"} to n${a}`, (to) => {
    const canHear = asker.phase === Phase.claimed && asker.up && (a === i || !me.cut);
    if (canHear) to.node(a).verdict = Verdict.pack(doubtful, me.leads);
    clearPending(to.node(i));
  });
}
