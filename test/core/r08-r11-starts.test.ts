import { expect, test } from "bun:test";
import { Lease } from "../../src/core/member/lease.ts";
import { State } from "../../src/core/member/window.ts";
import { Verdict } from "../../src/core/messages.ts";
import { metadataOf, OneMember } from "./one-member.ts";
import { listOf, runningCell } from "./support.ts";

/** Owns partition 0; offsets [0, count) are claimed, their verdict outstanding. */
function asking(count: number, options: ConstructorParameters<typeof OneMember>[0] = {}): OneMember {
  const member = new OneMember(options);
  member.own();
  member.deliver(0, count);
  return member;
}

/** A join: the barrier before it, and the same partition again, positioned at 0. */
function rejoin(member: OneMember): void {
  member.step({ type: "revoked" });
  if (member.core.member.commits.busy) member.commitDone();
  member.own({ committed: 0 });
}

test("R8: a redelivery of what runs here joins it", () => {
  const member = asking(2);
  member.answerClaim();
  rejoin(member);
  member.deliver(0, 2);
  expect(member.stateOf(0)).toBe(State.executing);
  member.answerClaim();
  expect(member.started).toEqual([0, 1]);
  member.end(0, "success");
  expect(member.stateOf(0)).toBe(State.executed);
});

test("R8: a redelivery of what was executed here is not asked for again", () => {
  const member = asking(2);
  member.answerClaim();
  member.end(1, "success");
  rejoin(member);
  member.deliver(0, 2);
  expect(member.stateOf(1)).toBe(State.executed);
  expect(member.reports.flatMap((report) => report.claims).map((claim) => listOf(claim.offsets))).toEqual([[0, 1]]);
});

test("R21: doubts of a partition that stands still are not asked, and nothing is said about them", () => {
  const member = asking(2);
  member.step({ type: "partition-problem", pid: 0, problem: "out-of-range" });
  member.answerClaim(Verdict.doubtful);
  const said = member.reports.length;
  for (let i = 0; i < 20; i++) {
    member.acknowledge();
    member.tick(1);
  }
  expect(member.reports.length - said).toBeLessThanOrEqual(1); // a heartbeat
});

test("R13: what was executed here stays executed, though the commit that is read calls it only final", () => {
  const member = asking(2);
  member.answerClaim();
  member.end(1, "success");
  member.step({ type: "revoked" });
  if (member.core.member.commits.busy) member.commitDone();
  member.own({ committed: 0, metadata: metadataOf({ ceiling: 30, finals: Uint8Array.of(0b10) }) });
  member.deliver(0, 2);
  expect(member.stateOf(1)).toBe(State.executed);
});

test("R8: every unstarted copy is discarded at the barrier and asks again when it is redelivered", () => {
  const member = asking(2, { settings: { concurrency: 1 } });
  member.answerClaim();
  expect(member.started).toEqual([0]);
  member.step({ type: "revoked" });
  if (member.core.member.commits.busy) member.commitDone();
  expect([...member.core.member.state.retained.get(0)!.keys()]).toEqual([0]);
  member.own({ committed: 0 });
  member.deliver(0, 2);
  expect(member.stateOf(1)).toBe(State.asked);
  member.end(0, "success");
  member.tick(1);
  expect(member.started).toEqual([0]); // the old grant of offset 1 is worth nothing
});

test("R8: in a cell that rebalances all the time a long task runs once", () => {
  const cell = runningCell({ partitions: 2, handlerMs: 400 });
  cell.produceMany(0, 20);
  for (let i = 0; i < 10; i++) {
    cell.move(0, ["a", "b"][i % 2]!);
    cell.advance(60);
  }
  cell.drain();
  cell.verifyOnce();
  expect(cell.runs).toHaveLength(20);
});

test("R9: nothing starts when the lease is over", () => {
  const member = asking(1);
  member.now += 3_000;
  member.answerClaim();
  expect(member.started).toEqual([]);
});

test("R9: nothing starts without a recent answer of the watchdog", () => {
  const member = asking(1);
  member.step({ type: "watchdog", healthyUntil: member.now });
  member.answerClaim();
  expect(member.started).toEqual([]);
  member.step({ type: "watchdog", healthyUntil: member.now + 1_000 });
  expect(member.started).toEqual([0]);
  expect(member.last("execute").validUntil).toBe(member.now + 1_000); // and the shell must not start it later
});

test("R9: nothing starts while a join is under way", () => {
  const member = asking(1);
  member.answerClaim();
  member.end(0, "success");
  member.tick(200);
  member.deliver(1, 1, [], { claim: false });
  member.tick(5); // claimed
  member.step({ type: "revoked" });
  expect(member.all("revoke-done")).toEqual([]); // the barrier waits for the commit in flight
  member.answerClaim();
  expect(member.stateOf(1)).toBe(State.granted);
  expect(member.started).toEqual([0]);
});

test("R9: a verdict for an ownership that is over is ignored", () => {
  const member = asking(1);
  const old = member.reports.flatMap((report) => report.claims).at(-1)!;
  rejoin(member);
  member.deliver(0, 1);
  const { claims } = member.core.member.state;
  claims.set(old.number, { ...claims.values().next().value!, ownership: old.ownership });
  member.say({
    kind: "verdicts",
    epoch: 1,
    batches: [
      {
        number: old.number,
        pid: 0,
        ownership: old.ownership,
        attempts: new Uint8Array(0),
        conflicts: new Float64Array(0),
        results: Uint8Array.of(Verdict.granted),
        stamps: Float64Array.of(1),
      },
    ],
  });
  expect(member.started).toEqual([]);
  expect(member.stateOf(0)).toBe(State.asked);
});

test("R9: a renewal after the old lease ended is a new lease: old grants are not startable", () => {
  const member = asking(2, { settings: { concurrency: 1 } });
  member.answerClaim();
  expect(member.started).toEqual([0]);
  member.now += 3_500; // it slept
  member.tick();
  member.end(0, "success");
  member.tick(1);
  member.acknowledge();
  member.tick(1);
  expect(member.started).toEqual([0]);
  expect(member.stateOf(1)).toBe(State.asked); // held, and asked for again under the new lease
});

test("R9: the start check is made before every attempt", () => {
  const member = asking(1);
  member.answerClaim();
  member.end(0, "failure");
  member.now += 3_500; // the back-off is over, and so is the lease
  member.tick();
  expect(member.started).toEqual([0]);
  member.acknowledge();
  member.tick(1);
  expect(member.started).toEqual([0]); // a new lease: it is asked for again
  expect(member.stateOf(0)).toBe(State.asked);
});

test("R9: a lease number rises only when the old lease had ended", () => {
  const lease = new Lease(0);
  lease.sent(1, 100);
  expect(lease.acknowledged(1, 3_000, 150)).toBe("new");
  lease.sent(2, 1_000);
  expect(lease.acknowledged(2, 3_000, 3_099)).toBe("renewed");
  expect(lease.number).toBe(1);
  lease.sent(3, 3_900);
  expect(lease.acknowledged(3, 3_000, 4_000)).toBe("new"); // at 4,000 the second one is over
  expect(lease.number).toBe(2);
});

test("R10: a higher epoch voids every unstarted grant; what runs goes on", () => {
  const member = asking(2, { settings: { concurrency: 1 } });
  member.answerClaim();
  member.say({ kind: "nudge", epoch: 2, pids: [] });
  expect(member.stateOf(0)).toBe(State.executing);
  expect(member.stateOf(1)).toBe(State.held);
  member.end(0, "success");
  member.tick(1);
  expect(member.started).toEqual([0]);
  expect(member.stateOf(0)).toBe(State.executed);
});

test("R10: an unstarted adoption goes back to doubt, and its check is void", () => {
  const member = asking(1);
  member.answerClaim(Verdict.doubtful);
  member.tick(2);
  member.answerDoubts(Verdict.adopted);
  const { stamp } = member.last("check");
  member.say({ kind: "nudge", epoch: 2, pids: [] });
  expect(member.stateOf(0)).toBe(State.doubtful);
  member.step({ type: "check-result", pid: 0, offset: 0, epoch: member.epoch, stamp, answer: "not-executed" });
  expect(member.started).toEqual([]);
  expect(member.core.member.state.checking).toBe(0);
});

test("R10: a task whose verdict was outstanding is doubtful, and for that alone is never checked", () => {
  const cell = runningCell();
  const leader = cell.activeLeader()!.name;
  const owner = leader === "a" ? "b" : "a";
  cell.groupSessionMs = 60_000; // the partition stays where it is
  cell.move(0, owner);
  cell.advance(100);
  cell.dropMessage = (_from, _to, message) => message.kind === "verdicts";
  cell.produceMany(0, 30);
  cell.advance(100);
  cell.crash(leader);
  cell.dropMessage = () => false;
  cell.drain();
  cell.verifyOnce();
  expect(cell.node(owner).core.ctx.counters.verdictsLost).toBe(30);
  expect(cell.node(owner).core.ctx.settled.regranted).toBe(30);
  expect(cell.checks).toEqual([]);
});

test("R10: with a verdict outstanding at an election the task is asked for as a doubt that lost its verdict", () => {
  const member = asking(2);
  member.say({ kind: "nudge", epoch: 2, pids: [] });
  expect([member.stateOf(0), member.stateOf(1)]).toEqual([State.doubtful, State.doubtful]);
  expect(member.core.ctx.counters.verdictsLost).toBe(2);
  expect([...member.core.member.state.windows.get(0)!.doubts.values()].every((doubt) => doubt.verdictLost)).toBe(true);
});

test("R10: with a verdict outstanding at a new lease number it is the same", () => {
  const member = asking(1);
  member.now += 3_500;
  member.tick(); // the lease is over; a heartbeat goes
  member.core.member.state.lease.sent(99, member.now);
  member.say({ kind: "ack", epoch: 1, number: 99, leaseMs: 3_000 });
  const doubt = member.core.member.state.windows.get(0)!.doubts.get(0)!;
  expect(doubt.verdictLost).toBe(true);
  expect(member.core.ctx.counters.verdictsLost).toBe(1);
});

test("R10: the answers of a broken link are not waited for", () => {
  const member = asking(1);
  member.step({ type: "disconnected", connection: 1 });
  expect(member.stateOf(0)).toBe(State.doubtful);
});

test("R11: a revoke is refused unless the task runs, and the grant is gone in the same step", () => {
  const member = asking(3, { settings: { concurrency: 1 } });
  const first = member.answerClaim();
  expect(member.ask(0, first, true)).toBe("running");
  expect(member.ask(1, first + 1, false)).toBe("pending");
  expect(member.ask(1, first + 1, true)).toBe("refused");
  expect(member.stateOf(1)).toBe(State.asked); // given up, and asked for again
  member.end(0, "success");
  expect(member.ask(0, first, true)).toBe("executed");
  member.tick(1);
  expect(member.started).not.toContain(1);
});

test("R11: what a node does not know it refuses as well", () => {
  const member = asking(1);
  expect(member.ask(500, 7, true)).toBe("refused");
  expect(member.ask(500, 7, false)).toBe("absent");
});

test("R11: verdicts up to the refused sequence are ignored, those above it count", () => {
  const member = asking(1);
  expect(member.ask(0, 5, true)).toBe("refused"); // its verdict (sequence 1) is still in flight
  member.answerClaim();
  expect(member.started).toEqual([]);
  member.tick(2);
  const claim = member.reports.flatMap((report) => report.claims).at(-1)!;
  member.say({
    kind: "verdicts",
    epoch: 1,
    batches: [
      {
        number: claim.number,
        pid: 0,
        ownership: claim.ownership,
        attempts: new Uint8Array(0),
        conflicts: new Float64Array(0),
        results: Uint8Array.of(Verdict.granted),
        stamps: Float64Array.of(6),
      },
    ],
  });
  expect(member.started).toEqual([0]);
});

test("R11: a new epoch counts its sequences anew", () => {
  const member = asking(1);
  member.ask(0, 5, true);
  member.say({ kind: "nudge", epoch: 2, pids: [] });
  expect(member.core.member.state.refusedThrough.size).toBe(0);
});

test("R6: an unknown end is not told while this node's own doubt is out: the answer may be its next adoption", () => {
  const member = asking(1);
  const stamp = member.answerClaim();
  member.end(0, "unknown");
  expect(member.reports.flatMap((report) => report.doubts)).toHaveLength(1);
  expect(member.ask(0, stamp + 1, false)).toBe("absent");
  member.answerDoubts(Verdict.wait);
  expect(member.ask(0, stamp, false)).toBe("unknown");
});

test("R11: a task that ended unknown here is said to be unknown, revoked or not", () => {
  const member = asking(1);
  const stamp = member.answerClaim();
  member.end(0, "unknown");
  expect(member.ask(0, stamp, true)).toBe("unknown");
  rejoin(member);
  expect(member.ask(0, stamp, true)).toBe("unknown"); // also when the partition went and came
});
