/** Histories after which a node or a partition stood still although nobody was at fault any more (V3). */
import { expect, test } from "bun:test";
import { Verdict } from "../../src/core/messages.ts";
import { Cell } from "../support/cell.ts";
import { metadataOf, OneMember } from "../core/one-member.ts";

test("R16: members that left the group while their links stayed join it again", () => {
  const cell = new Cell({ partitions: 3 });
  cell.until("all in the group", () => [...cell.nodes.values()].every((node) => node.inGroup));
  cell.until("all in sync", () => cell.inSync.incarnations.length === 3);
  const { epoch } = cell;
  cell.coordinatorDown = true; // the leader's own time ends, so that it answers no report (R17)
  cell.until("all isolated", () => [...cell.nodes.values()].every((node) => !node.inGroup), 30_000);
  cell.coordinatorDown = false;
  for (let partition = 0; partition < 3; partition++) cell.produceMany(partition, 10);
  cell.drain(30_000);
  cell.verifyOnce();
  expect(cell.epoch).toBe(epoch);
});

test("R17: reports that were never answered do not count as under way for ever", () => {
  const member = new OneMember();
  member.own();
  for (let i = 0; i < 8; i++) member.tick(500);
  expect(member.core.member.state.lease.inFlight).toBeGreaterThan(4);
  member.say({ kind: "ack", epoch: member.epoch, number: member.report.number, leaseMs: 3_000 });
  member.tick(20);
  expect(member.core.member.state.lease.inFlight).toBeLessThan(2);
});

test("R17: what a leader past its own time took nothing from is said again", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 2);
  member.answerClaim(Verdict.granted);
  const claims = member.reports.length;
  // Partition report, fact, claim and commit note go out in reports that are never answered.
  member.end(0, "success");
  member.deliver(2, 1, [], { claim: false });
  for (let i = 0; i < 8; i++) {
    member.tick(500);
    if (member.core.member.commits.busy) member.commitDone();
  }
  const before = member.reports.length;
  expect(member.reports.slice(claims).flatMap(({ finished }) => finished)).not.toEqual([]);
  member.say({ kind: "ack", epoch: member.epoch, number: member.report.number, leaseMs: 3_000 });
  for (let i = 0; i < 4; i++) {
    member.tick(20);
    member.acknowledge();
  }
  const again = member.reports.slice(before);
  expect(again.flatMap(({ finished }) => finished.map(({ offsets }) => offsets.base))).toContain(0);
  expect(again.flatMap(({ commits }) => commits.map(({ position }) => position))).toContain(1);
  expect(again.flatMap(({ doubts }) => doubts.map(({ offsets }) => offsets.base))).toContain(2);
});

test("R15: a partition report that a leader past its own time did not take is sent again", () => {
  const member = new OneMember();
  member.step({
    type: "assigned",
    generation: 1,
    partitions: [{ pid: 0, committed: null, metadata: "", logStart: 0, logEnd: 10 }],
  });
  member.tick();
  const first = member.reports.length;
  expect(member.reports.flatMap(({ partitions }) => partitions)).toHaveLength(1);
  member.tick(4_000);
  member.say({ kind: "ack", epoch: member.epoch, number: member.report.number, leaseMs: 3_000 });
  member.tick(20);
  expect(member.reports.slice(first).flatMap(({ partitions }) => partitions)).toHaveLength(1);
});

test("R14: a refusal that comes after the next join ends nothing in the new generation", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 3);
  member.answerClaim(Verdict.granted);
  member.end(0, "success");
  member.tick(200);
  expect(member.core.member.commits.busy).toBe(true);
  const { number } = member.last("commit");
  member.group++;
  member.step({
    type: "assigned",
    generation: member.group,
    partitions: [{ pid: 0, committed: 0, metadata: metadataOf({ ceiling: 1_000 }), logStart: 0, logEnd: 1_000 }],
  });
  member.step({ type: "commit-result", number, outcome: "refused", reason: "ILLEGAL_GENERATION" });
  member.tick(200);
  member.acknowledge();
  member.inform();
  member.tick(200);
  expect(member.last("commit").generation).toBe(member.group);
  expect(member.core.member.commits.busy).toBe(true);
});

test("R14: records of an older leader epoch above the committed position are not a truncation", () => {
  const member = new OneMember();
  member.own({ metadata: metadataOf({ ceiling: 0 }), committed: 0 });
  member.deliver(0, 2, [], { leaderEpoch: 4 });
  member.deliver(2, 2, [], { leaderEpoch: 5 });
  member.answerClaim(Verdict.granted);
  member.tick(200);
  member.commitDone();
  const { metadata, position } = member.last("commit").commits[0]!;
  expect(position).toBe(0); // the next owner fetches offset 0 of epoch 4
  const next = new OneMember();
  next.own({ metadata, committed: position });
  next.deliver(0, 2, [], { leaderEpoch: 4 });
  expect(next.all("alarm")).toEqual([]);
  expect(next.reports.flatMap(({ claims }) => claims)).toHaveLength(1);
});

test("E18: a partition of a replaced topic stands still from its assignment on: the leader hears nothing of it, nothing is committed", () => {
  const member = new OneMember();
  const partition = { pid: 0, committed: null, metadata: "", logStart: 0, logEnd: 9 };
  member.step({ type: "assigned", generation: 1, partitions: [{ ...partition, replaced: "another topic" }] });
  expect(member.last("positions").partitions[0]).toMatchObject({ position: 0, paused: true });
  expect(member.last("alarm")).toMatchObject({ code: "truncated", message: expect.stringContaining("another topic") });
  for (let i = 0; i < 20; i++) {
    member.tick(100);
    member.acknowledge();
  }
  member.deliver(0, 2, [], { claim: false });
  expect(member.reports.flatMap(({ partitions }) => partitions)).toEqual([]);
  expect(member.all("commit")).toEqual([]);
});

test("R14: a commit above the rise carries the higher epoch, and an older record stops the next owner", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 2, [], { leaderEpoch: 4 });
  member.answerClaim(Verdict.granted);
  member.deliver(2, 2, [], { leaderEpoch: 5 });
  member.answerClaim(Verdict.granted);
  for (const offset of [0, 1, 2]) member.end(offset, "success");
  member.tick(200);
  const { metadata, position } = member.last("commit").commits[0]!;
  expect(position).toBe(3);
  const next = new OneMember();
  next.own({ metadata, committed: position });
  next.deliver(3, 1, [], { leaderEpoch: 4 });
  expect(next.all("alarm").map(({ code }) => code)).toEqual(["truncated"]);
});

test("R15: a bitmap whose commit ended unknown is committed again, though nothing else happened", () => {
  const member = new OneMember();
  member.own();
  member.deliver(0, 3);
  member.answerClaim(Verdict.granted);
  member.end(1, "success"); // 0 still runs
  member.tick(200);
  member.commitDone("unknown");
  const before = member.all("commit").length;
  member.tick(200);
  expect(member.all("commit")).toHaveLength(before + 1);
  member.commitDone();
  member.tick(200);
  expect(member.all("commit")).toHaveLength(before + 1);
});

test("R6: who waits longest is asked first, so that doubts told to wait keep nobody from being asked", () => {
  const member = new OneMember({ settings: { doubtPageMax: 2, reportsInFlightMax: 1 } });
  member.own();
  member.deliver(0, 4);
  member.answerClaim(Verdict.doubtful);
  const pages = () => member.reports.flatMap(({ doubts }) => doubts.map(({ offsets }) => offsets.base));
  for (let i = 0; pages().length === 0 && i < 10; i++) {
    member.acknowledge();
    member.tick(2);
  }
  member.answerDoubts(Verdict.wait);
  expect(pages()).toEqual([0]);
  member.tick(300); // those are due again before the leader had time for the next report
  member.acknowledge();
  expect(pages()).toEqual([0, 2]);
});
