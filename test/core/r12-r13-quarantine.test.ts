import { expect, test } from "bun:test";
import { State } from "../../src/core/member/window.ts";
import { Phase } from "../../src/core/messages.ts";
import { OneLeader } from "./one-leader.ts";
import { metadataOf, OneMember } from "./one-member.ts";
import { claimOf, doubtsOf, factsOf, listOf, runningCell } from "./support.ts";

const QUARANTINE_MS = 3_000 + 12_000 + 1_000;
const SETTLE_MS = 2_000;
const inTwo = { generation: 2, ownership: 2 };

/** m held offset 0, its link broke at `at`, and the partition is n's; the set without m is written. */
function holderUnreachable(): { leader: OneLeader; at: number } {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.own("m/1");
  leader.claim("m/1", claimOf(1, [0]));
  const at = leader.now;
  leader.detach("m/1");
  until(leader, at + 3_500);
  leader.moveTo("n/1", 2);
  return { leader, at };
}

/** Lets the time pass with heartbeats of n; writes of the set succeed. */
function until(leader: OneLeader, at: number): void {
  while (leader.now < at) {
    leader.now = Math.min(at, leader.now + 500);
    leader.acknowledge("n/1");
    if (leader.writeOutstanding) leader.setWritten();
  }
}

let number = 100;
const ask = (leader: OneLeader) => leader.doubt("n/1", doubtsOf(number++, [0], inTwo))[0];

test("R12: an unreachable holder is waited for: lease, grace and margin from its last frame, then the settle time", () => {
  const { leader, at } = holderUnreachable();
  until(leader, at + QUARANTINE_MS + SETTLE_MS - 1);
  expect(ask(leader)).toBe("wait");
  leader.now += 1;
  expect(ask(leader)).toBe("adopted");
  expect(leader.entry(0)).toMatchObject({ dirty: true, unknownRuns: 1 });
});

test("R12: a proven death is believed when its effects have settled", () => {
  const { leader } = holderUnreachable();
  leader.step({ type: "death-proven", incarnation: "m/1" });
  until(leader, leader.now + SETTLE_MS - 1);
  expect(ask(leader)).toBe("wait");
  leader.now += 1;
  expect(ask(leader)).toBe("adopted");
});

test("R12: a member node that is gone proves nothing", () => {
  const { leader } = holderUnreachable();
  leader.members("n/1");
  until(leader, leader.now + 8_000);
  expect(ask(leader)).toBe("wait");
});

test("R12: for who was never heard in this epoch the time counts from the activation", () => {
  const leader = new OneLeader({ inSync: ["n/1"] });
  leader.members("n/1");
  leader.attach("n/1", { appliedEpoch: 4 });
  leader.tick();
  leader.tellState("n/1", { entries: [[0, Phase.granted, "z/1"]] });
  leader.tick();
  leader.acknowledge("n/1");
  until(leader, leader.now + 5_000); // activating takes its time
  leader.marked();
  leader.setWritten();
  const { activatedAt } = leader.leader.state;
  leader.moveTo("n/1", 2);
  until(leader, activatedAt + QUARANTINE_MS + SETTLE_MS - 1);
  expect(ask(leader)).toBe("wait");
  leader.now += 1;
  expect(ask(leader)).toBe("adopted");
});

test("R12: a holder that comes back is asked, whatever time has passed", () => {
  const { leader, at } = holderUnreachable();
  until(leader, at + QUARANTINE_MS);
  leader.attach("m/1");
  leader.report("m/1");
  leader.now += SETTLE_MS;
  expect(ask(leader)).toBe("wait");
  expect(leader.question("m/1")).toMatchObject([{ offset: 0, revoke: true }]);
});

test("R12: what was set aside by who was given up is told late: whoever has the task by then ends it, and its twins wait", () => {
  const told = (phase: Phase): OneLeader => {
    const { leader, at } = holderUnreachable();
    until(leader, at + QUARANTINE_MS + SETTLE_MS);
    expect(ask(leader)).toBe("adopted");
    leader.attach("m/1");
    leader.report("m/1", { finished: [factsOf(phase, [0])] });
    return leader;
  };
  for (const phase of [Phase.dead, Phase.parked, Phase.dropped]) {
    const leader = told(phase);
    expect(leader.entry(0)).toMatchObject({ holder: "n/1", phase: Phase.granted, dirty: true });
    leader.report("n/1", { finished: [factsOf(Phase.executed, [0])] });
    expect(leader.entry(0)).toMatchObject({ holder: "n/1", phase: Phase.executed });
  }
  // That it was executed is a fact whoever has it.
  expect(told(Phase.executed).entry(0)).toMatchObject({ holder: "m/1", phase: Phase.executed });
  // Nobody was given it yet.
  const { leader, at } = holderUnreachable();
  until(leader, at + QUARANTINE_MS + SETTLE_MS);
  leader.attach("m/1");
  leader.report("m/1", { finished: [factsOf(Phase.dead, [0])] });
  expect(leader.entry(0)).toMatchObject({ holder: "m/1", phase: Phase.dead });
});

test("R8, R12: what was set aside here and given to another meanwhile is asked for when the partition comes back", () => {
  const back = (holder: string): number => {
    const member = new OneMember({ topic: { attemptsMax: 1 } });
    member.own();
    member.deliver(0, 1);
    member.answerClaim();
    member.end(0, "failure");
    member.step({ type: "set-aside-result", pid: 0, offset: 0, acknowledged: true });
    member.step({ type: "revoked" });
    const { table } = member.core.replica;
    table.partition(0).write(0, table.holderIndex(holder), 1, 99, Phase.executing, 0, 0, 1, 1);
    member.own({ committed: 0, metadata: metadataOf({ ceiling: 10 }) });
    member.deliver(0, 1);
    return member.stateOf(0);
  };
  expect(back("other/1")).toBe(State.asked);
  expect(back(new OneMember().incarnation)).toBe(State.dead);
});

test("R12: a node that is cut off aborts its handlers when lease and grace are over, once", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 1);
  member.answerClaim();
  const until = member.core.member.state.lease.lastUntil;
  member.now = until + 12_000 - 1;
  member.tick();
  expect(member.all("abort-all")).toEqual([]);
  member.tick(1);
  expect(member.all("abort-all")).toHaveLength(1);
  member.tick(500);
  expect(member.all("abort-all")).toHaveLength(1);
});

test("R12: neither an election nor a lost epoch makes a cut off node live longer", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 1);
  member.answerClaim();
  const until = member.core.member.state.lease.lastUntil;
  member.say({ kind: "nudge", epoch: 2, pids: [] });
  expect(member.core.member.isolationDeadline).toBe(until + 12_000);
});

test("R12: a task whose executor is partitioned away runs again only after the executor was stopped", () => {
  const cell = runningCell();
  cell.handler = () => ({ ms: 0, outcome: "hang" });
  const owner = cell.activeLeader()!.name === "a" ? "b" : "a";
  cell.move(0, owner);
  cell.advance(100);
  cell.produce(0);
  cell.until("it runs", () => cell.runs.length === 1);
  cell.handler = () => ({ ms: 5, outcome: "success" });
  cell.cut(owner);
  cell.drain();
  cell.verifyOnce();
  const [first, second] = cell.runs;
  expect(first).toMatchObject({ node: owner, outcome: "unknown" });
  expect(second!.startedAt).toBeGreaterThan(first!.endedAt + SETTLE_MS);
  expect(cell.checks).toHaveLength(1);
});

test("R13: an executed task is kept until the leader's W has passed it, also when the partition moved away", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 2);
  const stamp = member.answerClaim();
  member.end(0, "success");
  member.end(1, "success");
  member.tick(200);
  member.commitDone();
  const watermark = (value: number) =>
    member.say({ kind: "watermarks", epoch: 1, rows: [{ pid: 0, from: 0, watermark: value }] });
  expect(member.ask(0, stamp, true)).toBe("executed"); // committed, and W not told
  member.step({ type: "revoked" });
  member.step({ type: "assigned", generation: 2, partitions: [] });
  expect(member.ask(0, stamp, true)).toBe("executed");
  watermark(1);
  expect(member.ask(0, stamp, true)).toBe("refused");
  expect(member.ask(1, stamp + 1, true)).toBe("executed");
  watermark(2);
  expect(member.core.member.state.retained.size).toBe(0);
});

test("R13: what W has passed by another owner's commit is not kept when the partition moves away", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 3);
  member.answerClaim();
  for (const offset of [0, 1]) member.end(offset, "success");
  member.tick(200);
  member.commitDone("unknown"); // it was applied, and the next owner has read it
  member.say({ kind: "watermarks", epoch: 1, rows: [{ pid: 0, from: 0, watermark: 2 }] });
  member.step({ type: "revoked" });
  member.commitDone("refused");
  member.step({ type: "assigned", generation: 2, partitions: [] });
  expect([...member.core.member.state.retained.get(0)!.keys()]).toEqual([2]); // it runs
});

test("R13: executed tasks are reported all the time, not only when a commit fails", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 3);
  member.answerClaim();
  member.end(1, "success");
  member.tick(5);
  const told = member.reports.flatMap((report) => report.finished);
  expect(told.map(({ phase, offsets }) => [phase, listOf(offsets)])).toEqual([[Phase.executed, [1]]]);
});

test("R13: what ends while the partition is another's is reported", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 1);
  member.answerClaim();
  member.step({ type: "revoked" });
  member.step({ type: "assigned", generation: 2, partitions: [] });
  member.end(0, "success");
  member.tick(5);
  const told = member.reports.flatMap((report) => report.finished);
  expect(told.map(({ phase, offsets }) => [phase, listOf(offsets)])).toEqual([[Phase.executed, [0]]]);
});

test("R13: the executor's fact survives the leader that never replicated it", () => {
  const cell = runningCell();
  const leader = cell.activeLeader()!.name;
  const owner = leader === "a" ? "b" : "a";
  cell.move(0, owner);
  cell.advance(100);
  cell.handler = () => ({ ms: 300, outcome: "success" });
  cell.produceMany(0, 20);
  cell.until("all run", () => cell.runs.length === 20);
  cell.commitOutcome = () => "lost";
  cell.dropMessage = (from, _to, message) => from === leader && message.kind === "delta";
  cell.advance(310);
  expect(cell.runs.every((run) => run.effect)).toBe(true);
  cell.crash(leader);
  cell.dropMessage = () => false;
  cell.until("another leads", () => cell.activeLeader() !== null);
  cell.commitOutcome = () => "committed";
  cell.move(
    0,
    ["a", "b", "c"].find((name) => name !== leader && name !== owner)!,
  );
  cell.drain();
  cell.verifyOnce();
  expect(cell.checks).toEqual([]);
});
