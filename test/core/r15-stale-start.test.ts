import { expect, test } from "bun:test";
import { metadataOf, OneMember } from "./one-member.ts";
import { runningCell } from "./support.ts";

/** A join of the group as the task log tells it: the barrier before, and what the group had committed after it. */
function joins(member: OneMember, committed: number | null, metadata = ""): void {
  member.step({ type: "revoked" });
  member.step({
    type: "assigned",
    generation: ++member.group,
    partitions: [{ pid: 0, committed, metadata, logStart: 0, logEnd: 50 }],
  });
}

function elects(member: OneMember): void {
  member.epoch++;
  member.say({ kind: "admitted", epoch: member.epoch });
  member.tick();
}

function told(member: OneMember) {
  return member.reports.filter(({ epoch }) => epoch === member.epoch).flatMap((report) => report.partitions);
}

test("R15: that nothing was committed is told only to the leader in whose epoch it was read; else the group is joined anew", () => {
  const member = new OneMember();
  joins(member, null);
  member.tick();
  expect(told(member)).toHaveLength(1);
  elects(member); // before an anchor: another node may have begun the partition since
  expect(told(member)).toEqual([]);
  expect(member.all("leave-group")).toHaveLength(1);
  member.step({ type: "group-left" });
  member.acknowledge();
  member.tick(600);
  expect(member.all("join-group")).toHaveLength(2);
  joins(member, 3, metadataOf({ ceiling: 9 }));
  member.acknowledge();
  member.tick(600);
  expect(told(member)).toMatchObject([{ ours: true, ceiling: 9 }]);
});

test("R15: an owner with an anchor shows by a commit that it still owns the partition, and stays in the group", () => {
  const member = new OneMember();
  member.own();
  elects(member);
  member.commitDone();
  member.tick(600);
  expect(told(member)).toHaveLength(1);
  expect(member.all("leave-group")).toEqual([]);
});

test("R15: what was read in a join that began before the election is not newer than the election", () => {
  const member = new OneMember();
  member.step({ type: "revoked" });
  elects(member);
  const partitions = [{ pid: 0, committed: 3, metadata: metadataOf({ ceiling: 9 }), logStart: 0, logEnd: 50 }];
  member.step({ type: "assigned", generation: ++member.group, partitions });
  member.tick();
  expect(told(member)).toEqual([]);
  member.commitDone();
  member.tick(600);
  expect(told(member)).toMatchObject([{ ceiling: 9 }]);
});

test("R15: a partition that stands still because it is another's does not make its node leave the group", () => {
  const member = new OneMember();
  joins(member, 3);
  member.tick();
  member.inform({ stop: "takeover refused: the group has committed offset 3, which is not Vouch's" });
  elects(member);
  expect(told(member)).toHaveLength(1);
  expect(member.all("leave-group")).toEqual([]);
});

test("R15: a node that never heard that its partition was begun by another does not make the next leader forget it", () => {
  const cell = runningCell({ partitions: 1, nodes: ["a", "b", "c"] });
  cell.until("all in sync", () => cell.inSync.incarnations.length === 3);
  const stale = [...cell.nodes.values()].find((node) => node !== cell.activeLeader())!.name;
  const others = ["a", "b", "c"].filter((name) => name !== stale);
  cell.dropMessage = (_from, _to, message) => message.kind === "report" && message.partitions.length > 0;
  cell.move(0, stale);
  cell.until("it owns the partition", () => cell.node(stale).core.member.state.windows.size === 1);
  cell.cutPeers(stale);
  cell.node(stale).deaf = true; // it hears nothing of the group either
  cell.dropMessage = () => false;
  cell.rebalanceWithout(stale);
  cell.handler = () => ({ ms: 0, outcome: "hang" });
  cell.produce(0);
  cell.until("it runs elsewhere", () => cell.runs.length === 1);
  cell.watermarks = { ...cell.watermarks, partitions: [] }; // the coordinator has forgotten it besides
  for (const name of others) cell.crash(name, { effect: true });
  cell.handler = () => ({ ms: 5, outcome: "success" });
  cell.start("d");
  cell.healPeers(stale);
  cell.until("another leads", () => cell.activeLeader() !== null);
  cell.advance(100);
  cell.node(stale).deaf = false;
  cell.rebalance(true);
  cell.drain();
  cell.verifyOnce();
  expect(cell.checks).toHaveLength(1);
});
