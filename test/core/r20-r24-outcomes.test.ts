import { expect, test } from "bun:test";
import type { OnUnknown } from "../../src/core/settings.ts";
import { State } from "../../src/core/member/window.ts";
import { Phase, Verdict } from "../../src/core/messages.ts";
import { OneLeader } from "./one-leader.ts";
import { OneMember } from "./one-member.ts";
import { OneCore, claimOf, doubtsOf, factsOf, hashesOf, listOf, reportOf, runningCell } from "./support.ts";

const inTwo = { generation: 2, ownership: 2 };

function stateAfterPolicy(onUnknown: OnUnknown, verdict: Verdict, checks = false): OneMember {
  const member = new OneMember({ topic: { onUnknown, hasCheck: checks } });
  member.own();
  member.deliver(0, 1);
  member.answerClaim(Verdict.doubtful);
  member.tick(5);
  member.answerDoubts(verdict);
  return member;
}

// --- what nobody knows

test("R20: without a check the task definition decides; exact evidence may drop, a Bloom bit alone never does", () => {
  const outcome = (onUnknown: OnUnknown, verdict: Verdict) => {
    const member = stateAfterPolicy(onUnknown, verdict);
    member.tick();
    const aside = member.all("set-aside").at(-1);
    return aside === undefined ? member.stateOf(0) : `${aside.kind}: ${aside.reason}`;
  };
  expect(outcome("execute", Verdict.adopted)).toBe(State.executing);
  expect(outcome("execute", Verdict.adoptedMaybe)).toBe(State.executing);
  expect(outcome("drop", Verdict.adopted)).toBe(State.dropped);
  expect(outcome("drop", Verdict.adoptedMaybe)).toBe("parked: maybe-duplicate");
  expect(outcome("park", Verdict.adopted)).toBe("parked: unknown");
  expect(outcome("park", Verdict.adoptedMaybe)).toBe("parked: maybe-duplicate");
});

test("R20: that another record was given is no exact evidence, not even of an equal full id: who was given a task need not run it", () => {
  const hashes = hashesOf([0], ["pay-7"]);
  for (const { id, told } of [
    { id: "pay-7", told: true },
    { id: "pay-7", told: false },
    { id: "another id with that hash", told: true },
  ]) {
    const leader = new OneLeader().activate("m/1", "n/1");
    leader.own("m/1");
    leader.claim("m/1", claimOf(1, [0], { ids: ["pay-7"] }));
    leader.moveTo("n/1", 2);
    const ask = (number: number, offset: number, ids: string[]) =>
      leader.doubt("n/1", doubtsOf(number, [offset], { ...inTwo, ids, hashes }));
    ask(2, 0, ["pay-7"]);
    leader.answer("m/1", "refused", { taskId: "pay-7", idKnown: told }); // free and clean: it never ran
    ask(3, 1, [id]);
    expect(leader.entry(1)).toMatchObject({ holder: "n/1" });
    expect(leader.entry(0)).toMatchObject({ holder: "", dirty: true, maybe: true });
    expect(ask(4, 0, ["pay-7"])).toEqual(["wait"]); // whose is 1?
    leader.answer("n/1", "pending", { taskId: id });
    expect(ask(5, 0, ["pay-7"])).toEqual([id === "pay-7" ? "wait" : "adoptedMaybe"]);
  }
});

test("R20: without a check no more is granted than can start, for what a dead node was granted is decided unchecked", () => {
  const grantedUnstarted = (topic: { hasCheck: boolean; onUnknown: OnUnknown }) => {
    const member = new OneMember({ topic, settings: { concurrency: 8, claimBatchMax: 16 } });
    member.own();
    member.deliver(0, 100);
    for (let i = 0; i < 6; i++) {
      member.answerClaim();
      member.claim();
    }
    const claimed = member.reports
      .flatMap((report) => report.claims)
      .reduce((sum, { offsets }) => sum + offsets.count, 0);
    expect(member.started).toHaveLength(8);
    return claimed - 8;
  };
  expect(grantedUnstarted({ hasCheck: false, onUnknown: "park" })).toBe(1);
  expect(grantedUnstarted({ hasCheck: false, onUnknown: "drop" })).toBe(1);
  expect(grantedUnstarted({ hasCheck: false, onUnknown: "execute" })).toBeGreaterThan(8); // run again without harm
  expect(grantedUnstarted({ hasCheck: true, onUnknown: "park" })).toBeGreaterThan(8); // a check each
});

test("R20: without a check every task is claimed in the end, as handlers end", () => {
  const cell = runningCell({ hasCheck: false, onUnknown: "park", settings: { concurrency: 3, claimBatchMax: 16 } });
  cell.produceMany(0, 50);
  cell.drain();
  expect(cell.runs).toHaveLength(50);
  expect(cell.setAside).toEqual([]);
});

test("R20: a check that does not know is asked again with back-off, then the task definition decides", () => {
  const member = stateAfterPolicy("park", Verdict.adopted, true);
  const answer = () => {
    const { offset, stamp } = member.last("check");
    member.step({ type: "check-result", pid: 0, offset, epoch: member.epoch, stamp, answer: "unknown" });
  };
  for (const waitMs of [200, 400]) {
    answer();
    const asked = member.all("check").length;
    member.tick(waitMs - 1);
    expect(member.all("check")).toHaveLength(asked);
    member.acknowledge();
    member.tick(waitMs);
    expect(member.all("check")).toHaveLength(asked + 1);
  }
  answer();
  expect(member.all("set-aside")).toMatchObject([{ kind: "parked", reason: "unknown" }]);
  expect(member.all("check")).toHaveLength(3);
});

test("R20: the check answers: executed is dropped, not executed starts", () => {
  for (const [answer, state] of [
    ["executed", State.dropped],
    ["not-executed", State.executing],
  ] as const) {
    const member = stateAfterPolicy("park", Verdict.adopted, true);
    expect(member.started).toEqual([]);
    const { offset, stamp } = member.last("check");
    member.step({ type: "check-result", pid: 0, offset, epoch: member.epoch, stamp, answer });
    expect(member.stateOf(0)).toBe(state);
  }
});

test("R20: an adoption is never started unchecked when there is a check", () => {
  const member = stateAfterPolicy("execute", Verdict.adopted, true);
  member.tick(50);
  expect(member.started).toEqual([]);
});

// --- limits

test("R21: a partition pauses at its span and at the doubts of the node, and says so", () => {
  const span = new OneMember({ settings: { uncommittedSpanMax: 10 } });
  span.own();
  span.deliver(0, 12);
  expect(span.all("pause")).toHaveLength(1);
  expect(span.core.ctx.counters.limitHits).toEqual({ uncommittedSpanMax: 1 });
  const doubts = new OneMember({ settings: { doubtfulMax: 3 } });
  doubts.own();
  doubts.deliver(0, 5);
  doubts.answerClaim(Verdict.doubtful);
  doubts.deliver(5, 1);
  expect(doubts.all("pause")).toHaveLength(1);
  expect(doubts.core.ctx.counters.limitHits["doubtfulMax"]).toBe(2);
});

test("R21: at tableSlotsMax nothing more is granted, and the limit is counted", () => {
  const leader = new OneLeader({ settings: { tableSlotsMax: 2 } }).activate("m/1");
  leader.own("m/1");
  expect(leader.claim("m/1", claimOf(1, [0, 1, 2]))).toEqual(["granted", "granted", "doubtful"]);
  expect(leader.doubt("m/1", doubtsOf(2, [2]))).toEqual(["doubtful"]);
  expect(leader.core.ctx.counters.limitHits["tableSlotsMax"]).toBe(1);
});

test("R21: an offset beyond the table's window is not granted", () => {
  const leader = new OneLeader().activate("m/1");
  leader.own("m/1");
  expect(leader.claim("m/1", claimOf(1, [65_535, 65_536]))).toEqual(["granted", "doubtful"]);
});

test("R21: a member that fell behind the delta log gets the whole state", () => {
  const leader = new OneLeader({ settings: { deltaLogMax: 2 } }).activate("m/1", "n/1");
  leader.own("m/1");
  const welcome = (lag: number) => {
    const appliedSeq = leader.leader.state.seq - lag;
    leader.attach("n/1", { epoch: 5, appliedEpoch: 5, appliedSeq });
    return leader.messagesTo("n/1", "welcome").at(-1)!;
  };
  for (let i = 0; i < 4; i++) leader.report("m/1", { claims: [claimOf(1 + i, [i])] }); // nobody acknowledges
  const sent = leader.messagesTo("n/1", "delta").length;
  expect(sent).toBeGreaterThan(3);
  expect(welcome(2)).toMatchObject({ member: true });
  expect(leader.messagesTo("n/1", "delta")).toHaveLength(2);
  expect(welcome(3)).toMatchObject({ member: false, resumeSeq: -1 });
  expect(leader.messagesTo("n/1", "state-chunk").length).toBeGreaterThan(0);
});

test("R21: as many handlers and checks run as may", () => {
  const member = new OneMember({ settings: { concurrency: 2, checkConcurrency: 1 } });
  member.own();
  member.deliver(0, 3);
  member.answerClaim();
  expect(member.started).toEqual([0, 1]);
  const doubting = new OneMember({ settings: { checkConcurrency: 1 } });
  doubting.own();
  doubting.deliver(0, 3);
  doubting.answerClaim(Verdict.doubtful);
  doubting.tick(5);
  doubting.answerDoubts(Verdict.adopted);
  expect(doubting.all("check")).toHaveLength(1);
});

test("R21: checks that an epoch made void give their places back", () => {
  const member = new OneMember({ settings: { checkConcurrency: 1 } });
  member.own();
  member.deliver(0, 1);
  member.answerClaim(Verdict.doubtful);
  member.tick(5);
  const stamp = member.answerDoubts(Verdict.adopted);
  expect(member.ask(0, stamp, true)).toBe("refused");
  expect(member.core.member.state.checking).toBe(0);
});

// --- draining

test("R22: a draining node claims and starts nothing, finishes, commits, leaves, and says that it runs nothing more", () => {
  const member = new OneMember({ settings: { concurrency: 1 } });
  member.own();
  member.deliver(0, 2);
  member.answerClaim();
  member.step({ type: "drain" });
  expect(member.all("pause")).toMatchObject([{ pid: 0 }]);
  member.tick(500);
  expect(member.report.runsNothing).toBe(false);
  expect(member.all("leave-group")).toEqual([]);
  member.end(0, "success");
  member.tick(200);
  if (member.core.member.commits.busy) member.commitDone();
  member.tick(1);
  expect(member.started).toEqual([0]);
  expect(member.all("leave-group")).toHaveLength(1);
  member.step({ type: "revoked" });
  if (member.core.member.commits.busy) member.commitDone();
  member.step({ type: "group-left" });
  member.tick(500);
  member.acknowledge();
  member.tick(500);
  expect(member.report).toMatchObject({ draining: true, runsNothing: true });
});

test("R22: a drained member stays and acknowledges until the set without it is large enough", () => {
  const leader = new OneLeader().activate("m/1");
  leader.own("m/1");
  const drained = { draining: true, runsNothing: true };
  leader.acknowledge("m/1", drained);
  leader.tick(500);
  expect(leader.all("write-in-sync")).toHaveLength(1);
  expect(leader.messagesTo("m/1", "refused")).toEqual([]);
  leader.attach("p/1");
  leader.acknowledge("p/1");
  leader.tick();
  expect(leader.last("write-in-sync").incarnations).toEqual(["L/1", "m/1", "p/1"]);
  leader.setWritten();
  leader.acknowledge("m/1", drained);
  expect(leader.last("write-in-sync").incarnations).toEqual(["L/1", "p/1"]);
  expect(leader.messagesTo("m/1", "refused")).toEqual([]);
  leader.setWritten();
  expect(leader.messagesTo("m/1", "refused").at(-1)!.reason).toBe("drained");
});

test("R22: what the table still gives to a drained member is asked back first", () => {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.own("m/1");
  leader.claim("m/1", claimOf(1, [0]));
  const drained = { draining: true, runsNothing: true };
  leader.acknowledge("m/1", drained);
  expect(leader.all("write-in-sync")).toHaveLength(1);
  expect(leader.question("m/1")).toMatchObject([{ offset: 0, revoke: true }]);
  leader.answer("m/1", "refused");
  leader.acknowledge("n/1");
  leader.acknowledge("m/1", drained);
  leader.tick();
  leader.tick();
  expect(leader.last("write-in-sync").incarnations).toEqual(["L/1", "n/1"]);
});

test("R22: a draining leader first lets another member lead", () => {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.step({ type: "drain" });
  leader.tick(500);
  expect(leader.core.leader).toBeNull();
  expect(leader.last("resign").epoch).toBe(5);
  const last = new OneLeader().activate("m/1");
  last.report("m/1", { draining: true });
  last.step({ type: "drain" });
  last.tick(500);
  expect(last.core.leader).not.toBeNull();
});

test("R22: the clean mark is written only when nothing would be forgotten", () => {
  const cleanMark = (finish: boolean) => {
    const leader = new OneLeader().activate("m/1");
    leader.own("m/1");
    leader.claim("m/1", claimOf(1, [0]));
    leader.report("m/1", { finished: [factsOf(Phase.executed, [0])] });
    if (finish) leader.report("m/1", { commits: [{ pid: 0, ownership: 1, generation: 1, position: 1 }] });
    leader.acknowledgeAll();
    leader.step({ type: "group-left" });
    leader.step({ type: "drain" });
    leader.acknowledge("m/1", { draining: true, runsNothing: true });
    for (let i = 0; i < 4; i++) {
      leader.tick(500);
      leader.acknowledge("m/1", { draining: true, runsNothing: true });
    }
    return leader.last("write-watermarks").clean;
  };
  expect(cleanMark(true)).toBe(true);
  expect(cleanMark(false)).toBe(false); // an executed task above W: a clean start would run it again
});

test("R22: the clean mark waits for what drained members have to give back", () => {
  const leader = new OneLeader().activate("m/1");
  leader.own("m/1");
  leader.claim("m/1", claimOf(1, [0]));
  leader.step({ type: "group-left" });
  const drained = { draining: true, runsNothing: true };
  leader.acknowledge("m/1", drained);
  leader.step({ type: "drain" });
  const writes = leader.all("write-watermarks").length;
  for (let i = 0; i < 4; i++) {
    leader.tick(500);
    leader.acknowledge("m/1", drained);
  }
  expect(leader.all("write-watermarks")).toHaveLength(writes);
  leader.answer("m/1", "refused");
  for (let i = 0; i < 4; i++) {
    leader.acknowledge("m/1", drained);
    leader.tick(100);
  }
  expect(leader.last("write-watermarks").clean).toBe(true);
});

test("R22: drainTimeoutMs ends it", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 1);
  member.answerClaim(); // it never ends
  member.step({ type: "drain" });
  member.tick(29_999);
  expect(member.all("stopped")).toEqual([]);
  member.tick(1);
  expect(member.all("stopped")).toMatchObject([{ clean: false }]);
});

test("R22: a node that was in no cell yet has nobody to wait for", () => {
  const node = new OneCore("a");
  node.step({ type: "session", state: "connected" });
  node.step({ type: "members", members: ["a/1", "b/1"] });
  node.step({ type: "leader", leader: { incarnation: "b/1", epoch: 3 } }); // which refuses the link
  expect(node.all("dial")).toHaveLength(1);
  node.step({ type: "drain" });
  expect(node.all("stopped")).toMatchObject([{ clean: true }]);
});

// --- attempts

test("R23: an attempt that failed is made again under the same grant, after a back-off; the last one is dead", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 1);
  const stamp = member.answerClaim();
  for (const [attempt, waitMs] of [
    [1, 100],
    [2, 200],
  ] as const) {
    expect(member.last("execute")).toMatchObject({ attempts: Uint8Array.of(attempt), stamps: Float64Array.of(stamp) });
    member.end(0, "failure");
    member.tick(waitMs - 1);
    expect(member.started).toHaveLength(attempt);
    member.tick(1);
    expect(member.started).toHaveLength(attempt + 1);
  }
  member.end(0, "failure");
  expect(member.all("set-aside")).toMatchObject([{ kind: "dead", reason: "attempts", attempts: 3 }]);
});

test("R23: dead is final only when the write was acknowledged; a refused write is tried again", () => {
  const member = new OneMember({ topic: { attemptsMax: 1 } });
  member.own();
  member.deliver(0, 1);
  member.answerClaim();
  member.end(0, "failure");
  expect(member.stateOf(0)).toBe(State.writing);
  member.step({ type: "set-aside-result", pid: 0, offset: 0, acknowledged: false });
  expect(member.stateOf(0)).toBe(State.writing);
  member.acknowledge();
  member.tick(1_000);
  expect(member.all("set-aside")).toHaveLength(2);
  member.step({ type: "set-aside-result", pid: 0, offset: 0, acknowledged: true });
  expect(member.stateOf(0)).toBe(State.dead);
  member.tick(5);
  expect(member.reports.flatMap((report) => report.finished).at(-1)!.phase).toBe(Phase.dead);
});

test("R23: an attempt that failed for good is the last one, and dead only when the write was acknowledged", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 1);
  const stamp = member.answerClaim();
  member.end(0, "failedForGood");
  expect(member.stateOf(0)).toBe(State.writing);
  expect(member.last("set-aside")).toMatchObject({ kind: "dead", reason: "failed-for-good", attempts: 1 });
  expect(member.ask(0, stamp, true)).toBe("running");
  member.step({ type: "set-aside-result", pid: 0, offset: 0, acknowledged: true });
  expect(member.stateOf(0)).toBe(State.dead);
  member.tick(60_000);
  expect(member.started).toEqual([0]);
  expect(member.core.ctx.counters).toMatchObject({ failedAttempts: 1 });
});

test("R23: what failed for good after its partition moved is an attempt more for the next owner", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 1);
  const stamp = member.answerClaim();
  member.step({ type: "revoked" });
  member.step({ type: "assigned", generation: 2, partitions: [] });
  member.end(0, "failedForGood");
  expect(member.ask(0, stamp, true)).toBe("refused");
  expect(member.sent("answer").at(-1)!.items[0]!.attempts).toBe(1);
  expect(member.all("set-aside")).toEqual([]);
});

test("R23: between attempts a task is unstarted: it can be revoked, and its attempts go with it", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 1);
  const stamp = member.answerClaim();
  member.end(0, "failure");
  expect(member.ask(0, stamp, true)).toBe("refused");
  expect(member.sent("answer").at(-1)!.items[0]!.attempts).toBe(1);
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.own("m/1");
  leader.claim("m/1", claimOf(1, [0]));
  leader.moveTo("n/1", 2);
  leader.doubt("n/1", doubtsOf(2, [0], inTwo));
  leader.answer("m/1", "refused", { attempts: 2 });
  expect(leader.doubt("n/1", doubtsOf(3, [0], inTwo))).toEqual(["granted"]); // no check: the last run reported failure
  expect([...leader.verdicts("n/1", 3)!.attempts]).toEqual([2]);
  const next = new OneMember();
  next.own();
  next.deliver(0, 1);
  next.answerClaim(Verdict.granted, 2);
  expect([...next.last("execute").attempts]).toEqual([3]);
});

test("R23: a run that ended unknown is never a failure: it is doubted, and counted", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 1);
  member.answerClaim();
  member.end(0, "unknown");
  member.tick(5);
  expect(member.stateOf(0)).toBe(State.doubtful);
  expect([...member.reports.flatMap((report) => report.doubts).at(-1)!.ranUnknown]).toEqual([1]);
  expect(member.core.ctx.counters).toMatchObject({ unknownEnds: 1, failedAttempts: 0 });
});

test("R23: a task whose runs ended unknown unknownMax times is parked as poison", () => {
  const leader = new OneLeader().activate("m/1");
  leader.own("m/1");
  leader.claim("m/1", claimOf(1, [0]));
  let number = 2;
  const ask = () => leader.doubt("m/1", doubtsOf(number++, [0], { ranUnknown: Uint8Array.of(1) }))[0];
  const verdicts = [1, 2, 3].map(() => {
    ask();
    leader.now += 2_000;
    return ask();
  });
  expect(verdicts).toEqual(["adopted", "adopted", "poison"]);
});

test("R23: of tasks whose next run may be the last before poison a node is given one at a time: the next when it ends, or 5 s later", () => {
  const leader = new OneLeader({ settings: { unknownMax: 2 } }).activate("m/1");
  leader.own("m/1");
  leader.claim("m/1", claimOf(1, [0, 1, 2, 3]));
  let number = 2;
  const ask = (offsets: number[], ranUnknown = 0) =>
    leader.doubt("m/1", doubtsOf(number++, offsets, { ranUnknown: new Uint8Array(offsets.length).fill(ranUnknown) }));
  ask([0, 1, 2], 1); // all three ended unknown
  leader.now += 2_000;
  expect(ask([0, 1, 2], 1)).toEqual(["adopted", "wait", "wait"]);
  expect(ask([0])).toEqual(["adopted"]); // the same one again
  leader.report("m/1", { finished: [factsOf(Phase.executed, [0])] });
  expect(leader.messagesTo("m/1", "nudge").at(-1)).toMatchObject({ pids: [0] });
  expect(ask([1, 2])).toEqual(["adopted", "wait"]);
  leader.now += 4_999;
  expect(ask([2])).toEqual(["wait"]);
  leader.now += 1;
  expect(ask([2])).toEqual(["adopted"]);
});

test("R23: only executed lets another record with the same task id be dropped", () => {
  const other = (phase: Phase) => {
    const leader = new OneLeader().activate("m/1");
    leader.own("m/1");
    leader.claim("m/1", claimOf(1, [0], { ids: ["pay-7"] }));
    leader.report("m/1", { finished: [factsOf(phase, [0])] });
    leader.doubt("m/1", doubtsOf(2, [1], { ids: ["pay-7"] }));
    if (leader.question("m/1").length > 0) leader.answer("m/1", "executed", { taskId: "pay-7" });
    return leader.doubt("m/1", doubtsOf(3, [1], { ids: ["pay-7"] }))[0];
  };
  expect(other(Phase.executed)).toBe("executed");
  for (const phase of [Phase.dropped, Phase.dead, Phase.parked]) expect(other(phase)).not.toBe("executed");
});

test("R23: who no longer owns the partition does not write its dead record again", () => {
  const member = new OneMember({ topic: { attemptsMax: 1 } });
  member.own();
  member.deliver(0, 1);
  const stamp = member.answerClaim();
  member.end(0, "failure");
  member.step({ type: "revoked" });
  member.step({ type: "assigned", generation: 2, partitions: [] });
  expect(member.ask(0, stamp, true)).toBe("running"); // the write may still succeed
  member.step({ type: "set-aside-result", pid: 0, offset: 0, acknowledged: false });
  expect(member.ask(0, stamp, true)).toBe("refused");
  member.tick(5_000);
  expect(member.all("set-aside")).toHaveLength(1);
});

test("R23: a start that the runner refused at the last moment was no attempt", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 1);
  member.answerClaim();
  member.end(0, "notStarted");
  expect(member.core.member.state.windows.get(0)!.attempts[0]).toBe(0);
  expect(member.stateOf(0)).toBe(State.asked);
});

// --- the leader schedules

test("R24: claims of a group generation below the owner's are refused", () => {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.own("m/1");
  leader.moveTo("n/1", 2);
  expect(leader.claim("m/1", claimOf(1, [0]))).toEqual(["refused"]);
  expect(leader.doubt("m/1", doubtsOf(2, [0]))).toEqual(["refused"]);
  expect(leader.claim("m/1", claimOf(3, [0], { generation: 2 }))).toEqual(["refused"]); // not its owner
  expect(leader.claim("n/1", claimOf(4, [0], inTwo))).toEqual(["granted"]);
  leader.own("m/1"); // late: of the old generation
  expect(leader.claim("n/1", claimOf(5, [1], inTwo))).toEqual(["granted"]);
});

test("R24: the status shows where each node stands", () => {
  const leader = new OneLeader().activate("m/1");
  const row = { pid: 0, generation: 1, delivered: 9, claimed: 8, executed: 7, committed: 6 };
  leader.say("m/1", reportOf(leader.epoch, 50, { progress: [row] }));
  const status = leader.core.status(leader.now).leaderStatus!;
  expect(status.peers.find((peer) => peer.incarnation === "m/1")!.progress).toEqual([row]);
});

test("R24: a member tells how far it has come", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 5);
  member.answerClaim();
  member.end(0, "success");
  member.tick(500);
  expect(member.reports.flatMap((report) => report.progress).at(-1)).toEqual({
    pid: 0,
    generation: 1,
    delivered: 5,
    claimed: 5,
    executed: 1,
    committed: 0,
  });
  expect(listOf(member.reports.flatMap((report) => report.claims).at(-1)!.offsets)).toHaveLength(5);
});

test("R23: in a cell the third unknown end parks the task, and the partition goes on", () => {
  const cell = runningCell();
  cell.handler = (run) => ({ ms: 20, outcome: run.offset === 3 ? "unknown" : "success" });
  cell.check = () => "not-executed";
  cell.produceMany(0, 10);
  cell.drain();
  expect(cell.runsOf(0, 3)).toHaveLength(3);
  expect(cell.setAside).toEqual([{ kind: "parked", partition: 0, offset: 3, reason: "poison" }]);
});
