import { expect, test } from "bun:test";
import { State } from "../../src/core/member/window.ts";
import { OneMember } from "./one-member.ts";
import { listOf } from "./support.ts";

function owning(count: number, settings: ConstructorParameters<typeof OneMember>[0] = {}): OneMember {
  const member = new OneMember(settings);
  member.own();
  member.deliver(0, count);
  return member;
}

function window0(member: OneMember) {
  return member.core.member.state.windows.get(0)!;
}

test("R14: a batch that does not continue the fetch position is discarded and the position set back", () => {
  const member = owning(3);
  member.deliver(5, 2);
  expect(window0(member).fetchPosition).toBe(3);
  expect(member.last("seek")).toEqual({ type: "seek", pid: 0, position: 3 });
  member.deliver(2, 4); // overlapping
  expect(window0(member).fetchPosition).toBe(3);
  expect(member.core.ctx.counters.discardedBatches).toBe(2);
});

test("R14: a batch of an ownership that is over is discarded", () => {
  const member = owning(0);
  const old = member.core.member.state.ownership;
  member.step({ type: "revoked" });
  member.own({ committed: 0 });
  const offsets = Float64Array.of(0);
  member.step({
    type: "delivered",
    batch: {
      pid: 0,
      ownership: old,
      fetchedFrom: 0,
      nextPosition: 1,
      offsets,
      hashes: new Uint32Array(2),
      ids: null,
      payloads: null,
      leaderEpoch: 0,
      logEnd: 1e3,
    },
  });
  expect(window0(member).fetchPosition).toBe(0);
});

test("R14: the committable position is the first unfinished delivered record, over gaps of any length", () => {
  const member = owning(0);
  const offsets = Float64Array.of(0, 1, 700, 701);
  member.step({
    type: "delivered",
    batch: {
      pid: 0,
      ownership: 1,
      fetchedFrom: 0,
      nextPosition: 900,
      offsets,
      hashes: new Uint32Array(8).fill(7),
      ids: null,
      payloads: null,
      leaderEpoch: 0,
      logEnd: 1e3,
    },
  });
  member.claim();
  member.answerClaim();
  member.end(1, "success");
  member.end(700, "success");
  expect(window0(member).committable).toBe(0);
  member.end(0, "success");
  expect(window0(member).committable).toBe(701);
  member.end(701, "success");
  expect(window0(member).committable).toBe(900);
  member.tick(200);
  expect(member.last("commit").commits).toMatchObject([{ pid: 0, position: 900 }]);
});

test("R14: one commit is in flight at a time, in the group generation of its records", () => {
  const member = owning(2);
  member.answerClaim();
  member.end(0, "success");
  member.tick(200);
  const commits = member.all("commit").length;
  expect(member.last("commit")).toMatchObject({ generation: 1, commits: [{ position: 1 }] });
  member.end(1, "success");
  member.tick(500);
  expect(member.all("commit")).toHaveLength(commits);
  member.commitDone();
  member.tick(200);
  expect(member.last("commit").commits).toMatchObject([{ position: 2 }]);
});

test("R14: W is told after the acknowledged commit, not before", () => {
  const member = owning(1);
  member.answerClaim();
  member.end(0, "success");
  member.tick(200);
  member.acknowledge();
  member.tick(600);
  const notes = () => member.reports.flatMap((report) => report.commits).map(({ position }) => position);
  expect(Math.max(...notes())).toBe(0); // the anchor
  member.commitDone();
  member.tick(600);
  expect(Math.max(...notes())).toBe(1);
});

test("R14: after a refused commit nothing more is committed in that generation", () => {
  const member = owning(2);
  member.answerClaim();
  member.end(0, "success");
  member.tick(200);
  member.commitDone("refused");
  const commits = member.all("commit").length;
  member.end(1, "success");
  member.tick(1_000);
  expect(member.all("commit")).toHaveLength(commits);
  // S7: the tasks are in the leader's ledger by the reports.
  const told = member.reports.flatMap((report) => report.finished).flatMap(({ offsets }) => listOf(offsets));
  expect(told).toEqual([0, 1]);
});

test("R14: a commit whose outcome is unknown is made again in the same generation", () => {
  const member = owning(1);
  member.answerClaim();
  member.end(0, "success");
  member.tick(200);
  member.commitDone("unknown");
  const commits = member.all("commit").length;
  member.tick(200);
  expect(member.all("commit")).toHaveLength(commits + 1);
  expect(member.last("commit")).toMatchObject({ generation: 1, commits: [{ position: 1 }] });
  expect(window0(member).committed).toBe(0);
});

test("R14: a task log that answers at once that it does not know is not asked again in the same moment", () => {
  const member = new OneMember({ settings: { commitIntervalMs: 100 } });
  member.own({ anchor: false }); // its anchor is urgent
  const commits = member.all("commit").length;
  member.commitDone("unknown");
  for (let ms = 0; ms < 99; ms++) member.tick(1);
  expect(member.all("commit")).toHaveLength(commits);
  expect(member.core.member.nextAt(member.now)).toBeLessThanOrEqual(member.now + 1);
  member.tick(1);
  expect(member.all("commit")).toHaveLength(commits + 1);
});

test("R14: the barrier before a join: the commit in flight ends, a last one is made, and only then it is through", () => {
  const member = owning(3, { settings: { concurrency: 2 } });
  member.answerClaim();
  member.end(0, "success");
  member.tick(200);
  member.end(1, "success");
  member.step({ type: "revoked" });
  expect(member.all("revoke-done")).toEqual([]);
  member.commitDone(); // the one in flight
  expect(member.last("commit").commits).toMatchObject([{ position: 2 }]);
  expect(member.all("revoke-done")).toEqual([]);
  member.commitDone();
  expect(member.all("revoke-done")).toHaveLength(1);
  expect(member.core.member.state.windows.size).toBe(0);
  member.tick(1_000);
  expect(member.started).toEqual([0, 1, 2]); // 2 started when 0 ended; nothing since
});

test("R14: after a join every partition is positioned at what the group has committed", () => {
  const member = new OneMember();
  member.step({
    type: "assigned",
    generation: 4,
    partitions: [
      { pid: 0, committed: 17, metadata: "", logStart: 0, logEnd: 100 },
      { pid: 1, committed: null, metadata: "", logStart: 5, logEnd: 100 },
    ],
  });
  expect(member.last("positions").partitions).toEqual([
    { pid: 0, ownership: 1, position: 17, paused: false, leaderEpoch: -1, keptTo: 17 },
    { pid: 1, ownership: 1, position: 5, paused: false, leaderEpoch: -1, keptTo: 5 },
  ]);
});

test("R14: a batch is in the window before any of it is settled", () => {
  const member = new OneMember();
  member.own({ committed: 0, info: { watermark: 1, top: 1 } });
  member.deliver(0, 4);
  expect(window0(member).committable).toBe(1);
  expect([0, 1, 2, 3].map((offset) => member.stateOf(offset))).toEqual([
    State.dropped,
    State.asked,
    State.asked,
    State.asked,
  ]);
});

test("R14: a join whose barrier did not get through keeps what runs", () => {
  const member = owning(1);
  member.answerClaim();
  member.end(0, "failure");
  member.tick(200);
  member.step({
    type: "assigned",
    generation: 9,
    partitions: [{ pid: 0, committed: 0, metadata: "", logStart: 0, logEnd: 100 }],
  });
  member.tick();
  member.inform();
  if (member.core.member.commits.busy) member.commitDone();
  member.deliver(0, 1);
  expect(window0(member).attempts[0]).toBe(1);
});
