/** Joining, leaving and following: interleavings that a review of the rules found. */
import { expect, test } from "bun:test";
import { Phase, type StateChunkMessage, Verdict } from "../../src/core/messages.ts";
import { OneLeader } from "../core/one-leader.ts";
import { OneMember } from "../core/one-member.ts";
import { claimOf, factsOf } from "../core/support.ts";
import { Cell } from "../support/cell.ts";

test("R3: a member of the set that cannot resume is synchronised without losing what it has, and may claim again", () => {
  const leader = new OneLeader({ settings: { deltaLogMax: 2 } }).activate("A/1", "B/1");
  leader.own("A/1");
  leader.own("B/1", { pid: 1 });
  leader.claim("B/1", claimOf(1, [0], { pid: 1 }));
  const { seq } = leader.leader.state;
  leader.detach("A/1");
  for (let n = 1; n < 6; n++) leader.report("B/1", { claims: [claimOf(1 + n, [n], { pid: 1 })] });
  leader.attach("A/1", { appliedEpoch: leader.epoch, appliedSeq: seq });
  expect(leader.messagesTo("A/1", "state-chunk").at(0)).toMatchObject({ first: true, replace: false });
  expect(leader.messagesTo("A/1", "admitted")).toHaveLength(0);
  leader.acknowledge("A/1");
  expect(leader.messagesTo("A/1", "admitted")).toHaveLength(1);
  leader.own("A/1");
  expect(leader.claim("A/1", claimOf(2, [50]))).toEqual(["granted"]);
});

test("R3: who was evicted and comes back with the leader's own state goes on from there", () => {
  const leader = new OneLeader().activate("A/1", "B/1");
  leader.own("A/1");
  leader.detach("A/1");
  leader.acknowledgeAll();
  for (let i = 0; i < 8; i++) {
    leader.tick(500);
    leader.acknowledge("B/1");
  }
  leader.setWritten();
  expect(leader.leader.state.inSync).not.toContain("A/1");
  const before = leader.all("write-in-sync").length;
  leader.attach("A/1", { appliedEpoch: leader.epoch, appliedSeq: leader.leader.state.seq });
  expect(leader.messagesTo("A/1", "welcome").at(-1)).toMatchObject({ member: false });
  expect(leader.messagesTo("A/1", "state-chunk")).toEqual([]);
  leader.acknowledge("A/1");
  leader.tick();
  expect(leader.all("write-in-sync").length).toBe(before + 1);
  leader.setWritten();
  expect(leader.messagesTo("A/1", "admitted")).toHaveLength(1);
});

test("R3: the set never holds a member whose state is being replaced", () => {
  const cell = new Cell({ partitions: 1, nodes: ["a", "b", "c"] });
  cell.until("all in sync", () => cell.inSync.incarnations.length === 3);
  cell.produceMany(0, 20);
  cell.drain();
  const away = [...cell.nodes.values()].find((node) => node !== cell.activeLeader())!;
  cell.cutPeers(away.name);
  cell.until("evicted", () => !cell.inSync.incarnations.includes(away.incarnation));
  cell.advance(500);
  cell.latencyMs = (_, __, message) => (message.kind === "state-chunk" && message.last ? 300 : 1);
  cell.healPeers(away.name);
  cell.until("back", () => {
    const back = cell.inSync.incarnations.includes(away.incarnation);
    if (back) expect(away.core.replica.appliedEpoch).toBe(cell.epoch);
    return back;
  });
});

test("R5: whose state was cleared acknowledges nothing of it any more", () => {
  const member = new OneMember();
  const chunk: StateChunkMessage = {
    kind: "state-chunk",
    epoch: 1,
    purpose: "sync",
    first: true,
    last: true,
    replace: true,
    seq: 7,
    watermarks: [],
    rows: [],
    generations: [],
    segments: [],
  };
  member.say(chunk);
  expect(member.report).toMatchObject({ appliedEpoch: 1, appliedSeq: 7 });
  member.say({ ...chunk, last: false });
  member.tick(500);
  expect(member.report).toMatchObject({ appliedEpoch: 0, appliedSeq: 0 });
});

test("R4: what a second round of merging adds is pushed to those who had the first push", () => {
  const leader = new OneLeader({ inSync: ["m/1", "n/1"] });
  leader.members("m/1"); // n has no session now
  leader.attach("m/1", { appliedEpoch: 4, appliedSeq: 3 });
  leader.tick();
  leader.tellState("m/1", { entries: [[0, Phase.executed, "z/1"]] });
  leader.tick();
  leader.acknowledge("m/1");
  leader.tick();
  leader.marked();
  expect(leader.last("write-in-sync").incarnations).toEqual(["L/1", "m/1"]);
  leader.members("m/1", "n/1");
  leader.attach("n/1", { appliedEpoch: 4, appliedSeq: 3 });
  leader.setWritten("unknown");
  leader.step({ type: "in-sync-read", epoch: leader.epoch, inSync: { incarnations: ["m/1", "n/1"], version: 1 } });
  const before = leader.messagesTo("m/1", "state-chunk").length;
  leader.tellState("n/1", { entries: [[1, Phase.granted, "z/1"]] });
  leader.tick();
  const again = leader.messagesTo("m/1", "state-chunk").slice(before);
  expect(again.flatMap(({ rows }) => rows.flatMap(({ offsets }) => [...offsets]))).toEqual([0, 1]);
  // What m says of the first push does not count as an answer to this one.
  leader.report("m/1", { appliedEpoch: leader.epoch, appliedSeq: 0 });
  leader.acknowledge("n/1");
  leader.tick();
  expect(leader.all("write-watermarks")).toHaveLength(1);
  leader.acknowledge("m/1");
  leader.tick();
  leader.marked();
  leader.setWritten();
  expect(leader.leader.state.active).toBe(true);
  leader.own("m/1");
  expect(leader.claim("m/1", claimOf(1, [5]))).toEqual(["granted"]);
});

test("R22: a node that does not drain is not stopped by a leader that does", () => {
  const member = new OneMember();
  member.say({ kind: "refused", epoch: member.epoch, reason: "drained" });
  expect(member.all("stopped")).toEqual([]);
  member.step({ type: "leader", leader: null });
  expect(member.core.role).not.toBe("stopped");
});

test("R22: a drained node goes when its facts are replicated, not before", () => {
  const leader = new OneLeader().activate("A/1", "B/1", "C/1");
  leader.own("A/1");
  leader.claim("A/1", claimOf(1, [0, 1]));
  leader.own("B/1", { generation: 2 });
  const last = {
    finished: [factsOf(Phase.executed, [0, 1])],
    draining: true,
    runsNothing: true,
  };
  leader.report("A/1", { appliedEpoch: leader.epoch, appliedSeq: leader.leader.state.seq, ...last });
  leader.tick(20);
  expect(leader.writeOutstanding).toBe(false);
  leader.acknowledge("A/1", { draining: true, runsNothing: true });
  leader.acknowledge("B/1");
  leader.tick(20);
  expect(leader.writeOutstanding).toBe(false); // C has not acknowledged
  leader.acknowledge("C/1");
  leader.tick(20);
  leader.tick(20);
  expect(leader.last("write-in-sync").incarnations).not.toContain("A/1");
  leader.setWritten();
  expect(leader.messagesTo("A/1", "refused").at(-1)?.reason).toBe("drained");
});

test("R15: what the clean mark says is known before anything else happens; it is written again, not at once", () => {
  const leader = new OneLeader().activate("A/1");
  const drained = { draining: true, runsNothing: true };
  leader.step({ type: "drain" });
  leader.step({ type: "group-left" });
  leader.acknowledge("A/1", drained);
  leader.tick(600);
  leader.acknowledge("A/1", drained);
  leader.tick(20);
  expect(leader.last("write-watermarks").clean).toBe(true);
  const marks = leader.all("write-watermarks").length;
  leader.step({ type: "watermarks-written", epoch: leader.epoch, outcome: "unknown" });
  leader.tick(20);
  expect(leader.all("write-watermarks")).toHaveLength(marks);
  leader.tick(300);
  expect(leader.all("write-watermarks")).toHaveLength(marks + 1);
  leader.marked();
  expect(leader.last("stopped").clean).toBe(true);
});

test("R15: a partition whose takeover was refused holds up no task id after an election", () => {
  const cell = new Cell({ partitions: 2, nodes: ["a", "b", "c", "d"] });
  cell.committed[1] = 5; // the group was somebody else's
  cell.metadata[1] = "";
  cell.produceMany(1, 10);
  cell.until("all in sync", () => cell.inSync.incarnations.length === 4);
  cell.advance(2_000);
  cell.crash(cell.activeLeader()!.name);
  cell.until("another leads", () => cell.activeLeader() !== null);
  for (let i = 0; i < 5; i++) cell.produce(0, `id${i}`);
  cell.until("partition 0 is done", () => cell.committed[0] === 5, 30_000);
});

test("R23: an unknown run counts once, however often its adoption is given anew", () => {
  const member = new OneMember({ topic: { hasCheck: true } });
  member.own();
  member.deliver(0, 1);
  member.answerClaim(Verdict.granted);
  member.end(0, "unknown");
  member.claim();
  const pages = () => member.reports.flatMap(({ doubts }) => doubts);
  expect([...pages().at(-1)!.ranUnknown]).toEqual([1]);
  member.answerDoubts(Verdict.adopted);
  member.step({ type: "clock-jump" }); // the lease is over
  member.tick(500);
  member.acknowledge();
  member.claim();
  expect([...pages().at(-1)!.ranUnknown]).toEqual([0]);
});

test("R10: a check answers only the adoption for which it was asked, also when sequences of two epochs are equal", () => {
  const member = new OneMember({ topic: { hasCheck: true } });
  member.own();
  member.deliver(0, 1);
  member.answerClaim(Verdict.doubtful);
  member.claim();
  const stamp = member.answerDoubts(Verdict.adopted);
  const first = member.last("check");
  member.epoch = 2;
  member.say({ kind: "welcome", epoch: 2, active: true, resumeSeq: 0, member: true });
  member.claim(); // a commit shows that it still owns the partition; then it reports it
  member.inform();
  member.claim();
  const page = member.reports.flatMap(({ doubts }) => doubts).at(-1)!;
  member.say({
    kind: "verdicts",
    epoch: 2,
    batches: [
      {
        number: page.number,
        pid: 0,
        ownership: page.ownership,
        attempts: new Uint8Array(0),
        conflicts: new Float64Array(0),
        results: Uint8Array.of(Verdict.adopted),
        stamps: Float64Array.of(stamp),
      },
    ],
  });
  expect(member.all("check")).toHaveLength(2);
  const { pid, offset, epoch } = first;
  member.step({ type: "check-result", pid, offset, epoch, stamp, answer: "not-executed" });
  expect(member.started).toEqual([]);
  member.step({ type: "check-result", pid, offset, epoch: member.epoch, stamp, answer: "not-executed" });
  expect(member.started).toEqual([0]);
});

test("R4: an activation does not wait for a node that fell silent with its link up, when enough others answer", () => {
  const leader = new OneLeader({ inSync: ["m/1"] });
  leader.members("m/1", "n/1");
  leader.attach("m/1", { appliedEpoch: 4, appliedSeq: 3 });
  leader.attach("n/1");
  leader.tick();
  leader.tellState("m/1");
  leader.tick();
  for (let i = 0; i < 7; i++) {
    leader.acknowledge("m/1");
    leader.tick(500);
  }
  leader.marked();
  expect(leader.last("write-in-sync").incarnations).toEqual(["L/1", "m/1"]);
});

test("R24: only the generation of an owner that is connected counts: a group that began anew is not refused for ever", () => {
  const leader = new OneLeader().activate("A/1", "B/1", "C/1");
  leader.own("A/1", { generation: 7 });
  leader.own("B/1", { generation: 1 });
  expect(leader.messagesTo("B/1", "partitions")).toEqual([]); // A is here and has the higher one
  leader.detach("A/1");
  leader.acknowledgeAll();
  leader.tick(400);
  leader.own("B/1", { generation: 1 });
  leader.setWritten(); // the set without A
  leader.acknowledgeAll();
  expect(leader.messagesTo("B/1", "partitions")).toHaveLength(1);
  expect(leader.claim("B/1", claimOf(1, [0], { generation: 1 }))).toEqual(["granted"]);
});
