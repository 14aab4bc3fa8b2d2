import { expect, test } from "bun:test";
import { Phase } from "../../src/core/messages.ts";
import { OneLeader } from "./one-leader.ts";
import { metadataOf, OneMember } from "./one-member.ts";
import { claimOf, listOf, reportOf } from "./support.ts";

test("R1: a message of a lower epoch is refused with mine", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 1);
  member.say({ kind: "nudge", epoch: 3, pids: [] });
  expect(member.core.epoch).toBe(3);
  member.answerClaim(); // of epoch 1
  expect(member.sent("refused").at(-1)).toEqual({ kind: "refused", epoch: 3, reason: "stale-epoch" });
  expect(member.started).toEqual([]);
});

test("R1: the next epoch is sought above every epoch that this node heard of", () => {
  const member = new OneMember();
  member.say({ kind: "nudge", epoch: 9, pids: [] });
  member.step({ type: "leader", leader: null });
  member.step({ type: "in-sync-read", epoch: 0, inSync: { incarnations: [], version: 1 } });
  member.tick(1_000);
  expect(member.last("compete").highestKnownEpoch).toBe(9);
});

test("R1: an epoch in which this cell committed is one that was: tokens rise over a coordinator that was put back", () => {
  const assigned = (metadata: string): OneMember => {
    const member = new OneMember();
    const partition = { pid: 0, committed: 5, metadata, logStart: 0, logEnd: 10 };
    member.step({ type: "assigned", generation: 1, partitions: [partition] });
    return member;
  };
  const member = assigned(metadataOf({ ceiling: 9, epoch: 41 }));
  member.tick(500);
  expect(member.report.epoch).toBe(41); // which deposes the leader of epoch 1
  member.step({ type: "leader", leader: null });
  member.step({ type: "in-sync-read", epoch: 0, inSync: { incarnations: [], version: 1 } });
  member.tick(1_000);
  expect(member.last("compete").highestKnownEpoch).toBe(41);
  // Another cell's commits, a text that is none of ours, and a number that cannot be an epoch say nothing.
  const others = [{ clusterUuid: "other", epoch: 41 }, { epoch: 2 ** 40 }].map((more) =>
    metadataOf({ ceiling: 9, ...more }),
  );
  for (const metadata of [...others, "41"]) expect(assigned(metadata).core.epoch).toBe(1);
});

test("R1: what an old leader was told is told again to the next one", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 2);
  member.answerClaim();
  member.end(0, "success");
  member.tick(500);
  expect(member.report.finished.length + member.reports.at(-2)!.finished.length).toBe(1);
  member.say({ kind: "refused", epoch: 4, reason: "stale-epoch" });
  member.step({ type: "disconnected", connection: member.connection });
  member.epoch = 4;
  member.connection = 2;
  member.tick(1_000);
  member.connect();
  const facts = member.reports.filter((report) => report.epoch === 4).flatMap((report) => report.finished);
  expect(facts.map(({ phase, offsets }) => [phase, listOf(offsets)])).toEqual([
    [Phase.executed, [0]],
    [Phase.executing, [1]],
  ]);
  expect(facts.every(({ hashes }) => hashes.length === 2)).toBe(true);
});

test("R2: a message for another incarnation is refused", () => {
  const member = new OneMember();
  member.say({ kind: "nudge", epoch: 8, pids: [] }, "node/0");
  expect(member.core.epoch).toBe(1);
  expect(member.sent("refused")).toEqual([{ kind: "refused", epoch: 1, reason: "wrong-incarnation" }]);
});

test("R1: a leader that hears of a higher epoch deposes itself at once and drops what was pending", () => {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.own("m/1");
  leader.report("m/1", { claims: [claimOf(1, [0])] });
  leader.say("n/1", reportOf(9, 50));
  expect(leader.core.leader).toBeNull();
  expect(leader.core.epoch).toBe(9);
  leader.say("m/1", reportOf(5, 51, { appliedEpoch: 5, appliedSeq: 100 }));
  expect(leader.verdicts("m/1", 1)).toBeUndefined();
  expect(leader.messagesTo("n/1", "refused").at(-1)!.epoch).toBe(9);
});

test("R1: a report of a lower epoch is refused, not acknowledged", () => {
  const leader = new OneLeader().activate("m/1", "n/1");
  const before = leader.messagesTo("m/1", "ack").length;
  leader.say("m/1", reportOf(4, 50));
  expect(leader.messagesTo("m/1", "refused")).toEqual([{ kind: "refused", epoch: 5, reason: "stale-epoch" }]);
  expect(leader.messagesTo("m/1", "ack")).toHaveLength(before);
});

test("R1: an election won for an epoch that is over is given back", () => {
  const member = new OneMember();
  member.say({ kind: "nudge", epoch: 9, pids: [] });
  member.step({
    type: "election",
    outcome: "won",
    epoch: 8,
    inSync: { incarnations: [], version: 1 },
    watermarks: { clean: false, written: false, partitions: [] },
  });
  expect(member.core.leader).toBeNull();
  expect(member.last("resign").epoch).toBe(8);
});

test("R2: a restarted node is another member; its first life's place goes to the second in the same write", () => {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.own("m/1");
  expect(leader.claim("m/1", claimOf(1, [0]))).toEqual(["granted"]);
  leader.detach("m/1");
  leader.attach("m/2");
  expect(leader.messagesTo("m/2", "welcome").at(-1)!.member).toBe(false);
  leader.acknowledge("m/2");
  leader.tick();
  expect(leader.last("write-in-sync").incarnations.toSorted()).toEqual(["L/1", "m/2", "n/1"]);
  leader.setWritten();
  // What the first life holds is not the second's: it may still run.
  leader.own("m/2", { ownership: 1, generation: 2, hadCommit: true, ours: true, from: 0 });
  expect(leader.claim("m/2", claimOf(2, [0], { generation: 2 }))).toEqual(["doubtful"]);
});
