import { expect, test } from "bun:test";
import { OTHER_CELLS, Phase } from "../../src/core/messages.ts";
import { State } from "../../src/core/member/window.ts";
import { OneLeader } from "./one-leader.ts";
import { OneMember } from "./one-member.ts";
import { claimOf, factsOf, partitionReportOf, runningCell } from "./support.ts";

function infoOf(leader: OneLeader, name: string) {
  return leader.messagesTo(name, "partitions").at(-1)?.partitions[0];
}

test("R7: a first start begins at the position: from and W, replicated before they are told", () => {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.report("m/1", { partitions: [partitionReportOf({ position: 40 })] });
  expect(infoOf(leader, "m/1")).toBeUndefined();
  leader.acknowledgeAll();
  expect(infoOf(leader, "m/1")).toMatchObject({ from: 40, watermark: 40, stop: "" });
  leader.anchor("m/1", partitionReportOf({ position: 40 }));
  leader.marked();
  expect(leader.claim("m/1", claimOf(1, [39, 40]))).toEqual(["refused", "granted"]); // below from nothing is known
});

test("R7: a group that was somebody else's is taken over only when that is asked for", () => {
  const report = { partitions: [partitionReportOf({ position: 40, hadCommit: true })] };
  const refusing = new OneLeader().activate("m/1");
  refusing.report("m/1", report);
  refusing.acknowledgeAll();
  expect(infoOf(refusing, "m/1")!.stop).toContain("takeover refused");
  const taking = new OneLeader({ settings: { startAt: "committed" } }).activate("m/1");
  taking.report("m/1", report);
  taking.acknowledgeAll();
  expect(infoOf(taking, "m/1")).toMatchObject({ from: 40, stop: "" });
});

test("R7: what another cell of ours committed is taken over by nobody, also when that is asked for: its doubts would be lost", () => {
  const leader = new OneLeader({ settings: { startAt: "committed" } }).activate("m/1");
  leader.report("m/1", { partitions: [partitionReportOf({ position: 40, hadCommit: true, from: OTHER_CELLS })] });
  leader.acknowledgeAll();
  expect(infoOf(leader, "m/1")!.stop).toStartWith("takeover refused: committed offset 40 is another cell's");
});

test("R7: a foreign commit ahead of W begins the partition anew once every held entry has ended", () => {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.own("m/1");
  leader.claim("m/1", claimOf(1, [0, 60]));
  leader.report("m/1", { finished: [factsOf(Phase.executed, [60])] });
  const told = leader.messagesTo("n/1", "partitions").length;
  leader.own("n/1", { generation: 2, ownership: 2, position: 50, hadCommit: true });
  expect(leader.messagesTo("n/1", "partitions")).toHaveLength(told); // offset 0 is held by m
  expect(leader.last("alarm").code).toBe("foreign-commit");
  leader.report("m/1", { finished: [factsOf(Phase.executed, [0])] });
  leader.acknowledgeAll();
  expect(infoOf(leader, "n/1")).toMatchObject({ from: 50, watermark: 50, stop: "" });
  expect(leader.last("alarm").message).toContain("50 offsets were skipped");
  // Above the new beginning T knows what it knew.
  expect(leader.entry(60)).toMatchObject({ phase: Phase.executed, holder: "m/1" });
  expect(leader.claim("n/1", claimOf(2, [60], { generation: 2, ownership: 2 }))).toEqual(["doubtful"]);
});

test("R7: a position below from stops the partition with an alarm", () => {
  const leader = new OneLeader().activate("m/1");
  leader.own("m/1", { position: 40 });
  leader.own("m/1", { position: 39, generation: 2, hadCommit: true, ours: true, from: 40 });
  expect(infoOf(leader, "m/1")!.stop).toContain("start a new dedup epoch");
  const member = new OneMember();
  member.own({ info: { stop: infoOf(leader, "m/1")!.stop }, anchor: false });
  expect(member.last("alarm").code).toBe("position-below-from");
  member.deliver(0, 1);
  expect(member.core.member.state.windows.get(0)!.held).toBe(0);
});

test("R7: a new owner raises W only from our own commit of the same from", () => {
  const raised = (report: Parameters<typeof partitionReportOf>[0]) => {
    const leader = new OneLeader().activate("m/1", "n/1");
    leader.own("m/1", { position: 10 });
    leader.claim("m/1", claimOf(1, [10])); // held: a jump would wait
    leader.own("n/1", { generation: 2, ownership: 2, position: 30, hadCommit: true, ...report });
    return leader.core.replica.table.partition(0).watermark;
  };
  expect(raised({ ours: true, from: 10 })).toBe(30);
  expect(raised({ ours: true, from: 9 })).toBe(10); // of another beginning
  expect(raised({ ours: false })).toBe(10);
});

test("R7: W rises by acknowledged commits only, never falls, and is told when it is replicated", () => {
  const leader = new OneLeader().activate("m/1", "n/1");
  leader.own("m/1");
  const note = (position: number) =>
    leader.acknowledge("m/1", { commits: [{ pid: 0, ownership: 1, generation: 1, position }] });
  note(9);
  note(4);
  leader.acknowledgeAll();
  expect(leader.core.replica.table.partition(0).watermark).toBe(9);
  expect(leader.messagesTo("n/1", "watermarks").flatMap(({ rows }) => rows)).toEqual([
    { pid: 0, from: 0, watermark: 9 },
  ]);
});

test("R7: what is fetched again below W is dropped, and nothing above it", () => {
  const member = new OneMember();
  member.own({ info: { watermark: 3, top: 3 } });
  member.deliver(0, 6);
  const states = [0, 2, 3, 5].map((offset) => member.stateOf(offset));
  expect(states).toEqual([State.dropped, State.dropped, State.asked, State.asked]);
  expect(member.all("commit").flatMap(({ commits }) => commits.map(({ position }) => position))).not.toContain(6);
  expect(member.core.member.state.windows.get(0)!.committable).toBe(3);
});

test("R7: offsets that the group lost and finds again run nothing twice", () => {
  const cell = runningCell();
  cell.produceMany(0, 100);
  cell.drain();
  cell.advance(1_000);
  cell.rebalance();
  cell.advance(1);
  cell.committed[0] = 20; // a stale commit went backwards (E8), before the new owner reads it
  cell.produceMany(0, 30);
  cell.advance(500);
  cell.drain();
  cell.verifyOnce();
  expect(cell.settled()["committed"]).toBe(80);
  expect(cell.runs).toHaveLength(130);
  expect(cell.checks).toEqual([]);
});
